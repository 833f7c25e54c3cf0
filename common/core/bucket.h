/* A token bucket in whole numbers: over any window of time t at most burst + rate * t tokens are
 * taken, and nothing is lost to rounding, however often and at whatever times it is asked.
 *
 * The level is counted in parts: one token is rate.per_us parts, each microsecond adds rate.tokens
 * parts. So "1000/h" is as exact as "5/s".
 *
 * Invariant: level_parts <= burst * rate.per_us, which fits 64 bits by limits.h. */
#ifndef LEAT_CORE_BUCKET_H
#define LEAT_CORE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

/* `tokens` per `per_us` microseconds. */
struct leat_rate {
    uint64_t tokens; /* 1 to LEAT_RATE_TOKENS_MAX */
    uint64_t per_us; /* 1 to LEAT_RATE_PER_US_MAX */
};

/* The rate in thousandths of a token per second, rounded down, at least 1, at most UINT64_MAX / 2.
 */
uint64_t leat_rate_milli_per_s(struct leat_rate rate);

struct leat_bucket {
    struct leat_rate rate;
    uint64_t burst;
    uint64_t level_parts;
    int64_t updated_us;
};

/* Caller's storage, nothing to free. Starts full. rate in its ranges, burst 1 to LEAT_BURST_MAX. */
void leat_bucket_init(struct leat_bucket *bucket, struct leat_rate rate, uint64_t burst,
                      int64_t now_us);
/* Whole tokens there are now, 0 to burst. Times that step back count as no time. */
uint64_t leat_bucket_available(const struct leat_bucket *bucket, int64_t now_us);
/* Takes `count` tokens, all or none. */
bool leat_bucket_take(struct leat_bucket *bucket, uint64_t count, int64_t now_us);
/* Puts back tokens that were taken and not used; what would exceed the burst is lost. */
void leat_bucket_give(struct leat_bucket *bucket, uint64_t count, int64_t now_us);
/* The first time, now or later, at which `count` tokens will be there if none are taken before;
 * LEAT_NEVER_US when count exceeds the burst. */
int64_t leat_bucket_next_us(const struct leat_bucket *bucket, uint64_t count, int64_t now_us);

#endif
