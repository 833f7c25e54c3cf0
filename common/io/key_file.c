#include "io/key_file.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/name.h"

#define PATH_BYTES 4096

/* ---- reading ---- */

enum leat_err leat_key_parse(const char *text, struct leat_key *ret_key, struct leat_why *why)
{
    struct leat_key key;
    if (strlen(text) != LEAT_KEY_TEXT_BYTES - 1 || zmq_z85_decode(key.bytes, text) == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "'%.60s' is no key: 40 characters of Z85", text);
    }
    *ret_key = key;
    return LEAT_OK;
}

enum leat_err leat_key_split_queues(const char *text, struct leat_str ret_queues[],
                                    size_t *ret_count, struct leat_why *why)
{
    size_t count = 0;
    while (text[0] != '\0') {
        struct leat_str queue = {text, strcspn(text, ",")};
        enum leat_err err = leat_name_check_queue(queue, why);
        if (err != LEAT_OK) {
            return err;
        }
        if (count == LEAT_SESSION_QUEUES_MAX) {
            return leat_fail(why, LEAT_ERR_LIMIT, "more than %d queues", LEAT_SESSION_QUEUES_MAX);
        }
        ret_queues[count++] = queue;
        text += queue.size;
        if (text[0] == ',' && *++text == '\0') {
            return leat_fail(why, LEAT_ERR_INVALID, "a queue is missing after the last comma");
        }
    }
    *ret_count = count;
    return LEAT_OK;
}

static void trim(struct leat_str *text)
{
    while (text->size > 0 && strchr(" \t\r", text->data[0]) != NULL) {
        text->data++;
        text->size--;
    }
    while (text->size > 0 && strchr(" \t\r", text->data[text->size - 1]) != NULL) {
        text->size--;
    }
}

/* A value that was read goes into a field of `size` bytes. */
static enum leat_err take_text(const char *what, struct leat_str value, char *field, size_t size,
                               struct leat_why *why)
{
    if (value.size >= size) {
        return leat_fail(why, LEAT_ERR_LIMIT, "%s is %zu bytes, at most %zu", what, value.size,
                         size - 1);
    }
    memcpy(field, value.data, value.size);
    field[value.size] = '\0';
    return LEAT_OK;
}

static enum leat_err take_entry(struct leat_key_file *file, struct leat_str name,
                                struct leat_str value, struct leat_why *why)
{
    enum leat_err err = LEAT_OK;
    if (leat_str_equal(name, leat_str_of("role"))) {
        err = leat_role_parse(value, &file->role, why);
        file->has_role = err == LEAT_OK;
    } else if (leat_str_equal(name, leat_str_of("queues"))) {
        struct leat_str queues[LEAT_SESSION_QUEUES_MAX];
        size_t count;
        err = take_text("queues", value, file->queues, sizeof file->queues, why);
        if (err == LEAT_OK) {
            err = leat_key_split_queues(file->queues, queues, &count, why);
        }
    } else if (leat_str_equal(name, leat_str_of("public-key"))) {
        err = take_text("public-key", value, file->public_text, sizeof file->public_text, why);
        if (err == LEAT_OK) {
            err = leat_key_parse(file->public_text, &file->public_key, why);
        }
    } else if (leat_str_equal(name, leat_str_of("secret-key"))) {
        struct leat_key secret;
        if (value.size != LEAT_KEY_TEXT_BYTES - 1) { /* and its text is never shown */
            return leat_fail(why, LEAT_ERR_INVALID, "secret-key is %zu bytes, not %d", value.size,
                             LEAT_KEY_TEXT_BYTES - 1);
        }
        memcpy(file->secret_text, value.data, value.size);
        file->has_secret = zmq_z85_decode(secret.bytes, file->secret_text) != NULL;
        explicit_bzero(&secret, sizeof secret);
        err =
            file->has_secret ? LEAT_OK : leat_fail(why, LEAT_ERR_INVALID, "secret-key is not Z85");
    }
    return err;
}

