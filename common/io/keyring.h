/* The keys that a broker knows: every NAME.pub of a directory, and the broker's own. Unchangeable
 * once loaded; the guard (io/guard.h) makes a new one when the directory has changed.
 *
 * NAME comes from the file's name, never from inside it: who copies the file decides what it is
 * called. A file that cannot be used is logged (key_refused) and its key is not known. */
#ifndef LEAT_IO_KEYRING_H
#define LEAT_IO_KEYRING_H

#include "core/policy.h"

#define LEAT_KEYRING_KEYS_MAX 16384

struct leat_keyring;

/* LEAT_ERR_IO: the directory cannot be read, `why` says why. `own` (may be NULL) is known with role
 * broker, whatever the directory says. Two files with one key: the first by name counts. */
LEAT_MUST_USE enum leat_err leat_keyring_load(const char *directory, const struct leat_key *own,
                                              struct leat_keyring **ret_keyring,
                                              struct leat_why *why);
/* Knows `own` and nobody else: for a directory that cannot be read. */
struct leat_keyring *leat_keyring_new_empty(const struct leat_key *own);

/* Counted: each holder releases. Any thread. */
struct leat_keyring *leat_keyring_hold(struct leat_keyring *keyring);
void leat_keyring_release(struct leat_keyring **keyring);

/* NULL: not known. By the key's 40 characters, which are ZAP's User-Id here, or by its bytes. What
 * is returned lives as long as the keyring. */
const struct leat_principal *leat_keyring_find_text(const struct leat_keyring *keyring,
                                                    const char *text);
const struct leat_principal *leat_keyring_find(const struct leat_keyring *keyring,
                                               const struct leat_key *key);
size_t leat_keyring_count(const struct leat_keyring *keyring);
const struct leat_principal *leat_keyring_at(const struct leat_keyring *keyring, size_t index);

/* A number that changes when any NAME.pub of the directory does: names, sizes, times, inodes. Reads
 * the directory and no file. 0: it cannot be read. */
uint64_t leat_keyring_look(const char *directory);

#endif
