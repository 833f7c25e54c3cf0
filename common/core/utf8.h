/* Whether bytes are UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef LEAT_CORE_UTF8_H
#define LEAT_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool leat_utf8_valid(const char *data, size_t size);

/* The longest prefix of at most `max` bytes that does not cut a character in two. `data` must be
 * valid UTF-8. */
size_t leat_utf8_shorten(const char *data, size_t size, size_t max);

/* Makes any bytes valid in place: each byte that is not part of a character becomes '?'. For texts
 * that come from a handler's stderr or an operating system. */
void leat_utf8_repair(char *data, size_t size);

#endif
