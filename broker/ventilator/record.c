#include "broker/ventilator/record.h"

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

static void add_number(struct leat_ventilator_key *key, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        key->bytes[key->size + i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
    }
    key->size += bytes;
}

static void add_time(struct leat_ventilator_key *key, int64_t time)
{
    add_number(key, (uint64_t)time ^ SIGN_BIT, 8);
}

static void add_id(struct leat_ventilator_key *key, const struct leat_id *id)
{
    memcpy(key->bytes + key->size, id->bytes, LEAT_ID_BYTES);
    key->size += LEAT_ID_BYTES;
}

struct leat_ventilator_key leat_ventilator_key_job(const struct leat_id *id,
                                                   const struct leat_ventilator_place *place)
{
    struct leat_ventilator_key key = {0};
    if (place->where != LEAT_VENTILATOR_READY) {
        add_time(&key, place->due_ms);
    }
    add_number(&key, place->lane, 4);
    add_number(&key, place->seq, 8);
    add_id(&key, id);
    return key;
}

struct leat_ventilator_key leat_ventilator_key_expiry(const struct leat_id *id,
                                                      int64_t expires_at_ms)
{
    struct leat_ventilator_key key = {0};
    add_time(&key, expires_at_ms);
    add_id(&key, id);
    return key;
}

struct leat_ventilator_key leat_ventilator_key_lane(uint32_t lane)
{
    struct leat_ventilator_key key = {0};
    add_number(&key, lane, 4);
    return key;
}

struct leat_ventilator_key leat_ventilator_key_number(uint64_t number)
{
    struct leat_ventilator_key key = {0};
    add_number(&key, number, 8);
    return key;
}

struct leat_ventilator_key leat_ventilator_key_ready_from(uint32_t lane, uint64_t from)
{
    struct leat_ventilator_key key = {0};
    add_number(&key, lane, 4);
    add_number(&key, from, 8);
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
    place.lane = (uint32_t)take_number(&key, 4);
    place.seq = take_number(&key, 8);
    memcpy(ret_id->bytes, key.data, LEAT_ID_BYTES);
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
