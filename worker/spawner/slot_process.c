/* What every process below the spawner does first. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "worker/spawner/inside.h"

int64_t leat_spawner_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * LEAT_US_PER_S + now.tv_nsec / 1000;
}

bool leat_slot_is_expired(const struct leat_item_attempt *run)
{
    struct timespec now;
    if (run->expires_at_ms == 0) {
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * LEAT_MS_PER_S + now.tv_nsec / 1000000 >= run->expires_at_ms;
}

int64_t leat_slot_limit_us(uint64_t timeout_ms)
{
    const uint64_t most_ms = LEAT_TIMEOUT_MS_MAX;
    return (int64_t)(timeout_ms > most_ms ? most_ms : timeout_ms) * LEAT_US_PER_MS;
}

int leat_spawner_wait_ms(int64_t deadline_us, int64_t now_us)
{
    if (deadline_us == LEAT_NEVER_US) {
        return -1;
    }
    if (deadline_us <= now_us) {
        return 0;
    }
    int64_t ms = (deadline_us - now_us + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS;
    return ms > 3600 * LEAT_MS_PER_S ? (int)(3600 * LEAT_MS_PER_S) : (int)ms;
}

static void close_between(unsigned first, unsigned last)
{
    if (first <= last && syscall(SYS_close_range, first, last, 0) != 0) {
        for (unsigned fd = first; fd <= last && fd < 65536; fd++) {
            close((int)fd);
        }
    }
}

void leat_slot_detach(pid_t parent, const int *keep, size_t keep_count, const char *name)
{
    prctl(PR_SET_NAME, name);
    /* In ascending order, by picking the smallest that is still to come: there are two or three. */
    unsigned from = 3;
    for (size_t round = 0; round < keep_count; round++) {
        unsigned next = ~0u;
        for (size_t i = 0; i < keep_count; i++) {
            if (keep[i] >= (int)from && (unsigned)keep[i] < next) {
                next = (unsigned)keep[i];
            }
        }
        if (next != ~0u) {
            close_between(from, next - 1);
            from = next + 1;
        }
    }
    close_between(from, ~0u);
    /* Keepers see the end of their parent by their socket, and then have work to do; the others
     * have parent 0 here and must simply die with it. */
    if (parent != 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(0);
        }
    }
}

int leat_slot_signals(int also)
{
    sigset_t set;
    sigfillset(&set);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&set, faults[i]);
    }
    sigprocmask(SIG_SETMASK, &set, NULL);
    /* A signal that is ignored would never reach the signalfd, and would stay ignored in commands.
     */
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            signal(number, SIG_DFL);
        }
    }
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (also != 0) {
        sigaddset(&set, also);
    }
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void leat_slot_restore_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void leat_slot_drain_signals(int fd)
{
    struct signalfd_siginfo info[8];
    while (read(fd, info, sizeof info) == (ssize_t)sizeof info) {
    }
}

static void limit(__rlimit_resource_t which, uint64_t value)
{
    struct rlimit now;
    if (getrlimit(which, &now) == 0 && (now.rlim_max == RLIM_INFINITY || value <= now.rlim_max)) {
        now.rlim_cur = value;
        setrlimit(which, &now);
    }
}

void leat_slot_allow_memory(size_t bytes)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur < now.rlim_max) {
        limit(RLIMIT_AS, now.rlim_cur + bytes);
    }
}

void leat_slot_limits(const struct leat_slot_setup *setup)
{
    if (setup->config->memory_bytes_max != 0) {
        limit(RLIMIT_AS, setup->config->memory_bytes_max);
    }
    if (setup->config->cpu_s_max != 0) {
        limit(RLIMIT_CPU, setup->config->cpu_s_max);
    }
    limit(RLIMIT_NOFILE, setup->files_max);
}
