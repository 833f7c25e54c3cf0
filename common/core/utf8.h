/* Whether bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef LEAT_CORE_UTF8_H
#define LEAT_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

bool leat_utf8_valid(const char *data, size_t size);

/* ---- names: short and plain ASCII, so looked at and copied in two pieces, without a call ---- */

#define LEAT_ASCII_SHORT_BYTES 16

/* The words that hold all of 4 to 16 bytes; they overlap. */
static inline void leat_ascii_load(const void *data, size_t size, uint64_t words[2])
{
    const uint8_t *bytes = data;
    words[0] = 0;
    words[1] = 0;
    if (size >= 8) {
        memcpy(&words[0], bytes, 8);
        memcpy(&words[1], bytes + size - 8, 8);
    } else {
        memcpy(&words[0], bytes, 4);
        memcpy(&words[1], bytes + size - 4, 4);
    }
}

static inline bool leat_ascii_words(const uint64_t words[2])
{
    return ((words[0] | words[1]) & UINT64_C(0x8080808080808080)) == 0;
}

/* Whether it is plain ASCII of 4 to LEAT_ASCII_SHORT_BYTES bytes. */
static inline bool leat_ascii_is_short(const void *data, size_t size)
{
    uint64_t words[2];
    if (size < 4 || size > LEAT_ASCII_SHORT_BYTES) {
        return false;
    }
    leat_ascii_load(data, size, words);
    return leat_ascii_words(words);
}

/* The same, and copies it. */
static inline bool leat_ascii_copy_short(uint8_t *to, const void *data, size_t size)
{
    uint64_t words[2];
    if (size < 4 || size > LEAT_ASCII_SHORT_BYTES) {
        return false;
    }
    leat_ascii_load(data, size, words);
    if (!leat_ascii_words(words)) {
        return false;
    }
    if (size >= 8) {
        memcpy(to, &words[0], 8);
        memcpy(to + size - 8, &words[1], 8);
    } else {
        memcpy(to, &words[0], 4);
        memcpy(to + size - 4, &words[1], 4);
    }
    return true;
}

/* The longest prefix of at most `max` bytes that does not cut a character in two. `data` must be
 * valid UTF-8. */
size_t leat_utf8_shorten(const char *data, size_t size, size_t max);

/* Makes any bytes valid in place: each byte that is not part of a character becomes '?'. For texts
 * that come from a handler's stderr or an operating system. */
void leat_utf8_repair(char *data, size_t size);

#endif
