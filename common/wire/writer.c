#include "wire/writer.h"

#include "core/utf8.h"

void leat_wire_writer_init(struct leat_wire_writer *writer, struct leat_wire_buffer *out)
{
    *writer = (struct leat_wire_writer){.out = out, .start = out->size};
}

enum leat_err leat_wire_writer_finish(struct leat_wire_writer *writer)
{
    if (writer->err != LEAT_OK) {
        writer->out->size = writer->start;
    }
    return writer->err;
}

static void fail(struct leat_wire_writer *writer, enum leat_err err)
{
    if (writer->err == LEAT_OK) {
        writer->err = err;
    }
}

void leat_wire_writer_raw(struct leat_wire_writer *writer, const void *data, size_t size)
{
    if (writer->err == LEAT_OK) {
        writer->err = leat_wire_buffer_append(writer->out, data, size);
    }
}

uint8_t *leat_wire_writer_more_room(struct leat_wire_writer *writer, size_t bytes)
{
    if (writer->err == LEAT_OK) {
        writer->err = leat_wire_buffer_reserve(writer->out, bytes);
    }
    return writer->err == LEAT_OK ? writer->out->data + writer->out->size : NULL;
}

/* Lengths in one, two or four bytes have heads that follow each other. */
static uint8_t *form_length(uint8_t *at, uint8_t first_head, size_t size)
{
    if (size > UINT16_MAX) {
        return leat_wire_form_number(at, (uint8_t)(first_head + 2), size, 4);
    }
    return size > UINT8_MAX ? leat_wire_form_number(at, (uint8_t)(first_head + 1), size, 2)
                            : leat_wire_form_number(at, first_head, size, 1);
}

static uint8_t *form_raw(uint8_t *at, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(at, data, size);
    }
    return at + size;
}

uint8_t *leat_wire_form_any_str(struct leat_wire_writer *writer, uint8_t *at, struct leat_str text,
                                uint64_t max)
{
    if (text.size > max) {
        fail(writer, LEAT_ERR_LIMIT);
        return at;
    }
    if (!leat_utf8_valid(text.data, text.size)) {
        fail(writer, LEAT_ERR_INVALID);
        return at;
    }
    if (text.size < 32) {
        at[0] = (uint8_t)(0xa0 | text.size);
        return form_raw(at + 1, text.data, text.size);
    }
    return form_raw(form_length(at, 0xd9, text.size), text.data, text.size);
}

uint8_t *leat_wire_form_bin_head(uint8_t *at, size_t size)
{
    return form_length(at, 0xc4, size);
}

uint8_t *leat_wire_form_bin(struct leat_wire_writer *writer, uint8_t *at, struct leat_bytes bytes,
                            uint64_t max)
{
    if (bytes.size > max) {
        fail(writer, LEAT_ERR_LIMIT);
        return at;
    }
    return form_raw(form_length(at, 0xc4, bytes.size), bytes.data, bytes.size);
}

void leat_wire_writer_str(struct leat_wire_writer *writer, struct leat_str text, uint64_t max)
{
    uint8_t *at = leat_wire_writer_room(writer, LEAT_WIRE_HEAD_BYTES_MAX + text.size);
    if (at != NULL) {
        leat_wire_writer_end(writer, leat_wire_form_str(writer, at, text, max));
    }
}

void leat_wire_writer_bin(struct leat_wire_writer *writer, struct leat_bytes bytes, uint64_t max)
{
    uint8_t *at = leat_wire_writer_room(writer, LEAT_WIRE_HEAD_BYTES_MAX + bytes.size);
    if (at != NULL) {
        leat_wire_writer_end(writer, leat_wire_form_bin(writer, at, bytes, max));
    }
}

bool leat_wire_writer_list(struct leat_wire_writer *writer, size_t count, uint64_t max)
{
    if (count > max) {
        fail(writer, LEAT_ERR_LIMIT);
    } else {
        leat_wire_writer_array(writer, count);
    }
    return writer->err == LEAT_OK;
}
