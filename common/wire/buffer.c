#include "wire/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"

enum { FIRST_CAPACITY = 256 };

void leat_wire_buffer_init(struct leat_wire_buffer *buffer, size_t limit)
{
    *buffer = (struct leat_wire_buffer){.limit = limit};
}

void leat_wire_buffer_fini(struct leat_wire_buffer *buffer)
{
    free(buffer->data);
    leat_wire_buffer_init(buffer, buffer->limit);
}

void leat_wire_buffer_clear(struct leat_wire_buffer *buffer)
{
    buffer->size = 0;
}

enum leat_err leat_wire_buffer_reserve(struct leat_wire_buffer *buffer, size_t more)
{
    size_t limit = buffer->limit > 0 ? buffer->limit : LEAT_MESSAGE_BYTES_MAX;
    if (buffer->size > limit || more > limit - buffer->size) {
        return LEAT_ERR_LIMIT;
    }
    size_t needed = buffer->size + more;
    if (needed <= buffer->capacity) {
        return LEAT_OK;
    }
    /* Doubling makes appends cheap on the whole; who knows what comes gets just that. */
    size_t capacity = buffer->capacity > limit / 2 ? limit : buffer->capacity * 2;
    capacity = capacity > FIRST_CAPACITY || FIRST_CAPACITY > limit ? capacity : FIRST_CAPACITY;
    capacity = capacity > needed ? capacity : needed;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        return LEAT_ERR_MEMORY;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return LEAT_OK;
}

enum leat_err leat_wire_buffer_append(struct leat_wire_buffer *buffer, const void *data,
                                      size_t size)
{
    enum leat_err err = leat_wire_buffer_reserve(buffer, size);
    if (err != LEAT_OK) {
        return err;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
    }
    return LEAT_OK;
}

uint8_t *leat_wire_buffer_release(struct leat_wire_buffer *buffer, size_t *ret_size)
{
    uint8_t *data = buffer->data;
    *ret_size = buffer->size;
    leat_wire_buffer_init(buffer, buffer->limit);
    return data;
}