/* A heading, a comment, or name = "value". */
static enum leat_err take_line(struct leat_key_file *file, struct leat_str line,
                               struct leat_why *why)
{
    trim(&line);
    if (line.size == 0 || line.data[0] == '#') {
        return LEAT_OK;
    }
    const char *equals = memchr(line.data, '=', line.size);
    if (equals == NULL) {
        return LEAT_OK;
    }
    struct leat_str name = {line.data, (size_t)(equals - line.data)};
    struct leat_str value = {equals + 1, line.size - name.size - 1};
    trim(&name);
    trim(&value);
    if (value.size < 2 || value.data[0] != '"' || value.data[value.size - 1] != '"') {
        return leat_fail(why, LEAT_ERR_INVALID, "a value is to be written in quotes");
    }
    value.data++;
    value.size -= 2;
    return take_entry(file, name, value, why);
}

static enum leat_err parse(const char *path, char *text, size_t size, struct leat_key_file *file,
                           struct leat_why *why)
{
    unsigned number = 1;
    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        struct leat_str line = {text + at, end == NULL ? size - at : (size_t)(end - text) - at};
        struct leat_why inner = {""};
        if (memchr(line.data, '\0', line.size) != NULL) {
            return leat_fail(why, LEAT_ERR_INVALID, "%.120s:%u: a zero byte: this is no key file",
                             path, number);
        }
        enum leat_err err = take_line(file, line, &inner);
        if (err != LEAT_OK) {
            return leat_fail(why, LEAT_ERR_INVALID, "%.120s:%u: %.120s", path, number, inner.text);
        }
        at += line.size + 1;
    }
    if (file->public_text[0] == '\0') {
        return leat_fail(why, LEAT_ERR_INVALID, "%.160s holds no public-key: this is no key file",
                         path);
    }
    return LEAT_OK;
}

/* Who else can read the file? */
static enum leat_err check_mode(const char *path, const struct stat *info, struct leat_why *why)
{
    unsigned mode = info->st_mode & 07777;
    if (info->st_uid == geteuid()) {
        return (mode & 077) == 0
                   ? LEAT_OK
                   : leat_fail(why, LEAT_ERR_REFUSED,
                               "refusing the private key in %.120s: its mode is %04o, so that "
                               "others may read it; chmod 600 it",
                               path, mode);
    }
    if (info->st_uid == 0) {
        return (mode & 037) == 0
                   ? LEAT_OK
                   : leat_fail(why, LEAT_ERR_REFUSED,
                               "refusing the private key in %.120s: it is root's and its mode is "
                               "%04o, so that others may read it; chmod 640 it",
                               path, mode);
    }
    return leat_fail(why, LEAT_ERR_REFUSED,
                     "refusing the private key in %.120s: it belongs to user %u, neither to root "
                     "nor to us (%u)",
                     path, (unsigned)info->st_uid, (unsigned)geteuid());
}

static enum leat_err read_all(int fd, const char *path, char text[LEAT_KEY_FILE_BYTES_MAX + 1],
                              size_t *ret_size, struct leat_why *why)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, text + size, LEAT_KEY_FILE_BYTES_MAX + 1 - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return leat_fail(why, LEAT_ERR_IO, "cannot read %.160s: %s", path, strerror(errno));
        }
        if (got == 0) {
            *ret_size = size;
            return LEAT_OK;
        }
        size += (size_t)got;
        if (size > LEAT_KEY_FILE_BYTES_MAX) {
            return leat_fail(why, LEAT_ERR_INVALID, "%.160s is larger than %d bytes", path,
                             LEAT_KEY_FILE_BYTES_MAX);
        }
    }
}

static enum leat_err read_file(const char *path, bool is_private, struct leat_key_file *file,
                               struct leat_why *why)
{
    /* not blocking, or a FIFO in the directory would hold whoever looks through it */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return leat_fail(why, errno == ENOENT ? LEAT_ERR_NOT_FOUND : LEAT_ERR_IO,
                         "cannot open %.160s: %s", path, strerror(errno));
    }
    struct stat info;
    struct leat_key_file parsed = {.public_text = ""};
    char text[LEAT_KEY_FILE_BYTES_MAX + 1];
    size_t size = 0;
    enum leat_err err = LEAT_OK;
    if (fstat(fd, &info) != 0) {
        err = leat_fail(why, LEAT_ERR_IO, "cannot look at %.160s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        err = leat_fail(why, LEAT_ERR_INVALID, "%.160s is no file", path);
    } else if (is_private) {
        err = check_mode(path, &info, why);
    }
    if (err == LEAT_OK) {
        err = read_all(fd, path, text, &size, why);
    }
    if (err == LEAT_OK) {
        err = parse(path, text, size, &parsed, why);
    }
    close(fd);
    explicit_bzero(text, sizeof text);
    if (err == LEAT_OK) {
        *file = parsed;
    }
    leat_key_file_wipe(&parsed);
    return err;
}

