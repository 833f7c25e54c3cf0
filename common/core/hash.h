/* Keyed hashes, so that a peer who chooses ids cannot choose collisions as long as he does not know
 * the key. */
#ifndef LEAT_CORE_HASH_H
#define LEAT_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- of bytes: SipHash-2-4 (Aumasson and Bernstein 2012) ---- */

struct leat_hash_key {
    uint64_t halves[2];
};

/* A key made from a seed. */
struct leat_hash_key leat_hash_key_of(uint64_t seed);
uint64_t leat_hash_bytes(struct leat_hash_key key, const void *data, size_t size);

/* ---- of a few words: ids in tables ----
 *
 * Strongly universal (MULTILINEAR-HM; Lemire and Kaser 2014, "Strongly universal string hashing is
 * fast"): whichever two inputs of one size a peer chooses, over the keys they share a value with
 * probability 2^-32. A tenth of SipHash's work, and without its strength against somebody who sees
 * hashes: they never leave the process. */

#define LEAT_HASH_WORDS_BYTES_MAX 24

struct leat_hash_words_key {
    uint64_t first;
    uint64_t words[LEAT_HASH_WORDS_BYTES_MAX / 4];
};

struct leat_hash_words_key leat_hash_words_key_of(uint64_t seed);

/* `size` is a multiple of 8, at most LEAT_HASH_WORDS_BYTES_MAX, and best a constant. */
static inline uint32_t leat_hash_words(const struct leat_hash_words_key *key, const void *data,
                                       size_t size)
{
    uint64_t sum = key->first;
    for (size_t i = 0; i < size / 8; i++) {
        uint32_t pair[2];
        memcpy(pair, (const uint8_t *)data + 8 * i, sizeof pair);
        sum += (key->words[2 * i] + pair[0]) * (key->words[2 * i + 1] + pair[1]);
    }
    /* Ids that follow each other would lie at even distances: one to one, so nothing is lost. */
    uint32_t hash = (uint32_t)(sum >> 32);
    hash = (hash ^ hash >> 16) * UINT32_C(0x7feb352d);
    return hash ^ hash >> 15;
}

#endif
