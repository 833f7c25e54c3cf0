#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/limits.h"
#include "producer/source_inside.h"

#define READ_BYTES (64u << 10)

enum leat_err leat_records_open(struct leat_records *records, const char *path, char delimiter,
                                struct leat_why *why)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    /* A JSON line holds the payload in base64 or with escapes; six bytes per byte is the worst. */
    *records = (struct leat_records){
        .fd = fd, .delimiter = delimiter, .limit = 6 * (size_t)LEAT_PAYLOAD_BYTES_CEILING};
    return LEAT_OK;
}

void leat_records_close(struct leat_records *records)
{
    close(records->fd);
    free(records->data);
    *records = (struct leat_records){.fd = -1};
}

/* Room for one read and a zero byte behind the last record. */
static enum leat_err make_room(struct leat_records *records, struct leat_why *why)
{
    if (records->begin > 0) {
        memmove(records->data, records->data + records->begin, records->end - records->begin);
        records->end -= records->begin;
        records->begin = 0;
    }
    if (records->capacity - records->end > READ_BYTES) {
        return LEAT_OK;
    }
    size_t capacity = records->capacity * 2 + 2 * READ_BYTES;
    char *data = realloc(records->data, capacity);
    if (data == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory for a record of %zu bytes",
                         records->end);
    }
    records->data = data;
    records->capacity = capacity;
    return LEAT_OK;
}

static enum leat_err read_more(struct leat_records *records, struct leat_why *why)
{
    struct pollfd poll_fd = {.fd = records->fd, .events = POLLIN};
    if (poll(&poll_fd, 1, 0) <= 0) {
        return LEAT_ERR_BUSY;
    }
    enum leat_err err = make_room(records, why);
    if (err != LEAT_OK) {
        return err;
    }
    ssize_t got = read(records->fd, records->data + records->end, READ_BYTES);
    if (got < 0) {
        return errno == EINTR || errno == EAGAIN
                   ? LEAT_ERR_BUSY
                   : leat_fail(why, LEAT_ERR_IO, "cannot read: %s", strerror(errno));
    }
    records->at_end = got == 0;
    records->end += (size_t)got;
    return LEAT_OK;
}

static struct leat_bytes take(struct leat_records *records, size_t size, size_t skip)
{
    char *record = records->data + records->begin;
    record[size] = '\0';
    records->begin += size + skip;
    records->number++;
    return leat_bytes_of(record, size);
}

enum leat_err leat_records_next(struct leat_records *records, struct leat_bytes *ret_record,
                                struct leat_why *why)
{
    size_t searched = 0;
    for (;;) {
        size_t size = records->end - records->begin;
        char *found = size > searched ? memchr(records->data + records->begin + searched,
                                               records->delimiter, size - searched)
                                      : NULL;
        if (found != NULL) {
            *ret_record = take(records, (size_t)(found - (records->data + records->begin)), 1);
            return LEAT_OK;
        }
        if (records->at_end) {
            if (size == 0) {
                return LEAT_ERR_NOT_FOUND;
            }
            *ret_record = take(records, size, 0);
            return LEAT_OK;
        }
        if (size > records->limit) {
            return leat_fail(why, LEAT_ERR_IO, "record %llu is over the limit of %zu bytes",
                             (unsigned long long)records->number + 1, records->limit);
        }
        searched = size;
        enum leat_err err = read_more(records, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
}
