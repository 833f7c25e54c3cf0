/* A seeded pseudo-random generator (xoshiro256**, Blackman and Vigna 2018), inside the object that
 * needs chance, so that a run can be repeated from its seed. Not for secrets. */
#ifndef LEAT_CORE_RNG_H
#define LEAT_CORE_RNG_H

#include <stdint.h>

struct leat_rng {
    uint64_t state[4];
};

void leat_rng_init(struct leat_rng *rng, uint64_t seed); /* state expanded by splitmix64 */
uint64_t leat_rng_next(struct leat_rng *rng);
/* Uniform in [0, bound); bound 0 gives 0. */
uint64_t leat_rng_below(struct leat_rng *rng, uint64_t bound);
/* True with probability per_million / 1e6. */
int leat_rng_chance(struct leat_rng *rng, uint32_t per_million);

#endif
