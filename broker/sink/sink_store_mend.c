/* The settle stream, made whole again: each of its rows says what other rows say as well.
 *
 * Number n belongs to the id whose row in AGE or FAILURES has n as its first number, or whose
 * result has n as its latest one. Only when both of these are damaged or n lies between them is
 * the id not to be found; then it has a later number, or its job is still at the ventilator, runs
 * again, and is settled when its result comes. So any id that has its result may stand in: settling
 * it once more changes nothing. */
#include <stdlib.h>

#include "broker/sink/sink_store_inside.h"

struct mending {
    struct leat_sink_store *store;
    uint64_t first, last;
    uint64_t *numbers; /* without an id so far, ascending */
    struct leat_id *ids;
    bool *found;
    size_t count, capacity;
    uint64_t next;
    struct leat_id stand_in;
    bool has_stand_in;
};

static void *grow(void *items, size_t count, size_t size)
{
    void *more = realloc(items, count * size);
    if (more == NULL) {
        abort();
    }
    return more;
}

static void miss(struct mending *mending, uint64_t number)
{
    if (mending->count == mending->capacity) {
        mending->capacity = mending->capacity == 0 ? 16 : 2 * mending->capacity;
        mending->numbers = grow(mending->numbers, mending->capacity, sizeof *mending->numbers);
        mending->ids = grow(mending->ids, mending->capacity, sizeof *mending->ids);
        mending->found = grow(mending->found, mending->capacity, sizeof *mending->found);
    }
    mending->numbers[mending->count] = number;
    mending->found[mending->count] = false;
    mending->count++;
}

static void miss_up_to(struct mending *mending, uint64_t end)
{
    for (; mending->next < end; mending->next++) {
        miss(mending, mending->next);
    }
}

static bool visit_stream(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct mending *mending = context;
    uint64_t number = 0;
    struct leat_item_kept_settle settle;
    if (leat_sink_number_key_read(key, &number) != LEAT_OK || number > mending->last) {
        return false;
    }
    leat_arena_clear(&mending->store->scratch);
    if (number < mending->next ||
        leat_wire_unseal_item_kept_settle(value, leat_sink_at(LEAT_SINK_TABLE_SETTLE, key),
                                          &mending->store->scratch, &settle, NULL) != LEAT_OK) {
        return true;
    }
    miss_up_to(mending, number);
    mending->next = number + 1;
    mending->stand_in = settle.id;
    mending->has_stand_in = true;
    return true;
}

/* `id` has its result, and this number. */
static void know(struct mending *mending, const struct leat_id *id, uint64_t number)
{
    size_t low = 0;
    size_t high = mending->count;
    if (!mending->has_stand_in) {
        mending->stand_in = *id;
        mending->has_stand_in = true;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mending->numbers[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < mending->count && mending->numbers[low] == number) {
        mending->ids[low] = *id;
        mending->found[low] = true;
    }
}

static bool visit_age(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct mending *mending = context;
    struct leat_item_kept_age age;
    struct leat_wall stored;
    struct leat_id id;
    leat_arena_clear(&mending->store->scratch);
    if (leat_sink_age_key_read(key, &stored, &id) == LEAT_OK &&
        leat_wire_unseal_item_kept_age(value, leat_sink_at(LEAT_SINK_TABLE_AGE, key),
                                       &mending->store->scratch, &age, NULL) == LEAT_OK) {
        know(mending, &id, age.number);
    }
    return true;
}

static bool visit_failure(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct mending *mending = context;
    struct leat_item_kept_failure failure;
    struct leat_wall stored;
    struct leat_id id;
    leat_arena_clear(&mending->store->scratch);
    if (leat_sink_age_key_read(key, &stored, &id) == LEAT_OK &&
        leat_wire_unseal_item_kept_failure(value, leat_sink_at(LEAT_SINK_TABLE_FAILURES, key),
                                           &mending->store->scratch, &failure, NULL) == LEAT_OK) {
        know(mending, &id, failure.number);
    }
    return true;
}

static bool visit_result(const struct leat_item_result *result, const struct leat_sink_kept *kept,
                         void *context)
{
    know(context, &result->id, kept->number);
    return true;
}

static enum leat_err look_everywhere(struct mending *mending)
{
    struct leat_store *store = mending->store->store;
    struct leat_sink_number_key from = leat_sink_number_key(mending->first);
    enum leat_err err =
        leat_store_scan(store, LEAT_SINK_TABLE_SETTLE, leat_bytes_of(from.bytes, sizeof from.bytes),
                        visit_stream, mending);
    miss_up_to(mending, mending->last + 1);
    if (err == LEAT_OK) {
        err =
            leat_store_scan(store, LEAT_SINK_TABLE_AGE, (struct leat_bytes){0}, visit_age, mending);
    }
    if (err == LEAT_OK) {
        err = leat_store_scan(store, LEAT_SINK_TABLE_FAILURES, (struct leat_bytes){0},
                              visit_failure, mending);
    }
    if (err == LEAT_OK) {
        err = leat_sink_store_each(mending->store, visit_result, mending);
    }
    /* Damaged results are passed over: what is sound says enough. */
    return err == LEAT_ERR_IO ? err : LEAT_OK;
}

enum leat_err leat_sink_store_mend_stream(struct leat_sink_store *store, uint64_t first,
                                          uint64_t last, size_t *ret_mended)
{
    struct mending mending = {.store = store, .first = first, .last = last, .next = first};
    enum leat_err err = look_everywhere(&mending);
    if (err == LEAT_OK && mending.count > 0 && !mending.has_stand_in) {
        err = LEAT_ERR_CORRUPT;
    }
    for (size_t i = 0; err == LEAT_OK && i < mending.count; i++) {
        leat_sink_store_put_settle(store, mending.found[i] ? &mending.ids[i] : &mending.stand_in,
                                   mending.numbers[i]);
    }
    if (err == LEAT_OK) {
        *ret_mended = mending.count;
    }
    free(mending.numbers);
    free(mending.ids);
    free(mending.found);
    return err;
}
