/* The seed of a property test: from LEAT_SEED when it is set, else a fixed one; always printed, so
 * that a failure can be repeated. */
#ifndef LEAT_TESTS_UNIT_SEED_H
#define LEAT_TESTS_UNIT_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rng.h"

static inline struct leat_rng leat_seed_rng(const char *property)
{
    const char *text = getenv("LEAT_SEED");
    uint64_t seed = text == NULL ? 20240229 : strtoull(text, NULL, 0);
    printf("%s: LEAT_SEED=%llu\n", property, (unsigned long long)seed);
    struct leat_rng rng;
    leat_rng_init(&rng, seed);
    return rng;
}

#endif
