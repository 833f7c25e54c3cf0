/* One readable line about a message, for LEAT_LOG=trace:
 *
 *   SUBMIT producer=0190… batch=7 jobs=2[{id=0190… queue="mail" type="send" … body=131B} …]
 *
 * A BIN shows only its size, never its bytes, because payloads do not belong into logs. A STR is
 * quoted, shortened, and free of control characters. A list shows its count and its first items. */
#ifndef LEAT_WIRE_DUMP_H
#define LEAT_WIRE_DUMP_H

#include <stddef.h>

#include "core/messages.h"

#define LEAT_WIRE_DUMP_BYTES 1024 /* a good size for `text` */

/* Writes at most size - 1 characters and a zero; a line that does not fit ends in "...". `size` is
 * at least 8. Returns text. Pure, does not allocate. */
const char *leat_wire_dump(const struct leat_msg *msg, char *text, size_t size);

#endif
