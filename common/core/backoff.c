#include "core/backoff.h"

#include "core/limits.h"

/* Delays are counted in nanoseconds while they grow, so that small bases with small factors grow at
 * all and rounding stays far below a millisecond. */
#define NS_PER_MS UINT64_C(1000000)

uint64_t leat_backoff_bound_ms(const struct leat_backoff *backoff, uint64_t attempt)
{
    uint64_t cap_ms = backoff->cap_ms;
    if (cap_ms > LEAT_BACKOFF_MS_MAX) {
        cap_ms = LEAT_BACKOFF_MS_MAX;
    }
    if (backoff->base_ms >= cap_ms) {
        return cap_ms;
    }
    if (attempt > LEAT_ATTEMPTS_MAX) {
        attempt = LEAT_ATTEMPTS_MAX;
    }
    uint64_t cap_ns = cap_ms * NS_PER_MS;
    uint64_t bound_ns = backoff->base_ms * NS_PER_MS;
    for (uint64_t i = 1; i < attempt; i++) {
        /* What overflows is over any cap. */
        if (__builtin_mul_overflow(bound_ns, backoff->factor_milli, &bound_ns)) {
            return cap_ms;
        }
        bound_ns /= 1000;
        if (bound_ns >= cap_ns) {
            return cap_ms;
        }
    }
    return bound_ns / NS_PER_MS;
}

uint64_t leat_backoff_delay_ms(const struct leat_backoff *backoff, uint64_t attempt,
                               struct leat_rng *rng)
{
    uint64_t bound_ms = leat_backoff_bound_ms(backoff, attempt);
    return backoff->jitter ? leat_rng_below(rng, bound_ms + 1) : bound_ms;
}
