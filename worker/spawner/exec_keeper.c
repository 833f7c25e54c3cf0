/* The keeper of an exec slot: runs one command at a time, and leaves nothing of it behind. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/arena.h"
#include "worker/spawner/exec.h"
#include "worker/spawner/inside.h"
#include "worker/spawner/process_limit.h"
#include "worker/spawner/report.h"
#include "worker/spawner/slot_bytes.h"
#include "worker/spawner/teller.h"
#include "worker/spawner/tree.h"

#define CHUNK_BYTES (64u << 10)
/* See teller.h: half of what is sent ahead, so that there is always something to begin. */
#define UNTOLD_MAX (LEAT_PIPELINE_COMMANDS / 2)
#define UNTOLD_US  (5 * LEAT_US_PER_MS)

enum phase {
    PHASE_RUNS,
    PHASE_ENDS, /* SIGTERM is sent */
};

struct keeper {
    const struct leat_slot_setup *setup;
    struct leat_frames frames;
    struct leat_arena arena;
    struct leat_exec_environment environment;
    struct leat_wire_buffer output;
    struct leat_teller teller;
    struct leat_tail tail;
    int signals_fd;
    int null_fd;

    /* of the attempt that runs */
    const struct leat_item_attempt *run;
    uint64_t seq;
    pid_t pid;
    bool ended;
    int status;
    struct leat_exec_files files;
    int limit_fd; /* asks for every fork (process_limit.h); -1: they are free */
    size_t written;
    bool truncated;
    enum phase phase;
    enum leat_failure cause; /* TIMEOUT or KILLED when we ended it */
    int64_t deadline_us;
};

/* The spawner is gone, or wants this slot to be. */
static noreturn void quit(void)
{
    int status;
    leat_tree_end(0, &status);
    _exit(0);
}

static void reap(struct keeper *keeper)
{
    leat_slot_drain_signals(keeper->signals_fd);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return;
        }
        if (pid == keeper->pid) {
            keeper->ended = true;
            keeper->status = status;
        }
    }
}

static void end_tree(struct keeper *keeper)
{
    int status = -1;
    leat_tree_end(keeper->pid, &status);
    if (!keeper->ended) {
        keeper->ended = true;
        keeper->status = status;
    }
}

static void write_input(struct keeper *keeper)
{
    const struct leat_bytes payload = keeper->run->payload;
    ssize_t put =
        write(keeper->files.in[1], payload.data + keeper->written, payload.size - keeper->written);
    if (put > 0) {
        keeper->written += (size_t)put;
    }
    /* A command need not read its input: EPIPE ends the writing and nothing else. */
    if (keeper->written == payload.size || (put < 0 && errno != EAGAIN && errno != EINTR)) {
        leat_exec_close_end(&keeper->files.in[1]);
    }
}

static void keep_output(struct keeper *keeper, const char *data, size_t size)
{
    size_t room = keeper->setup->config->result_bytes_max - keeper->output.size;
    if (size > room) {
        size = room;
        keeper->truncated = true;
    }
    if (leat_wire_buffer_append(&keeper->output, data, size) != LEAT_OK) {
        keeper->truncated = true;
    }
}

/* Reads what is there, so that a command never blocks on a full pipe; what is over the limits is
 * dropped. At most a few chunks at a time, so that a flood does not keep us from the clock. */
static void read_output(struct keeper *keeper, int *fd)
{
    char chunk[CHUNK_BYTES];
    for (int round = 0; round < 4; round++) {
        ssize_t got = read(*fd, chunk, sizeof chunk);
        if (got <= 0) {
            if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                leat_exec_close_end(fd);
            }
            return;
        }
        if (fd == &keeper->files.out[0]) {
            keep_output(keeper, chunk, (size_t)got);
        } else {
            leat_tail_append(&keeper->tail, chunk, (size_t)got);
        }
        if ((size_t)got < sizeof chunk) {
            return;
        }
    }
}

/* What the pipes still hold once all writers are gone. */
static void read_rest(struct keeper *keeper)
{
    leat_exec_close_end(&keeper->files.out[1]);
    leat_exec_close_end(&keeper->files.err[1]);
    for (int round = 0; round < 64 && (keeper->files.out[0] >= 0 || keeper->files.err[0] >= 0);
         round++) {
        if (keeper->files.out[0] >= 0) {
            read_output(keeper, &keeper->files.out[0]);
        }
        if (keeper->files.err[0] >= 0) {
            read_output(keeper, &keeper->files.err[0]);
        }
    }
}

static void begin_end(struct keeper *keeper, enum leat_failure cause)
{
    if (keeper->phase != PHASE_RUNS) {
        return;
    }
    keeper->cause = cause;
    keeper->phase = PHASE_ENDS;
    /* The command leads a session of its own, so its group is the one with its number. A stopped
     * process would not notice SIGTERM. */
    kill(-keeper->pid, SIGTERM);
    kill(-keeper->pid, SIGCONT);
    keeper->deadline_us = leat_spawner_now_us() + keeper->setup->config->grace_ms * LEAT_US_PER_MS;
}

