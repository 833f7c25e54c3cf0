#include "core/hash.h"

#include "core/big_endian.h"
#include "core/rng.h"

static inline uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

static inline void take_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static inline uint64_t read_little_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline uint64_t read_word(const uint8_t *bytes)
{
    return __builtin_bswap64(leat_big_endian_load(bytes));
}

struct leat_hash_key leat_hash_key_of(uint64_t seed)
{
    struct leat_rng rng;
    leat_rng_init(&rng, seed);
    struct leat_hash_key key;
    key.halves[0] = leat_rng_next(&rng);
    key.halves[1] = leat_rng_next(&rng);
    return key;
}

struct leat_hash_words_key leat_hash_words_key_of(uint64_t seed)
{
    struct leat_rng rng;
    leat_rng_init(&rng, seed);
    struct leat_hash_words_key key = {.first = leat_rng_next(&rng)};
    for (size_t i = 0; i < sizeof key.words / sizeof *key.words; i++) {
        key.words[i] = leat_rng_next(&rng);
    }
    return key;
}

uint64_t leat_hash_bytes(struct leat_hash_key key, const void *data, size_t size)
{
    uint64_t v[4] = {
        key.halves[0] ^ UINT64_C(0x736f6d6570736575),
        key.halves[1] ^ UINT64_C(0x646f72616e646f6d),
        key.halves[0] ^ UINT64_C(0x6c7967656e657261),
        key.halves[1] ^ UINT64_C(0x7465646279746573),
    };
    const uint8_t *bytes = data;
    size_t left = size;
    while (left >= 8) {
        take_word(v, read_word(bytes));
        bytes += 8;
        left -= 8;
    }
    take_word(v, (uint64_t)size << 56 | read_little_endian(bytes, left));
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
