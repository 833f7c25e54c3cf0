/* The spawner process: waits, starts slot processes and takes note of their end. */
#include "worker/spawner/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/spawner/tree.h"

#define EVENTS        64
#define CRASHES_FREE  3
#define CLOSED_US_MIN (100 * LEAT_US_PER_MS)
#define CLOSED_US_MAX (1 * LEAT_US_PER_S)
/* Slots have this long to end when the spawner ends. */
#define FAREWELL_US (700 * LEAT_US_PER_MS)

enum tag {
    TAG_WORKER = 0,
    TAG_SIGNALS = 1,
    TAG_SLOT = 2, /* + 2 * slot, + 1 for a plug-in child */
};

static void watch(struct leat_spawner_loop *loop, int fd, uint64_t tag, uint32_t events,
                  uint32_t *watched)
{
    if (events == *watched) {
        return;
    }
    struct epoll_event event = {.events = events, .data.u64 = tag};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0) {
        loop->stopping |= epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0;
    }
    *watched = events;
}

static uint64_t slot_tag(size_t slot, enum leat_spawner_kind kind)
{
    return TAG_SLOT + 2 * slot + (kind == LEAT_SPAWNER_PLUGIN ? 1 : 0);
}

void leat_spawner_open_or_close(struct leat_spawner_loop *loop, size_t slot)
{
    const struct leat_spawner_slot *it = &loop->slots[slot];
    loop->plan.slots[slot].closed = it->closed_until_us != 0 || it->exec.ending ||
                                    it->plugin.ending || leat_spawner_is_used_up(loop, &it->plugin);
    loop->plan.slots[slot].warm = it->plugin.keeper != 0;
}

/* ---- attempts go out ---- */

/* The slot takes nothing for a while: longer with each process in a row that did not work. */
static void close_slot_for_a_while(struct leat_spawner_loop *loop, size_t slot)
{
    struct leat_spawner_slot *it = &loop->slots[slot];
    it->crashes++;
    if (it->crashes < CRASHES_FREE) {
        return;
    }
    unsigned times = it->crashes - CRASHES_FREE;
    int64_t wait_us = times > 10 ? CLOSED_US_MAX : CLOSED_US_MIN << times;
    it->closed_until_us = loop->now_us + (wait_us > CLOSED_US_MAX ? CLOSED_US_MAX : wait_us);
    leat_spawner_open_or_close(loop, slot);
}

static void give_to_slot(struct leat_spawner_loop *loop, size_t slot, struct leat_attempt *attempt)
{
    struct leat_slot *process = leat_spawner_process(loop, slot, attempt->kind);
    enum leat_err err = LEAT_OK;
    if (process->keeper == 0) {
        err = leat_slot_start(process, attempt->kind, loop->config, loop->files_max);
    }
    if (err == LEAT_OK) {
        err = leat_slot_send(process, attempt);
    }
    leat_spawner_open_or_close(loop, slot);
    if (err != LEAT_OK) {
        struct leat_item_outcome ran = {.failure = LEAT_FAILURE_SPAWN, .code = errno};
        leat_spawner_answer(loop, slot, attempt, &ran, "cannot start a slot process", 0);
        close_slot_for_a_while(loop, slot);
    }
}

static void dispatch_waiting(struct leat_spawner_loop *loop)
{
    size_t slot;
    for (struct leat_attempt *attempt = leat_plan_next(&loop->plan, &slot); attempt != NULL;
         attempt = leat_plan_next(&loop->plan, &slot)) {
        give_to_slot(loop, slot, attempt);
    }
}

static void dispatch(struct leat_spawner_loop *loop)
{
    dispatch_waiting(loop);
    const size_t crowded = leat_plan_crowded(&loop->plan);
    if (crowded != LEAT_PLAN_NONE) {
        leat_spawner_take_back(loop, crowded);
        dispatch_waiting(loop);
    }
}

void leat_spawner_break_slot(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    process->ending = true;
    leat_spawner_open_or_close(loop, slot);
    if (process->kind == LEAT_SPAWNER_PLUGIN) {
        leat_slot_control(process, LEAT_CONTROL_KILL, 0);
    } else if (!process->gone) {
        kill(process->keeper, SIGKILL); /* what it leaves comes to us and is killed there */
    }
}

static void handle_slot(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    if (process->keeper == 0) {
        return;
    }
    enum leat_err err = leat_spawner_read_slot(loop, slot, process);
    if ((err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) || process->broken) {
        /* Nobody is at the other end any more, or nobody is listened to. If that is not because all
         * of it has ended, it has to; the rest happens when its keeper has ended. */
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, process->jobs_fd, NULL);
        process->watched = UINT32_MAX;
        leat_spawner_break_slot(loop, slot, process);
    }
}

/* ---- slot processes end ---- */

