#include "store/journal_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/crc32c.h"
#include "store/slab.h"

#define MAGIC       "leatjrn1"
#define MAGIC_BYTES 8
#define NUMBER_AT   8
#define BODY_AT     16
#define CRC_AT      24
#define CHECK_AT    32
#define WRITE_BYTES 6
#define DEL_FLAG    128

static void store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static size_t padded(size_t bytes)
{
    return (bytes + LEAT_JOURNAL_BLOCK_BYTES - 1) / LEAT_JOURNAL_BLOCK_BYTES *
           LEAT_JOURNAL_BLOCK_BYTES;
}

/* ---- writing ---- */

static void *grown(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void let_go_of_held(struct leat_journal_buffer *buffer)
{
    for (size_t i = 0; i < buffer->held_count; i++) {
        leat_slab_let_go(buffer->held[i].piece);
    }
    buffer->held_count = 0;
    buffer->held_bytes = 0;
}

void leat_journal_buffer_fini(struct leat_journal_buffer *buffer)
{
    let_go_of_held(buffer);
    free(buffer->held);
    free(buffer->parts);
    free(buffer->bytes);
    *buffer = (struct leat_journal_buffer){0};
}

void leat_journal_buffer_clear(struct leat_journal_buffer *buffer, size_t keep_bytes)
{
    let_go_of_held(buffer);
    if (buffer->capacity > keep_bytes) {
        leat_journal_buffer_fini(buffer);
    }
    buffer->size = 0;
    buffer->writes = 0;
}

static void reserve(struct leat_journal_buffer *buffer, size_t more)
{
    size_t need = padded((buffer->size == 0 ? LEAT_JOURNAL_HEAD_BYTES : buffer->size) + more);
    if (need > buffer->capacity) {
        size_t capacity = buffer->capacity == 0 ? padded(1) : buffer->capacity;
        while (capacity < need) {
            capacity *= 2;
        }
        buffer->bytes = grown(buffer->bytes, capacity);
        buffer->capacity = capacity;
    }
    if (buffer->size == 0) {
        buffer->size = LEAT_JOURNAL_HEAD_BYTES;
    }
}

/* What comes before a value; there is room for it. */
static void add_head(struct leat_journal_buffer *buffer, unsigned table, struct leat_bytes key,
                     const struct leat_bytes *value)
{
    assert(table < DEL_FLAG && key.size <= UINT8_MAX);
    uint8_t *at = buffer->bytes + buffer->size;
    at[0] = (uint8_t)(table | (value == NULL ? DEL_FLAG : 0));
    at[1] = (uint8_t)key.size;
    store_u32(at + 2, value == NULL ? 0 : (uint32_t)value->size);
    memcpy(at + WRITE_BYTES, key.data, key.size);
    buffer->size += WRITE_BYTES + key.size;
    buffer->writes++;
}

void leat_journal_buffer_add(struct leat_journal_buffer *buffer, unsigned table,
                             struct leat_bytes key, const struct leat_bytes *value)
{
    size_t value_bytes = value == NULL ? 0 : value->size;
    reserve(buffer, WRITE_BYTES + key.size + value_bytes);
    add_head(buffer, table, key, value);
    if (value_bytes > 0) {
        memcpy(buffer->bytes + buffer->size, value->data, value_bytes);
        buffer->size += value_bytes;
    }
}

void leat_journal_buffer_add_held(struct leat_journal_buffer *buffer, unsigned table,
                                  struct leat_bytes key, struct leat_bytes value, void *piece)
{
    reserve(buffer, WRITE_BYTES + key.size);
    add_head(buffer, table, key, &value);
    if (buffer->held_count == buffer->held_capacity) {
        buffer->held_capacity = buffer->held_capacity == 0 ? 16 : 2 * buffer->held_capacity;
        buffer->held = grown(buffer->held, buffer->held_capacity * sizeof *buffer->held);
        /* One of the buffer's own before each, and one behind the last. */
        buffer->parts =
            grown(buffer->parts, (2 * buffer->held_capacity + 1) * sizeof *buffer->parts);
    }
    leat_slab_hold(piece);
    buffer->held[buffer->held_count++] =
        (struct leat_journal_held){.at = buffer->size, .value = value, .piece = piece};
    buffer->held_bytes += value.size;
}

void leat_journal_buffer_tell_checksum(struct leat_journal_buffer *buffer, uint32_t crc)
{
    assert(buffer->held_count > 0);
    struct leat_journal_held *last = &buffer->held[buffer->held_count - 1];
    assert(last->at == buffer->size);
    last->crc = crc;
    last->has_crc = true;
}

/* Own bytes and held values in their order; `end` is where the own ones end. */
static size_t form_parts(struct leat_journal_buffer *buffer, size_t end)
{
    size_t count = 0;
    size_t from = 0;
    for (size_t i = 0; i < buffer->held_count; i++) {
        const struct leat_journal_held *held = &buffer->held[i];
        buffer->parts[count++] = leat_bytes_of(buffer->bytes + from, held->at - from);
        buffer->parts[count++] = held->value;
        from = held->at;
    }
    buffer->parts[count++] = leat_bytes_of(buffer->bytes + from, end - from);
    return count;
}

/* Of the body: of the parts without the head and the zeros behind it. */
static uint32_t checksum(const struct leat_journal_buffer *buffer, struct leat_journal_parts parts,
                         size_t zeros)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < parts.count; i++) {
        struct leat_bytes part = parts.items[i];
        const struct leat_journal_held *held = i % 2 == 1 ? &buffer->held[i / 2] : NULL;
        size_t skip = i == 0 ? LEAT_JOURNAL_HEAD_BYTES : 0;
        size_t behind = i + 1 == parts.count ? zeros : 0;
        crc = held != NULL && held->has_crc
                  ? leat_crc32c_join(crc, held->crc, part.size)
                  : leat_crc32c(crc, part.data + skip, part.size - skip - behind);
    }
    return crc;
}

