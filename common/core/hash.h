/* SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash, so that a peer who chooses ids cannot
 * choose collisions as long as he does not know the key. */
#ifndef LEAT_CORE_HASH_H
#define LEAT_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct leat_hash_key {
    uint64_t halves[2];
};

/* A key made from a seed. */
struct leat_hash_key leat_hash_key_of(uint64_t seed);
uint64_t leat_hash_bytes(struct leat_hash_key key, const void *data, size_t size);

#endif
