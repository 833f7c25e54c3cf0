/* A rate limit that may be absent: a token bucket (core/bucket.h), full at its first use. */
#ifndef LEAT_WORKER_RATE_H
#define LEAT_WORKER_RATE_H

#include "core/bucket.h"
#include "core/instant.h"

struct leat_worker_limiter {
    bool is_set;
    bool is_begun;
    struct leat_rate rate;
    uint64_t burst;
    struct leat_bucket bucket;
};

/* Fills the bucket when it has not been used yet; a core has no clock before its first event. */
static inline void leat_worker_limiter_begin(struct leat_worker_limiter *limiter, int64_t now_us)
{
    if (limiter->is_set && !limiter->is_begun) {
        leat_bucket_init(&limiter->bucket, limiter->rate, limiter->burst, now_us);
        limiter->is_begun = true;
    }
}

/* Whole tokens; UINT64_MAX without a limit. */
static inline uint64_t leat_worker_limiter_tokens(const struct leat_worker_limiter *limiter,
                                                  int64_t now_us)
{
    return limiter->is_set ? leat_bucket_available(&limiter->bucket, now_us) : UINT64_MAX;
}

/* Takes one token; false when there is none. */
static inline bool leat_worker_limiter_take(struct leat_worker_limiter *limiter, int64_t now_us)
{
    return !limiter->is_set || leat_bucket_take(&limiter->bucket, 1, now_us);
}

/* When there will be one whole token more than now; LEAT_NEVER_US when there are as many as can be.
 */
static inline int64_t leat_worker_limiter_next_us(const struct leat_worker_limiter *limiter,
                                                  int64_t now_us)
{
    uint64_t tokens = leat_worker_limiter_tokens(limiter, now_us);
    return limiter->is_set ? leat_bucket_next_us(&limiter->bucket, tokens + 1, now_us)
                           : LEAT_NEVER_US;
}

#endif
