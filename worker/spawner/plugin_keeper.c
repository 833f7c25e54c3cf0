/* The keeper of a plug-in slot: parent of one plug-in child, which talks with the spawner itself.
 * The keeper only waits, and leaves nothing behind when the child has ended or is to end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/spawner/inside.h"
#include "worker/spawner/process_limit.h"
#include "worker/spawner/tree.h"

/* Ends whatever is left, says how the child ended, and ends. */
static noreturn void finish(int control_fd, pid_t child, bool ended, int status)
{
    int last = status;
    leat_tree_end(ended ? 0 : child, &last);
    const struct leat_control control = {.kind = LEAT_CONTROL_STATUS, .status = last};
    ssize_t put = send(control_fd, &control, sizeof control, MSG_NOSIGNAL | MSG_DONTWAIT);
    _exit(put == (ssize_t)sizeof control ? 0 : 1);
}

static bool reap(pid_t child, int *ret_status)
{
    bool ended = false;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return ended;
        }
        if (pid == child) {
            ended = true;
            *ret_status = status;
        }
    }
}

/* `limit_fd`: asks for every fork (process_limit.h); -1: they are free. */
static noreturn void watch(const struct leat_slot_setup *setup, pid_t child, int signals_fd,
                           int limit_fd)
{
    int64_t deadline_us = LEAT_NEVER_US;
    for (;;) {
        struct pollfd fds[3] = {
            {.fd = setup->control_fd, .events = POLLIN},
            {.fd = signals_fd, .events = POLLIN},
            {.fd = limit_fd, .events = POLLIN},
        };
        poll(fds, 3, leat_spawner_wait_ms(deadline_us, leat_spawner_now_us()));
        if (fds[1].revents != 0) {
            leat_slot_drain_signals(signals_fd);
            int status = 0;
            if (reap(child, &status)) {
                finish(setup->control_fd, child, true, status);
            }
        }
        if (fds[0].revents != 0) {
            struct leat_control control;
            ssize_t got = recv(setup->control_fd, &control, sizeof control, MSG_DONTWAIT);
            if (got == 0 || (got > 0 && control.kind == LEAT_CONTROL_KILL)) {
                finish(setup->control_fd, child, false, SIGKILL);
            }
            if (got > 0 && control.kind == LEAT_CONTROL_TERM && deadline_us == LEAT_NEVER_US) {
                /* A child that has only just been forked does not lead its group yet. */
                if (kill(-child, SIGTERM) != 0) {
                    kill(child, SIGTERM);
                }
                kill(-child, SIGCONT);
                deadline_us = leat_spawner_now_us() + setup->config->grace_ms * LEAT_US_PER_MS;
            }
        }
        if ((fds[2].revents & POLLIN) != 0) {
            leat_process_limit_answer(limit_fd, setup->config->processes_max);
        } else if (fds[2].revents != 0) {
            limit_fd = -1; /* nobody is left who could ask */
        }
        if (leat_spawner_now_us() >= deadline_us) {
            finish(setup->control_fd, child, false, SIGKILL);
        }
    }
}

/* The child's own part; `limit_fd`: where its listener goes, -1: processes are not limited. */
static noreturn void begin(const struct leat_slot_setup *setup, pid_t keeper, int limit_fd)
{
    const int keep[] = {setup->jobs_fd, limit_fd};
    leat_slot_detach(keeper, keep, 2, "leat-plugin");
    if (limit_fd >= 0) {
        if (leat_process_limit_install(limit_fd) != 0) {
            _exit(1);
        }
        close(limit_fd);
    }
    leat_plugin_child(setup);
}

noreturn void leat_plugin_keeper(const struct leat_slot_setup *setup)
{
    const int keep[] = {setup->jobs_fd, setup->control_fd};
    int limit[2] = {-1, -1};
    leat_slot_detach(0, keep, 2, "leat-slot");
    int signals_fd = leat_slot_signals(0);
    if (signals_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        (setup->config->processes_max > 0 &&
         socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, limit) != 0)) {
        _exit(1);
    }
    pid_t self = getpid();
    pid_t child = fork();
    if (child == 0) {
        begin(setup, self, limit[1]);
    }
    if (child < 0) {
        _exit(1);
    }
    close(setup->jobs_fd);
    int limit_fd = -1;
    if (limit[0] >= 0) {
        close(limit[1]);
        limit_fd = leat_process_limit_receive(limit[0]);
        close(limit[0]);
    }
    watch(setup, child, signals_fd, limit_fd);
}
