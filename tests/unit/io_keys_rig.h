/* A directory of keys under TMPDIR for one test. */
#ifndef LEAT_TESTS_UNIT_IO_KEYS_RIG_H
#define LEAT_TESTS_UNIT_IO_KEYS_RIG_H

#include "cmocka_all.h"

#include "io/key_file.h"

#define KEYS_PATH_BYTES 256

struct keys_rig {
    char directory[KEYS_PATH_BYTES];
};

/* For cmocka: *state is a struct keys_rig. */
int keys_setup(void **state);
int keys_teardown(void **state);
/* The path of a file in the directory; static storage, overwritten by later calls. */
const char *keys_path(const struct keys_rig *rig, const char *file);
void keys_write(const struct keys_rig *rig, const char *file, const char *text, unsigned mode);
/* Makes NAME.pub (and, without a role of its own, no NAME.key); what was drawn is returned. */
struct leat_key_file keys_new(const struct keys_rig *rig, const char *name, enum leat_role role,
                              const char *queues);
void keys_remove(const struct keys_rig *rig, const char *name);

#endif
