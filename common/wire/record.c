#include "wire/record.h"

#include <assert.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/limits.h"
#include "wire/writer.h"

enum { VERSION_AT = 0, CRC_AT = 1, CRC_BYTES = 4 };

/* Of many bytes so many are copied before their checksum is taken: while they are near. */
#define STEP_BYTES (32 << 10)

/* Least significant byte first. */
static void store_u32(uint8_t at[4], uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* The version is covered too: a damaged version byte must not pass for a record of another age. The
 * key's size tells where the key ends and the payload begins. Put together in a word: it is read as
 * one right afterwards, and the processor waits for a word that was just written byte by byte. */
static uint32_t checksum_of_head(const uint8_t *sealed, struct leat_record_place place)
{
    assert(place.table <= UINT8_MAX && place.key.size <= UINT16_MAX);
    uint8_t head[4];
    store_u32(head, sealed[VERSION_AT] | place.table << 8 | (uint32_t)place.key.size << 16);
    return leat_crc32c(leat_crc32c(0, head, sizeof head), place.key.data, place.key.size);
}

static uint32_t checksum(const uint8_t *sealed, size_t size, struct leat_record_place place)
{
    return leat_crc32c(checksum_of_head(sealed, place), sealed + LEAT_RECORD_SEAL_BYTES,
                       size - LEAT_RECORD_SEAL_BYTES);
}

enum leat_err leat_record_begin(struct leat_wire_buffer *out, size_t *ret_start)
{
    enum leat_err err = leat_wire_buffer_reserve(out, LEAT_RECORD_SEAL_BYTES);
    if (err == LEAT_OK) {
        *ret_start = out->size;
        out->data[out->size + VERSION_AT] = LEAT_STORE_VERSION; /* end writes the rest */
        out->size += LEAT_RECORD_SEAL_BYTES;
    }
    return err;
}

void leat_record_end(struct leat_wire_buffer *out, size_t start, struct leat_record_place place)
{
    assert(start + LEAT_RECORD_SEAL_BYTES <= out->size);
    uint8_t *sealed = out->data + start;
    store_u32(sealed + CRC_AT, checksum(sealed, out->size - start, place));
}

/* Room for each of the three heads, which writes more than it is long. */
#define BIN_HEAD_BYTES (3 * LEAT_WIRE_HEAD_BYTES_MAX)

/* The array, the version, the head of the BIN; how many bytes. */
static size_t form_bin_head(uint8_t head[BIN_HEAD_BYTES], size_t size)
{
    uint8_t *at = leat_wire_form_array(head, 2);
    at = leat_wire_form_u64(at, LEAT_RECORD_VERSION);
    return (size_t)(leat_wire_form_bin_head(at, size) - head);
}

size_t leat_record_bin_bytes(size_t size)
{
    uint8_t head[BIN_HEAD_BYTES];
    return LEAT_RECORD_SEAL_BYTES + form_bin_head(head, size) + size;
}

uint32_t leat_record_seal_bin(struct leat_record_place place, struct leat_bytes bytes,
                              uint8_t *ret_sealed)
{
    ret_sealed[VERSION_AT] = LEAT_STORE_VERSION;
    uint8_t head[BIN_HEAD_BYTES];
    size_t head_bytes = form_bin_head(head, bytes.size);
    memcpy(ret_sealed + LEAT_RECORD_SEAL_BYTES, head, head_bytes);
    uint8_t *at = ret_sealed + LEAT_RECORD_SEAL_BYTES + head_bytes;
    uint32_t crc = leat_crc32c(0, head, head_bytes);
    for (size_t done = 0; done < bytes.size; done += STEP_BYTES) {
        size_t size = bytes.size - done < STEP_BYTES ? bytes.size - done : STEP_BYTES;
        memcpy(at + done, bytes.data + done, size);
        crc = leat_crc32c(crc, at + done, size);
    }
    const size_t size = head_bytes + bytes.size;
    store_u32(ret_sealed + CRC_AT,
              leat_crc32c_join(checksum_of_head(ret_sealed, place), crc, size));
    return leat_crc32c_join(leat_crc32c(0, ret_sealed, LEAT_RECORD_SEAL_BYTES), crc, size);
}

enum leat_err leat_record_seal(struct leat_record_place place, struct leat_bytes payload,
                               struct leat_wire_buffer *out)
{
    size_t before = out->size;
    size_t start;
    enum leat_err err = leat_record_begin(out, &start);
    if (err != LEAT_OK) {
        return err;
    }
    err = leat_wire_buffer_append(out, payload.data, payload.size);
    if (err != LEAT_OK) {
        out->size = before;
        return err;
    }
    leat_record_end(out, start, place);
    return LEAT_OK;
}

enum leat_err leat_record_unseal(struct leat_bytes sealed, struct leat_record_place place,
                                 struct leat_bytes *ret_payload, struct leat_why *why)
{
    if (sealed.size < LEAT_RECORD_SEAL_BYTES) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "record is %zu bytes, shorter than its seal of %d",
                         sealed.size, LEAT_RECORD_SEAL_BYTES);
    }
    uint32_t stored = 0;
    for (unsigned i = 0; i < CRC_BYTES; i++) {
        stored |= (uint32_t)sealed.data[CRC_AT + i] << (8 * i);
    }
    uint32_t actual = checksum(sealed.data, sealed.size, place);
    if (stored != actual) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "record of %zu bytes has checksum %08x, its seal says %08x", sealed.size,
                         actual, stored);
    }
    if (sealed.data[VERSION_AT] != LEAT_STORE_VERSION) {
        return leat_fail(why, LEAT_ERR_VERSION, "store version %u, this program reads %d",
                         sealed.data[VERSION_AT], LEAT_STORE_VERSION);
    }
    *ret_payload = (struct leat_bytes){sealed.data + LEAT_RECORD_SEAL_BYTES,
                                       sealed.size - LEAT_RECORD_SEAL_BYTES};
    return LEAT_OK;
}

bool leat_record_intact(struct leat_bytes sealed, struct leat_record_place place)
{
    struct leat_bytes payload;
    return leat_record_unseal(sealed, place, &payload, NULL) == LEAT_OK;
}
