#include "io/runner.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/clock.h"
#include "io/exit.h"
#include "io/log.h"
#include "io/notify.h"
#include "io/runner_inside.h"
#include "io/signals.h"

#define ARENA_BYTES_MAX (32U << 20)
#define POLL_ITEMS_MAX  (LEAT_RUNNER_LINKS_MAX + LEAT_RUNNER_FDS_MAX + 2)
#define POLL_US_MAX     LEAT_US_PER_S /* libzmq cleans up after dead peers only when it is called */
#define STORE_POLL_US   1000          /* a store without a descriptor has to be asked */
#define TICK_PUT_OFF_US (100 * LEAT_US_PER_MS)

void leat_runner_config_init(struct leat_runner_config *config)
{
    *config = (struct leat_runner_config){.signal_fd = -1, .connect_wait_us = 300 * LEAT_US_PER_MS};
}

static void fill_defaults(struct leat_runner_config *config)
{
    if (config->waiting_actions_max == 0) {
        config->waiting_actions_max = LEAT_RUNNER_WAITING_ACTIONS_MAX;
    }
    if (config->waiting_bytes_max == 0) {
        config->waiting_bytes_max = LEAT_RUNNER_WAITING_BYTES_MAX;
    }
    if (config->filling_bytes_max == 0) {
        config->filling_bytes_max = LEAT_RUNNER_FILLING_BYTES_MAX;
    }
    if (config->patience_us == 0) {
        config->patience_us = LEAT_RUNNER_PATIENCE_US;
    }
    if (config->patience_rows == 0) {
        config->patience_rows = LEAT_RUNNER_PATIENCE_ROWS;
    }
    if (config->budget_messages == 0) {
        config->budget_messages = LEAT_RUNNER_BUDGET_MESSAGES;
    }
    if (config->budget_us == 0) {
        config->budget_us = LEAT_RUNNER_BUDGET_US;
    }
}

/* The core's time: it stands still while nothing was read for it. */
static void update_now(struct leat_runner *runner)
{
    struct leat_now real;
    leat_clock_now(&real);
    if (runner->counts.paused) {
        runner->held_us += real.mono_us - runner->real_mono_us;
    }
    runner->real_mono_us = real.mono_us;
    runner->now.mono_us = real.mono_us - runner->held_us;
    runner->now.wall = real.wall;
}

struct leat_runner *leat_runner_new(const struct leat_runner_config *config)
{
    LEAT_ASSERT(config->link_count <= LEAT_RUNNER_LINKS_MAX);
    LEAT_ASSERT(config->fd_count <= LEAT_RUNNER_FDS_MAX);
    struct leat_runner *runner = calloc(1, sizeof *runner);
    LEAT_ASSERT(runner != NULL);
    runner->config = *config;
    fill_defaults(&runner->config);
    if (config->link_count > 0) {
        memcpy(runner->links, config->links, config->link_count * sizeof *config->links);
    }
    if (config->fd_count > 0) {
        memcpy(runner->fds, config->fds, config->fd_count * sizeof *config->fds);
    }
    leat_out_init(&runner->out);
    leat_arena_init(&runner->arena, ARENA_BYTES_MAX);
    leat_wire_buffer_init(&runner->encoded, 0);
    zmq_msg_init(&runner->frame);
    leat_guard_view_open(&runner->view, config->guard);
    update_now(runner);
    return runner;
}

void leat_runner_destroy(struct leat_runner **runner_address)
{
    struct leat_runner *runner = *runner_address;
    if (runner == NULL) {
        return;
    }
    leat_runner_queue_fini(runner);
    leat_guard_view_close(&runner->view);
    zmq_msg_close(&runner->frame);
    leat_wire_buffer_fini(&runner->encoded);
    leat_arena_fini(&runner->arena);
    leat_out_fini(&runner->out);
    free(runner);
    *runner_address = NULL;
}

void leat_runner_take(struct leat_runner *runner, struct leat_out *out)
{
    leat_runner_collect(runner, out);
}

void leat_runner_step(struct leat_runner *runner, struct leat_event *event)
{
    if (runner->ended || (runner->exiting && event->kind != LEAT_EVENT_STOP)) {
        return;
    }
    event->now = runner->now;
    runner->counts.steps++;
    runner->config.step(runner->config.core, event, &runner->out);
    leat_runner_collect(runner, &runner->out);
}

void leat_runner_replace(struct leat_runner *runner, enum leat_link link, zsock_t *socket)
{
    for (size_t i = 0; i < runner->config.link_count; i++) {
        if (runner->links[i].link == link) {
            runner->links[i].socket = socket;
            return;
        }
    }
    LEAT_UNREACHABLE("no such link");
}

void leat_runner_exit(struct leat_runner *runner, int status)
{
    leat_runner_queue_exit(runner, status);
}

struct leat_now leat_runner_now(const struct leat_runner *runner)
{
    return runner->now;
}

/* ---- one turn ---- */

