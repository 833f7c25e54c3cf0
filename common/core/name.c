#include "core/name.h"

#include <stdbool.h>

/* Not isalnum: names must not depend on the locale. */
static bool is_allowed(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

enum leat_err leat_name_check(const char *what, struct leat_str name, size_t bytes_max,
                              struct leat_why *why)
{
    if (name.size == 0) {
        return leat_fail(why, LEAT_ERR_INVALID, "%s is empty", what);
    }
    if (name.size > bytes_max) {
        return leat_fail(why, LEAT_ERR_LIMIT, "%s is %zu bytes long, the limit is %zu", what,
                         name.size, bytes_max);
    }
    for (size_t i = 0; i < name.size; i++) {
        if (is_allowed(name.data[i])) {
            continue;
        }
        unsigned char byte = (unsigned char)name.data[i];
        return leat_fail(why, LEAT_ERR_INVALID,
                         "%s has byte 0x%02x%s%.*s%s after '%.*s': allowed are A-Z a-z 0-9 _ . -",
                         what, (unsigned)byte, byte > 0x20 && byte < 0x7f ? " ('" : "",
                         byte > 0x20 && byte < 0x7f ? 1 : 0, name.data + i,
                         byte > 0x20 && byte < 0x7f ? "')" : "", (int)i, name.data);
    }
    return LEAT_OK;
}
