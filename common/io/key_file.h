/* Files that hold a CURVE key, in the format of CZMQ's certificates, so that zcert and pyzmq's
 * zmq.auth read them as well:
 *
 *   metadata
 *       role = "worker"
 *       queues = "mail,thumbs"
 *   curve
 *       public-key = "...40 characters of Z85..."
 *       secret-key = "..."                          in private files only
 *
 * NAME.pub holds the public half and goes into the brokers' directories of keys; NAME.key holds
 * both and stays where it was made. They are read by a bounded reader of our own: zcert copies what
 * it finds in a file into buffers without looking at their sizes. Headings, and entries that are
 * not known, are passed over. */
#ifndef LEAT_IO_KEY_FILE_H
#define LEAT_IO_KEY_FILE_H

#include <stdbool.h>

#include "core/policy.h"

#define LEAT_KEY_PUBLIC_SUFFIX     ".pub"
#define LEAT_KEY_PRIVATE_SUFFIX    ".key"
#define LEAT_KEY_FILE_BYTES_MAX    (16 << 10)
#define LEAT_KEY_QUEUES_BYTES_MAX  (LEAT_SESSION_QUEUES_MAX * (LEAT_QUEUE_BYTES_MAX + 1))
#define LEAT_KEY_FINGERPRINT_BYTES 8 /* of the public key's text: enough to tell keys apart */

struct leat_key_file {
    bool has_role;
    enum leat_role role;
    char queues[LEAT_KEY_QUEUES_BYTES_MAX + 1]; /* names with a comma between; "": all */
    char public_text[LEAT_KEY_TEXT_BYTES];
    struct leat_key public_key;
    bool has_secret;
    char secret_text[LEAT_KEY_TEXT_BYTES]; /* wipe it: leat_key_file_wipe */
};

/* Reads a file that may be read by all.
 *   LEAT_ERR_NOT_FOUND   no such file
 *   LEAT_ERR_IO          cannot be read
 *   LEAT_ERR_INVALID     no key file: `why` names file, line and what is wrong
 * `file` is untouched by failure. */
LEAT_MUST_USE enum leat_err leat_key_file_read(const char *path, struct leat_key_file *file,
                                               struct leat_why *why);

/* The same for a private file: it must hold both halves, and they must belong together; others must
 * not be able to read it. LEAT_ERR_REFUSED names file and mode: allowed are files of our own that
 * nobody else may read, and files of root's that our group may read (as secrets are mounted in
 * containers). */
LEAT_MUST_USE enum leat_err leat_key_file_read_private(const char *path, struct leat_key_file *file,
                                                       struct leat_why *why);

/* Draws a new pair into `file`; role and queues stay. LEAT_ERR_STATE: libzmq was built without
 * CURVE. */
LEAT_MUST_USE enum leat_err leat_key_file_draw(struct leat_key_file *file, struct leat_why *why);

/* Writes one half or both: mode 0644 or 0600. The file appears whole or not at all, and is on the
 * disk when this returns. LEAT_ERR_EXISTS: there is one already, and `replace` is false;
 * LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_key_file_write(const char *path, const struct leat_key_file *file,
                                                bool with_secret, bool replace,
                                                struct leat_why *why);

void leat_key_file_wipe(struct leat_key_file *file);

/* A public key from its text (40 characters of Z85). LEAT_ERR_INVALID. */
LEAT_MUST_USE enum leat_err leat_key_parse(const char *text, struct leat_key *ret_key,
                                           struct leat_why *why);

/* Splits "a,b" and checks the names; `ret_queues` borrows from the text. "" gives none.
 * LEAT_ERR_INVALID, LEAT_ERR_LIMIT. */
LEAT_MUST_USE enum leat_err leat_key_split_queues(const char *text, struct leat_str ret_queues[],
                                                  size_t *ret_count, struct leat_why *why);

#endif
