/* leat-sink: the sink's core under the real runner, with its store and the metrics actor. */
#include <czmq.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "broker/role_store.h"
#include "broker/sink/metrics_actor.h"
#include "broker/sink/sink.h"
#include "broker/sink/sink_record.h"
#include "io/exit.h"
#include "io/heap.h"
#include "io/keys.h"
#include "io/log.h"
#include "io/random.h"
#include "io/runner.h"
#include "io/serve.h"
#include "io/signals.h"
#include "io/zap.h"
#include "store/reader.h"

_Static_assert(LEAT_SINK_EXIT_STORE == LEAT_EXIT_STORE, "one status for a broken store");

/* How often the actor hears the sink's own figures. */
#define TELL_EVERY_MS 100

/* Results come in the order of their ids, about: larger batches would make LMDB no cheaper, and
 * what waits for it would no longer be in the processor's cache. */
#define JOURNAL_BYTES_MAX (2U << 20)
#define HEAP_BYTES        ((size_t)64 << 20)
#define THREADS           6 /* two of ZeroMQ, the store's two, the guard, the metrics actor */

#define YEARS_MS (100 * 365 * 24 * INT64_C(3600) * 1000)

static const struct leat_option rows[] = {
    {.name = "listen",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5171",
     .env = "LEAT_SINK_LISTEN",
     .help = "where workers, the ventilator and those who wait for results connect"},
    {.name = "stats",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5172",
     .env = "LEAT_SINK_STATS",
     .help = "where the metrics actor answers requests"},
    {.name = "events",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5173",
     .env = "LEAT_SINK_EVENTS",
     .help = "where an event for each finished job is published"},
    {.name = "data",
     .kind = LEAT_OPTION_STRING,
     .initial = "leat-sink.data",
     .env = "LEAT_SINK_DATA",
     .value = "DIR",
     .help = "directory of the store; made when it is missing"},
    {.name = "store-bytes",
     .kind = LEAT_OPTION_SIZE,
     .initial = "64GiB",
     .min = 4 * LEAT_STORE_RESERVE_BYTES,
     .max = INT64_C(1) << 46,
     .help = "largest size of the store; when it is full, workers keep their results"},
    {.name = "keep-results",
     .kind = LEAT_OPTION_DURATION,
     .initial = "24h",
     .min = 1,
     .max = YEARS_MS,
     .help = "how long the results of succeeded jobs are kept"},
    {.name = "keep-results-count",
     .kind = LEAT_OPTION_COUNT,
     .initial = "1000000",
     .min = 1,
     .max = INT64_MAX,
     .help = "how many of them are kept; the oldest go first"},
    {.name = "keep-failures",
     .kind = LEAT_OPTION_DURATION,
     .initial = "30d",
     .min = 1,
     .max = YEARS_MS,
     .help = "how long other results are kept, with the jobs' bodies, to be run again"},
    LEAT_OPTIONS_CHECK_STORE,
    LEAT_OPTIONS_COPY_STORE,
    LEAT_OPTIONS_KEYS,
    LEAT_OPTIONS_COMMON,
    LEAT_OPTIONS_BIND,
    LEAT_OPTIONS_READY,
};

static const struct leat_program program = {
    .name = "leat-sink",
    .summary = "Stores the final result of each job, and answers questions about them.",
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
};

/* All that the process holds, in the order in which it was opened. */
struct process {
    struct leat_options *options;
    struct leat_store *store;
    struct leat_store_reader *reader; /* for the actor's thread alone */
    struct leat_metrics_actor *actor;
    struct leat_guard *guard;
    zsock_t *peers;
    zsock_t *events;
    bool events_closed; /* `events` stands in until the real one can be bound again */
    int signal_fd;
    int timer_fd;
    struct leat_sink_store *typed;
    struct leat_sink *sink;
    struct leat_runner *runner;
    struct leat_metrics_sink figures; /* for the actor, as soon as this batch is durable */
    uint64_t figures_need;
    bool has_figures;
    uint64_t untold_total; /* figures that the actor was too busy to take */
    size_t topics;         /* that are subscribed to on `events` */
    char endpoints[3][LEAT_ENDPOINT_BYTES_MAX];
};

