#include "broker/ventilator/record.h"

#include "core/big_endian.h"
#include "core/check.h"
#include "wire/codec.h"
#include "wire/record.h"

#define LEAT_RECORD_TABLE LEAT_VENTILATOR_ITEMS
#define LEAT_RECORD_IMPLEMENT
#include "wire/record_template.h"

const char *const leat_ventilator_table_names[LEAT_VENTILATOR_TABLES] = {
    "meta",     "lanes",  "queues", "producers", "ids",     "ready", "scheduled",
    "retrying", "ending", "bodies", "expiry",    "settled", "counts"};

/* Flips the sign bit, so that times before 1970 sort before those after. */
#define SIGN_BIT (UINT64_C(1) << 63)

static uint64_t ordered(int64_t time)
{
    return (uint64_t)time ^ SIGN_BIT;
}

/* lane | seq | id, put together in words: the key is copied and read in words right afterwards, and
 * the processor waits for a word that has just been written in pieces. */
static void form_job(struct leat_ventilator_key *key, size_t at, const struct leat_id *id,
                     const struct leat_ventilator_place *place)
{
    const uint64_t high = leat_big_endian_load(id->bytes);
    const uint64_t low = leat_big_endian_load(id->bytes + 8);
    leat_big_endian_store(key->bytes + at, (uint64_t)place->lane << 32 | place->seq >> 32);
    leat_big_endian_store(key->bytes + at + 8, place->seq << 32 | high >> 32);
    leat_big_endian_store(key->bytes + at + 16, high << 32 | low >> 32);
    leat_big_endian_store(key->bytes + at + 24, low << 32);
    key->size = at + 12 + LEAT_ID_BYTES;
}

struct leat_ventilator_key leat_ventilator_key_job(const struct leat_id *id,
                                                   const struct leat_ventilator_place *place)
{
    struct leat_ventilator_key key;
    if (place->where == LEAT_VENTILATOR_READY) {
        form_job(&key, 0, id, place);
    } else {
        leat_big_endian_store(key.bytes, ordered(place->due_ms));
        form_job(&key, 8, id, place);
    }
    return key;
}

struct leat_ventilator_key leat_ventilator_key_expiry(const struct leat_id *id,
                                                      int64_t expires_at_ms)
{
    struct leat_ventilator_key key;
    leat_big_endian_store(key.bytes, ordered(expires_at_ms));
    memcpy(key.bytes + 8, id->bytes, LEAT_ID_BYTES);
    key.size = 8 + LEAT_ID_BYTES;
    return key;
}

struct leat_ventilator_key leat_ventilator_key_lane(uint32_t lane)
{
    struct leat_ventilator_key key;
    leat_big_endian_store(key.bytes, (uint64_t)lane << 32);
    key.size = 4;
    return key;
}

struct leat_ventilator_key leat_ventilator_key_number(uint64_t number)
{
    struct leat_ventilator_key key;
    leat_big_endian_store(key.bytes, number);
    key.size = 8;
    return key;
}

struct leat_ventilator_key leat_ventilator_key_ready_from(uint32_t lane, uint64_t from)
{
    struct leat_ventilator_key key;
    leat_big_endian_store(key.bytes, (uint64_t)lane << 32);
    leat_big_endian_store(key.bytes + 4, from);
    key.size = 12;
    return key;
}

static uint64_t take_number(struct leat_bytes *key, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        number = number << 8 | key->data[i];
    }
    key->data += bytes;
    key->size -= bytes;
    return number;
}

static int64_t take_time(struct leat_bytes *key)
{
    return (int64_t)(take_number(key, 8) ^ SIGN_BIT);
}

enum leat_err leat_ventilator_key_read_job(enum leat_ventilator_where where, struct leat_bytes key,
                                           struct leat_id *ret_id,
                                           struct leat_ventilator_place *ret_place)
{
    bool has_due = where != LEAT_VENTILATOR_READY;
    if (key.size != (has_due ? 8U : 0U) + 4 + 8 + LEAT_ID_BYTES) {
        return LEAT_ERR_CORRUPT;
    }
    struct leat_ventilator_place place = {.where = where};
    if (has_due) {
        place.due_ms = take_time(&key);
    }
    place.lane = (uint32_t)(leat_big_endian_load(key.data) >> 32);
    place.seq = leat_big_endian_load(key.data + 4);
    memcpy(ret_id->bytes, key.data + 12, LEAT_ID_BYTES);
    *ret_place = place;
    return LEAT_OK;
}

enum leat_err leat_ventilator_key_read_expiry(struct leat_bytes key, struct leat_id *ret_id,
                                              int64_t *ret_expires_at_ms)
{
    if (key.size != 8 + LEAT_ID_BYTES) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_expires_at_ms = take_time(&key);
    memcpy(ret_id->bytes, key.data, LEAT_ID_BYTES);
    return LEAT_OK;
}

enum leat_err leat_ventilator_key_read_lane(struct leat_bytes key, uint32_t *ret_lane)
{
    if (key.size != 4) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_lane = (uint32_t)take_number(&key, 4);
    return LEAT_OK;
}

enum leat_err leat_ventilator_key_read_number(struct leat_bytes key, uint64_t *ret_number)
{
    if (key.size != 8) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_number = take_number(&key, 8);
    return LEAT_OK;
}

leat_table leat_ventilator_table_of(enum leat_ventilator_where where)
{
    LEAT_ASSERT(where == LEAT_VENTILATOR_READY || where == LEAT_VENTILATOR_SCHEDULED ||
                where == LEAT_VENTILATOR_RETRYING);
    return where == LEAT_VENTILATOR_READY       ? LEAT_VENTILATOR_TABLE_READY
           : where == LEAT_VENTILATOR_SCHEDULED ? LEAT_VENTILATOR_TABLE_SCHEDULED
                                                : LEAT_VENTILATOR_TABLE_RETRYING;
}
