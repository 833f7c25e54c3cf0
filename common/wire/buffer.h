/* A growable run of bytes with a limit: what messages and records are encoded into.
 *
 * Caller's storage; the bytes are owned by the buffer. It keeps its memory when it is cleared, so
 * that the steady state allocates nothing. A failed call leaves the contents as they were. Not
 * thread-safe; never blocks.
 */
#ifndef LEAT_WIRE_BUFFER_H
#define LEAT_WIRE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/view.h"

struct leat_wire_buffer {
    uint8_t *data; /* owned; NULL until something is appended */
    size_t size;
    size_t capacity;
    size_t limit; /* size never exceeds this; 0: LEAT_MESSAGE_BYTES_MAX */
};

/* Allocates nothing yet. A buffer that is all zero is a valid empty one with the default limit. */
void leat_wire_buffer_init(struct leat_wire_buffer *buffer, size_t limit);
/* Frees the bytes and leaves an empty buffer with the same limit. */
void leat_wire_buffer_fini(struct leat_wire_buffer *buffer);
/* Forgets the contents, keeps the memory. */
void leat_wire_buffer_clear(struct leat_wire_buffer *buffer);

/* Makes room for `more` bytes after the contents. LEAT_ERR_LIMIT when the limit would be exceeded,
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_wire_buffer_reserve(struct leat_wire_buffer *buffer, size_t more);
/* Copies `size` bytes (data may be NULL when size is 0). Errors as for reserve. */
LEAT_MUST_USE enum leat_err leat_wire_buffer_append(struct leat_wire_buffer *buffer,
                                                    const void *data, size_t size);
/* Hands the bytes over: the caller frees() them; the buffer is empty afterwards. NULL and size 0
 * when there are none. For sends that do not copy. */
uint8_t *leat_wire_buffer_release(struct leat_wire_buffer *buffer, size_t *ret_size);

/* The contents, borrowed until the next call that changes the buffer. */
static inline struct leat_bytes leat_wire_buffer_view(const struct leat_wire_buffer *buffer)
{
    return (struct leat_bytes){buffer->data, buffer->size};
}

#endif