static enum leat_err view_get(void *context, leat_table table, struct leat_bytes key,
                              struct leat_bytes *ret_value)
{
    return leat_store_reader_get(context, table, key, ret_value);
}

static enum leat_err view_scan(void *context, leat_table table, struct leat_bytes from,
                               leat_store_visit_fn *visit, void *visit_context)
{
    return leat_store_reader_scan(context, table, from, visit, visit_context);
}

static enum leat_err examine(struct leat_store *store, struct leat_examination *examination)
{
    struct leat_sink_store *typed = leat_sink_store_new(store);
    enum leat_err err = leat_sink_store_examine(typed, examination);
    leat_sink_store_destroy(&typed);
    return err;
}

static const struct leat_role_store role_store = {
    .program = &program,
    .store =
        {
            .role = "sink",
            .tables = leat_sink_table_names,
            .table_count = LEAT_SINK_TABLES,
            .journal_bytes_max = JOURNAL_BYTES_MAX,
        },
    .examine = examine,
};

static enum leat_err open_store(struct process *process, struct leat_why *why)
{
    enum leat_err err = leat_role_store_open(&role_store, process->options, &process->store, why);
    if (err != LEAT_OK) {
        return err;
    }
    return leat_store_reader_open(process->store, &process->reader, why);
}

static enum leat_err bind_socket(struct process *process, int type, const char *endpoint,
                                 const char *zap_domain, zsock_t **ret_socket,
                                 char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX], struct leat_why *why)
{
    struct leat_socket_config config;
    leat_socket_config_init(&config, type);
    config.bind = endpoint;
    config.allow_network = leat_options_flag(process->options, "allow-unauthenticated-network");
    config.guard = process->guard;
    config.zap_domain = zap_domain;
    return leat_socket_open(&config, ret_socket, ret_endpoint, why);
}

