/* A histogram of durations with bounded relative error and fixed memory, after the log-linear
 * layout of HdrHistogram (G. Tene) and DDSketch's promise: each power of two is cut into 32 equal
 * buckets.
 *
 * Values under 64 us are exact. Above, a quantile is never under the true one and at most 1/32
 * (3.2 %) over it, and never over the largest value recorded. Values from 2^42 us (50 days) on
 * share one last bucket; there a quantile is the largest value. count, sum, max are exact. */
#ifndef LEAT_CORE_HISTOGRAM_H
#define LEAT_CORE_HISTOGRAM_H

#include <stdint.h>

#define LEAT_HISTOGRAM_LINEAR_BITS 5
#define LEAT_HISTOGRAM_VALUE_BITS  42
#define LEAT_HISTOGRAM_BUCKETS                                                                     \
    (((LEAT_HISTOGRAM_VALUE_BITS - LEAT_HISTOGRAM_LINEAR_BITS + 1)                                 \
      << LEAT_HISTOGRAM_LINEAR_BITS) +                                                             \
     1)

/* About 10 KB. Caller's storage, all zero is empty and valid, plain copy is a copy. */
struct leat_histogram {
    uint64_t count;
    uint64_t sum_us; /* held at UINT64_MAX */
    uint64_t max_us;
    uint64_t buckets[LEAT_HISTOGRAM_BUCKETS];
};

void leat_histogram_clear(struct leat_histogram *histogram);
void leat_histogram_record(struct leat_histogram *histogram, uint64_t value_us);
/* Adds all that `from` holds. */
void leat_histogram_merge(struct leat_histogram *into, const struct leat_histogram *from);
/* The value that per_mille of 1000 values do not exceed: 500 is the median, 999 is p99.9, 1000 the
 * maximum, 0 the minimum's bucket. More than 1000 counts as 1000. 0 when nothing was recorded. */
uint64_t leat_histogram_quantile_us(const struct leat_histogram *histogram, unsigned per_mille);
/* sum / count, 0 when nothing was recorded. */
uint64_t leat_histogram_mean_us(const struct leat_histogram *histogram);

#endif
