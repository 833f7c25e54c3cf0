/* leat-worker: the worker's core under the real runner, with the spawner beside it. The spawner is
 * forked first, before this process has threads or a ZeroMQ context. */
#include <czmq.h>
#include <unistd.h>

#include "io/exit.h"
#include "io/heap.h"
#include "io/keys.h"
#include "io/log.h"
#include "io/runner.h"
#include "io/serve.h"
#include "io/signals.h"
#include "worker/settings.h"
#include "worker/spawner_link.h"

#define HEAP_BYTES  ((size_t)64 << 20)
#define LEAST_BYTES ((size_t)16 << 20) /* who limits handlers with ulimit -d has little for us */
#define THREADS     2                  /* of ZeroMQ */

/* All that the process holds, in the order in which it was opened. */
struct process {
    struct leat_options *options;
    struct leat_worker_settings settings;
    struct leat_spawner spawner;
    bool is_spawned;
    struct leat_spawner_link link;
    zsock_t *ventilator;
    zsock_t *sink;
    int signal_fd;
    struct leat_worker *worker;
    struct leat_runner *runner;
};

static void step(void *core, const struct leat_event *event, struct leat_out *out)
{
    leat_worker_step(core, event, out);
}

static int64_t deadline_us(const void *core)
{
    return leat_worker_deadline_us(core);
}

static void new_runner(struct process *process)
{
    struct leat_runner_link links[] = {
        {.link = LEAT_LINK_VENTILATOR, .socket = process->ventilator},
        {.link = LEAT_LINK_SINK, .socket = process->sink},
        {.link = LEAT_LINK_SPAWNER, .ops = &leat_spawner_link_ops, .context = &process->link},
    };
    struct leat_runner_config config;
    leat_runner_config_init(&config);
    config.core = process->worker;
    config.step = step;
    config.deadline_us = deadline_us;
    config.links = links;
    config.link_count = LEAT_COUNT_OF(links);
    config.signal_fd = process->signal_fd;
    process->runner = leat_runner_new(&config);
}

static enum leat_err open_sockets(struct process *process, struct leat_why *why)
{
    /* read here, and not before: the spawner, which is there already, must not know the secret */
    struct leat_curve ventilator = {.on = false};
    struct leat_curve sink = {.on = false};
    enum leat_err err = leat_keys_read_client(process->options, &ventilator, &sink, why);
    if (err == LEAT_OK) {
        err =
            leat_socket_connect_curve(ZMQ_DEALER, leat_options_text(process->options, "ventilator"),
                                      &ventilator, &process->ventilator, why);
    }
    if (err == LEAT_OK) {
        err = leat_socket_connect_curve(ZMQ_DEALER, leat_options_text(process->options, "sink"),
                                        &sink, &process->sink, why);
    }
    leat_curve_wipe(&ventilator);
    leat_curve_wipe(&sink);
    if (err != LEAT_OK) {
        return err;
    }
    return leat_signals_open(&process->signal_fd, why);
}

static void log_settings(const struct leat_worker_config *core)
{
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, "worker_started");
    leat_log_str(&line, "name", core->name);
    leat_log_id(&line, "session", &core->session);
    leat_log_number(&line, "slots", (int64_t)core->slots);
    leat_log_number(&line, "prefetch", (int64_t)core->prefetch);
    leat_log_number(&line, "handlers", (int64_t)core->handler_count);
    leat_log_end(&line);
}

static enum leat_err start(struct process *process, struct leat_why *why)
{
    enum leat_err err = leat_worker_settings_read(process->options, &process->settings, why);
    if (err == LEAT_OK) {
        err = leat_worker_new(&process->settings.core, &process->worker, why);
    }
    if (err == LEAT_OK) {
        err = leat_spawner_start(&process->settings.spawner, &process->spawner, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    process->is_spawned = true;
    leat_heap_reserve(HEAP_BYTES); /* not before the fork: a handler's memory may be limited */
    leat_spawner_link_init(&process->link, &process->spawner);
    err = leat_heap_check(LEAST_BYTES, THREADS, why);
    if (err == LEAT_OK) {
        err = open_sockets(process, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    new_runner(process);
    log_settings(&process->settings.core);
    return leat_serve_ready(process->options, NULL, 0, why);
}

static void stop(struct process *process)
{
    leat_runner_destroy(&process->runner);
    zsock_destroy(&process->ventilator);
    zsock_destroy(&process->sink);
    if (process->is_spawned) {
        leat_spawner_link_fini(&process->link);
        leat_spawner_stop(&process->spawner);
    }
    leat_worker_destroy(&process->worker);
    if (process->signal_fd >= 0) {
        close(process->signal_fd);
    }
    leat_worker_settings_fini(&process->settings);
    leat_options_destroy(&process->options);
}

int main(int argc, char **argv)
{
    static struct process process = {.signal_fd = -1};
    int status = 0;
    struct leat_why why = {""};
    process.options = leat_serve_start(&leat_worker_program, "worker", argc, argv, &status);
    if (process.options == NULL) {
        return status;
    }
    enum leat_err err = start(&process, &why);
    if (err != LEAT_OK) {
        status = leat_serve_cannot_start(&leat_worker_program, err, &why);
    } else {
        status = leat_runner_run(process.runner);
    }
    stop(&process);
    return status;
}