static enum leat_err open_sockets(struct process *process, struct leat_why *why)
{
    const struct leat_options *options = process->options;
    struct leat_curve own;
    enum leat_err err = leat_keys_start_guard(options, 3, &own, &process->guard, why);
    leat_curve_wipe(&own); /* the sink connects to nobody */
    if (err == LEAT_OK) {
        err = bind_socket(process, ZMQ_ROUTER, leat_options_text(options, "listen"), LEAT_ZAP_PEERS,
                          &process->peers, process->endpoints[0], why);
    }
    if (err == LEAT_OK) {
        err = bind_socket(process, ZMQ_XPUB, leat_options_text(options, "events"), LEAT_ZAP_EVENTS,
                          &process->events, process->endpoints[2], why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_metrics_actor_config actor = {
        .endpoint = leat_options_text(options, "stats"),
        .allow_network = leat_options_flag(options, "allow-unauthenticated-network"),
        .guard = process->guard,
        .view = {.context = process->reader, .get = view_get, .scan = view_scan},
    };
    return leat_metrics_actor_start(&actor, &process->actor, process->endpoints[1], why);
}

static enum leat_err open_descriptors(struct process *process, struct leat_why *why)
{
    enum leat_err err = leat_signals_open(&process->signal_fd, why);
    if (err != LEAT_OK) {
        return err;
    }
    struct itimerspec every = {
        .it_interval = {.tv_nsec = TELL_EVERY_MS * 1000000L},
        .it_value = {.tv_nsec = 1},
    };
    process->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (process->timer_fd < 0 || timerfd_settime(process->timer_fd, 0, &every, NULL) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "no timer: %s", strerror(errno));
    }
    return LEAT_OK;
}

/* ---- while it runs ---- */

static void replace_events(struct process *process, zsock_t *socket)
{
    leat_runner_replace(process->runner, LEAT_LINK_EVENTS, socket);
    zsock_destroy(&process->events);
    process->events = socket;
    process->topics = 0; /* the subscriptions went with the old one */
}

/* A subscriber says nothing that could be checked, so that one who may not listen any more has to
 * be cut off; and only with the socket can one be. The others connect again by themselves. */
static void close_events(struct process *process)
{
    zsock_t *stand_in = NULL;
    struct leat_why why = {""};
    if (process->events_closed || leat_socket_bind(ZMQ_XPUB, "inproc://leat-no-events", false,
                                                   &stand_in, NULL, &why) != LEAT_OK) {
        return;
    }
    replace_events(process, stand_in);
    process->events_closed = true;
    leat_log_reason(LEAT_LOG_INFO, "events_reopened",
                    "a key that could read events may not any more; subscribers connect again");
}

/* The address is free when libzmq's thread has closed the old socket; until then: later. */
static void reopen_events(struct process *process)
{
    zsock_t *events = NULL;
    struct leat_why why = {""};
    if (!process->events_closed) {
        return;
    }
    if (bind_socket(process, ZMQ_XPUB, process->endpoints[2], LEAT_ZAP_EVENTS, &events, NULL,
                    &why) == LEAT_OK) {
        replace_events(process, events);
        process->events_closed = false;
    } else {
        leat_log_reason(LEAT_LOG_DEBUG, "events_not_open", "%s", why.text);
    }
}

static void keys_changed(void *context, const struct leat_keyring *before,
                         const struct leat_keyring *now)
{
    for (size_t i = 0; i < leat_keyring_count(before); i++) {
        const struct leat_principal *was = leat_keyring_at(before, i);
        if (leat_policy_may_subscribe(was) &&
            !leat_policy_may_subscribe(leat_keyring_find(now, &was->key))) {
            close_events(context);
            return;
        }
    }
}

static void take_figures(struct process *process)
{
    struct leat_sink_info info = leat_sink_info(process->sink);
    process->figures = (struct leat_metrics_sink){
        .successes = info.successes,
        .failures = info.failures,
        .unconfirmed = info.last - info.confirmed,
        .recorded_total = info.recorded_total,
        .duplicate_total = info.duplicate_total,
        .removed_total = info.removed_total,
        .busy_total = info.busy_total,
        .refused_total = info.refused_total,
        .forbidden_total = leat_runner_counts(process->runner).forbidden,
        .store_bytes = leat_store_used_bytes(process->store),
        .dropped_total = leat_runner_counts(process->runner).dropped + process->untold_total,
    };
    process->figures_need = leat_store_awaited(process->store);
    process->has_figures = true;
}

/* The figures count what was written just now, too: nobody hears of it before it is durable. */
static void tell_figures(struct process *process)
{
    if (process->has_figures && leat_store_durable(process->store) >= process->figures_need) {
        process->has_figures = false;
        if (!leat_metrics_actor_tell(process->actor, &process->figures)) {
            process->untold_total++;
        }
    }
}

static void on_timer(void *context, short revents)
{
    struct process *process = context;
    uint64_t expired;
    if ((revents & POLLIN) == 0 ||
        read(process->timer_fd, &expired, sizeof expired) != (ssize_t)sizeof expired) {
        return;
    }
    reopen_events(process);
    tell_figures(process);
    if (!process->has_figures) {
        take_figures(process);
    }
}

static void on_turn(void *context, struct leat_now now)
{
    struct process *process = context;
    (void)now;
    tell_figures(process);
    leat_socket_count_topics(process->events, &process->topics);
    leat_sink_publish(process->sink, process->topics > 0);
}

static void step(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_sink_step(core, event, out);
}

static int64_t deadline_us(const void *core)
{
    return leat_sink_deadline_us(core);
}

static void new_runner(struct process *process)
{
    struct leat_runner_link links[] = {
        {.link = LEAT_LINK_PEERS, .socket = process->peers},
        {.link = LEAT_LINK_METRICS,
         .socket = leat_metrics_actor_feed(process->actor),
         .send_only = true,
         .may_drop = true},
        {.link = LEAT_LINK_EVENTS, .socket = process->events, .send_only = true, .may_drop = true},
    };
    struct leat_runner_fd fds[] = {
        {.fd = process->timer_fd, .events = POLLIN, .ready = on_timer, .context = process},
    };
    struct leat_runner_config config;
    leat_runner_config_init(&config);
    config.core = process->sink;
    config.step = step;
    config.deadline_us = deadline_us;
    config.store = process->store;
    config.links = links;
    config.link_count = LEAT_COUNT_OF(links);
    config.fds = fds;
    config.fd_count = LEAT_COUNT_OF(fds);
    config.turn = on_turn; /* the figures' timer makes ten turns a second at least */
    config.turn_context = process;
    config.signal_fd = process->signal_fd;
    config.guard = process->guard;
    config.keys_changed = keys_changed;
    config.keys_context = process;
    process->runner = leat_runner_new(&config);
}

static enum leat_err recover(struct process *process, struct leat_why *why)
{
    const struct leat_options *options = process->options;
    struct leat_sink_config config;
    leat_sink_config_init(&config);
    config.seed = leat_random_seed();
    config.keep_results_ms = leat_options_number(options, "keep-results");
    config.keep_results_max = leat_options_number(options, "keep-results-count");
    config.keep_failures_ms = leat_options_number(options, "keep-failures");
    config.events = false; /* until somebody subscribes */
    process->typed = leat_sink_store_new(process->store);
    process->sink = leat_sink_new(&config, process->typed);
    new_runner(process);

