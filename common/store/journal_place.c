#include "store/journal_place.h"

#include <string.h>

#include "core/big_endian.h"

#define KEY "applied"

struct leat_bytes leat_journal_place_key(void)
{
    return leat_bytes_of(KEY, sizeof KEY - 1);
}

void leat_journal_place_format(uint64_t number, struct leat_hash_key key,
                               uint8_t ret_place[LEAT_JOURNAL_PLACE_BYTES])
{
    leat_big_endian_store(ret_place, number);
    leat_big_endian_store(ret_place + 8, leat_hash_bytes(key, ret_place, 8));
}

enum leat_err leat_journal_place_read(struct leat_bytes place, struct leat_hash_key key,
                                      uint64_t *ret_number)
{
    uint8_t again[LEAT_JOURNAL_PLACE_BYTES];
    if (place.size != LEAT_JOURNAL_PLACE_BYTES) {
        return LEAT_ERR_CORRUPT;
    }
    uint64_t number = leat_big_endian_load(place.data);
    leat_journal_place_format(number, key, again);
    if (memcmp(place.data, again, sizeof again) != 0) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_number = number;
    return LEAT_OK;
}
