/* The inside of the codec: how one field of each kind is written and read. For codec.c and for the
 * code that wire/record_template.h expands; nobody else needs it.
 *
 * A field macro F(kind, name, max, item, doc) becomes a statement that works on `from`, `writer`
 * and `at` when written, on `to` and `reader` when read.
 */
#ifndef LEAT_WIRE_FIELDS_H
#define LEAT_WIRE_FIELDS_H

#include "core/arena.h"
#include "core/messages.h"
#include "wire/cursor.h"
#include "wire/record.h"
#include "wire/writer.h"

/* ---- reading ---- */

/* Where in the message we are, for error texts: a chain on the stack, innermost first. */
struct leat_wire_place {
    const struct leat_wire_place *outer;
    const char *name; /* of the list */
    uint32_t index;
};

struct leat_wire_reader {
    struct leat_wire_cursor cursor;
    struct leat_arena *arena;
    struct leat_why *why; /* may be NULL */
    const char *what;     /* name of the message or record */
    const struct leat_wire_place *place;
};

/* Say in `why` what the next element should have been; for the calls below. */
void leat_wire_reader_no_u64(const struct leat_wire_reader *reader, const char *field);
void leat_wire_reader_no_i64(const struct leat_wire_reader *reader, const char *field);
void leat_wire_reader_no_bool(const struct leat_wire_reader *reader, const char *field);
void leat_wire_reader_no_id(const struct leat_wire_reader *reader, const char *field);
void leat_wire_reader_no_bin(const struct leat_wire_reader *reader, const char *field);
void leat_wire_reader_too_large(const struct leat_wire_reader *reader, const char *field,
                                uint64_t size, uint64_t max);

/* Each names `field` in `why` when it fails. */
static inline enum leat_err leat_wire_reader_u64(struct leat_wire_reader *reader, const char *field,
                                                 uint64_t *ret_value)
{
    if (leat_wire_cursor_u64(&reader->cursor, ret_value) != LEAT_OK) {
        leat_wire_reader_no_u64(reader, field);
        return LEAT_ERR_MALFORMED;
    }
    return LEAT_OK;
}

static inline enum leat_err leat_wire_reader_i64(struct leat_wire_reader *reader, const char *field,
                                                 int64_t *ret_value)
{
    if (leat_wire_cursor_i64(&reader->cursor, ret_value) != LEAT_OK) {
        leat_wire_reader_no_i64(reader, field);
        return LEAT_ERR_MALFORMED;
    }
    return LEAT_OK;
}

static inline enum leat_err leat_wire_reader_bool(struct leat_wire_reader *reader,
                                                  const char *field, bool *ret_value)
{
    if (leat_wire_cursor_bool(&reader->cursor, ret_value) != LEAT_OK) {
        leat_wire_reader_no_bool(reader, field);
        return LEAT_ERR_MALFORMED;
    }
    return LEAT_OK;
}

static inline enum leat_err leat_wire_reader_bin(struct leat_wire_reader *reader, const char *field,
                                                 uint64_t max, struct leat_bytes *ret_bytes)
{
    struct leat_wire_cursor ahead = reader->cursor;
    struct leat_bytes bytes;
    if (leat_wire_cursor_bin(&ahead, &bytes) != LEAT_OK) {
        leat_wire_reader_no_bin(reader, field);
        return LEAT_ERR_MALFORMED;
    }
    if (bytes.size > max) {
        leat_wire_reader_too_large(reader, field, bytes.size, max);
        return LEAT_ERR_LIMIT;
    }
    reader->cursor = ahead;
    *ret_bytes = bytes;
    return LEAT_OK;
}

static inline enum leat_err leat_wire_reader_id(struct leat_wire_reader *reader, const char *field,
                                                struct leat_id *ret_id)
{
    struct leat_wire_cursor ahead = reader->cursor;
    struct leat_bytes bytes;
    if (leat_wire_cursor_bin(&ahead, &bytes) != LEAT_OK || bytes.size != LEAT_ID_BYTES) {
        leat_wire_reader_no_id(reader, field);
        return LEAT_ERR_MALFORMED;
    }
    reader->cursor = ahead;
    memcpy(ret_id->bytes, bytes.data, LEAT_ID_BYTES);
    return LEAT_OK;
}

enum leat_err leat_wire_reader_any_str(struct leat_wire_reader *reader, const char *field,
                                       uint64_t max, struct leat_str *ret_text);

