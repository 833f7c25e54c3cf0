/* What a store writes to its files, call by call: the calls are replaced in the test's
 * executable (as in store_faults.c), do the real thing, and are kept in order. From them a test can
 * build every file that a power cut may leave behind. */
#ifndef LEAT_TESTS_STORE_RECORDER_H
#define LEAT_TESTS_STORE_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum store_recorded_kind {
    STORE_RECORDED_WRITE =
        1, /* offset, bytes; with is_flushed: on the disk when the call returns */
    STORE_RECORDED_FLUSH = 2, /* everything before is on the disk when the call returns */
    STORE_RECORDED_SIZE = 3,  /* the file is at least that long */
};

enum {
    STORE_RECORDED_DATA = 0, /* data.mdb; then journal-0, journal-1 */
    STORE_RECORDED_FILES = 3,
};
extern const char *const store_recorded_names[STORE_RECORDED_FILES];

struct store_recorded {
    enum store_recorded_kind kind;
    int file;
    bool is_flushed;
    uint64_t offset, size;
    uint8_t *bytes; /* owned by the recorder */
};

/* Nothing is recorded before begin and after end; one recording at a time, of any thread. */
void store_recorder_begin(void);
void store_recorder_end(void);
size_t store_recorder_count(void);
const struct store_recorded *store_recorder_at(size_t index);
void store_recorder_free(void);

/* From now on flushes and allocations do nothing: for stores that are opened only to be looked at.
 */
void store_recorder_skip_flushes(bool skip);

#endif
