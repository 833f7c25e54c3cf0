#include "store_directory.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/journaled.h"

static const char *const tables[] = {"first", "second", "third", "fourth"};

const struct leat_store_options store_directory_options = {
    .role = "ventilator",
    .tables = tables,
    .table_count = 4,
    .max_bytes = 1 << 30,
};

bool store_directory_has_journal;

int store_directory_setup(void **state)
{
    struct store_directory *directory = calloc(1, sizeof *directory);
    const char *base = getenv("TMPDIR");
    snprintf(directory->root, sizeof directory->root, "%.80s/leat-store-XXXXXX",
             base != NULL ? base : "/tmp");
    if (mkdtemp(directory->root) == NULL) {
        free(directory);
        return -1;
    }
    snprintf(directory->path, sizeof directory->path, "%.100s/store", directory->root);
    *state = directory;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int store_directory_teardown(void **state)
{
    struct store_directory *directory = *state;
    int rc = nftw(directory->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(directory);
    return rc;
}

enum leat_err store_directory_try(const char *path, struct leat_store **ret_store,
                                  struct leat_why *why)
{
    struct leat_store_options options = store_directory_options;
    if (store_directory_has_journal) {
        options.journal_bytes = 20000;
        return leat_store_open_journaled(path, &options, ret_store, why);
    }
    return leat_store_open_lmdb(path, &options, ret_store, why);
}

struct leat_store *store_directory_open(const struct store_directory *directory)
{
    struct leat_why why = {""};
    struct leat_store *store = NULL;
    if (store_directory_try(directory->path, &store, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return store;
}
