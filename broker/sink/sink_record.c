#include "broker/sink/sink_record.h"

#include "core/big_endian.h"
#include "wire/record.h"

#define LEAT_RECORD_TABLE LEAT_SINK_ITEMS
#define LEAT_RECORD_IMPLEMENT
#include "wire/record_template.h"

const char *const leat_sink_table_names[LEAT_SINK_TABLES] = {"meta", "results", "log", "failures"};

/* Flips the sign bit, so that times before 1970 sort before those after. */
#define SIGN_BIT (UINT64_C(1) << 63)

struct leat_sink_age_key leat_sink_age_key(struct leat_wall stored, const struct leat_id *id)
{
    struct leat_sink_age_key key;
    leat_big_endian_store(key.bytes, (uint64_t)stored.us ^ SIGN_BIT);
    memcpy(key.bytes + 8, id->bytes, LEAT_ID_BYTES);
    return key;
}

enum leat_err leat_sink_age_key_read(struct leat_bytes key, struct leat_wall *ret_stored,
                                     struct leat_id *ret_id)
{
    if (key.size != LEAT_SINK_AGE_KEY_BYTES) {
        return LEAT_ERR_CORRUPT;
    }
    ret_stored->us = (int64_t)(leat_big_endian_load(key.data) ^ SIGN_BIT);
    memcpy(ret_id->bytes, key.data + 8, LEAT_ID_BYTES);
    return LEAT_OK;
}

struct leat_sink_number_key leat_sink_number_key(uint64_t number)
{
    struct leat_sink_number_key key;
    leat_big_endian_store(key.bytes, number);
    return key;
}

enum leat_err leat_sink_number_key_read(struct leat_bytes key, uint64_t *ret_number)
{
    if (key.size != 8) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_number = leat_big_endian_load(key.data);
    return LEAT_OK;
}

struct leat_item_result leat_sink_result_summary(const struct leat_item_result *result)
{
    struct leat_item_result summary = *result;
    summary.output = (struct leat_bytes){0};
    summary.body = (struct leat_bytes){0};
    summary.headers.items = NULL;
    summary.headers.count = 0;
    return summary;
}

static bool copy_str(struct leat_arena *arena, struct leat_str *text)
{
    *text = leat_arena_copy_str(arena, *text);
    return text->size == 0 || text->data != NULL;
}

static bool copy_bytes(struct leat_arena *arena, struct leat_bytes *bytes)
{
    *bytes = leat_arena_copy(arena, *bytes);
    return bytes->size == 0 || bytes->data != NULL;
}

static bool copy_headers(struct leat_arena *arena, const struct leat_item_result *result,
                         struct leat_item_result *copy)
{
    size_t count = result->headers.count;
    if (count == 0) {
        return true;
    }
    struct leat_item_header *items = leat_arena_take(arena, count * sizeof *items);
    if (items == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        items[i] = result->headers.items[i];
        if (!copy_str(arena, &items[i].name) || !copy_str(arena, &items[i].value)) {
            return false;
        }
    }
    copy->headers.items = items;
    copy->headers.count = count;
    return true;
}

enum leat_err leat_sink_result_copy(const struct leat_item_result *result, bool whole,
                                    struct leat_arena *arena, struct leat_item_result *ret_copy)
{
    struct leat_item_result copy = leat_sink_result_summary(result);
    if (!copy_str(arena, &copy.queue) || !copy_str(arena, &copy.type) ||
        !copy_str(arena, &copy.error) || !copy_str(arena, &copy.worker)) {
        return LEAT_ERR_LIMIT;
    }
    if (whole) {
        copy.output = result->output;
        copy.body = result->body;
        if (!copy_bytes(arena, &copy.output) || !copy_bytes(arena, &copy.body) ||
            !copy_headers(arena, result, &copy)) {
            return LEAT_ERR_LIMIT;
        }
    }
    *ret_copy = copy;
    return LEAT_OK;
}
