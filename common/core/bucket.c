#include "core/bucket.h"

#include "core/check.h"
#include "core/instant.h"

__extension__ typedef unsigned __int128 wide;

uint64_t leat_rate_milli_per_s(struct leat_rate rate)
{
    LEAT_ASSERT(rate.tokens > 0 && rate.per_us > 0);
    wide milli = (wide)rate.tokens * (1000 * LEAT_US_PER_S) / rate.per_us;
    if (milli == 0) {
        return 1;
    }
    return milli > UINT64_MAX / 2 ? UINT64_MAX / 2 : (uint64_t)milli;
}

void leat_bucket_init(struct leat_bucket *bucket, struct leat_rate rate, uint64_t burst,
                      int64_t now_us)
{
    LEAT_ASSERT(rate.tokens >= 1 && rate.tokens <= LEAT_RATE_TOKENS_MAX);
    LEAT_ASSERT(rate.per_us >= 1 && rate.per_us <= LEAT_RATE_PER_US_MAX);
    LEAT_ASSERT(burst >= 1 && burst <= LEAT_BURST_MAX);
    *bucket = (struct leat_bucket){
        .rate = rate,
        .burst = burst,
        .level_parts = burst * rate.per_us,
        .updated_us = now_us,
    };
}

/* Microseconds until the level has risen by `parts`, rounded up. */
static uint64_t rise_us(const struct leat_bucket *bucket, uint64_t parts)
{
    return parts / bucket->rate.tokens + (parts % bucket->rate.tokens != 0);
}

static uint64_t level_at(const struct leat_bucket *bucket, int64_t now_us)
{
    if (now_us <= bucket->updated_us) {
        return bucket->level_parts;
    }
    /* The difference of any two times fits when it is unsigned. */
    uint64_t elapsed_us = (uint64_t)now_us - (uint64_t)bucket->updated_us;
    uint64_t full = bucket->burst * bucket->rate.per_us;
    if (elapsed_us >= rise_us(bucket, full - bucket->level_parts)) {
        return full;
    }
    return bucket->level_parts + elapsed_us * bucket->rate.tokens;
}

static void advance(struct leat_bucket *bucket, int64_t now_us)
{
    bucket->level_parts = level_at(bucket, now_us);
    if (now_us > bucket->updated_us) {
        bucket->updated_us = now_us;
    }
}

uint64_t leat_bucket_available(const struct leat_bucket *bucket, int64_t now_us)
{
    return level_at(bucket, now_us) / bucket->rate.per_us;
}

bool leat_bucket_take(struct leat_bucket *bucket, uint64_t count, int64_t now_us)
{
    advance(bucket, now_us);
    if (count > bucket->level_parts / bucket->rate.per_us) {
        return false;
    }
    bucket->level_parts -= count * bucket->rate.per_us;
    return true;
}

void leat_bucket_give(struct leat_bucket *bucket, uint64_t count, int64_t now_us)
{
    advance(bucket, now_us);
    uint64_t missing = bucket->burst * bucket->rate.per_us - bucket->level_parts;
    if (count > missing / bucket->rate.per_us) {
        bucket->level_parts += missing;
    } else {
        bucket->level_parts += count * bucket->rate.per_us;
    }
}

int64_t leat_bucket_next_us(const struct leat_bucket *bucket, uint64_t count, int64_t now_us)
{
    if (count > bucket->burst) {
        return LEAT_NEVER_US;
    }
    uint64_t wanted = count * bucket->rate.per_us;
    /* While the time stands back, nothing rises: count from the later of the two. */
    int64_t from_us = now_us > bucket->updated_us ? now_us : bucket->updated_us;
    uint64_t level = level_at(bucket, from_us);
    if (level >= wanted) {
        return now_us;
    }
    uint64_t wait_us = rise_us(bucket, wanted - level);
    return wait_us > INT64_MAX ? LEAT_NEVER_US : leat_add_us(from_us, (int64_t)wait_us);
}
