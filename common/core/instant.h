/* Time. Cores never read a clock: every event brings both times with it.
 *
 * Monotonic time decides everything that must not move when somebody sets the clock: leases,
 * timeouts, rate limits, retry delays in memory. Wall time is a type of its own, so that the two
 * cannot be mixed by accident; only not-before, expires-at, retention and timestamps use it.
 */
#ifndef LEAT_CORE_INSTANT_H
#define LEAT_CORE_INSTANT_H

#include <stdint.h>

#define LEAT_US_PER_MS INT64_C(1000)
#define LEAT_US_PER_S  INT64_C(1000000)
#define LEAT_MS_PER_S  INT64_C(1000)

/* "Never": a deadline that does not come. */
#define LEAT_NEVER_US INT64_MAX

/* Wall-clock time, microseconds since 1970-01-01 UTC. */
struct leat_wall {
    int64_t us;
};

struct leat_now {
    int64_t mono_us;       /* monotonic, microseconds, arbitrary origin, never steps back */
    struct leat_wall wall; /* may jump in either direction */
};

static inline int64_t leat_min_us(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* a + b for times and non-negative durations, held at LEAT_NEVER_US. */
static inline int64_t leat_add_us(int64_t a, int64_t b)
{
    return a > LEAT_NEVER_US - b ? LEAT_NEVER_US : a + b;
}

/* A duration that somebody else chose: negative is for ever, and so is what is too long to say in
 * microseconds. */
static inline int64_t leat_us_of_ms(int64_t ms)
{
    return ms < 0 || ms > LEAT_NEVER_US / LEAT_US_PER_MS ? LEAT_NEVER_US : ms * LEAT_US_PER_MS;
}

#endif
