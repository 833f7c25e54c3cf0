#include "store/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/crc32c.h"

#define HEAD_FORMAT    "leat-journal version=1 store=%s bytes=%" PRIu64
#define HEAD_BYTES_MAX 160
#define ZERO_BYTES     (1U << 20)

static enum leat_err fail(const struct leat_journal_file *file, const char *verb, int error,
                          struct leat_why *why)
{
    enum leat_err err =
        error == ENOSPC || error == EDQUOT || error == EFBIG ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
    return leat_fail(why, err, "cannot %s %s: %s", verb, file->path, strerror(error));
}

static enum leat_err write_all(const struct leat_journal_file *file, struct leat_bytes bytes,
                               uint64_t offset, struct leat_why *why)
{
    while (bytes.size > 0) {
        ssize_t size = pwrite(file->fd, bytes.data, bytes.size, (off_t)offset);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            return fail(file, "write", size == 0 ? ENOSPC : errno, why);
        }
        bytes = leat_bytes_of(bytes.data + size, bytes.size - (size_t)size);
        offset += (uint64_t)size;
    }
    return LEAT_OK;
}

#define PIECES_MAX 64

/* What is left of the parts behind the first `done` bytes of number `first`. */
static int pieces_of(struct leat_journal_parts record, size_t first, size_t done,
                     struct iovec ret_pieces[PIECES_MAX])
{
    int count = 0;
    for (size_t i = first; i < record.count && count < PIECES_MAX; i++) {
        union {
            const uint8_t *in;
            void *out;
        } data = {record.items[i].data + done};
        ret_pieces[count++] = (struct iovec){data.out, record.items[i].size - done};
        done = 0;
    }
    return count;
}

static enum leat_err write_parts(const struct leat_journal_file *file,
                                 struct leat_journal_parts record, uint64_t offset,
                                 struct leat_why *why)
{
    size_t first = 0;
    size_t done = 0;
    while (first < record.count) {
        struct iovec pieces[PIECES_MAX];
        int count = pieces_of(record, first, done, pieces);
        ssize_t size = pwritev(file->fd, pieces, count, (off_t)offset);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size <= 0) {
            return fail(file, "write", size == 0 ? ENOSPC : errno, why);
        }
        offset += (uint64_t)size;
        done += (size_t)size;
        while (first < record.count && done >= record.items[first].size) {
            done -= record.items[first++].size;
        }
    }
    return LEAT_OK;
}

static enum leat_err flush(const struct leat_journal_file *file, struct leat_why *why)
{
    if (fdatasync(file->fd) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot flush %s: %s", file->path, strerror(errno));
    }
    return LEAT_OK;
}

/* ---- the first block ---- */

static int format_head(char line[HEAD_BYTES_MAX], const struct leat_id *store, uint64_t size_bytes)
{
    char id[LEAT_ID_TEXT_BYTES];
    int size = snprintf(line, HEAD_BYTES_MAX, HEAD_FORMAT, leat_id_format(store, id), size_bytes);
    uint32_t check = leat_crc32c(0, line, (size_t)size);
    return size +
           snprintf(line + size, HEAD_BYTES_MAX - (size_t)size, " check=%08" PRIx32 "\n", check);
}

/* Smaller than a sector: there or not. */
static enum leat_err write_head(const struct leat_journal_file *file, uint64_t size_bytes,
                                struct leat_why *why)
{
    char line[HEAD_BYTES_MAX];
    memset(line, 0, sizeof line);
    (void)format_head(line, &file->store, size_bytes);
    return write_all(file, leat_bytes_of(line, sizeof line), 0, why);
}

static enum leat_err read_head(struct leat_journal_file *file, struct leat_why *why)
{
    char line[HEAD_BYTES_MAX + 1];
    char again[HEAD_BYTES_MAX];
    char id[LEAT_ID_TEXT_BYTES];
    ssize_t size = pread(file->fd, line, HEAD_BYTES_MAX, 0);
    if (size < 0) {
        return fail(file, "read", errno, why);
    }
    line[size] = '\0';
    struct leat_id store;
    uint64_t size_bytes = 0;
    if (sscanf(line, "leat-journal version=1 store=%36s bytes=%" SCNu64, id, &size_bytes) != 2 ||
        leat_id_parse(leat_str_of(id), &store, NULL) != LEAT_OK ||
        format_head(again, &store, size_bytes) != (int)strlen(line) || strcmp(line, again) != 0) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "%s is damaged or no journal of leat", file->path);
    }
    if (!leat_id_equal(&store, &file->store)) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "%s belongs to another store, %s", file->path, id);
    }
    struct stat status;
    if (fstat(file->fd, &status) != 0) {
        return fail(file, "read", errno, why);
    }
    if ((uint64_t)status.st_size < size_bytes) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "%s is cut short: %lld bytes of %" PRIu64 " are there", file->path,
                         (long long)status.st_size, size_bytes);
    }
    file->size_bytes = size_bytes;
    return LEAT_OK;
}

/* ---- making and opening ---- */

static char *path_of(const char *directory, unsigned number, const char *suffix)
{
    char *path = NULL;
    if (asprintf(&path, "%s/journal-%u%s", directory, number, suffix) < 0) {
        abort();
    }
    return path;
}

static enum leat_err open_file(struct leat_journal_file *file, const char *directory,
                               unsigned number, const char *suffix, const struct leat_id *store,
                               int flags, struct leat_why *why)
{
    *file = (struct leat_journal_file){.path = path_of(directory, number, suffix), .store = *store};
    file->fd = open(file->path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (file->fd < 0 && errno == ENOENT) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "%s is missing, though a store lived here; to go on without what may have "
                         "been in it, remove journal-0, journal-1 and leat.lock",
                         file->path);
    }
    return file->fd < 0 ? fail(file, "open", errno, why) : LEAT_OK;
}

