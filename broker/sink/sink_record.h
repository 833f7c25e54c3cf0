/* Keys and records of the sink's store as bytes. Pure; shared by the typed store and by the metrics
 * actor, which reads the same tables through its own view. */
#ifndef LEAT_SINK_SINK_RECORD_H
#define LEAT_SINK_SINK_RECORD_H

#include "core/id.h"
#include "core/instant.h"

#include "wire/codec.h"

#include "broker/sink/sink_records.def"
#define LEAT_RECORD_TABLE LEAT_SINK_ITEMS
#include "wire/record_template.h"

/* Names of the tables, in the order of enum leat_sink_table, for leat_store_open_lmdb. */
#define LEAT_SINK_TABLES 4
extern const char *const leat_sink_table_names[LEAT_SINK_TABLES];

static inline struct leat_record_place leat_sink_at(unsigned table, struct leat_bytes key)
{
    return (struct leat_record_place){table, key};
}

/* stored_us | id: ordered by time, then by id. */
#define LEAT_SINK_AGE_KEY_BYTES (8 + LEAT_ID_BYTES)
struct leat_sink_age_key {
    uint8_t bytes[LEAT_SINK_AGE_KEY_BYTES];
};

struct leat_sink_age_key leat_sink_age_key(struct leat_wall stored, const struct leat_id *id);
/* LEAT_ERR_CORRUPT: not that many bytes. */
LEAT_MUST_USE enum leat_err
leat_sink_age_key_read(struct leat_bytes key, struct leat_wall *ret_stored, struct leat_id *ret_id);

/* The number of the settle stream, ordered. */
struct leat_sink_number_key {
    uint8_t bytes[8];
};

struct leat_sink_number_key leat_sink_number_key(uint64_t number);
LEAT_MUST_USE enum leat_err leat_sink_number_key_read(struct leat_bytes key, uint64_t *ret_number);

/* Copies a result into the arena; output, body and headers only when `whole`. LEAT_ERR_LIMIT: the
 * arena is full. */
LEAT_MUST_USE enum leat_err leat_sink_result_copy(const struct leat_item_result *result, bool whole,
                                                  struct leat_arena *arena,
                                                  struct leat_item_result *ret_copy);
/* The result without output, body and headers; borrows from `result`. */
struct leat_item_result leat_sink_result_summary(const struct leat_item_result *result);

#endif
