/* Borrowed bytes and text: pointer and length, owned by somebody else, not terminated. */
#ifndef LEAT_CORE_VIEW_H
#define LEAT_CORE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct leat_bytes {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

struct leat_str {
    const char *data; /* UTF-8, not terminated; may be NULL when size is 0 */
    size_t size;
};

/* For "%.*s". */
#define LEAT_STR_ARGS(s) (int)(s).size, (s).size > 0 ? (s).data : ""

static inline struct leat_str leat_str_of(const char *text)
{
    return (struct leat_str){text, text == NULL ? 0 : strlen(text)};
}

/* Names of up to sixteen bytes, as most are, without a call: in words that overlap. */
static inline bool leat_str_equal(struct leat_str a, struct leat_str b)
{
    if (a.size != b.size) {
        return false;
    }
    if (a.size >= 8 && a.size <= 16) {
        uint64_t words[4];
        memcpy(&words[0], a.data, 8);
        memcpy(&words[1], b.data, 8);
        memcpy(&words[2], a.data + a.size - 8, 8);
        memcpy(&words[3], b.data + a.size - 8, 8);
        return words[0] == words[1] && words[2] == words[3];
    }
    if (a.size >= 4 && a.size < 8) {
        uint32_t words[4];
        memcpy(&words[0], a.data, 4);
        memcpy(&words[1], b.data, 4);
        memcpy(&words[2], a.data + a.size - 4, 4);
        memcpy(&words[3], b.data + a.size - 4, 4);
        return words[0] == words[1] && words[2] == words[3];
    }
    return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
}

static inline struct leat_bytes leat_bytes_of(const void *data, size_t size)
{
    return (struct leat_bytes){data, size};
}

#endif