/* Zeros up to `size_bytes`, on the disk before the head says so. */
static enum leat_err grow(struct leat_journal_file *file, uint64_t size_bytes, struct leat_why *why)
{
    static const uint8_t zeros[ZERO_BYTES];
    enum leat_err err = LEAT_OK;
    for (uint64_t at = file->size_bytes; err == LEAT_OK && at < size_bytes; at += ZERO_BYTES) {
        uint64_t left = size_bytes - at;
        size_t size = left < ZERO_BYTES ? (size_t)left : ZERO_BYTES;
        err = write_all(file, leat_bytes_of(zeros, size), at, why);
    }
    if (err == LEAT_OK) {
        err = flush(file, why);
    }
    if (err == LEAT_OK) {
        err = write_head(file, size_bytes, why);
    }
    if (err == LEAT_OK) {
        file->size_bytes = size_bytes;
    }
    return err;
}

/* The name comes last, so that a file that is there is whole. */
enum leat_err leat_journal_file_make(struct leat_journal_file *file, const char *directory,
                                     unsigned number, const struct leat_id *store,
                                     struct leat_why *why)
{
    enum leat_err err = open_file(file, directory, number, ".new", store, O_CREAT | O_TRUNC, why);
    if (err == LEAT_OK) {
        err = grow(file, LEAT_JOURNAL_FIRST_BYTES, why);
    }
    if (err == LEAT_OK) {
        err = flush(file, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    char *name = path_of(directory, number, "");
    if (rename(file->path, name) != 0) {
        err = fail(file, "rename", errno, why);
    }
    free(file->path);
    file->path = name;
    return err;
}

/* The head is written again: what a process that was killed, or whose flush failed, left of it may
 * be in the page cache alone. */
enum leat_err leat_journal_file_open(struct leat_journal_file *file, const char *directory,
                                     unsigned number, const struct leat_id *store,
                                     struct leat_why *why)
{
    enum leat_err err = open_file(file, directory, number, "", store, 0, why);
    if (err == LEAT_OK) {
        err = read_head(file, why);
    }
    if (err == LEAT_OK) {
        err = write_head(file, file->size_bytes, why);
    }
    return err == LEAT_OK ? flush(file, why) : err;
}

enum leat_err leat_journal_file_shrink(struct leat_journal_file *file, struct leat_why *why)
{
    if (file->size_bytes <= LEAT_JOURNAL_FIRST_BYTES) {
        return LEAT_OK;
    }
    enum leat_err err = write_head(file, LEAT_JOURNAL_FIRST_BYTES, why);
    if (err == LEAT_OK) {
        err = flush(file, why);
    }
    if (err == LEAT_OK && ftruncate(file->fd, LEAT_JOURNAL_FIRST_BYTES) != 0) {
        err = fail(file, "shorten", errno, why);
    }
    if (err == LEAT_OK) {
        file->size_bytes = LEAT_JOURNAL_FIRST_BYTES;
    }
    return err;
}

void leat_journal_file_fini(struct leat_journal_file *file)
{
    if (file->path != NULL && file->fd >= 0) {
        close(file->fd);
    }
    free(file->path);
    *file = (struct leat_journal_file){.fd = -1};
}

/* ---- writing and reading ---- */

enum leat_err leat_journal_file_append(struct leat_journal_file *file, uint64_t offset,
                                       struct leat_journal_parts record, struct leat_why *why)
{
    uint64_t end = offset + record.size;
    enum leat_err err = LEAT_OK;
    if (end > file->size_bytes) {
        uint64_t steps = (end - file->size_bytes - 1) / LEAT_JOURNAL_GROW_BYTES + 1;
        err = grow(file, file->size_bytes + steps * LEAT_JOURNAL_GROW_BYTES, why);
    }
    if (err == LEAT_OK) {
        err = record.count == 1 ? write_all(file, record.items[0], offset, why)
                                : write_parts(file, record, offset, why);
    }
    return err == LEAT_OK ? flush(file, why) : err;
}

enum leat_err leat_journal_file_map(const struct leat_journal_file *file,
                                    struct leat_bytes *ret_bytes, struct leat_why *why)
{
    void *bytes = mmap(NULL, file->size_bytes, PROT_READ, MAP_PRIVATE, file->fd, 0);
    if (bytes == MAP_FAILED) {
        return fail(file, "map", errno, why);
    }
    *ret_bytes = leat_bytes_of(bytes, file->size_bytes);
    return LEAT_OK;
}

void leat_journal_file_unmap(struct leat_bytes bytes)
{
    union {
        const uint8_t *in;
        void *out;
    } data = {bytes.data};
    (void)munmap(data.out, bytes.size);
}

bool leat_journal_file_is_there(const char *directory, unsigned number)
{
    char *path = path_of(directory, number, "");
    bool is_there = access(path, F_OK) == 0;
    free(path);
    return is_there;
}

int leat_journal_file_look(const char *directory, unsigned number)
{
    char *path = path_of(directory, number, "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    return fd;
}

bool leat_journal_file_is_used(const char *directory, unsigned number)
{
    static const uint8_t zeros[LEAT_JOURNAL_BLOCK_BYTES];
    uint8_t first[LEAT_JOURNAL_BLOCK_BYTES];
    int fd = leat_journal_file_look(directory, number);
    ssize_t size = fd < 0 ? 0 : pread(fd, first, sizeof first, LEAT_JOURNAL_BLOCK_BYTES);
    if (fd >= 0) {
        close(fd);
    }
    return size > 0 && memcmp(first, zeros, (size_t)size) != 0;
}
