/* Keys and records of the ventilator's store as bytes. Pure; for the files of the typed store. */
#ifndef LEAT_VENTILATOR_RECORD_H
#define LEAT_VENTILATOR_RECORD_H

#include "broker/ventilator/store.h"
#include "wire/codec.h"

#include "broker/ventilator/records.def"
#define LEAT_RECORD_TABLE LEAT_VENTILATOR_ITEMS
#include "wire/record_template.h"

/* lane | seq | id, or due_ms | lane | seq | id, or expires_at_ms | id, or a number. Big-endian,
 * times with the sign bit flipped, so that keys sort as what they mean. */
#define LEAT_VENTILATOR_KEY_BYTES_MAX 36

struct leat_ventilator_key {
    size_t size;
    uint8_t bytes[LEAT_VENTILATOR_KEY_BYTES_MAX + 4]; /* in whole words */
};

static inline struct leat_bytes leat_ventilator_key_view(const struct leat_ventilator_key *key)
{
    return leat_bytes_of(key->bytes, key->size);
}

/* The key of a job in the table of place->where, one of READY, SCHEDULED, RETRYING. */
struct leat_ventilator_key leat_ventilator_key_job(const struct leat_id *id,
                                                   const struct leat_ventilator_place *place);
struct leat_ventilator_key leat_ventilator_key_expiry(const struct leat_id *id,
                                                      int64_t expires_at_ms);
struct leat_ventilator_key leat_ventilator_key_lane(uint32_t lane);
struct leat_ventilator_key leat_ventilator_key_number(uint64_t number);
/* Where the jobs of a lane begin that have seq >= from. */
struct leat_ventilator_key leat_ventilator_key_ready_from(uint32_t lane, uint64_t from);

/* LEAT_ERR_CORRUPT: not the right number of bytes. */
LEAT_MUST_USE enum leat_err leat_ventilator_key_read_job(enum leat_ventilator_where where,
                                                         struct leat_bytes key,
                                                         struct leat_id *ret_id,
                                                         struct leat_ventilator_place *ret_place);
LEAT_MUST_USE enum leat_err leat_ventilator_key_read_expiry(struct leat_bytes key,
                                                            struct leat_id *ret_id,
                                                            int64_t *ret_expires_at_ms);
LEAT_MUST_USE enum leat_err leat_ventilator_key_read_lane(struct leat_bytes key,
                                                          uint32_t *ret_lane);
LEAT_MUST_USE enum leat_err leat_ventilator_key_read_number(struct leat_bytes key,
                                                            uint64_t *ret_number);

/* The table that holds the jobs of one of the first three places. */
leat_table leat_ventilator_table_of(enum leat_ventilator_where where);

#endif
