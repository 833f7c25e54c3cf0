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

/* A head and the bytes that it stands for. */
static void write_sized(struct leat_wire_writer *writer, const uint8_t *head, size_t head_size,
                        const void *data, size_t size)
{
    if (writer->err != LEAT_OK) {
        return;
    }
    struct leat_wire_buffer *out = writer->out;
    enum leat_err err = leat_wire_buffer_reserve(out, head_size + size);
    if (err != LEAT_OK) {
        writer->err = err;
        return;
    }
    uint8_t *at = out->data + out->size;
    memcpy(at, head, head_size);
    if (size > 0) {
        memcpy(at + head_size, data, size);
    }
    out->size += head_size + size;
}

/* Lengths in one, two or four bytes have heads that follow each other. */
static size_t form_length(uint8_t *at, uint8_t first_head, size_t size)
{
    if (size > UINT16_MAX) {
        return leat_wire_form_number(at, (uint8_t)(first_head + 2), size, 4);
    }
    return size > UINT8_MAX ? leat_wire_form_number(at, (uint8_t)(first_head + 1), size, 2)
                            : leat_wire_form_number(at, first_head, size, 1);
}

void leat_wire_writer_str(struct leat_wire_writer *writer, struct leat_str text, uint64_t max)
{
    uint8_t head[LEAT_WIRE_HEAD_BYTES_MAX] = {(uint8_t)(0xa0 | text.size)};
    if (text.size > max) {
        fail(writer, LEAT_ERR_LIMIT);
    } else if (!leat_utf8_valid(text.data, text.size)) {
        fail(writer, LEAT_ERR_INVALID);
    } else {
        size_t head_size = text.size < 32 ? 1 : form_length(head, 0xd9, text.size);
        write_sized(writer, head, head_size, text.data, text.size);
    }
}

void leat_wire_writer_bin(struct leat_wire_writer *writer, struct leat_bytes bytes, uint64_t max)
{
    uint8_t head[LEAT_WIRE_HEAD_BYTES_MAX];
    if (bytes.size > max) {
        fail(writer, LEAT_ERR_LIMIT);
    } else {
        write_sized(writer, head, form_length(head, 0xc4, bytes.size), bytes.data, bytes.size);
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