static int64_t poll_wait_us(const struct leat_runner *runner, int64_t wait_us)
{
    int64_t wait = leat_min_us(leat_min_us(wait_us, POLL_US_MAX), leat_notify_wait_us());
    const struct leat_store *store = runner->config.store;
    if (store != NULL && leat_store_fd(store) < 0 && leat_store_is_committing(store)) {
        wait = leat_min_us(wait, STORE_POLL_US);
    }
    if (runner->held_back_until_us != 0) {
        int64_t left_us = runner->held_back_until_us - runner->real_mono_us;
        wait = leat_min_us(wait, left_us > 0 ? left_us : 0);
    }
    if (runner->counts.paused || runner->exiting) {
        return wait;
    }
    if (runner->more || runner->failure_count > 0 || runner->tick_due_since_us != 0 ||
        leat_runner_has_space_to_tell(runner)) {
        return 0;
    }
    int64_t deadline = runner->config.deadline_us(runner->config.core);
    if (deadline <= runner->now.mono_us) {
        return 0;
    }
    return leat_min_us(wait, deadline - runner->now.mono_us);
}

/* Where each polled thing stands, so that its result is found again. */
struct poll_set {
    zmq_pollitem_t items[POLL_ITEMS_MAX];
    int count;
    int of_link[LEAT_RUNNER_LINKS_MAX]; /* -1: not polled */
    int of_fd[LEAT_RUNNER_FDS_MAX];
    int of_signal;
};

static int add_item(struct poll_set *set, void *socket, int fd, short events)
{
    set->items[set->count] =
        (zmq_pollitem_t){.socket = socket, .fd = fd, .events = events, .revents = 0};
    return set->count++;
}

static void fill_poll_set(struct leat_runner *runner, struct poll_set *set)
{
    set->count = 0;
    bool reading = !runner->counts.paused && !runner->exiting;
    for (size_t i = 0; i < runner->config.link_count; i++) {
        struct leat_runner_link *link = &runner->links[i];
        set->of_link[i] = -1;
        if (link->socket == NULL) {
            short events = ZMQ_POLLIN;
            int fd = link->ops->poll(link->context, &events);
            if (!reading) {
                events = (short)(events & ~ZMQ_POLLIN);
            }
            if (fd >= 0 && events != 0) {
                set->of_link[i] = add_item(set, NULL, fd, events);
            }
        } else if (!link->send_only && reading) {
            set->of_link[i] = add_item(set, zsock_resolve(link->socket), -1, ZMQ_POLLIN);
        }
    }
    for (size_t i = 0; i < runner->config.fd_count; i++) {
        struct leat_runner_fd *fd = &runner->fds[i];
        set->of_fd[i] = fd->fd < 0 ? -1 : add_item(set, NULL, fd->fd, fd->events);
    }
    set->of_signal = runner->config.signal_fd < 0
                         ? -1
                         : add_item(set, NULL, runner->config.signal_fd, ZMQ_POLLIN);
    if (runner->config.store != NULL && leat_store_fd(runner->config.store) >= 0) {
        add_item(set, NULL, leat_store_fd(runner->config.store), ZMQ_POLLIN);
    }
}

static void poll_once(struct leat_runner *runner, struct poll_set *set, int64_t wait_us)
{
    fill_poll_set(runner, set);
    long wait_ms = (long)((poll_wait_us(runner, wait_us) + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS);
    /* interrupted or not: everything is asked below without waiting */
    (void)zmq_poll(set->items, set->count, wait_ms);
}

/* An EXIT waits for a disk that may be full for ever. What waits with it was never told to anybody,
 * so to give it up is no worse than a crash. */
static void give_up_waiting(struct leat_runner *runner)
{
    leat_log_reason(LEAT_LOG_ERROR, "store_abandoned",
                    "a second signal came before the store had taken what was written last");
    runner->ended = true;
    runner->status = LEAT_EXIT_STORE;
}

static void read_signals(struct leat_runner *runner)
{
    int number;
    while ((number = leat_signals_read(runner->config.signal_fd)) != 0) {
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_INFO, "signal");
        leat_log_text(&line, "name", sigabbrev_np(number));
        leat_log_end(&line);
        leat_notify_stopping();
        if (runner->exiting && !runner->ended) {
            give_up_waiting(runner);
            continue;
        }
        struct leat_event event = {.kind = LEAT_EVENT_STOP};
        leat_runner_step(runner, &event);
    }
}

static void call_ready(struct leat_runner *runner, const struct poll_set *set)
{
    for (size_t i = 0; i < runner->config.link_count; i++) {
        struct leat_runner_link *link = &runner->links[i];
        if (link->socket == NULL && link->ops->ready != NULL) {
            int at = set->of_link[i];
            link->ops->ready(link->context, at < 0 ? (short)0 : set->items[at].revents);
        }
    }
    for (size_t i = 0; i < runner->config.fd_count; i++) {
        int at = set->of_fd[i];
        if (at >= 0 && set->items[at].revents != 0) {
            runner->fds[i].ready(runner->fds[i].context, set->items[at].revents);
        }
    }
}

