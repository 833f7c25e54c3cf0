#include "wire/fields.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/utf8.h"

/* "jobs[3].headers[0]" */
static size_t format_place(const struct leat_wire_place *place, char *text, size_t size)
{
    if (place == NULL) {
        return 0;
    }
    size_t used = format_place(place->outer, text, size);
    if (used + 1 >= size) {
        return used;
    }
    int more = snprintf(text + used, size - used, "%s%s[%" PRIu32 "]", used > 0 ? "." : "",
                        place->name, place->index);
    used += more > 0 ? (size_t)more : 0;
    return used < size ? used : size - 1;
}

/* Leaves "SUBMIT jobs[3].queue" in `path`; field NULL: the message or item itself. */
static const char *path_of(const struct leat_wire_reader *reader, const char *field, char *path,
                           size_t size)
{
    char place[128];
    place[0] = '\0';
    (void)format_place(reader->place, place, sizeof(place));
    (void)snprintf(path, size, "%s%s%s%s%s", reader->what, place[0] != '\0' ? " " : "", place,
                   field == NULL      ? ""
                   : place[0] != '\0' ? "."
                                      : " ",
                   field == NULL ? "" : field);
    return path;
}

enum { PATH_BYTES = 192 };

static enum leat_err wrong_type(const struct leat_wire_reader *reader, const char *field,
                                const char *wanted)
{
    char path[PATH_BYTES];
    return leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s must be %s, there is %s",
                     path_of(reader, field, path, sizeof(path)), wanted,
                     leat_wire_cursor_what(&reader->cursor));
}

static enum leat_err too_large(const struct leat_wire_reader *reader, const char *field,
                               uint64_t size, const char *unit, uint64_t max)
{
    char path[PATH_BYTES];
    return leat_fail(reader->why, LEAT_ERR_LIMIT, "%s is %" PRIu64 " %s, limit is %" PRIu64,
                     path_of(reader, field, path, sizeof(path)), size, unit, max);
}

void leat_wire_reader_no_u64(const struct leat_wire_reader *reader, const char *field)
{
    (void)wrong_type(reader, field, "an integer from 0 to 2^64-1");
}

void leat_wire_reader_no_i64(const struct leat_wire_reader *reader, const char *field)
{
    (void)wrong_type(reader, field, "an integer from -2^63 to 2^63-1");
}

void leat_wire_reader_no_bool(const struct leat_wire_reader *reader, const char *field)
{
    (void)wrong_type(reader, field, "bool");
}

void leat_wire_reader_no_id(const struct leat_wire_reader *reader, const char *field)
{
    struct leat_wire_cursor ahead = reader->cursor;
    struct leat_bytes bytes;
    char path[PATH_BYTES];
    if (leat_wire_cursor_bin(&ahead, &bytes) != LEAT_OK) {
        (void)wrong_type(reader, field, "bin of 16 bytes");
    } else {
        (void)leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s must be bin of 16 bytes, it has %zu",
                        path_of(reader, field, path, sizeof(path)), bytes.size);
    }
}

void leat_wire_reader_no_bin(const struct leat_wire_reader *reader, const char *field)
{
    (void)wrong_type(reader, field, "bin");
}

void leat_wire_reader_too_large(const struct leat_wire_reader *reader, const char *field,
                                uint64_t size, uint64_t max)
{
    (void)too_large(reader, field, size, "bytes", max);
}

enum leat_err leat_wire_reader_any_str(struct leat_wire_reader *reader, const char *field,
                                       uint64_t max, struct leat_str *ret_text)
{
    struct leat_wire_token token;
    struct leat_wire_cursor ahead = reader->cursor;
    if (leat_wire_cursor_next(&ahead, &token) != LEAT_OK || token.kind != LEAT_WIRE_STR) {
        return wrong_type(reader, field, "str");
    }
    if (token.bytes.size > max) { /* before the text is looked at */
        return too_large(reader, field, token.bytes.size, "bytes", max);
    }
    struct leat_str text = {(const char *)token.bytes.data, token.bytes.size};
    if (!leat_utf8_valid(text.data, text.size)) {
        char path[PATH_BYTES];
        return leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s of %zu bytes is not UTF-8",
                         path_of(reader, field, path, sizeof(path)), text.size);
    }
    reader->cursor = ahead;
    *ret_text = text;
    return LEAT_OK;
}

