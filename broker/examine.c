#include "broker/examine.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/id.h"
#include "wire/record.h"

#define NAME_BYTES (4 + 2 * LEAT_STORE_KEY_BYTES_MAX + 1)

bool leat_examine_say(struct leat_examination *examination, const char *format, ...)
{
    char text[LEAT_WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    examination->wrong++;
    if (!examination->found(examination->context, text)) {
        examination->is_stopped = true;
    }
    return !examination->is_stopped;
}

/* "job 0190..." or "key 00000001". */
static void name_row(struct leat_bytes key, int id_at, char name[NAME_BYTES])
{
    if (id_at >= 0 && key.size == (size_t)id_at + LEAT_ID_BYTES) {
        struct leat_id id;
        char text[LEAT_ID_TEXT_BYTES];
        memcpy(id.bytes, key.data + id_at, LEAT_ID_BYTES);
        snprintf(name, NAME_BYTES, "job %s", leat_id_format(&id, text));
        return;
    }
    size_t size = (size_t)snprintf(name, NAME_BYTES, "key ");
    for (size_t i = 0; i < key.size && i < LEAT_STORE_KEY_BYTES_MAX; i++) {
        size += (size_t)snprintf(name + size, NAME_BYTES - size, "%02x", key.data[i]);
    }
}

bool leat_examine_row(struct leat_examination *examination, leat_table table, struct leat_bytes key,
                      struct leat_bytes value, int id_at)
{
    examination->rows++;
    if (leat_record_intact(value, (struct leat_record_place){table, key})) {
        return true;
    }
    char name[NAME_BYTES];
    name_row(key, id_at, name);
    leat_examine_say(examination, "table %s: the row of %s is damaged", examination->tables[table],
                     name);
    return false;
}