    struct leat_out out;
    leat_out_init(&out);
    enum leat_err err =
        leat_sink_recover(process->sink, leat_runner_now(process->runner), &out, why);
    if (err == LEAT_OK) {
        leat_runner_take(process->runner, &out);
    }
    leat_out_fini(&out);
    return err;
}

static enum leat_err start(struct process *process, struct leat_why *why)
{
    enum leat_err err = leat_heap_check(HEAP_BYTES, THREADS, why);
    if (err == LEAT_OK) {
        leat_heap_reserve(HEAP_BYTES);
        err = open_store(process, why);
    }
    if (err == LEAT_OK) {
        err = open_sockets(process, why);
    }
    if (err == LEAT_OK) {
        err = open_descriptors(process, why);
    }
    if (err == LEAT_OK) {
        err = recover(process, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_serve_endpoint endpoints[] = {
        {"peers", process->endpoints[0]},
        {"stats", process->endpoints[1]},
        {"events", process->endpoints[2]},
    };
    return leat_serve_ready(process->options, endpoints, LEAT_COUNT_OF(endpoints), why);
}

static void stop(struct process *process)
{
    if (process->runner != NULL) {
        leat_runner_destroy(&process->runner);
    }
    leat_sink_destroy(&process->sink);
    leat_sink_store_destroy(&process->typed);
    leat_metrics_actor_stop(&process->actor);
    zsock_destroy(&process->peers);
    zsock_destroy(&process->events);
    leat_guard_stop(&process->guard); /* after the last socket that it guards */
    if (process->signal_fd >= 0) {
        close(process->signal_fd);
    }
    if (process->timer_fd >= 0) {
        close(process->timer_fd);
    }
    leat_store_reader_close(&process->reader);
    leat_store_close(&process->store);
    leat_options_destroy(&process->options);
}

int main(int argc, char **argv)
{
    int status = 0;
    struct leat_why why = {""};
    struct process process = {.signal_fd = -1, .timer_fd = -1};
    process.options = leat_serve_start(&program, "sink", argc, argv, &status);
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