struct leat_journal_parts leat_journal_buffer_finish(struct leat_journal_buffer *buffer,
                                                     struct leat_hash_key key, uint64_t number)
{
    reserve(buffer, 0);
    size_t used = buffer->size + buffer->held_bytes;
    size_t zeros = padded(used) - used;
    reserve(buffer, zeros);
    if (buffer->parts == NULL) {
        buffer->parts = grown(NULL, sizeof *buffer->parts);
    }
    uint8_t *head = buffer->bytes;
    memset(head + buffer->size, 0, zeros);
    struct leat_journal_parts parts = {buffer->parts, form_parts(buffer, buffer->size + zeros),
                                       used + zeros};
    uint32_t crc = checksum(buffer, parts, zeros);
    memcpy(head, MAGIC, MAGIC_BYTES);
    leat_big_endian_store(head + NUMBER_AT, number);
    leat_big_endian_store(head + BODY_AT, used - LEAT_JOURNAL_HEAD_BYTES);
    store_u32(head + CRC_AT, crc);
    store_u32(head + CRC_AT + 4, buffer->writes);
    leat_big_endian_store(head + CHECK_AT, leat_hash_bytes(key, head, CHECK_AT));
    return parts;
}

size_t leat_journal_buffer_bytes(const struct leat_journal_buffer *buffer)
{
    return padded(buffer->size + buffer->held_bytes);
}

/* Copies what is held to where it belongs. */
static void gather(struct leat_journal_buffer *buffer)
{
    size_t size = buffer->size + buffer->held_bytes;
    size_t capacity = padded(size);
    uint8_t *bytes = grown(NULL, capacity);
    uint8_t *at = bytes;
    size_t count = form_parts(buffer, buffer->size);
    for (size_t i = 0; i < count; i++) {
        if (buffer->parts[i].size > 0) {
            memcpy(at, buffer->parts[i].data, buffer->parts[i].size);
            at += buffer->parts[i].size;
        }
    }
    let_go_of_held(buffer);
    free(buffer->bytes);
    buffer->bytes = bytes;
    buffer->size = size;
    buffer->capacity = capacity;
}

struct leat_bytes leat_journal_buffer_body(struct leat_journal_buffer *buffer)
{
    if (buffer->held_count > 0) {
        gather(buffer);
    }
    return leat_bytes_of(buffer->bytes + LEAT_JOURNAL_HEAD_BYTES,
                         buffer->size - LEAT_JOURNAL_HEAD_BYTES);
}

/* ---- reading ---- */

struct leat_hash_key leat_journal_key(const struct leat_id *store)
{
    return (struct leat_hash_key){
        {leat_big_endian_load(store->bytes), leat_big_endian_load(store->bytes + 8)}};
}

enum leat_journal_found leat_journal_record_read(struct leat_bytes bytes, struct leat_hash_key key,
                                                 struct leat_journal_record *ret_record)
{
    const uint8_t *head = bytes.data;
    if (bytes.size < LEAT_JOURNAL_HEAD_BYTES || memcmp(head, MAGIC, MAGIC_BYTES) != 0 ||
        leat_big_endian_load(head + CHECK_AT) != leat_hash_bytes(key, head, CHECK_AT)) {
        return LEAT_JOURNAL_NOTHING;
    }
    uint64_t body = leat_big_endian_load(head + BODY_AT);
    *ret_record = (struct leat_journal_record){.number = leat_big_endian_load(head + NUMBER_AT)};
    if (body > bytes.size - LEAT_JOURNAL_HEAD_BYTES ||
        leat_crc32c(0, head + LEAT_JOURNAL_HEAD_BYTES, (size_t)body) != load_u32(head + CRC_AT)) {
        return LEAT_JOURNAL_PART;
    }
    ret_record->body = leat_bytes_of(head + LEAT_JOURNAL_HEAD_BYTES, (size_t)body);
    ret_record->blocks = padded(LEAT_JOURNAL_HEAD_BYTES + (size_t)body) / LEAT_JOURNAL_BLOCK_BYTES;
    return LEAT_JOURNAL_WHOLE;
}

enum leat_err leat_journal_next(struct leat_bytes *body, struct leat_journal_write *ret_write)
{
    if (body->size == 0) {
        return LEAT_ERR_NOT_FOUND;
    }
    if (body->size < WRITE_BYTES) {
        return LEAT_ERR_CORRUPT;
    }
    const uint8_t *at = body->data;
    size_t key_bytes = at[1];
    size_t value_bytes = load_u32(at + 2);
    size_t left = body->size - WRITE_BYTES;
    if (key_bytes == 0 || key_bytes > left || value_bytes > left - key_bytes) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_write = (struct leat_journal_write){
        .table = at[0] & (DEL_FLAG - 1U),
        .is_del = (at[0] & DEL_FLAG) != 0,
        .key = leat_bytes_of(at + WRITE_BYTES, key_bytes),
        .value = leat_bytes_of(at + WRITE_BYTES + key_bytes, value_bytes),
    };
    size_t size = WRITE_BYTES + key_bytes + value_bytes;
    *body = leat_bytes_of(at + size, body->size - size);
    return LEAT_OK;
}