enum leat_err leat_key_file_read(const char *path, struct leat_key_file *file, struct leat_why *why)
{
    return read_file(path, false, file, why);
}

enum leat_err leat_key_file_read_private(const char *path, struct leat_key_file *file,
                                         struct leat_why *why)
{
    struct leat_key_file read;
    char public_text[LEAT_KEY_TEXT_BYTES];
    enum leat_err err = read_file(path, true, &read, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (!read.has_secret) {
        err = leat_fail(why, LEAT_ERR_INVALID,
                        "%.160s holds no secret-key: give the private file, NAME.key", path);
    } else if (zmq_curve_public(public_text, read.secret_text) != 0 ||
               strcmp(public_text, read.public_text) != 0) {
        err = leat_fail(why, LEAT_ERR_INVALID,
                        "%.160s: public-key and secret-key do not belong together", path);
    } else {
        *file = read;
    }
    leat_key_file_wipe(&read);
    return err;
}

void leat_key_file_wipe(struct leat_key_file *file)
{
    explicit_bzero(file->secret_text, sizeof file->secret_text);
    file->has_secret = false;
}

/* ---- writing ---- */

enum leat_err leat_key_file_draw(struct leat_key_file *file, struct leat_why *why)
{
    if (zmq_curve_keypair(file->public_text, file->secret_text) != 0) {
        return leat_fail(why, LEAT_ERR_STATE, "libzmq has no CURVE: %s", zmq_strerror(errno));
    }
    file->has_secret = true;
    return leat_key_parse(file->public_text, &file->public_key, why);
}

static void write_text(FILE *stream, const struct leat_key_file *file, bool with_secret)
{
    fputs(with_secret ? "# A private key of leat: keep it on this host, readable by its owner "
                        "only.\nmetadata\n"
                      : "# A public key of leat: it goes into the directory of keys of ventilator "
                        "and sink.\nmetadata\n",
          stream);
    if (file->has_role) {
        fprintf(stream, "    role = \"%s\"\n", leat_role_name(file->role));
    }
    if (file->queues[0] != '\0') {
        fprintf(stream, "    queues = \"%s\"\n", file->queues);
    }
    fprintf(stream, "curve\n    public-key = \"%s\"\n", file->public_text);
    if (with_secret) {
        fprintf(stream, "    secret-key = \"%s\"\n", file->secret_text);
    }
}

enum leat_err leat_key_file_write(const char *path, const struct leat_key_file *file,
                                  bool with_secret, bool replace, struct leat_why *why)
{
    char beside[PATH_BYTES];
    int length = snprintf(beside, sizeof beside, "%s.%ld.tmp", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof beside) {
        return leat_fail(why, LEAT_ERR_IO, "the path is too long");
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, with_secret ? 0600 : 0644);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (stream == NULL) {
        enum leat_err err =
            leat_fail(why, LEAT_ERR_IO, "cannot write %.160s: %s", beside, strerror(errno));
        if (fd >= 0) {
            close(fd);
            unlink(beside);
        }
        return err;
    }
    write_text(stream, file, with_secret);
    bool written = fflush(stream) == 0 && fsync(fd) == 0;
    written = fclose(stream) == 0 && written;
    /* link() does not replace what is there */
    if (written && (replace ? rename(beside, path) : link(beside, path)) == 0) {
        if (!replace) {
            unlink(beside);
        }
        return LEAT_OK;
    }
    enum leat_err err =
        errno == EEXIST
            ? leat_fail(why, LEAT_ERR_EXISTS, "%.160s is there already", path)
            : leat_fail(why, LEAT_ERR_IO, "cannot write %.160s: %s", path, strerror(errno));
    unlink(beside);
    return err;
}
