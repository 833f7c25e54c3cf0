/* leat-ventilator: the ventilator's core under the real runner, with its store. */
#include <czmq.h>
#include <unistd.h>

#include "broker/role_store.h"
#include "broker/ventilator/ventilator.h"
#include "io/exit.h"
#include "io/heap.h"
#include "io/keys.h"
#include "io/random.h"
#include "io/runner.h"
#include "io/serve.h"
#include "io/signals.h"
#include "io/zap.h"

_Static_assert(LEAT_VENTILATOR_EXIT_STORE == LEAT_EXIT_STORE, "one status for a broken store");

#define DAY_MS (24 * INT64_C(3600) * 1000)
/* About what it takes in a flood: two overlays of the journal, and the pages that LMDB writes. */
#define HEAP_BYTES ((size_t)128 << 20)
#define THREADS    5 /* two of ZeroMQ, the store's two, the guard */

static const struct leat_option rows[] = {
    {.name = "listen",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5170",
     .env = "LEAT_VENTILATOR_LISTEN",
     .help = "where producers, workers and leat connect"},
    {.name = "sink",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5171",
     .help = "the sink"},
    {.name = "data",
     .kind = LEAT_OPTION_STRING,
     .initial = "leat-ventilator.data",
     .env = "LEAT_VENTILATOR_DATA",
     .value = "DIR",
     .help = "directory of the store; made when it is missing"},
    {.name = "store-bytes",
     .kind = LEAT_OPTION_SIZE,
     .initial = "64GiB",
     .env = "LEAT_VENTILATOR_STORE_BYTES",
     .min = 4 * LEAT_STORE_RESERVE_BYTES,
     .max = INT64_C(1) << 46,
     .help = "largest size of the store; when it is full, producers are told BUSY"},
    {.name = "max-jobs",
     .kind = LEAT_OPTION_COUNT,
     .initial = "20000000",
     .min = LEAT_BATCH_ITEMS_MAX,
     .max = INT64_C(1) << 40,
     .help = "jobs held at one time; when there are more, producers are told BUSY"},
    {.name = "max-bytes",
     .kind = LEAT_OPTION_SIZE,
     .initial = "64GiB",
     .min = 2 * (int64_t)LEAT_PAYLOAD_BYTES_CEILING,
     .max = INT64_C(1) << 46,
     .help = "bytes of the jobs held; when there are more, producers are told BUSY"},
    {.name = "max-payload",
     .kind = LEAT_OPTION_SIZE,
     .initial = "1MiB",
     .min = 1,
     .max = LEAT_PAYLOAD_BYTES_CEILING,
     .help = "largest payload of one job"},
    {.name = "lost-after",
     .kind = LEAT_OPTION_DURATION,
     .initial = "5s",
     .min = 50,
     .max = DAY_MS,
     .help = "silence after which a worker counts as lost and its jobs run elsewhere"},
    {.name = "ping",
     .kind = LEAT_OPTION_DURATION,
     .initial = "1s",
     .min = 10,
     .max = 60000,
     .help = "how often workers are asked to say that they live, those that hold no job half as "
             "often; less than half of --lost-after"},
    {.name = "deliveries",
     .kind = LEAT_OPTION_COUNT,
     .initial = "5",
     .min = 1,
     .max = 1000000,
     .help = "a job whose workers were lost so often ends as failed"},
    {.name = "recovery-grace",
     .kind = LEAT_OPTION_DURATION,
     .initial = "2s",
     .min = 0,
     .max = DAY_MS,
     .help = "after a restart, wait so long for workers to name the jobs that they hold"},
    {.name = "dedupe",
     .kind = LEAT_OPTION_DURATION,
     .initial = "1h",
     .min = 1000,
     .max = 365 * DAY_MS,
     .help = "how long the id of an ended job is remembered, so that it is not run again"},
    LEAT_OPTIONS_CHECK_STORE,
    LEAT_OPTIONS_COPY_STORE,
    LEAT_OPTIONS_KEYS,
    {.name = "sink-key",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE|KEY",
     .group = "Keys",
     .help = "public key of the sink; default: it has the same pair as this process"},
    LEAT_OPTIONS_COMMON,
    LEAT_OPTIONS_BIND,
    LEAT_OPTIONS_READY,
};