static void feed_failures(struct leat_runner *runner)
{
    struct leat_runner_failure *failures = runner->failures;
    size_t count = runner->failure_count;
    /* what the answers to these fail to send is told in the next turn */
    runner->failures = NULL;
    runner->failure_count = 0;
    runner->failure_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        struct leat_event event = {
            .kind = LEAT_EVENT_UNREACHABLE, .link = failures[i].link, .peer = failures[i].peer};
        leat_runner_step(runner, &event);
    }
    free(failures);
}

/* The links come before the clock: after a pause of this process (SIGSTOP, a suspended machine)
 * what peers sent meanwhile must be seen before anybody counts as silent. */
static void tick(struct leat_runner *runner)
{
    if (runner->config.deadline_us(runner->config.core) > runner->now.mono_us) {
        runner->tick_due_since_us = 0;
        return;
    }
    if (runner->tick_due_since_us == 0) {
        runner->tick_due_since_us = runner->real_mono_us;
    }
    if (runner->more && runner->real_mono_us - runner->tick_due_since_us < TICK_PUT_OFF_US) {
        return;
    }
    runner->tick_due_since_us = 0;
    struct leat_event event = {.kind = LEAT_EVENT_TICK};
    leat_runner_step(runner, &event);
}

/* Whether a DEALER has a connection, so that a first message does not fail for no reason. */
static void wait_for_connections(struct leat_runner *runner)
{
    int64_t end_us = runner->real_mono_us + runner->config.connect_wait_us;
    for (;;) {
        zmq_pollitem_t items[LEAT_RUNNER_LINKS_MAX + 1];
        int count = 0;
        for (size_t i = 0; i < runner->config.link_count; i++) {
            zsock_t *socket = runner->links[i].socket;
            if (socket != NULL && zsock_type(socket) == ZMQ_DEALER &&
                (zsock_events(socket) & ZMQ_POLLOUT) == 0) {
                items[count++] =
                    (zmq_pollitem_t){.socket = zsock_resolve(socket), .events = ZMQ_POLLOUT};
            }
        }
        if (count == 0 || runner->real_mono_us >= end_us) {
            return;
        }
        int signal_at = count;
        if (runner->config.signal_fd >= 0) {
            items[count++] = (zmq_pollitem_t){.fd = runner->config.signal_fd, .events = ZMQ_POLLIN};
        }
        int64_t left_us = end_us - runner->real_mono_us;
        (void)zmq_poll(items, count, (long)((left_us + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS));
        update_now(runner);
        if (count > signal_at && items[signal_at].revents != 0) {
            return;
        }
    }
}

static void start(struct leat_runner *runner)
{
    runner->started = true;
    wait_for_connections(runner);
    update_now(runner);
    struct leat_event event = {.kind = LEAT_EVENT_TICK};
    leat_runner_step(runner, &event);
}

static void tend_links(struct leat_runner *runner)
{
    if (runner->real_mono_us < runner->tend_at_us) {
        return;
    }
    runner->tend_at_us = runner->real_mono_us + LEAT_US_PER_S;
    for (size_t i = 0; i < runner->config.link_count; i++) {
        zsock_t *socket = runner->links[i].socket;
        if (socket != NULL && zsock_type(socket) == ZMQ_DEALER) {
            leat_socket_tend(socket, &runner->unconnected_us[i], runner->real_mono_us);
        }
    }
}

static void update_paused(struct leat_runner *runner)
{
    bool congested = leat_runner_is_congested(runner);
    if (congested && !runner->counts.paused) {
        runner->counts.pauses++;
    }
    runner->counts.paused = congested;
}

bool leat_runner_turn(struct leat_runner *runner, int64_t wait_us, int *ret_status)
{
    if (!runner->started) {
        start(runner);
    }
    struct poll_set set;
    poll_once(runner, &set, runner->ended ? 0 : wait_us);
    update_now(runner);
    leat_notify_alive(runner->real_mono_us);
    runner->counts.turns++;
    leat_runner_advance_store(runner);
    if (!runner->ended) {
        update_paused(runner);
        if (set.of_signal >= 0 && set.items[set.of_signal].revents != 0) {
            read_signals(runner);
        }
        call_ready(runner, &set);
        leat_runner_refresh_keys(runner);
        tend_links(runner);
        runner->more = false;
        if (!runner->counts.paused && !runner->exiting) {
            leat_runner_read_links(runner);
            tick(runner);
        }
        feed_failures(runner);
        if (runner->config.turn != NULL && !runner->ended) {
            runner->config.turn(runner->config.turn_context, runner->now);
        }
        leat_runner_seal_store(runner);
        if (!runner->ended) {
            leat_runner_release(runner);
            update_paused(runner);
        }
    }
    if (runner->ended) {
        leat_notify_stopping();
        *ret_status = runner->status;
    }
    return !runner->ended;
}

int leat_runner_run(struct leat_runner *runner)
{
    int status = LEAT_EXIT_INTERNAL;
    while (leat_runner_turn(runner, POLL_US_MAX, &status)) {
    }
    return status;
}

struct leat_runner_counts leat_runner_counts(const struct leat_runner *runner)
{
    struct leat_runner_counts counts = runner->counts;
    counts.waiting_actions = runner->ring_count;
    return counts;
}
