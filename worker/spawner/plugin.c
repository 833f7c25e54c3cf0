#include "worker/spawner/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/name.h"
#include "worker/spawner/inside.h"
#include "worker/spawner/report.h"

#define CHECK_MS 10000

enum leat_err leat_plugin_load(const char *path, const struct leat_handlers **ret_handlers,
                               struct leat_why *why)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "cannot load plug-in: %s", dlerror());
    }
    const struct leat_handlers *handlers = dlsym(library, "leat_handlers");
    if (handlers == NULL) {
        return leat_fail(why, LEAT_ERR_NOT_FOUND,
                         "%s is no plug-in: it has no symbol leat_handlers", path);
    }
    if (handlers->abi != LEAT_HANDLER_ABI) {
        return leat_fail(why, LEAT_ERR_VERSION,
                         "plug-in %s was built for version %u of leat/handler.h, this is %d", path,
                         handlers->abi, LEAT_HANDLER_ABI);
    }
    if (handlers->count == 0 || handlers->count > LEAT_HANDLERS_MAX || handlers->handlers == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "plug-in %s has %u handlers, allowed are 1 to %d",
                         path, handlers->count, LEAT_HANDLERS_MAX);
    }
    for (uint32_t i = 0; i < handlers->count; i++) {
        const struct leat_handler *handler = &handlers->handlers[i];
        if (handler->type == NULL || handler->run == NULL) {
            return leat_fail(why, LEAT_ERR_INVALID, "handler %u of plug-in %s is incomplete", i,
                             path);
        }
        enum leat_err err = leat_name_check_type(leat_str_of(handler->type), why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    *ret_handlers = handlers;
    return LEAT_OK;
}

/* What the throw-away child found, as one packet. */
struct finding {
    int32_t err;
    uint32_t count;
    struct leat_why why;
    char types[LEAT_HANDLERS_MAX][LEAT_TYPE_BYTES_MAX + 1];
};

static noreturn void find_out(const char *path, int fd, pid_t parent)
{
    leat_slot_detach(parent, &fd, 1, "leat-plugin");
    leat_slot_restore_signals();
    static struct finding finding;
    const struct leat_handlers *handlers = NULL;
    finding.err = (int32_t)leat_plugin_load(path, &handlers, &finding.why);
    if (finding.err == LEAT_OK) {
        finding.count = handlers->count;
        for (uint32_t i = 0; i < handlers->count; i++) {
            snprintf(finding.types[i], sizeof finding.types[i], "%s", handlers->handlers[i].type);
        }
    }
    ssize_t put = send(fd, &finding, sizeof finding, MSG_NOSIGNAL);
    _exit(put == (ssize_t)sizeof finding ? 0 : 1);
}

/* Runs the child and waits for what it says. */
static enum leat_err ask_child(const char *path, struct finding *finding, struct leat_why *why)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "socketpair: %s", strerror(errno));
    }
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        find_out(path, fds[1], self);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return leat_fail(why, LEAT_ERR_IO, "fork: %s", strerror(errno));
    }
    const int64_t deadline_us = leat_spawner_now_us() + CHECK_MS * LEAT_US_PER_MS;
    struct pollfd wait = {.fd = fds[0], .events = POLLIN};
    int ready;
    do {
        ready = poll(&wait, 1, leat_spawner_wait_ms(deadline_us, leat_spawner_now_us()));
    } while (ready < 0 && errno == EINTR);
    ssize_t got = ready > 0 ? recv(fds[0], finding, sizeof *finding, MSG_DONTWAIT) : -1;
    close(fds[0]);
    if (ready == 0) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (got == (ssize_t)sizeof *finding) {
        return LEAT_OK;
    }
    if (ready == 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "plug-in %s takes more than %d s to load", path,
                         CHECK_MS / 1000);
    }
    struct leat_item_outcome ran = {0};
    char reason[LEAT_REPORT_REASON_BYTES];
    const uint32_t none[8] = {0};
    leat_report_status(&ran, status, none, reason);
    return leat_fail(why, LEAT_ERR_INVALID, "plug-in %s ended its process while loading: %s", path,
                     reason[0] == '\0' ? "exit status 0" : reason);
}

static enum leat_err add_found(struct leat_spawner_config *config, const char *path,
                               const struct finding *finding, struct leat_why *why)
{
    for (uint32_t i = 0; i < finding->count && i < LEAT_HANDLERS_MAX; i++) {
        struct leat_spawner_handler *handler;
        enum leat_err err = leat_spawner_add(config, leat_str_of(finding->types[i]), &handler, why);
        if (err != LEAT_OK) {
            return err;
        }
        handler->kind = LEAT_SPAWNER_PLUGIN;
        handler->path = strdup(path);
        if (handler->path == NULL) {
            return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
        }
    }
    return LEAT_OK;
}

enum leat_err leat_spawner_add_plugin(struct leat_spawner_config *config, const char *path,
                                      struct leat_why *why)
{
    if (config->plugins_count == LEAT_HANDLERS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "more than %d plug-ins", LEAT_HANDLERS_MAX);
    }
    char *whole = realpath(path, NULL);
    if (whole == NULL) {
        return leat_fail(why, LEAT_ERR_NOT_FOUND, "plug-in %s: %s", path, strerror(errno));
    }
    struct finding *finding = calloc(1, sizeof *finding);
    enum leat_err err = finding == NULL ? leat_fail(why, LEAT_ERR_MEMORY, "out of memory")
                                        : ask_child(whole, finding, why);
    if (err == LEAT_OK && finding->err != LEAT_OK) {
        err = leat_fail(why, (enum leat_err)finding->err, "%.*s", LEAT_WHY_BYTES - 1,
                        finding->why.text);
    }
    const size_t count_before = config->handlers_count;
    if (err == LEAT_OK) {
        err = add_found(config, whole, finding, why);
    }
    free(finding);
    if (err != LEAT_OK) {
        leat_spawner_cut(config, count_before);
        free(whole);
        return err;
    }
    config->plugins[config->plugins_count++] = whole;
    return LEAT_OK;
}
