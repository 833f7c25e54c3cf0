#include "io/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/exit.h"
#include "io/heap.h"
#include "io/log.h"
#include "io/notify.h"
#include "io/signals.h"

#define READY_LINE_BYTES 4096
#define PATH_BYTES       4096

static bool has_option(const struct leat_options *options, const char *name)
{
    const struct leat_program *program = leat_options_program(options);
    for (size_t i = 0; i < program->row_count; i++) {
        if (strcmp(program->rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Started with a closed standard stream, a program would give its number to the next file that it
 * opens: log lines would land in the database, a socket would be read as the standard input. The
 * stand-in is opened the wrong way round, so that reading or writing it fails, as it should. */
static void open_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            abort(); /* the lowest free number is this one */
        }
    }
}

struct leat_options *leat_serve_start(const struct leat_program *program, const char *role,
                                      int argc, char *const argv[], int *ret_status)
{
    open_standard_streams();
    leat_heap_keep();
    leat_signals_start();
    struct leat_options *options = leat_options_parse(program, argc, argv, ret_status);
    if (options == NULL) {
        return NULL;
    }
    enum leat_log_level level = LEAT_LOG_INFO;
    if (has_option(options, "log") &&
        leat_log_level_parse(leat_options_text(options, "log"), &level) != LEAT_OK) {
        level = LEAT_LOG_INFO; /* the table of options allows only levels */
    }
    leat_log_start(role, level);
    leat_notify_start();
    return options;
}

int leat_serve_cannot_start(const struct leat_program *program, enum leat_err err,
                            const struct leat_why *why)
{
    fprintf(stderr, "%s: cannot start: %s\n", program->name,
            why != NULL && why->text[0] != '\0' ? why->text : leat_err_text((unsigned)err));
    return (int)leat_exit_for(err);
}

/* "peers=tcp://... stats=tcp://...\n" */
static size_t ready_line(const struct leat_serve_endpoint *endpoints, size_t count,
                         char line[READY_LINE_BYTES])
{
    if (count == 0) {
        return (size_t)snprintf(line, READY_LINE_BYTES, "ready\n");
    }
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        int more = snprintf(line + size, READY_LINE_BYTES - size, "%s=%s%s", endpoints[i].name,
                            endpoints[i].endpoint, i + 1 == count ? "\n" : " ");
        size += (size_t)more;
        if (size >= READY_LINE_BYTES) {
            return 0;
        }
    }
    return size;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t rc = write(fd, bytes, size);
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc <= 0) {
            return false;
        }
        bytes += rc;
        size -= (size_t)rc;
    }
    return true;
}

static enum leat_err tell_fd(int fd, const char *line, size_t size, struct leat_why *why)
{
    if (!write_all(fd, line, size)) {
        return leat_fail(why, LEAT_ERR_IO, "cannot write to --ready-fd %d: %s", fd,
                         strerror(errno));
    }
    close(fd);
    return LEAT_OK;
}

/* Written beside and renamed, so that who waits for the file reads it whole. */
static enum leat_err tell_file(const char *path, const char *line, size_t size,
                               struct leat_why *why)
{
    char beside[PATH_BYTES];
    int length = snprintf(beside, sizeof beside, "%s.%ld.tmp", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof beside) {
        return leat_fail(why, LEAT_ERR_IO, "--ready-file: path is too long");
    }
    FILE *file = fopen(beside, "we");
    bool written = file != NULL && fwrite(line, 1, size, file) == size;
    if (file != NULL && fclose(file) != 0) {
        written = false;
    }
    if (!written || rename(beside, path) != 0) {
        enum leat_err err = leat_fail(why, LEAT_ERR_IO, "cannot write --ready-file %.120s: %s",
                                      path, strerror(errno));
        unlink(beside);
        return err;
    }
    return LEAT_OK;
}

enum leat_err leat_serve_ready(const struct leat_options *options,
                               const struct leat_serve_endpoint *endpoints, size_t count,
                               struct leat_why *why)
{
    char text[READY_LINE_BYTES];
    size_t size = ready_line(endpoints, count, text);
    if (size == 0) {
        return leat_fail(why, LEAT_ERR_LIMIT, "endpoints are longer than %d bytes",
                         READY_LINE_BYTES);
    }
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, "ready");
    for (size_t i = 0; i < count; i++) {
        leat_log_text(&line, endpoints[i].name, endpoints[i].endpoint);
    }
    leat_log_text(&line, "version", LEAT_VERSION);
    leat_log_number(&line, "pid", getpid());
    leat_log_end(&line);
    enum leat_err err = LEAT_OK;
    if (has_option(options, "ready-file") && leat_options_text(options, "ready-file") != NULL) {
        err = tell_file(leat_options_text(options, "ready-file"), text, size, why);
    }
    if (err == LEAT_OK && has_option(options, "ready-fd") &&
        leat_options_given(options, "ready-fd")) {
        err = tell_fd((int)leat_options_number(options, "ready-fd"), text, size, why);
    }
    if (err == LEAT_OK) {
        err = leat_notify_ready(text, why);
    }
    return err;
}