static const struct leat_program program = {
    .name = "leat-ventilator",
    .summary = "Keeps jobs until they have ended, and pushes them to workers.",
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
};

/* All that the process holds, in the order in which it was opened. */
struct process {
    struct leat_options *options;
    struct leat_store *store;
    struct leat_guard *guard;
    zsock_t *peers;
    zsock_t *sink;
    int signal_fd;
    struct leat_ventilator_store *typed;
    struct leat_ventilator *ventilator;
    struct leat_runner *runner;
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
};

static enum leat_err check_options(const struct leat_options *options, struct leat_why *why)
{
    int64_t ping_ms = leat_options_number(options, "ping");
    int64_t lost_after_ms = leat_options_number(options, "lost-after");
    if (2 * ping_ms >= lost_after_ms) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "--ping %lldms must be less than half of --lost-after %lldms",
                         (long long)ping_ms, (long long)lost_after_ms);
    }
    return LEAT_OK;
}

static enum leat_err examine(struct leat_store *store, struct leat_examination *examination)
{
    struct leat_ventilator_store *typed = leat_ventilator_store_new(store);
    enum leat_err err = leat_ventilator_store_examine(typed, examination);
    leat_ventilator_store_destroy(&typed);
    return err;
}

static const struct leat_role_store role_store = {
    .program = &program,
    .store =
        {
            .role = "ventilator",
            .tables = leat_ventilator_table_names,
            .table_count = LEAT_VENTILATOR_TABLES,
        },
    .examine = examine,
};

static enum leat_err open_store(struct process *process, struct leat_why *why)
{
    return leat_role_store_open(&role_store, process->options, &process->store, why);
}

