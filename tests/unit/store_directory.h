/* A directory under TMPDIR for one test, and the LMDB store in it. */
#ifndef LEAT_TESTS_STORE_DIRECTORY_H
#define LEAT_TESTS_STORE_DIRECTORY_H

#include "store/lmdb.h"

#define STORE_DIRECTORY_BYTES 128

struct store_directory {
    char root[STORE_DIRECTORY_BYTES];
    char path[STORE_DIRECTORY_BYTES]; /* inside root; not made yet */
};

extern const struct leat_store_options store_directory_options;
/* From now on store_directory_open opens with a journal, which is applied often. */
extern bool store_directory_has_journal;

/* For cmocka: *state is a struct store_directory. */
int store_directory_setup(void **state);
int store_directory_teardown(void **state);
/* The store, or why not. */
enum leat_err store_directory_try(const char *path, struct leat_store **ret_store,
                                  struct leat_why *why);
/* Fails the test when it cannot. */
struct leat_store *store_directory_open(const struct store_directory *directory);

#endif