static inline enum leat_err leat_wire_reader_str(struct leat_wire_reader *reader, const char *field,
                                                 uint64_t max, struct leat_str *ret_text)
{
    struct leat_wire_cursor ahead = reader->cursor;
    struct leat_str text;
    if (leat_wire_cursor_quick_str(&ahead, &text) && text.size <= max) {
        reader->cursor = ahead;
        *ret_text = text;
        return LEAT_OK;
    }
    return leat_wire_reader_any_str(reader, field, max, ret_text);
}

/* The head of a list and the memory for its items: only after count <= max and count * min_bytes
 * <= bytes left, where min_bytes is the smallest form of one item. *ret_items is NULL for 0. */
enum leat_err leat_wire_reader_list(struct leat_wire_reader *reader, const char *field,
                                    uint64_t max, size_t min_bytes, size_t item_size,
                                    uint32_t *ret_count, void **ret_items);
enum leat_err leat_wire_reader_any_head(struct leat_wire_reader *reader, size_t fields,
                                        uint32_t *ret_extra);
enum leat_err leat_wire_reader_skip(struct leat_wire_reader *reader, uint32_t extra);

/* The head of an array of at least `fields` elements; *ret_extra is how many there are above. */
static inline enum leat_err leat_wire_reader_head(struct leat_wire_reader *reader, size_t fields,
                                                  uint32_t *ret_extra)
{
    struct leat_wire_cursor ahead = reader->cursor;
    uint32_t count;
    if (leat_wire_cursor_array(&ahead, &count) == LEAT_OK && count == fields) {
        reader->cursor = ahead;
        *ret_extra = 0;
        return LEAT_OK;
    }
    return leat_wire_reader_any_head(reader, fields, ret_extra);
}

/* Passes elements of a later version. */
static inline enum leat_err leat_wire_reader_extra(struct leat_wire_reader *reader, uint32_t extra)
{
    return extra == 0 ? LEAT_OK : leat_wire_reader_skip(reader, extra);
}

/* Head and version of a stand-alone item. */
enum leat_err leat_wire_reader_record(struct leat_wire_reader *reader, size_t fields,
                                      uint32_t *ret_extra);
/* Nothing may follow. */
enum leat_err leat_wire_reader_end(struct leat_wire_reader *reader);

/* ---- what the tables expand to ---- */

#define LEAT_WIRE_ONE(kind, name, max, item, doc) +1u
#define LEAT_WIRE_FIELD_COUNT(NAME)               (0u LEAT_FIELDS_##NAME(LEAT_WIRE_ONE))

/* An item's own values are written behind one look at the room: what they take at most. */
#define LEAT_WIRE_HEADS_BYTES_MAX                  (3 * LEAT_WIRE_HEAD_BYTES_MAX)
#define LEAT_WIRE_ROOM_U64(name)                   +LEAT_WIRE_HEAD_BYTES_MAX
#define LEAT_WIRE_ROOM_I64(name)                   +LEAT_WIRE_HEAD_BYTES_MAX
#define LEAT_WIRE_ROOM_BOOL(name)                  +1
#define LEAT_WIRE_ROOM_ID(name)                    +(2 + LEAT_ID_BYTES)
#define LEAT_WIRE_ROOM_STR(name)                   +(LEAT_WIRE_HEAD_BYTES_MAX + from->name.size)
#define LEAT_WIRE_ROOM_BIN(name)                   +(LEAT_WIRE_HEAD_BYTES_MAX + from->name.size)
#define LEAT_WIRE_ROOM_ITEM(name)                  +0
#define LEAT_WIRE_ROOM_LIST(name)                  +1
#define LEAT_WIRE_ROOM(kind, name, max, item, doc) LEAT_WIRE_ROOM_##kind(name)

#define LEAT_WIRE_PUT_U64(name, max, item)  at = leat_wire_form_u64(at, from->name);
#define LEAT_WIRE_PUT_I64(name, max, item)  at = leat_wire_form_i64(at, from->name);
#define LEAT_WIRE_PUT_BOOL(name, max, item) *at++ = from->name ? 0xc3 : 0xc2;
#define LEAT_WIRE_PUT_ID(name, max, item)   at = leat_wire_form_id(at, &from->name);
#define LEAT_WIRE_PUT_STR(name, max, item)  at = leat_wire_form_str(writer, at, from->name, (max));
#define LEAT_WIRE_PUT_BIN(name, max, item)  at = leat_wire_form_bin(writer, at, from->name, (max));
/* What holds values of its own looks at the room by itself, and then the rest does again. */
#define LEAT_WIRE_PUT_OTHERS(put)                                                                  \
    left -= leat_wire_writer_ahead(writer, at);                                                    \
    leat_wire_writer_end(writer, at);                                                              \
    put;                                                                                           \
    at = leat_wire_writer_room(writer, left);                                                      \
    if (at == NULL) {                                                                              \
        return;                                                                                    \
    }
