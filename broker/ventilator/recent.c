#include "broker/ventilator/recent.h"

#include <stdlib.h>

#include "core/big_endian.h"
#include "core/check.h"

#define IDS_PER_LINE 32 /* 16 bits for each: one of some hundred is taken for another */
#define BITS_PER_ID  4
#define TIME_SHIFT   16 /* of the first eight bytes the first six are the time */

/* Mixes all of the id, as not everybody's ids are random. */
static uint64_t hash_of(const struct leat_id *id)
{
    uint64_t high = leat_big_endian_load(id->bytes);
    uint64_t low = leat_big_endian_load(id->bytes + 8);
    uint64_t hash = (low ^ (high * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xd6e8feb86659fd93);
    return (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

static uint64_t time_of(const struct leat_id *id)
{
    return leat_big_endian_load(id->bytes) >> TIME_SHIFT;
}

static size_t line_of(const struct leat_recent *recent, uint64_t hash)
{
    return (size_t)(hash >> 36) & (recent->ids_max / IDS_PER_LINE - 1);
}

static size_t lines_bytes(const struct leat_recent *recent)
{
    return recent->ids_max / IDS_PER_LINE * sizeof *recent->filters[0].lines;
}

void leat_recent_init(struct leat_recent *recent, size_t ids_max, uint64_t from_ms)
{
    LEAT_ASSERT(ids_max >= IDS_PER_LINE && (ids_max & (ids_max - 1)) == 0);
    *recent = (struct leat_recent){.from_ms = from_ms, .ids_max = ids_max};
}

void leat_recent_fini(struct leat_recent *recent)
{
    free(recent->filters[0].lines);
    free(recent->filters[1].lines);
    leat_recent_init(recent, recent->ids_max, 0);
}

/* Empties the older filter and fills that one. */
static void turn(struct leat_recent *recent)
{
    recent->filling = 1 - recent->filling;
    struct leat_recent_filter *filter = &recent->filters[recent->filling];
    if (filter->count > 0 && filter->last_ms >= recent->from_ms) {
        recent->from_ms = filter->last_ms + 1;
    }
    if (filter->lines != NULL) {
        memset(filter->lines, 0, lines_bytes(recent));
    }
    filter->count = 0;
    filter->last_ms = 0;
}

void leat_recent_add(struct leat_recent *recent, const struct leat_id *id)
{
    uint64_t time_ms = time_of(id);
    if (time_ms >= recent->from_ms && recent->filters[recent->filling].count == recent->ids_max) {
        turn(recent);
    }
    if (time_ms < recent->from_ms) {
        return;
    }
    struct leat_recent_filter *filter = &recent->filters[recent->filling];
    if (filter->lines == NULL) {
        filter->lines = aligned_alloc(sizeof *filter->lines, lines_bytes(recent));
        if (filter->lines == NULL) {
            abort();
        }
        memset(filter->lines, 0, lines_bytes(recent));
    }
    uint64_t hash = hash_of(id);
    uint64_t *line = filter->lines[line_of(recent, hash)];
    for (unsigned i = 0; i < BITS_PER_ID; i++) {
        unsigned bit = (unsigned)(hash >> (9 * i)) & 511;
        line[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    filter->count++;
    filter->last_ms = time_ms > filter->last_ms ? time_ms : filter->last_ms;
}

static bool has(const struct leat_recent *recent, const struct leat_recent_filter *filter,
                uint64_t hash)
{
    if (filter->count == 0) {
        return false;
    }
    const uint64_t *line = filter->lines[line_of(recent, hash)];
    for (unsigned i = 0; i < BITS_PER_ID; i++) {
        unsigned bit = (unsigned)(hash >> (9 * i)) & 511;
        if ((line[bit / 64] >> bit % 64 & 1) == 0) {
            return false;
        }
    }
    return true;
}

void leat_recent_prefetch(const struct leat_recent *recent, const struct leat_id *id)
{
    size_t line = line_of(recent, hash_of(id));
    for (size_t i = 0; i < 2; i++) {
        if (recent->filters[i].lines != NULL) {
            __builtin_prefetch(recent->filters[i].lines[line]);
        }
    }
}

bool leat_recent_may_have(const struct leat_recent *recent, const struct leat_id *id)
{
    if (time_of(id) < recent->from_ms) {
        return true;
    }
    uint64_t hash = hash_of(id);
    return has(recent, &recent->filters[0], hash) || has(recent, &recent->filters[1], hash);
}
