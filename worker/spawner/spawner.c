#include "worker/spawner/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/spawner/inside.h"
#include "worker/spawner/process_limit.h"

#define STDERR_BYTES_DEFAULT 2048
#define HELD_BYTES_DEFAULT   (64u << 20)
#define STOP_MS              1500

static size_t or_default(size_t value, size_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static enum leat_err complete(struct leat_spawner_config *config, struct leat_why *why)
{
    config->result_bytes_max = or_default(config->result_bytes_max, LEAT_RESULT_BYTES_DEFAULT);
    config->stderr_bytes_max = or_default(config->stderr_bytes_max, STDERR_BYTES_DEFAULT);
    config->pipeline_jobs = or_default(config->pipeline_jobs, LEAT_PIPELINE_JOBS);
    config->held_bytes_max = or_default(config->held_bytes_max, HELD_BYTES_DEFAULT);
    config->grace_ms = config->grace_ms < 0 ? LEAT_GRACE_MS_DEFAULT : config->grace_ms;
    if (config->slots < 1 || config->slots > LEAT_SLOTS_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID, "slots is %zu, allowed are 1 to %d", config->slots,
                         LEAT_SLOTS_MAX);
    }
    if (config->handlers_count == 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "no handlers");
    }
    if (config->result_bytes_max > LEAT_RESULT_BYTES_CEILING) {
        return leat_fail(why, LEAT_ERR_INVALID, "result limit is %zu bytes, allowed are 1 to %d",
                         config->result_bytes_max, LEAT_RESULT_BYTES_CEILING);
    }
    if (config->stderr_bytes_max > LEAT_ERROR_BYTES_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "kept standard error is %zu bytes, allowed are 1 to %d",
                         config->stderr_bytes_max, LEAT_ERROR_BYTES_MAX);
    }
    if (config->pipeline_jobs > LEAT_PIPELINE_JOBS || config->grace_ms > LEAT_TIMEOUT_MS_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "pipeline of %zu jobs or grace of %lld ms is over "
                         "its limit",
                         config->pipeline_jobs, (long long)config->grace_ms);
    }
    return config->processes_max == 0 ? LEAT_OK : leat_process_limit_check(why);
}

/* Handlers get descriptors 0 to 2 in any case, so nothing else of ours may have them. */
static bool fill_standard_files(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    return fd < 0 || close(fd) == 0;
}

static noreturn void run_child(const struct leat_spawner_config *config, int fd, pid_t worker)
{
    leat_slot_detach(0, &fd, 1, "leat-spawner");
    /* Ctrl-C at the worker's terminal is for the worker: it drains, and the handlers go on. */
    setsid();
    leat_spawner_main(config, fd, worker);
}

enum leat_err leat_spawner_start(const struct leat_spawner_config *config,
                                 struct leat_spawner *ret_spawner, struct leat_why *why)
{
    struct leat_spawner_config whole = *config;
    enum leat_err err = complete(&whole, why);
    if (err != LEAT_OK) {
        return err;
    }
    int fds[2];
    if (!fill_standard_files() ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot make the spawner's socket: %s", strerror(errno));
    }
    if (whole.plugins_count > 0) {
        err = leat_bodies_open(&whole.bodies, LEAT_BODIES_BYTES);
    }
    pid_t self = getpid();
    pid_t pid = err == LEAT_OK ? fork() : -1;
    if (pid == 0) {
        run_child(&whole, fds[1], self);
    }
    int error = errno;
    close(fds[1]);
    if (pid < 0) {
        leat_bodies_close(&whole.bodies);
        close(fds[0]);
        return leat_fail(why, LEAT_ERR_IO, "cannot fork the spawner: %s", strerror(error));
    }
    *ret_spawner = (struct leat_spawner){.bodies = whole.bodies, .fd = fds[0], .pid = pid};
    return LEAT_OK;
}

void leat_spawner_stop(struct leat_spawner *spawner)
{
    if (spawner->pid <= 0) {
        return;
    }
    int pid_fd = (int)syscall(SYS_pidfd_open, spawner->pid, 0);
    close(spawner->fd);
    struct pollfd wait = {.fd = pid_fd, .events = POLLIN};
    int ready = 0;
    if (pid_fd >= 0) {
        do {
            ready = poll(&wait, 1, STOP_MS);
        } while (ready < 0 && errno == EINTR);
        close(pid_fd);
    }
    if (ready <= 0) {
        kill(spawner->pid, SIGKILL);
    }
    while (waitpid(spawner->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    leat_bodies_close(&spawner->bodies);
    *spawner = (struct leat_spawner){.fd = -1};
}