static void settle_crash(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process,
                         struct leat_attempt *head)
{
    const int64_t started_us = leat_slot_begun_us(process, loop->now_us);
    struct leat_item_outcome ran = {0};
    char reason[LEAT_REPORT_REASON_BYTES] = "";
    if (process->kind == LEAT_SPAWNER_EXEC || !process->ended) {
        ran.failure = LEAT_FAILURE_SPAWN;
        leat_spawner_answer(loop, slot, head, &ran, "the slot's process has ended", started_us);
        return;
    }
    if (process->broken) {
        ran.failure = LEAT_FAILURE_HANDLER;
        leat_spawner_answer(loop, slot, head, &ran, "the plug-in child's answer cannot be read",
                            started_us);
        return;
    }
    leat_report_status(&ran, process->status, loop->config->permanent_exits, reason);
    if (ran.failure == LEAT_FAILURE_NONE || ran.failure == LEAT_FAILURE_EXIT) {
        /* A plug-in's exit() says nothing about whether a retry helps. */
        ran.failure = LEAT_FAILURE_HANDLER;
        ran.permanent = false;
        leat_spawner_answer(loop, slot, head, &ran, "the handler called exit()", started_us);
    } else {
        leat_spawner_answer(loop, slot, head, &ran, reason, started_us);
    }
}

/* What becomes of the attempts of a process that is gone. */
static void settle(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    if (head == NULL || head->kind != process->kind) {
        return;
    }
    const bool begun = leat_slot_has_begun(process, head);
    if (head->cause != LEAT_FAILURE_NONE) {
        leat_spawner_answer_cause(loop, slot, head, head->cause,
                                  begun ? leat_slot_begun_us(process, loop->now_us) : 0);
    } else if (begun || process->broken) {
        /* Nonsense may well be in the gate, too: it is from what was given to it first. */
        settle_crash(loop, slot, process, head);
        close_slot_for_a_while(loop, slot);
    } else {
        close_slot_for_a_while(loop, slot);
        if (loop->slots[slot].crashes >= CRASHES_FREE) {
            struct leat_item_outcome ran = {.failure = LEAT_FAILURE_SPAWN};
            leat_spawner_answer(loop, slot, head, &ran,
                                "the slot's process ends before it runs anything", 0);
        }
    }
    leat_plan_give_back(&loop->plan, slot, 0);
}

static void bury(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    const bool is_orderly = process->ending;
    process->gone = true;
    while (leat_spawner_read_slot(loop, slot, process) == LEAT_OK) {
    }
    leat_slot_read_status(process);
    settle(loop, slot, process);
    leat_slot_close(process);
    if (!is_orderly) {
        leat_plan_note_slow(&loop->plan, slot);
    }
    leat_spawner_open_or_close(loop, slot);
}

static bool is_keeper(pid_t pid, void *context)
{
    const struct leat_spawner_loop *loop = context;
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        if (loop->slots[i].exec.keeper == pid || loop->slots[i].plugin.keeper == pid) {
            return true;
        }
    }
    return false;
}

static bool bury_keeper(struct leat_spawner_loop *loop, pid_t pid)
{
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        if (loop->slots[i].exec.keeper == pid) {
            bury(loop, i, &loop->slots[i].exec);
            return true;
        }
        if (loop->slots[i].plugin.keeper == pid) {
            bury(loop, i, &loop->slots[i].plugin);
            return true;
        }
    }
    return false;
}

static void reap(struct leat_spawner_loop *loop)
{
    leat_slot_drain_signals(loop->signals_fd);
    if (getppid() != loop->worker_pid) {
        loop->stopping = true;
    }
    bool strays = false;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            break;
        }
        /* A keeper ends only when nothing is left below it; one that was killed leaves to us what
         * it had. So every child that is no keeper is a stray, and what it leaves will be one too.
         */
        strays |= !bury_keeper(loop, pid) || !WIFEXITED(status);
    }
    if (strays) {
        leat_tree_kill_children(is_keeper, loop);
    }
}

/* ---- the turn ---- */

static int64_t check_time(struct leat_spawner_loop *loop)
{
    int64_t deadline_us = LEAT_NEVER_US;
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        deadline_us = leat_min_us(deadline_us, leat_spawner_check_slot(loop, i));
    }
    return deadline_us;
}

static void flush_slot(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process,
                       bool is_read)
{
    if (process->keeper == 0 || process->watched == UINT32_MAX) {
        return;
    }
    uint32_t events = is_read ? EPOLLIN : 0;
    if (leat_frames_queued_bytes(&process->frames) > 0) {
        /* What cannot be sent has nobody to read it; that is noticed in reading. */
        if (leat_frames_flush(&process->frames) == LEAT_OK &&
            leat_frames_queued_bytes(&process->frames) > 0) {
            events |= EPOLLOUT;
        }
    }
    watch(loop, process->jobs_fd, slot_tag(slot, process->kind), events, &process->watched);
}

