/* One job per regular file below a directory. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "producer/source_inside.h"

struct files {
    struct leat_source source;
    FTS *tree;
    bool with_content;
    size_t max_bytes;
    char *content; /* owned, of the last file */
    struct leat_producer_header headers[LEAT_HEADERS_MAX + 1];
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* The whole file, which may be larger or smaller than it was when its size was read. */
static enum leat_err read_file(struct files *files, const char *path, size_t *ret_size,
                               struct leat_why *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "cannot read %s: %s", path, strerror(errno));
    }
    size_t size = 0;
    ssize_t got = 0;
    do {
        got = read(fd, files->content + size, files->max_bytes + 1 - size);
        size += got > 0 ? (size_t)got : 0;
    } while (got > 0 && size <= files->max_bytes);
    int error = errno;
    struct stat whole;
    long long all = fstat(fd, &whole) == 0 && whole.st_size > (off_t)size ? (long long)whole.st_size
                                                                          : (long long)size;
    close(fd);
    if (got < 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "cannot read %s: %s", path, strerror(error));
    }
    if (size > files->max_bytes) {
        return leat_fail(why, LEAT_ERR_INVALID, "%s: payload is %lld bytes, the limit is %zu", path,
                         (long long)all, files->max_bytes);
    }
    *ret_size = size;
    return LEAT_OK;
}

static enum leat_err take_file(struct files *files, const char *path,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    struct leat_source *source = &files->source;
    struct leat_producer_job job = *source->template;
    snprintf(source->label, sizeof(source->label), "%s", path);
    job.payload = source->label;
    job.payload_bytes = strlen(source->label);
    if (files->with_content) {
        enum leat_err err = read_file(files, path, &job.payload_bytes, why);
        if (err != LEAT_OK) {
            return err;
        }
        job.payload = files->content;
        if (job.headers_count > 0) {
            memcpy(files->headers, job.headers, job.headers_count * sizeof(files->headers[0]));
        }
        files->headers[job.headers_count++] = (struct leat_producer_header){"path", source->label};
        job.headers = files->headers;
    }
    *ret_job = (struct leat_source_job){job, source->label};
    return LEAT_OK;
}

static enum leat_err next_file(struct leat_source *source, struct leat_now now,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    (void)now;
    struct files *files = (struct files *)source;
    for (;;) {
        errno = 0;
        FTSENT *entry = fts_read(files->tree);
        if (entry == NULL) {
            return errno == 0 ? LEAT_ERR_NOT_FOUND
                              : leat_fail(why, LEAT_ERR_IO, "cannot read the directory: %s",
                                          strerror(errno));
        }
        switch (entry->fts_info) {
        case FTS_F:
            return take_file(files, entry->fts_path, ret_job, why);
        case FTS_DNR:
        case FTS_ERR:
        case FTS_NS:
            return leat_fail(why, LEAT_ERR_INVALID, "cannot read %s: %s", entry->fts_path,
                             strerror(entry->fts_errno));
        default:
            break; /* directories, links, devices */
        }
    }
}

static void close_files(struct leat_source *source)
{
    struct files *files = (struct files *)source;
    fts_close(files->tree);
    free(files->content);
    free(files);
}

enum leat_err leat_source_open_files(const char *directory, bool with_content, size_t max_bytes,
                                     const struct leat_producer_job *template,
                                     struct leat_source **ret_source, struct leat_why *why)
{
    struct stat stat_of;
    if (stat(directory, &stat_of) != 0 || !S_ISDIR(stat_of.st_mode)) {
        return leat_fail(why, LEAT_ERR_IO, "%s is no directory", directory);
    }
    struct files *files = calloc(1, sizeof(*files));
    char *const roots[] = {(char *)(uintptr_t)directory, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    char *content = malloc(max_bytes + 1);
    if (files == NULL || tree == NULL || content == NULL) {
        if (tree != NULL) {
            fts_close(tree);
        }
        free(files);
        free(content);
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    files->tree = tree;
    files->content = content;
    files->with_content = with_content;
    files->max_bytes = max_bytes;
    files->source = (struct leat_source){.template = template,
                                         .next = next_file,
                                         .close = close_files,
                                         .fd = -1,
                                         .due_us = LEAT_NEVER_US};
    *ret_source = &files->source;
    return LEAT_OK;
}
