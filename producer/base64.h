/* Base64 (RFC 4648 section 4), for payloads in JSON. */
#ifndef LEAT_PRODUCER_BASE64_H
#define LEAT_PRODUCER_BASE64_H

#include <stddef.h>

#include "core/err.h"
#include "core/view.h"

/* *ret_bytes is the caller's to free(). LEAT_ERR_INVALID when it is no padded base64,
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_base64_decode(struct leat_str text, unsigned char **ret_bytes,
                                               size_t *ret_size);

/* A terminated text, the caller's to free(); NULL when memory is out. */
char *leat_base64_encode(struct leat_bytes bytes);

#endif