static void flush(struct leat_spawner_loop *loop)
{
    leat_spawner_send_outcomes(loop);
    if (leat_frames_flush(&loop->worker) != LEAT_OK) {
        loop->stopping = true;
    }
    const bool is_read = leat_frames_queued_bytes(&loop->worker) < LEAT_SPAWNER_OUT_BYTES_MAX;
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        flush_slot(loop, i, &loop->slots[i].exec, is_read);
        flush_slot(loop, i, &loop->slots[i].plugin, is_read);
    }
    uint32_t events = EPOLLRDHUP;
    if (loop->plan.held_bytes < loop->config->held_bytes_max && is_read) {
        events |= EPOLLIN;
    }
    if (leat_frames_queued_bytes(&loop->worker) > 0) {
        events |= EPOLLOUT;
    }
    watch(loop, loop->worker.fd, TAG_WORKER, events, &loop->worker_watched);
}

static void handle_worker(struct leat_spawner_loop *loop, uint32_t events)
{
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        loop->stopping = true;
        return;
    }
    if ((events & EPOLLIN) == 0) {
        return;
    }
    enum leat_err err = leat_frames_fill(&loop->worker);
    struct leat_bytes frame;
    while (err == LEAT_OK && !loop->stopping) {
        err = leat_frames_next(&loop->worker, &frame);
        if (err == LEAT_OK) {
            leat_spawner_obey(loop, frame);
        }
    }
    if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
        loop->stopping = true;
    }
}

static void handle(struct leat_spawner_loop *loop, const struct epoll_event *event)
{
    const uint64_t tag = event->data.u64;
    if (tag == TAG_WORKER) {
        handle_worker(loop, event->events);
    } else if (tag == TAG_SIGNALS) {
        reap(loop);
    } else if ((event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
               leat_frames_queued_bytes(&loop->worker) < LEAT_SPAWNER_OUT_BYTES_MAX) {
        const size_t slot = (size_t)(tag - TAG_SLOT) / 2;
        handle_slot(loop, slot, tag % 2 == 1 ? &loop->slots[slot].plugin : &loop->slots[slot].exec);
    }
}

/* Everything below is told to end; whatever has not done so in time is killed, and what that
 * leaves. */
static noreturn void farewell(struct leat_spawner_loop *loop)
{
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        leat_slot_close(&loop->slots[i].exec);
        leat_slot_close(&loop->slots[i].plugin);
    }
    const int64_t deadline_us = leat_spawner_now_us() + FAREWELL_US;
    int status;
    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == ECHILD) {
            _exit(0);
        }
        if (pid == 0) {
            struct epoll_event event;
            int64_t now_us = leat_spawner_now_us();
            if (now_us >= deadline_us) {
                break;
            }
            epoll_wait(loop->epoll_fd, &event, 1, leat_spawner_wait_ms(deadline_us, now_us));
            leat_slot_drain_signals(loop->signals_fd);
        }
    }
    leat_tree_end(0, &status);
    _exit(0);
}

static bool prepare(struct leat_spawner_loop *loop, int worker_fd)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        loop->files_max = files.rlim_cur;
        files.rlim_cur = files.rlim_max; /* several per slot */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    loop->signals_fd = leat_slot_signals(SIGTERM);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->slots = calloc(loop->config->slots, sizeof *loop->slots);
    loop->outcomes = calloc(LEAT_SPAWNER_OUTCOMES_MAX, sizeof *loop->outcomes);
    if (loop->signals_fd < 0 || loop->epoll_fd < 0 || loop->slots == NULL ||
        loop->outcomes == NULL ||
        leat_plan_init(&loop->plan, loop->config->slots, loop->config->pipeline_jobs) != LEAT_OK ||
        prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        return false;
    }
    leat_frames_init(&loop->worker, worker_fd, 0);
    leat_arena_init(&loop->arena, LEAT_MESSAGE_BYTES_MAX);
    leat_wire_buffer_init(&loop->piece, LEAT_RING_BYTES);
    leat_arena_init(&loop->outcomes_arena, LEAT_MESSAGE_BYTES_MAX);
    uint32_t watched = 0;
    watch(loop, loop->signals_fd, TAG_SIGNALS, EPOLLIN, &watched);
    watch(loop, worker_fd, TAG_WORKER, EPOLLIN | EPOLLRDHUP, &loop->worker_watched);
    return !loop->stopping && getppid() == loop->worker_pid;
}

noreturn void leat_spawner_main(const struct leat_spawner_config *config, int worker_fd,
                                pid_t worker)
{
    struct leat_spawner_loop loop = {.config = config, .worker_pid = worker};
    if (!prepare(&loop, worker_fd)) {
        _exit(1);
    }
    int64_t deadline_us = LEAT_NEVER_US;
    while (!loop.stopping) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(loop.epoll_fd, events, EVENTS,
                               leat_spawner_wait_ms(deadline_us, leat_spawner_now_us()));
        loop.now_us = leat_spawner_now_us();
        for (int i = 0; i < count && !loop.stopping; i++) {
            handle(&loop, &events[i]);
        }
        check_time(&loop);
        dispatch(&loop);
        deadline_us = check_time(&loop);
        flush(&loop);
    }
    farewell(&loop);
}
