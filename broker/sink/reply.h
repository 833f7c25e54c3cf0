/* Replies of the metrics actor: built once as a tree, written as JSON text or as msgpack, whichever
 * the request was.
 *
 * Bytes in a tree are an object with the one key "$base64". JSON shows just that; msgpack gets a
 * bin in its place. */
#ifndef LEAT_SINK_REPLY_H
#define LEAT_SINK_REPLY_H

#include <jansson.h>

#include "core/err.h"
#include "core/view.h"
#include "wire/buffer.h"

/* A text from outside: what is not UTF-8 in it is shown as '?'. New reference. */
json_t *leat_reply_text(struct leat_str text);
/* A string when the bytes are UTF-8 without zero bytes, else { "$base64": ... }. New reference. */
json_t *leat_reply_text_or_bytes(struct leat_bytes bytes);
/* Always { "$base64": ... }. New reference. */
json_t *leat_reply_bytes(struct leat_bytes bytes);
/* { "error": { "code", "name", "text" } }. New reference. */
json_t *leat_reply_error(enum leat_err err, const char *text);

/* Appends the tree to `out`; `text`: as one line of JSON. LEAT_ERR_LIMIT, LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_reply_write(json_t *tree, bool text, struct leat_wire_buffer *out);

#endif
