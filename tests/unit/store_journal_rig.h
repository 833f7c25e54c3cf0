/* What the tests of the journal share: a store that has one, writes that tell their number, and
 * what a crash leaves of its files. */
#ifndef LEAT_TESTS_STORE_JOURNAL_RIG_H
#define LEAT_TESTS_STORE_JOURNAL_RIG_H

#include <sys/types.h>

#include "store/journaled.h"
#include "store_directory.h"

extern const struct leat_bytes key, value;

#define FILES 4
extern const char *const files[FILES]; /* of a store; data.mdb first */

/* For cmocka: a directory, and no faults; a store that is opened there has a journal, or none. */
int setup(void **state);
int setup_lmdb(void **state);

/* With a journal that is applied when so much waits; 0: as in a broker. */
struct leat_store *open_with(const struct store_directory *directory, uint64_t journal_bytes);
void sync_store(struct leat_store *store);
/* Waits for the store's descriptor and takes note, until `is_reached`. */
void advance_until(struct leat_store *store, bool (*is_reached)(struct leat_store *));
bool has_room(struct leat_store *store);
bool has_no_room(struct leat_store *store);
bool is_committed(struct leat_store *store);

struct leat_bytes number_key(uint64_t number, uint8_t bytes[8]);
void put_number(struct leat_store *store, uint64_t number, size_t size);
/* Numbers 0 to count - 1 are there, and nothing else in their table. */
void assert_numbers(struct leat_store *store, uint64_t count);

void copy_file(const char *from, const char *to);
/* The directory as a process that is killed now would leave it. */
void crash(const struct store_directory *directory, struct store_directory *ret_left);
/* Ten batches of one number each, in the journal only; and what a crash leaves of them. */
void leave_ten(void **state, struct store_directory *ret_left);
/* Changes a bit of a file. */
void flip(const struct store_directory *directory, const char *name, off_t offset);

#endif
