#include "io/notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/log.h"

static struct {
    struct sockaddr_un address;
    socklen_t address_bytes; /* 0: nobody wants to know */
    int64_t every_us;        /* between two signs of life; 0: none are wanted */
    int64_t next_us;
    bool is_stopping;
} notify;

/* A path, or a name that begins with '@' in the abstract namespace (unix(7)). */
static void read_address(const char *text)
{
    size_t size = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || size >= sizeof notify.address.sun_path) {
        leat_log_reason(LEAT_LOG_WARN, "notify_ignored", "NOTIFY_SOCKET %.120s is no address here",
                        text);
        return;
    }
    notify.address.sun_family = AF_UNIX;
    memcpy(notify.address.sun_path, text, size);
    if (text[0] == '@') {
        notify.address.sun_path[0] = '\0';
    }
    notify.address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
}

/* $WATCHDOG_USEC counts when it is meant for this process. */
static void read_watchdog(const char *usec, const char *pid)
{
    if (pid != NULL && pid[0] != '\0' && strtol(pid, NULL, 10) != (long)getpid()) {
        return;
    }
    char *end = NULL;
    errno = 0;
    long long interval_us = strtoll(usec, &end, 10);
    if (errno != 0 || end == usec || *end != '\0' || interval_us <= 0) {
        leat_log_reason(LEAT_LOG_WARN, "notify_ignored", "WATCHDOG_USEC %.40s is no time", usec);
        return;
    }
    notify.every_us =
        interval_us / 2 > 0 ? interval_us / 2 : 1; /* as sd_watchdog_enabled(3) asks */
}

void leat_notify_start(void)
{
    memset(&notify, 0, sizeof notify);
    const char *address = getenv("NOTIFY_SOCKET");
    const char *usec = getenv("WATCHDOG_USEC");
    if (address != NULL && address[0] != '\0') {
        read_address(address);
    }
    if (usec != NULL && notify.address_bytes > 0) {
        read_watchdog(usec, getenv("WATCHDOG_PID"));
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* A socket per word: they are rare, and none has to be kept from children. */
static bool say(const char *text)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL,
                          (const struct sockaddr *)&notify.address, notify.address_bytes);
    int error = errno;
    close(fd);
    errno = error;
    return sent >= 0;
}

enum leat_err leat_notify_ready(const char *status, struct leat_why *why)
{
    if (notify.address_bytes == 0) {
        return LEAT_OK;
    }
    char text[1024];
    snprintf(text, sizeof text, "READY=1\nSTATUS=%.*s\n", (int)strcspn(status, "\n"), status);
    if (!say(text)) {
        return leat_fail(why, LEAT_ERR_IO, "cannot tell NOTIFY_SOCKET: %s", strerror(errno));
    }
    return LEAT_OK;
}

void leat_notify_stopping(void)
{
    if (notify.address_bytes > 0 && !notify.is_stopping) {
        notify.is_stopping = true;
        (void)say("STOPPING=1\n"); /* the end itself is seen anyway */
    }
}

void leat_notify_alive(int64_t mono_us)
{
    if (notify.every_us == 0 || mono_us < notify.next_us) {
        return;
    }
    /* One that is not taken is tried again in the next turn. */
    if (say("WATCHDOG=1\n")) {
        notify.next_us = mono_us + notify.every_us;
    }
}

int64_t leat_notify_wait_us(void)
{
    return notify.every_us == 0 ? INT64_MAX : notify.every_us / 2 + 1;
}