/* With the ventilator's own pair; the sink's is the same unless another one is named. */
static enum leat_err connect_sink(struct process *process, struct leat_curve *own,
                                  struct leat_why *why)
{
    const char *sink_key = leat_options_text(process->options, "sink-key");
    enum leat_err err = LEAT_OK;
    if (sink_key != NULL && !own->on) {
        return leat_fail(why, LEAT_ERR_INVALID, "--sink-key needs --key and --keys");
    }
    memcpy(own->server, own->own_public, sizeof own->server);
    if (sink_key != NULL) {
        err = leat_curve_read_public(sink_key, own->server, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    return leat_socket_connect_curve(ZMQ_DEALER, leat_options_text(process->options, "sink"), own,
                                     &process->sink, why);
}

static enum leat_err open_sockets(struct process *process, struct leat_why *why)
{
    const struct leat_options *options = process->options;
    struct leat_curve own;
    enum leat_err err = leat_keys_start_guard(options, 1, &own, &process->guard, why);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_socket_config peers;
    leat_socket_config_init(&peers, ZMQ_ROUTER);
    peers.bind = leat_options_text(options, "listen");
    peers.allow_network = leat_options_flag(options, "allow-unauthenticated-network");
    peers.guard = process->guard;
    peers.zap_domain = LEAT_ZAP_PEERS;
    err = leat_socket_open(&peers, &process->peers, process->endpoint, why);
    if (err == LEAT_OK) {
        err = connect_sink(process, &own, why);
    }
    leat_curve_wipe(&own);
    return err;
}

/* ---- while it runs ---- */

static void step(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_ventilator_step(core, event, out);
}

static int64_t deadline_us(const void *core)
{
    return leat_ventilator_deadline_us(core);
}

static void new_runner(struct process *process)
{
    struct leat_runner_link links[] = {
        {.link = LEAT_LINK_PEERS, .socket = process->peers},
        {.link = LEAT_LINK_SINK, .socket = process->sink},
    };
    struct leat_runner_config config;
    leat_runner_config_init(&config);
    config.core = process->ventilator;
    config.step = step;
    config.deadline_us = deadline_us;
    config.store = process->store;
    config.links = links;
    config.link_count = LEAT_COUNT_OF(links);
    config.signal_fd = process->signal_fd;
    config.guard = process->guard;
    process->runner = leat_runner_new(&config);
}

static struct leat_ventilator_config config_of(const struct leat_options *options)
{
    struct leat_ventilator_config config;
    leat_ventilator_config_init(&config);
    leat_random_fill(config.sender.bytes, sizeof config.sender.bytes);
    config.seed = leat_random_seed();
    config.jobs_max = (uint64_t)leat_options_number(options, "max-jobs");
    config.bytes_max = (uint64_t)leat_options_number(options, "max-bytes");
    config.payload_bytes_max = (uint64_t)leat_options_number(options, "max-payload");
    config.lost_after_ms = leat_options_number(options, "lost-after");
    config.ping_ms = leat_options_number(options, "ping");
    config.deliveries_max = (uint64_t)leat_options_number(options, "deliveries");
    config.recovery_grace_ms = leat_options_number(options, "recovery-grace");
    config.dedupe_ms = leat_options_number(options, "dedupe");
    return config;
}

static enum leat_err recover(struct process *process, struct leat_why *why)
{
    struct leat_ventilator_config config = config_of(process->options);
    process->typed = leat_ventilator_store_new(process->store);
    process->ventilator = leat_ventilator_new(&config, process->typed);
    new_runner(process);

    struct leat_out out;
    leat_out_init(&out);
    enum leat_err err =
        leat_ventilator_recover(process->ventilator, leat_runner_now(process->runner), &out, why);
    if (err == LEAT_OK) {
        leat_runner_take(process->runner, &out);
    }
    leat_out_fini(&out);
    return err;
}

static enum leat_err start(struct process *process, struct leat_why *why)
{
    enum leat_err err = check_options(process->options, why);
    if (err == LEAT_OK) {
        err = leat_heap_check(HEAP_BYTES, THREADS, why);
    }
    if (err == LEAT_OK) {
        leat_heap_reserve(HEAP_BYTES);
        err = open_store(process, why);
    }
    if (err == LEAT_OK) {
        err = open_sockets(process, why);
    }
    if (err == LEAT_OK) {
        err = leat_signals_open(&process->signal_fd, why);
    }
    if (err == LEAT_OK) {
        err = recover(process, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_serve_endpoint endpoint = {"peers", process->endpoint};
    return leat_serve_ready(process->options, &endpoint, 1, why);
}

static void stop(struct process *process)
{
    if (process->runner != NULL) {
        leat_runner_destroy(&process->runner);
    }
    leat_ventilator_destroy(&process->ventilator);
    leat_ventilator_store_destroy(&process->typed);
    zsock_destroy(&process->peers);
    zsock_destroy(&process->sink);
    leat_guard_stop(&process->guard); /* after the last socket that it guards */
    if (process->signal_fd >= 0) {
        close(process->signal_fd);
    }
    leat_store_close(&process->store);
    leat_options_destroy(&process->options);
}

int main(int argc, char **argv)
{
    int status = 0;
    struct leat_why why = {""};
    struct process process = {.signal_fd = -1};
    process.options = leat_serve_start(&program, "ventilator", argc, argv, &status);
    if (process.options == NULL) {
        return status;
    }
    if (leat_role_store_did(&role_store, process.options, &status)) {
        leat_options_destroy(&process.options);
        return status;
    }
    enum leat_err err = start(&process, &why);
    if (err != LEAT_OK) {
        status = leat_serve_cannot_start(&program, err, &why);
    } else {
        status = leat_runner_run(process.runner);
    }
    stop(&process);
    return status;
}