enum leat_err leat_wire_reader_list(struct leat_wire_reader *reader, const char *field,
                                    uint64_t max, size_t min_bytes, size_t item_size,
                                    uint32_t *ret_count, void **ret_items)
{
    uint32_t count;
    if (leat_wire_cursor_array(&reader->cursor, &count) != LEAT_OK) {
        return wrong_type(reader, field, "an array");
    }
    if (count > max) {
        return too_large(reader, field, count, "items", max);
    }
    char path[PATH_BYTES];
    if (count > leat_wire_cursor_left(&reader->cursor) / min_bytes) {
        return leat_fail(reader->why, LEAT_ERR_MALFORMED,
                         "%s declares %" PRIu32 " items, %zu bytes are left",
                         path_of(reader, field, path, sizeof(path)), count,
                         leat_wire_cursor_left(&reader->cursor));
    }
    void *items = NULL;
    if (count > 0) {
        items = leat_arena_take_unset(reader->arena, count * item_size); /* each is read whole */
        if (items == NULL) {
            return leat_fail(reader->why, LEAT_ERR_MEMORY, "%s: no memory for %" PRIu32 " items",
                             path_of(reader, field, path, sizeof(path)), count);
        }
    }
    *ret_count = count;
    *ret_items = items;
    return LEAT_OK;
}

enum leat_err leat_wire_reader_any_head(struct leat_wire_reader *reader, size_t fields,
                                        uint32_t *ret_extra)
{
    uint32_t count;
    if (leat_wire_cursor_array(&reader->cursor, &count) != LEAT_OK) {
        return wrong_type(reader, NULL, "an array");
    }
    if (count < fields) {
        char path[PATH_BYTES];
        return leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s has %" PRIu32 " elements, needs %zu",
                         path_of(reader, NULL, path, sizeof(path)), count, fields);
    }
    *ret_extra = count - (uint32_t)fields;
    return LEAT_OK;
}

enum leat_err leat_wire_reader_skip(struct leat_wire_reader *reader, uint32_t extra)
{
    for (uint32_t i = 0; i < extra; i++) {
        enum leat_err err = leat_wire_cursor_skip(&reader->cursor);
        if (err != LEAT_OK) {
            char path[PATH_BYTES];
            return leat_fail(reader->why, err, "%s: %s",
                             path_of(reader, "extra element", path, sizeof(path)),
                             err == LEAT_ERR_LIMIT ? "nested too deeply" : "not whole");
        }
    }
    return LEAT_OK;
}

enum leat_err leat_wire_reader_record(struct leat_wire_reader *reader, size_t fields,
                                      uint32_t *ret_extra)
{
    uint32_t count;
    uint64_t version;
    if (leat_wire_cursor_array(&reader->cursor, &count) != LEAT_OK) {
        return wrong_type(reader, NULL, "an array");
    }
    if (count == 0 || leat_wire_cursor_u64(&reader->cursor, &version) != LEAT_OK) {
        return wrong_type(reader, "version", "an integer");
    }
    if (version != LEAT_RECORD_VERSION) {
        return leat_fail(reader->why, LEAT_ERR_VERSION,
                         "%s has record version %" PRIu64 ", this program reads %d", reader->what,
                         version, LEAT_RECORD_VERSION);
    }
    if (count - 1 < fields) {
        return leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s has %" PRIu32 " fields, needs %zu",
                         reader->what, count - 1, fields);
    }
    *ret_extra = count - 1 - (uint32_t)fields;
    return LEAT_OK;
}

enum leat_err leat_wire_reader_end(struct leat_wire_reader *reader)
{
    size_t left = leat_wire_cursor_left(&reader->cursor);
    if (left > 0) {
        return leat_fail(reader->why, LEAT_ERR_MALFORMED, "%s is followed by %zu bytes",
                         reader->what, left);
    }
    return LEAT_OK;
}
