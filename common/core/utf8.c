#include "core/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the character at `at`, of which `left` bytes are there; 0 when it is none. The ranges
 * are those of RFC 3629 section 4: the second byte excludes overlong forms, surrogates and what is
 * above U+10FFFF. */
static size_t character_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || left < size) {
        return 0;
    }
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

/* Nearly every text is plain ASCII: eight bytes at a time. */
static size_t skip_ascii(const uint8_t *data, size_t at, size_t size)
{
    while (size - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + at, sizeof(word));
        if ((word & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        at += sizeof(word);
    }
    while (at < size && data[at] < 0x80) {
        at++;
    }
    return at;
}

bool leat_utf8_valid(const char *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    size_t at = 0;
    while (at < size) {
        at = skip_ascii(bytes, at, size);
        if (at == size) {
            break;
        }
        size_t step = character_size(bytes + at, size - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

size_t leat_utf8_shorten(const char *data, size_t size, size_t max)
{
    if (size <= max) {
        return size;
    }
    while (max > 0 && ((uint8_t)data[max] & 0xc0) == 0x80) {
        max--;
    }
    return max;
}

void leat_utf8_repair(char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t step = character_size((const uint8_t *)data + at, size - at);
        if (step == 0) {
            data[at] = '?';
            step = 1;
        }
        at += step;
    }
}
