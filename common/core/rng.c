#include "core/rng.h"

/* Algorithms: prng.di.unimi.it, xoshiro256** 1.0 and splitmix64. */

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

void leat_rng_init(struct leat_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t mixed = seed;
        mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
        rng->state[i] = mixed ^ mixed >> 31;
    }
}

uint64_t leat_rng_next(struct leat_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t leat_rng_below(struct leat_rng *rng, uint64_t bound)
{
    if (bound == 0) {
        return 0;
    }
    /* Values under 2^64 mod bound would make the small results likelier: draw again. */
    uint64_t threshold = (0 - bound) % bound;
    uint64_t value;
    do {
        value = leat_rng_next(rng);
    } while (value < threshold);
    return value % bound;
}

int leat_rng_chance(struct leat_rng *rng, uint32_t per_million)
{
    return leat_rng_below(rng, 1000000) < per_million;
}