#define LEAT_WIRE_PUT_ITEM(name, max, item)                                                        \
    LEAT_WIRE_PUT_OTHERS(leat_wire_put_##item(writer, &from->name))
#define LEAT_WIRE_PUT_LIST(name, max, item)                                                        \
    if (from->name.count == 0) {                                                                   \
        *at++ = 0x90;                                                                              \
    } else {                                                                                       \
        LEAT_WIRE_PUT_OTHERS(if (leat_wire_writer_list(writer, from->name.count, (max))) {         \
            for (size_t i = 0; i < from->name.count; i++) {                                        \
                leat_wire_put_##item(writer, &from->name.items[i]);                                \
            }                                                                                      \
        })                                                                                         \
    }
#define LEAT_WIRE_PUT(kind, name, max, item, doc) LEAT_WIRE_PUT_##kind(name, max, item)
/* The whole body of a function that returns nothing; `head` is what comes before the fields. */
#define LEAT_WIRE_PUT_FIELDS(NAME, head)                                                           \
    const size_t room = LEAT_WIRE_HEADS_BYTES_MAX LEAT_FIELDS_##NAME(LEAT_WIRE_ROOM);              \
    uint8_t *at = leat_wire_writer_room(writer, room);                                             \
    size_t left = room; /* for what is not written yet */                                          \
    if (at == NULL) {                                                                              \
        return;                                                                                    \
    }                                                                                              \
    head LEAT_FIELDS_##NAME(LEAT_WIRE_PUT) leat_wire_writer_end(writer, at);                       \
    (void)left;

#define LEAT_WIRE_TRY(call)                                                                        \
    do {                                                                                           \
        enum leat_err try_err = (call);                                                            \
        if (try_err != LEAT_OK) {                                                                  \
            return try_err;                                                                        \
        }                                                                                          \
    } while (0)

#define LEAT_WIRE_GET_U64(name, max, item)                                                         \
    LEAT_WIRE_TRY(leat_wire_reader_u64(reader, #name, &to->name));
#define LEAT_WIRE_GET_I64(name, max, item)                                                         \
    LEAT_WIRE_TRY(leat_wire_reader_i64(reader, #name, &to->name));
#define LEAT_WIRE_GET_BOOL(name, max, item)                                                        \
    LEAT_WIRE_TRY(leat_wire_reader_bool(reader, #name, &to->name));
#define LEAT_WIRE_GET_ID(name, max, item)                                                          \
    LEAT_WIRE_TRY(leat_wire_reader_id(reader, #name, &to->name));
#define LEAT_WIRE_GET_STR(name, max, item)                                                         \
    LEAT_WIRE_TRY(leat_wire_reader_str(reader, #name, (max), &to->name));
#define LEAT_WIRE_GET_BIN(name, max, item)                                                         \
    LEAT_WIRE_TRY(leat_wire_reader_bin(reader, #name, (max), &to->name));
#define LEAT_WIRE_GET_ITEM(name, max, item) LEAT_WIRE_TRY(leat_wire_get_##item(reader, &to->name));
#define LEAT_WIRE_GET_LIST(name, max, item)                                                        \
    {                                                                                              \
        struct leat_wire_place place = {reader->place, #name, 0};                                  \
        uint32_t count;                                                                            \
        void *items;                                                                               \
        LEAT_WIRE_TRY(leat_wire_reader_list(reader, #name, (max), LEAT_WIRE_LEAST_##item,          \
                                            sizeof(*to->name.items), &count, &items));             \
        to->name.items = items;                                                                    \
        to->name.count = count;                                                                    \
        reader->place = &place;                                                                    \
        for (; place.index < count; place.index++) {                                               \
            LEAT_WIRE_TRY(leat_wire_get_##item(reader, &to->name.items[place.index]));             \
        }                                                                                          \
        reader->place = place.outer;                                                               \
    }
#define LEAT_WIRE_GET(kind, name, max, item, doc) LEAT_WIRE_GET_##kind(name, max, item)

/* ---- the functions of one item; `alone`: as a record, which begins with its version ---- */

#define LEAT_WIRE_DEFINE_ITEM(NAME, name)                                                          \
    static void put_fields_##name(struct leat_wire_writer *writer,                                 \
                                  const struct leat_item_##name *from, bool alone)                 \
    {                                                                                              \
        LEAT_WIRE_PUT_FIELDS(                                                                      \
            NAME, at = leat_wire_form_array(at, LEAT_WIRE_FIELD_COUNT(NAME) + (alone ? 1 : 0));    \
            if (alone) { at = leat_wire_form_u64(at, LEAT_RECORD_VERSION); })                      \
    }                                                                                              \
                                                                                                   \
    static enum leat_err get_fields_##name(struct leat_wire_reader *reader,                        \
                                           struct leat_item_##name *to)                            \
    {                                                                                              \
        LEAT_FIELDS_##NAME(LEAT_WIRE_GET) return LEAT_OK;                                          \
    }                                                                                              \
                                                                                                   \
    void leat_wire_put_##name(struct leat_wire_writer *writer,                                     \
                              const struct leat_item_##name *item)                                 \
    {                                                                                              \
        put_fields_##name(writer, item, false);                                                    \
    }                                                                                              \
                                                                                                   \
    enum leat_err leat_wire_get_##name(struct leat_wire_reader *reader,                            \
                                       struct leat_item_##name *ret_item)                          \
    {                                                                                              \
        uint32_t extra;                                                                            \
        LEAT_WIRE_TRY(leat_wire_reader_head(reader, LEAT_WIRE_FIELD_COUNT(NAME), &extra));         \
        LEAT_WIRE_TRY(get_fields_##name(reader, ret_item));                                        \
        return leat_wire_reader_extra(reader, extra);                                              \
    }                                                                                              \
                                                                                                   \
    enum leat_err leat_wire_encode_item_##name(const struct leat_item_##name *item,                \
                                               struct leat_wire_buffer *out)                       \
    {                                                                                              \
        struct leat_wire_writer writer;                                                            \
        leat_wire_writer_init(&writer, out);                                                       \
        put_fields_##name(&writer, item, true);                                                    \
        return leat_wire_writer_finish(&writer);                                                   \
    }                                                                                              \
                                                                                                   \
    enum leat_err leat_wire_decode_item_##name(struct leat_bytes bytes, struct leat_arena *arena,  \
                                               struct leat_item_##name *ret_item,                  \
                                               struct leat_why *why)                               \
    {                                                                                              \
        struct leat_wire_reader reader = {leat_wire_cursor_of(bytes), arena, why, #name, NULL};    \
        struct leat_item_##name item;                                                              \
        uint32_t extra;                                                                            \
        LEAT_WIRE_TRY(leat_wire_reader_record(&reader, LEAT_WIRE_FIELD_COUNT(NAME), &extra));      \
        LEAT_WIRE_TRY(get_fields_##name(&reader, &item));                                          \
        LEAT_WIRE_TRY(leat_wire_reader_extra(&reader, extra));                                     \
        LEAT_WIRE_TRY(leat_wire_reader_end(&reader));                                              \
        *ret_item = item;                                                                          \
        return LEAT_OK;                                                                            \
    }                                                                                              \
                                                                                                   \
    enum leat_err leat_wire_seal_item_##name(const struct leat_item_##name *item,                  \
                                             struct leat_record_place place,                       \
                                             struct leat_wire_buffer *out)                         \
    {                                                                                              \
        size_t start;                                                                              \
        LEAT_WIRE_TRY(leat_record_begin(out, &start));                                             \
        enum leat_err err = leat_wire_encode_item_##name(item, out);                               \
        if (err != LEAT_OK) {                                                                      \
            out->size = start;                                                                     \
            return err;                                                                            \
        }                                                                                          \
        leat_record_end(out, start, place);                                                        \
        return LEAT_OK;                                                                            \
    }                                                                                              \
                                                                                                   \
    enum leat_err leat_wire_unseal_item_##name(                                                    \
        struct leat_bytes sealed, struct leat_record_place place, struct leat_arena *arena,        \
        struct leat_item_##name *ret_item, struct leat_why *why)                                   \
    {                                                                                              \
        struct leat_bytes payload;                                                                 \
        LEAT_WIRE_TRY(leat_record_unseal(sealed, place, &payload, why));                           \
        return leat_wire_decode_item_##name(payload, arena, ret_item, why);                        \
    }

#endif
