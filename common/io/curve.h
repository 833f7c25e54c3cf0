/* The two ends of an encrypted socket (CURVE, RFC 26): who connects needs a key pair of its own and
 * the public key of the server; who binds needs a key pair and a guard that knows the peers. */
#ifndef LEAT_IO_CURVE_H
#define LEAT_IO_CURVE_H

#include "core/policy.h"

/* Texts of Z85. All zero: not encrypted. */
struct leat_curve {
    bool on;
    char own_public[LEAT_KEY_TEXT_BYTES];
    char own_secret[LEAT_KEY_TEXT_BYTES];
    char server[LEAT_KEY_TEXT_BYTES]; /* "": this is the server */
    struct leat_key own;              /* own_public's bytes */
};

/* What a client needs, from the path of its private file and the server's public key (the path of a
 * .pub file, or its 40 characters). Both NULL: off. LEAT_ERR_INVALID when one is missing; else as
 * leat_key_file_read_private. Texts name the options --key and --server-key. */
LEAT_MUST_USE enum leat_err leat_curve_read_client(const char *key, const char *server_key,
                                                   struct leat_curve *ret_curve,
                                                   struct leat_why *why);
/* What a server needs. */
LEAT_MUST_USE enum leat_err leat_curve_read_server(const char *key, struct leat_curve *ret_curve,
                                                   struct leat_why *why);
/* A public key in either form. */
LEAT_MUST_USE enum leat_err
leat_curve_read_public(const char *key, char ret_text[LEAT_KEY_TEXT_BYTES], struct leat_why *why);
void leat_curve_wipe(struct leat_curve *curve);

#endif
