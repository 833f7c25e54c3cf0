/* The pages of a store's file, looked at before LMDB may trust them: see lmdb_pages.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "store/lmdb_pages.h"
#include "store/lmdb_store.h"
#include "store/path.h"

#define IDENTITY_TABLE "leat"

/* `*ret_file` has no bytes when the file is missing or empty; else it is mapped. */
static enum leat_err map_file(const char *directory, struct leat_bytes *ret_file,
                              struct leat_why *why)
{
    char *path = leat_store_path(directory, "data.mdb");
    struct stat status = {0};
    void *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_good = fd >= 0 ? fstat(fd, &status) == 0 : errno == ENOENT;
    if (is_good && status.st_size > 0) {
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
        is_good = bytes != MAP_FAILED;
    }
    enum leat_err err = LEAT_OK;
    if (!is_good) {
        err = leat_fail(why, LEAT_ERR_IO, "cannot open store %s: %s", directory, strerror(errno));
    } else {
        *ret_file = leat_bytes_of(bytes, (size_t)status.st_size);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return err;
}

static void unmap_file(struct leat_bytes *file)
{
    union {
        const uint8_t *in;
        void *out;
    } bytes = {file->data};
    if (bytes.out != NULL) {
        munmap(bytes.out, file->size);
    }
}

/* ---- names of tables: one that was changed by a bit would be opened as a new, empty one ---- */

static bool has_table(const struct leat_lmdb_pages *pages, const char *name)
{
    for (unsigned i = 0; i < pages->table_count; i++) {
        if (strcmp(pages->tables[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_expected(const struct leat_store_options *options, const char *name)
{
    for (unsigned i = 0; i < options->table_count; i++) {
        if (strcmp(options->tables[i], name) == 0) {
            return true;
        }
    }
    return strcmp(name, IDENTITY_TABLE) == 0;
}

static bool differ_in_one_byte(const char *a, const char *b)
{
    unsigned differences = 0;
    size_t size = strlen(a);
    for (size_t i = 0; i < size && strlen(b) == size; i++) {
        differences += a[i] != b[i];
    }
    return differences == 1;
}

/* A table that is not there, and one that nobody knows: NULL, or what the latter was called. */
static const char *find_renamed(const struct leat_lmdb_pages *pages,
                                const struct leat_store_options *options, const char *expected)
{
    for (unsigned i = 0; i < pages->table_count && !has_table(pages, expected); i++) {
        const char *name = pages->tables[i];
        if (!is_expected(options, name) && differ_in_one_byte(name, expected)) {
            return name;
        }
    }
    return NULL;
}

static void check_names(struct leat_lmdb_pages *pages, const struct leat_store_options *options,
                        leat_store_found_fn *found, void *context)
{
    for (unsigned i = 0; i <= options->table_count; i++) {
        const char *expected = i < options->table_count ? options->tables[i] : IDENTITY_TABLE;
        const char *name = find_renamed(pages, options, expected);
        if (name != NULL) {
            char text[LEAT_WHY_BYTES];
            snprintf(text, sizeof text, "the tree of tables: table %s has the name '%s'", expected,
                     name);
            pages->found++;
            if (!found(context, text)) {
                return;
            }
        }
    }
}

/* ---- at the start, and by request ---- */

static enum leat_err check_file(const char *directory, const struct leat_store_options *options,
                                uint64_t pages_max, leat_store_found_fn *found, void *context,
                                struct leat_lmdb_pages *ret_pages, struct leat_why *why)
{
    struct leat_bytes file = {NULL, 0};
    enum leat_err err = map_file(directory, &file, why);
    *ret_pages = (struct leat_lmdb_pages){.is_missing = file.data == NULL};
    if (err != LEAT_OK || file.data == NULL) {
        return err;
    }
    err = leat_lmdb_pages_check(file, pages_max, found, context, ret_pages);
    unmap_file(&file);
    if (err != LEAT_OK) {
        return leat_fail(why, err, "no memory to check the pages of store %s", directory);
    }
    if (ret_pages->found == 0) {
        check_names(ret_pages, options, found, context);
    }
    return LEAT_OK;
}

struct first {
    struct leat_why why;
};

static bool take_first(void *context, const char *what)
{
    struct first *first = context;
    snprintf(first->why.text, sizeof first->why.text, "%s", what);
    return false;
}

enum leat_err leat_lmdb_check_pages(const struct leat_lmdb *lmdb,
                                    const struct leat_store_options *options, struct leat_why *why)
{
    struct leat_lmdb_pages pages;
    struct first first = {{""}};
    enum leat_err err = check_file(lmdb->path, options, LEAT_STORE_CHECK_PAGES_MAX, take_first,
                                   &first, &pages, why);
    if (err == LEAT_OK && pages.found > 0) {
        err = leat_fail(why, LEAT_ERR_CORRUPT,
                        "%s/data.mdb is damaged: %.120s; --check-store lists all of it, a backup "
                        "brings it back",
                        lmdb->path, first.why.text);
    }
    return err;
}

enum leat_err leat_store_check_lmdb(const char *path, const struct leat_store_options *options,
                                    leat_store_found_fn *found, void *context,
                                    struct leat_store_pages *ret_pages, struct leat_why *why)
{
    struct stat status;
    struct leat_lmdb lmdb = {.lock_fd = -1};
    struct leat_lmdb_pages pages;
    if (stat(path, &status) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read directory %s: %s", path, strerror(errno));
    }
    enum leat_err err = leat_lmdb_lock_directory(&lmdb, path, why);
    if (err == LEAT_OK) {
        err = leat_lmdb_check_data_file(&lmdb, why);
    }
    if (err == LEAT_OK) {
        err = check_file(path, options, UINT64_MAX, found, context, &pages, why);
    }
    if (err == LEAT_OK && pages.is_missing) {
        err = leat_fail(why, LEAT_ERR_REFUSED, "there is no store in %s", path);
    }
    if (lmdb.lock_fd >= 0) {
        close(lmdb.lock_fd);
    }
    free(lmdb.path);
    if (err == LEAT_OK) {
        *ret_pages = (struct leat_store_pages){pages.used, pages.free};
        err = pages.found == 0 ? LEAT_OK : LEAT_ERR_CORRUPT;
    }
    return err;
}
