#include "core/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct row {
    unsigned number;
    const char *name;
    const char *text;
};

static const struct row rows[] = {
#define ERR(name, number, text) {number, #name, text},
#include "core/err.def"
#undef ERR
};

static const struct row *row_of(unsigned err)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].number == err) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *leat_err_name(unsigned err)
{
    const struct row *row = row_of(err);
    return row == NULL ? "UNKNOWN" : row->name;
}

const char *leat_err_text(unsigned err)
{
    const struct row *row = row_of(err);
    return row == NULL ? "unknown error" : row->text;
}

/* A reason becomes one line of a log and part of a message: control characters that came in with a
 * value would break both. */
static void keep_one_line(char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            *text = '?';
        }
    }
}

/* A reason that was cut must not end inside a character. */
static void drop_cut_character(char *text, size_t size)
{
    size_t start = size;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t expected = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (size - start + 1 < expected) {
        text[start - 1] = '\0';
    }
}

#undef leat_fail
enum leat_err leat_fail(struct leat_why *why, enum leat_err err, const char *format, ...)
{
    if (why == NULL) {
        return err;
    }
    va_list args;
    va_start(args, format);
    int written = vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    if (written < 0) {
        why->text[0] = '\0';
    } else if ((size_t)written >= sizeof(why->text)) {
        drop_cut_character(why->text, sizeof(why->text) - 1);
    }
    keep_one_line(why->text);
    return err;
}
