/* How long to wait before a failed attempt is repeated: exponential growth with a cap, and full
 * jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), which spreads
 * jobs that failed together. */
#ifndef LEAT_CORE_BACKOFF_H
#define LEAT_CORE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"

struct leat_backoff {
    uint64_t base_ms;
    uint64_t factor_milli; /* thousandths; 1000: no growth */
    uint64_t cap_ms;       /* values over LEAT_BACKOFF_MS_MAX count as that */
    bool jitter;
};

/* min(cap, base * factor^(attempt - 1)), rounded down to a millisecond. `attempt` is the attempt
 * that failed, from 1; 0 counts as 1, more than LEAT_ATTEMPTS_MAX as that. Never overflows. */
uint64_t leat_backoff_bound_ms(const struct leat_backoff *backoff, uint64_t attempt);
/* With jitter uniform in [0, bound], both ends included; without, the bound. */
uint64_t leat_backoff_delay_ms(const struct leat_backoff *backoff, uint64_t attempt,
                               struct leat_rng *rng);

#endif