static void obey(struct keeper *keeper)
{
    struct leat_control control;
    ssize_t got = recv(keeper->setup->control_fd, &control, sizeof control, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        quit();
    }
    if (got != (ssize_t)sizeof control) {
        return;
    }
    /* What has not been begun is taken back by the spawner instead, so what is meant runs or has
     * ended meanwhile. */
    if (keeper->run != NULL && control.seq == keeper->seq) {
        begin_end(keeper, LEAT_FAILURE_KILLED);
    }
}

static void check_time(struct keeper *keeper)
{
    if (leat_spawner_now_us() < keeper->deadline_us) {
        return;
    }
    if (keeper->phase == PHASE_RUNS) {
        begin_end(keeper, LEAT_FAILURE_TIMEOUT);
    } else {
        end_tree(keeper);
    }
}

/* One turn: waits for whatever comes next and deals with it. */
static void turn(struct keeper *keeper)
{
    struct pollfd fds[6] = {
        {.fd = keeper->setup->control_fd, .events = POLLIN},
        {.fd = keeper->signals_fd, .events = POLLIN},
        {.fd = keeper->files.in[1], .events = POLLOUT},
        {.fd = keeper->files.out[0], .events = POLLIN},
        {.fd = keeper->files.err[0], .events = POLLIN},
        {.fd = keeper->limit_fd, .events = POLLIN},
    };
    int ready = poll(fds, 6, leat_spawner_wait_ms(keeper->deadline_us, leat_spawner_now_us()));
    if (ready > 0) {
        if (fds[3].revents != 0) {
            read_output(keeper, &keeper->files.out[0]);
        }
        if (fds[4].revents != 0) {
            read_output(keeper, &keeper->files.err[0]);
        }
        if (fds[2].revents != 0) {
            write_input(keeper);
        }
        if (fds[1].revents != 0) {
            reap(keeper);
        }
        if (fds[0].revents != 0) {
            obey(keeper);
        }
        if ((fds[5].revents & POLLIN) != 0) {
            leat_process_limit_answer(keeper->limit_fd, keeper->setup->config->processes_max);
        } else if (fds[5].revents != 0) {
            leat_exec_close_end(&keeper->limit_fd); /* nobody is left who could ask */
        }
    }
    if (!keeper->ended) {
        check_time(keeper);
    }
}

/* Starts the command; on failure fills `ran`. */
static bool start(struct keeper *keeper, const struct leat_spawner_handler *handler,
                  struct leat_item_outcome *ran, char reason[LEAT_REPORT_REASON_BYTES])
{
    struct leat_exec_files *files = &keeper->files;
    const bool with_input = keeper->run->payload.size > 0;
    int error = leat_exec_open(files, with_input ? -1 : keeper->null_fd);
    if (error == 0) {
        char **variables = leat_exec_variables(&keeper->environment, keeper->run, &keeper->arena);
        error = variables == NULL ? ENOMEM
                                  : leat_exec_start(keeper->setup, handler, variables, files,
                                                    &keeper->pid, &keeper->limit_fd);
        leat_exec_close_end(&files->in[0]);
    }
    if (error != 0) {
        leat_exec_report(handler, error, ran, reason);
    }
    return error == 0;
}

static void report(struct keeper *keeper, struct leat_item_outcome *ran,
                   char reason[LEAT_REPORT_REASON_BYTES])
{
    if (keeper->cause == LEAT_FAILURE_NONE) {
        leat_report_status(ran, keeper->status, keeper->setup->config->permanent_exits, reason);
        return;
    }
    ran->failure = keeper->cause;
    if (keeper->cause == LEAT_FAILURE_TIMEOUT) {
        leat_report_timeout(reason, keeper->run->timeout_ms);
    } else {
        strcpy(reason, "killed by the worker");
    }
}

/* Runs the attempt from start to end, with nothing left of it. */
static void run_attempt(struct keeper *keeper, const struct leat_spawner_handler *handler,
                        struct leat_item_outcome *ran, char reason[LEAT_REPORT_REASON_BYTES])
{
    const int64_t started_us = leat_spawner_now_us();
    keeper->pid = 0;
    keeper->ended = false;
    keeper->truncated = false;
    keeper->written = 0;
    keeper->phase = PHASE_RUNS;
    keeper->cause = LEAT_FAILURE_NONE;
    leat_wire_buffer_clear(&keeper->output);
    leat_tail_clear(&keeper->tail);
    if (leat_slot_is_expired(keeper->run)) {
        ran->failure = LEAT_FAILURE_EXPIRED;
        strcpy(reason, LEAT_REPORT_EXPIRED);
        return;
    }
    if (start(keeper, handler, ran, reason)) {
        keeper->deadline_us = started_us + leat_slot_limit_us(keeper->run->timeout_ms);
        if (keeper->files.in[1] >= 0) {
            write_input(keeper);
        }
        while (!keeper->ended) {
            turn(keeper);
        }
        end_tree(keeper);
        read_rest(keeper);
        report(keeper, ran, reason);
    } else {
        end_tree(keeper); /* a child that came no further than exec */
    }
    leat_exec_close(&keeper->files);
    leat_exec_close_end(&keeper->limit_fd);
    ran->run_us = (uint64_t)(leat_spawner_now_us() - started_us);
}

