#include "io/signals.h"

#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void fill_set(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGHUP);
}

/* czmq reads number of I/O threads, high-water marks, linger and more from ZSYS_*: none of that may
 * change what leat_socket_open promises. */
static void remove_czmq_settings(void)
{
    size_t at = 0;
    while (environ != NULL && environ[at] != NULL) {
        const char *equals = strchr(environ[at], '=');
        char name[128];
        size_t size = equals == NULL ? 0 : (size_t)(equals - environ[at]);
        if (size == 0 || size >= sizeof name || strncmp(environ[at], "ZSYS_", 5) != 0) {
            at++;
            continue;
        }
        memcpy(name, environ[at], size);
        name[size] = '\0';
        unsetenv(name); /* moves the later ones down: look at this place again */
    }
}

void leat_signals_start(void)
{
    zsys_handler_set(NULL);
    remove_czmq_settings();
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    fill_set(&set);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert(rc == 0);
    (void)rc;
}

enum leat_err leat_signals_open(int *ret_fd, struct leat_why *why)
{
    sigset_t set;
    fill_set(&set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return leat_fail(why, LEAT_ERR_IO, "signalfd: %s", strerror(errno));
    }
    *ret_fd = fd;
    return LEAT_OK;
}

int leat_signals_read(int fd)
{
    struct signalfd_siginfo info;
    ssize_t got;
    do {
        got = read(fd, &info, sizeof info);
    } while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void leat_signals_reset(void)
{
    for (int number = 1; number < NSIG; number++) {
        if (number != SIGKILL && number != SIGSTOP) {
            signal(number, SIG_DFL);
        }
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
