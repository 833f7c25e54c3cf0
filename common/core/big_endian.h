/* Numbers as eight bytes, the most significant first: as msgpack has them, and as keys of a store,
 * whose order by memcmp is then the order of the numbers. */
#ifndef LEAT_CORE_BIG_ENDIAN_H
#define LEAT_CORE_BIG_ENDIAN_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LEAT_BIG_ENDIAN_SWAP(value) __builtin_bswap64(value)
#else
#define LEAT_BIG_ENDIAN_SWAP(value) (value)
#endif

static inline void leat_big_endian_store(uint8_t *at, uint64_t value)
{
    value = LEAT_BIG_ENDIAN_SWAP(value);
    memcpy(at, &value, sizeof value);
}

static inline uint64_t leat_big_endian_load(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return LEAT_BIG_ENDIAN_SWAP(value);
}

#endif
