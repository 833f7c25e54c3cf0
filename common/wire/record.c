#include "wire/record.h"

#include <assert.h>

#include "core/crc32c.h"
#include "core/limits.h"

enum { VERSION_AT = 0, CRC_AT = 1, CRC_BYTES = 4 };

/* The version is covered too: a damaged version byte must not pass for a record of another age. The
 * key's size tells where the key ends and the payload begins. */
static uint32_t checksum(const uint8_t *sealed, size_t size, struct leat_record_place place)
{
    assert(place.table <= UINT8_MAX && place.key.size <= UINT16_MAX);
    const uint8_t head[] = {sealed[VERSION_AT], (uint8_t)place.table, (uint8_t)place.key.size,
                            (uint8_t)(place.key.size >> 8)};
    uint32_t crc = leat_crc32c(0, head, sizeof head);
    crc = leat_crc32c(crc, place.key.data, place.key.size);
    return leat_crc32c(crc, sealed + LEAT_RECORD_SEAL_BYTES, size - LEAT_RECORD_SEAL_BYTES);
}

enum leat_err leat_record_begin(struct leat_wire_buffer *out, size_t *ret_start)
{
    static const uint8_t empty[LEAT_RECORD_SEAL_BYTES] = {LEAT_STORE_VERSION};
    size_t start = out->size;
    enum leat_err err = leat_wire_buffer_append(out, empty, sizeof(empty));
    if (err == LEAT_OK) {
        *ret_start = start;
    }
    return err;
}

void leat_record_end(struct leat_wire_buffer *out, size_t start, struct leat_record_place place)
{
    assert(start + LEAT_RECORD_SEAL_BYTES <= out->size);
    uint8_t *sealed = out->data + start;
    uint32_t crc = checksum(sealed, out->size - start, place);
    for (unsigned i = 0; i < CRC_BYTES; i++) {
        sealed[CRC_AT + i] = (uint8_t)(crc >> (8 * i));
    }
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
