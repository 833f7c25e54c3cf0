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

static inline bool leat_str_equal(struct leat_str a, struct leat_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline struct leat_bytes leat_bytes_of(const void *data, size_t size)
{
    return (struct leat_bytes){data, size};
}

#endif
