/* Whether bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef LEAT_CORE_UTF8_H
#define LEAT_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

bool leat_utf8_valid(const char *data, size_t size);

/* ---- names: short and plain ASCII, so looked at and copied in a few words, without a call ---- */

#define LEAT_ASCII_SHORT_BYTES 31

/* The words that hold all of 4 to LEAT_ASCII_SHORT_BYTES bytes; they overlap. */
static inline void leat_ascii_load(const void *data, size_t size, uint64_t words[4])
{
    const uint8_t *bytes = data;
    if (size < 8) {
        uint32_t halves[2];
        memcpy(&halves[0], bytes, 4);
        memcpy(&halves[1], bytes + size - 4, 4);
        words[0] = words[2] = halves[0];
        words[1] = words[3] = halves[1];
        return;
    }
    const size_t second = size > 16 ? 8 : 0;
    memcpy(&words[0], bytes, 8);
    memcpy(&words[1], bytes + second, 8);
    memcpy(&words[2], bytes + size - 8 - second, 8);
    memcpy(&words[3], bytes + size - 8, 8);
}

static inline void leat_ascii_store(uint8_t *to, size_t size, const uint64_t words[4])
{
    if (size < 8) {
        const uint32_t halves[2] = {(uint32_t)words[0], (uint32_t)words[1]};
        memcpy(to, &halves[0], 4);
        memcpy(to + size - 4, &halves[1], 4);
        return;
    }
    const size_t second = size > 16 ? 8 : 0;
    memcpy(to, &words[0], 8);
    memcpy(to + second, &words[1], 8);
    memcpy(to + size - 8 - second, &words[2], 8);
    memcpy(to + size - 8, &words[3], 8);
}

/* Loads it; whether it is plain ASCII of 4 to LEAT_ASCII_SHORT_BYTES bytes. */
static inline bool leat_ascii_load_short(const void *data, size_t size, uint64_t words[4])
{
    if (size < 4 || size > LEAT_ASCII_SHORT_BYTES) {
        return false;
    }
    leat_ascii_load(data, size, words);
    return ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) == 0;
}

static inline bool leat_ascii_is_short(const void *data, size_t size)
{
    uint64_t words[4];
    return leat_ascii_load_short(data, size, words);
}

/* The same, and copies it. */
static inline bool leat_ascii_copy_short(uint8_t *to, const void *data, size_t size)
{
    uint64_t words[4];
    if (!leat_ascii_load_short(data, size, words)) {
        return false;
    }
    leat_ascii_store(to, size, words);
    return true;
}

/* The longest prefix of at most `max` bytes that does not cut a character in two. `data` must be
 * valid UTF-8. */
size_t leat_utf8_shorten(const char *data, size_t size, size_t max);

/* Makes any bytes valid in place: each byte that is not part of a character becomes '?'. For texts
 * that come from a handler's stderr or an operating system. */
void leat_utf8_repair(char *data, size_t size);

#endif
