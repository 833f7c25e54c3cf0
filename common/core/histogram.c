#include "core/histogram.h"

#include <stddef.h>
#include <string.h>

#include "core/check.h"

#define LINEAR      (UINT64_C(1) << LEAT_HISTOGRAM_LINEAR_BITS)
#define VALUE_LIMIT (UINT64_C(1) << LEAT_HISTOGRAM_VALUE_BITS)
#define LAST_BUCKET ((size_t)LEAT_HISTOGRAM_BUCKETS - 1)

/* Bucket numbers: the value itself under LINEAR; from there each power of two has LINEAR buckets,
 * so that the number is the count of halvings that bring the value under 2 * LINEAR, times LINEAR,
 * plus what is left of the value. */
static size_t bucket_of(uint64_t value)
{
    if (value >= VALUE_LIMIT) {
        return LAST_BUCKET;
    }
    if (value < LINEAR) {
        return (size_t)value;
    }
    unsigned top_bit = 63 - (unsigned)__builtin_clzll(value);
    unsigned halvings = top_bit - LEAT_HISTOGRAM_LINEAR_BITS;
    return (size_t)(halvings * LINEAR + (value >> halvings));
}

/* The largest value of a bucket; the last one has none. */
static uint64_t bucket_end(size_t bucket)
{
    if (bucket >= LAST_BUCKET) {
        return UINT64_MAX;
    }
    if (bucket < LINEAR) {
        return bucket;
    }
    unsigned halvings = (unsigned)(bucket / LINEAR - 1);
    uint64_t left = bucket - halvings * LINEAR;
    return ((left + 1) << halvings) - 1;
}

static uint64_t add_held(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void leat_histogram_clear(struct leat_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

void leat_histogram_record(struct leat_histogram *histogram, uint64_t value_us)
{
    histogram->buckets[bucket_of(value_us)]++;
    histogram->count++;
    histogram->sum_us = add_held(histogram->sum_us, value_us);
    if (value_us > histogram->max_us) {
        histogram->max_us = value_us;
    }
}

void leat_histogram_merge(struct leat_histogram *into, const struct leat_histogram *from)
{
    for (size_t i = 0; i < LEAT_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    into->sum_us = add_held(into->sum_us, from->sum_us);
    if (from->max_us > into->max_us) {
        into->max_us = from->max_us;
    }
}

/* The rank (1 to count) of the value that per_mille of 1000 do not exceed, rounded up. */
static uint64_t rank_of(uint64_t count, unsigned per_mille)
{
    uint64_t rank = count / 1000 * per_mille + (count % 1000 * per_mille + 999) / 1000;
    return rank == 0 ? 1 : rank;
}

uint64_t leat_histogram_quantile_us(const struct leat_histogram *histogram, unsigned per_mille)
{
    if (histogram->count == 0) {
        return 0;
    }
    uint64_t rank = rank_of(histogram->count, per_mille > 1000 ? 1000 : per_mille);
    uint64_t seen = 0;
    for (size_t i = 0; i < LEAT_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max_us ? end : histogram->max_us;
        }
    }
    LEAT_UNREACHABLE("the buckets hold count values");
}

uint64_t leat_histogram_mean_us(const struct leat_histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_us / histogram->count;
}
