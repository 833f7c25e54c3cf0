/* The check of LMDB's pages and LMDB itself over one file: shared by test_store_pages.c and
 * test_store_damage.c. Everything fails the test when it cannot. */
#ifndef LEAT_TESTS_STORE_PAGES_RIG_H
#define LEAT_TESTS_STORE_PAGES_RIG_H

#include <lmdb.h>

#include "store/lmdb_pages.h"
#include "store_directory.h"

#define PAGE_BYTES 4096

/* A number from the environment. */
uint64_t number_of(const char *name, uint64_t initial);

struct findings {
    char first[256];
    unsigned count;
};

/* All of the file is looked at. */
struct leat_lmdb_pages check_bytes(struct leat_bytes file, struct findings *findings);

/* A file in memory; `bytes` may be changed, which the file on the disk does not see. */
struct image {
    uint8_t *bytes;
    size_t size;
};

struct image read_image(const char *path);
void drop_image(struct image *image);

/* Everything is in order, and every page is accounted for. */
struct leat_lmdb_pages assert_content(const char *path);

void path_in(const struct store_directory *directory, const char *name, char path[256]);

void must(int rc);
MDB_env *open_env(const char *path, unsigned flags);

#endif
