/* Room for a message that holds large values, before it is written. */
#ifndef LEAT_WIRE_BULK_H
#define LEAT_WIRE_BULK_H

#include "core/messages.h"
#include "wire/buffer.h"

/* From so many bytes of byte strings on. */
#define LEAT_WIRE_BULK_BYTES_MIN (16 << 10)

/* Makes room for all that the message may ask for, if its items hold that much: a buffer that grew
 * by doubling would have copied most of it, and could be twice as large as what it holds. That
 * there is no such room is told when the message is written. */
void leat_wire_reserve_bulk(const struct leat_msg *msg, struct leat_wire_buffer *out);

#endif