/* Sends all that is queued; meanwhile nothing else is to be done but to notice the end. */
static void flush(struct keeper *keeper)
{
    while (leat_frames_queued_bytes(&keeper->frames) > 0) {
        if (leat_frames_flush(&keeper->frames) != LEAT_OK) {
            quit();
        }
        if (leat_frames_queued_bytes(&keeper->frames) == 0) {
            return;
        }
        struct pollfd fds[2] = {
            {.fd = keeper->setup->control_fd, .events = POLLIN},
            {.fd = keeper->setup->jobs_fd, .events = POLLOUT},
        };
        poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            obey(keeper);
        }
    }
}

/* The errors here are of a keeper that is of no use any more: the spawner reports what ran, and
 * starts another. */
static void answer(struct keeper *keeper, struct leat_item_outcome *ran, const char *reason)
{
    char text[LEAT_REPORT_BYTES];
    if (ran->failure != LEAT_FAILURE_NONE) {
        ran->error = leat_report_text(text, reason, leat_tail_view(&keeper->tail));
    }
    ran->output = leat_wire_buffer_view(&keeper->output);
    ran->truncated = keeper->truncated;
    if (leat_teller_answer(&keeper->teller, keeper->seq, ran, leat_spawner_now_us()) != LEAT_OK) {
        quit();
    }
    flush(keeper);
}

static void take(struct keeper *keeper, struct leat_bytes frame)
{
    struct leat_slot_order order;
    leat_arena_clear(&keeper->arena);
    if (leat_slot_order_read(frame, &order) != LEAT_OK ||
        order.handler >= keeper->setup->config->handlers_count) {
        quit();
    }
    const int64_t begun_us = leat_spawner_now_us();
    if (!leat_gate_begin(&keeper->setup->shared->gate, order.seq, begun_us)) {
        return; /* the spawner has taken it back */
    }
    char reason[LEAT_REPORT_REASON_BYTES] = "";
    struct leat_item_outcome ran = {.queued_us = (uint64_t)(begun_us - order.received_us)};
    keeper->run = &order.run;
    keeper->seq = order.seq;
    run_attempt(keeper, &keeper->setup->config->handlers[order.handler], &ran, reason);
    keeper->run = NULL;
    answer(keeper, &ran, reason);
}

static void prepare(struct keeper *keeper)
{
    const struct leat_slot_setup *setup = keeper->setup;
    const int keep[] = {setup->jobs_fd, setup->control_fd};
    leat_slot_detach(0, keep, 2, "leat-slot");
    keeper->signals_fd = leat_slot_signals(0);
    keeper->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    keeper->limit_fd = -1;
    leat_frames_init(&keeper->frames, setup->jobs_fd, 0);
    leat_teller_init(&keeper->teller, &keeper->frames, &setup->shared->ring, UNTOLD_MAX, UNTOLD_US);
    leat_arena_init(&keeper->arena, LEAT_MESSAGE_BYTES_MAX);
    leat_wire_buffer_init(&keeper->output, setup->config->result_bytes_max);
    if (keeper->signals_fd < 0 || keeper->null_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        leat_tail_init(&keeper->tail, setup->config->stderr_bytes_max) != LEAT_OK ||
        leat_exec_environment_init(&keeper->environment) != LEAT_OK) {
        _exit(1);
    }
}

/* There is nothing to run: tells what was answered, and waits. */
static void rest(struct keeper *keeper)
{
    if (leat_teller_tell(&keeper->teller) != LEAT_OK) {
        quit();
    }
    flush(keeper);
    struct pollfd fds[2] = {
        {.fd = keeper->setup->control_fd, .events = POLLIN},
        {.fd = keeper->setup->jobs_fd, .events = POLLIN},
    };
    poll(fds, 2, -1);
    if (fds[0].revents != 0) {
        obey(keeper);
    }
}

noreturn void leat_exec_keeper(const struct leat_slot_setup *setup)
{
    struct keeper keeper = {.setup = setup};
    prepare(&keeper);
    for (;;) {
        struct leat_bytes frame;
        enum leat_err err = leat_frames_next(&keeper.frames, &frame);
        if (err == LEAT_OK) {
            take(&keeper, frame);
            continue;
        }
        if (err == LEAT_ERR_NOT_FOUND) {
            err = leat_frames_fill(&keeper.frames);
        }
        if (err == LEAT_ERR_NOT_FOUND) {
            rest(&keeper);
        } else if (err != LEAT_OK) {
            quit();
        }
    }
}
