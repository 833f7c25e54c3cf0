#include "worker/spawner/slot.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/spawner/slot_bytes.h"

static void close_pair(const int fds[2])
{
    if (fds[0] >= 0) {
        close(fds[0]);
        close(fds[1]);
    }
}

static enum leat_err fail_start(const int jobs[2], const int control[2],
                                struct leat_slot_shared *shared)
{
    close_pair(jobs);
    close_pair(control);
    if (shared != MAP_FAILED) {
        munmap(shared, sizeof *shared);
    }
    return LEAT_ERR_IO;
}

enum leat_err leat_slot_start(struct leat_slot *slot, enum leat_spawner_kind kind,
                              const struct leat_spawner_config *config, uint64_t files_max)
{
    int jobs[2] = {-1, -1};
    int control[2] = {-1, -1};
    struct leat_slot_shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, jobs) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0) {
        return fail_start(jobs, control, shared);
    }
    pid_t pid = fork();
    if (pid == 0) {
        const struct leat_slot_setup setup = {config, jobs[1], control[1], shared, files_max};
        if (kind == LEAT_SPAWNER_PLUGIN) {
            leat_plugin_keeper(&setup);
        }
        leat_exec_keeper(&setup);
    }
    if (pid < 0) {
        return fail_start(jobs, control, shared);
    }
    close(jobs[1]);
    close(control[1]);
    *slot = (struct leat_slot){
        .kind = kind,
        .keeper = pid,
        .jobs_fd = jobs[0],
        .control_fd = control[0],
        .shared = shared,
        .ring = {.ring = &shared->ring},
        .started_us = leat_spawner_now_us(),
    };
    leat_frames_init(&slot->frames, slot->jobs_fd, 0);
    return LEAT_OK;
}

void leat_slot_close(struct leat_slot *slot)
{
    if (slot->keeper == 0) {
        return;
    }
    leat_frames_fini(&slot->frames);
    close(slot->jobs_fd);
    close(slot->control_fd);
    munmap(slot->shared, sizeof *slot->shared);
    *slot = (struct leat_slot){0};
}

enum leat_err leat_slot_send(struct leat_slot *slot, struct leat_attempt *attempt)
{
    leat_slot_order_number(attempt->order, slot->sent + 1);
    enum leat_err err =
        leat_frames_send(&slot->frames, leat_bytes_of(attempt->order, attempt->order_bytes),
                         (struct leat_bytes){NULL, 0});
    if (err == LEAT_OK) {
        attempt->seq = ++slot->sent;
    }
    return err;
}

enum leat_err leat_slot_next_answer(struct leat_slot *slot, struct leat_wire_buffer *piece,
                                    struct leat_bytes *ret_answer)
{
    if (!slot->elsewhere) {
        enum leat_err err = leat_ring_take(&slot->ring, piece, &slot->elsewhere);
        if (err == LEAT_OK && !slot->elsewhere) {
            *ret_answer = leat_wire_buffer_view(piece);
            return LEAT_OK;
        }
        if (err != LEAT_OK && err != LEAT_ERR_NOT_FOUND) {
            return err;
        }
    }
    struct leat_bytes frame;
    enum leat_err err;
    do {
        err = leat_frames_next(&slot->frames, &frame);
    } while (err == LEAT_OK && frame.size == 0);
    if (err != LEAT_OK) {
        return err;
    }
    if (!slot->elsewhere) {
        return LEAT_ERR_MALFORMED;
    }
    slot->elsewhere = false;
    *ret_answer = frame;
    return LEAT_OK;
}

void leat_slot_control(struct leat_slot *slot, enum leat_control_kind kind, uint64_t seq)
{
    const struct leat_control control = {.kind = (uint32_t)kind, .seq = seq};
    /* Fails only when the keeper has ended, which is then what was wanted. */
    ssize_t put = send(slot->control_fd, &control, sizeof control, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)put;
}

void leat_slot_read_status(struct leat_slot *slot)
{
    struct leat_control control;
    /* Twice: when the keeper ended with orders unread, the first call says just that (ECONNRESET).
     */
    for (int i = 0; i < 2 && !slot->ended; i++) {
        ssize_t got = recv(slot->control_fd, &control, sizeof control, MSG_DONTWAIT);
        if (got == (ssize_t)sizeof control && control.kind == LEAT_CONTROL_STATUS) {
            slot->ended = true;
            slot->status = control.status;
        }
    }
}

bool leat_slot_has_begun(const struct leat_slot *slot, const struct leat_attempt *attempt)
{
    return atomic_load(&slot->shared->gate.begun) >= attempt->seq;
}

int64_t leat_slot_begun_us(const struct leat_slot *slot, int64_t now_us)
{
    int64_t begun_us = leat_min_us(atomic_load(&slot->shared->gate.started_us), now_us);
    return begun_us > slot->started_us ? begun_us : slot->started_us;
}

uint64_t leat_slot_take_back(struct leat_slot *slot)
{
    uint64_t begun = atomic_load(&slot->shared->gate.begun);
    while (begun < slot->sent &&
           !atomic_compare_exchange_weak(&slot->shared->gate.begun, &begun, slot->sent)) {
    }
    return begun;
}
