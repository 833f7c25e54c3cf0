#include "wire/codec.h"

#include <inttypes.h>

#include "wire/bulk.h"
#include "wire/fields.h"

#define LEAT_RECORD_TABLE LEAT_ITEMS
#define LEAT_RECORD_IMPLEMENT
#include "wire/record_template.h"

/* ---- the fields of each message ---- */

#define DEFINE_MESSAGE(NAME, name, number, direction, doc)                                         \
    static void put_msg_##name(struct leat_wire_writer *writer,                                    \
                               const struct leat_msg_##name *from)                                 \
    {                                                                                              \
        LEAT_WIRE_PUT_FIELDS(NAME, at = leat_wire_form_array(at, 2 + LEAT_WIRE_FIELD_COUNT(NAME)); \
                             at = leat_wire_form_u64(at, LEAT_PROTOCOL_VERSION);                   \
                             at = leat_wire_form_u64(at, number);)                                 \
    }                                                                                              \
                                                                                                   \
    static enum leat_err get_msg_##name(struct leat_wire_reader *reader,                           \
                                        struct leat_msg_##name *to)                                \
    {                                                                                              \
        reader->what = #NAME;                                                                      \
        LEAT_FIELDS_##NAME(LEAT_WIRE_GET) return LEAT_OK;                                          \
    }

LEAT_MESSAGES(DEFINE_MESSAGE)

/* ---- encode ---- */

enum leat_err leat_wire_encode(const struct leat_msg *msg, struct leat_wire_buffer *out)
{
    struct leat_wire_writer writer;
    leat_wire_writer_init(&writer, out);
    leat_wire_reserve_bulk(msg, out);
    switch (msg->type) {
#define PUT_MESSAGE(NAME, name, number, direction, doc)                                            \
    case LEAT_MSG_##NAME:                                                                          \
        put_msg_##name(&writer, &msg->name);                                                       \
        return leat_wire_writer_finish(&writer);
        LEAT_MESSAGES(PUT_MESSAGE)
#undef PUT_MESSAGE
    }
    return LEAT_ERR_UNKNOWN_TYPE;
}

/* ---- decode ---- */

/* How many elements a message has at least, version and type included; 0 for an unknown type. */
static uint32_t elements_of(uint64_t type)
{
    switch (type) {
#define COUNT_MESSAGE(NAME, name, number, direction, doc)                                          \
    case number:                                                                                   \
        return 2 + LEAT_WIRE_FIELD_COUNT(NAME);
        LEAT_MESSAGES(COUNT_MESSAGE)
#undef COUNT_MESSAGE
    default:
        return 0;
    }
}

static enum leat_err get_fields(struct leat_wire_reader *reader, uint64_t type, struct leat_msg *to)
{
    switch (type) {
#define GET_MESSAGE(NAME, name, number, direction, doc)                                            \
    case number:                                                                                   \
        to->type = LEAT_MSG_##NAME;                                                                \
        return get_msg_##name(reader, &to->name);
        LEAT_MESSAGES(GET_MESSAGE)
#undef GET_MESSAGE
    default:
        return LEAT_ERR_UNKNOWN_TYPE;
    }
}

/* Head, version and type. *ret_count is the number of elements in all. */
static enum leat_err get_envelope(struct leat_wire_reader *reader, uint32_t *ret_count,
                                  uint64_t *ret_type)
{
    uint32_t count;
    uint64_t version;
    uint64_t type;
    if (leat_wire_cursor_array(&reader->cursor, &count) != LEAT_OK) {
        return leat_fail(reader->why, LEAT_ERR_MALFORMED,
                         "a message must be an array that fits its frame, there is %s",
                         leat_wire_cursor_what(&reader->cursor));
    }
    if (count < 2) {
        return leat_fail(reader->why, LEAT_ERR_MALFORMED,
                         "a message begins with version and type, there are %" PRIu32 " elements",
                         count);
    }
    LEAT_WIRE_TRY(leat_wire_reader_u64(reader, "version", &version));
    enum leat_err err = leat_wire_reader_u64(reader, "type", &type);
    /* ERROR is the same in every version, so that each side can say to the other that it is not
     * understood. */
    if (version != LEAT_PROTOCOL_VERSION && (err != LEAT_OK || type != LEAT_MSG_ERROR)) {
        return leat_fail(reader->why, LEAT_ERR_VERSION,
                         "protocol version %" PRIu64 " is not spoken here, but %d: the older side "
                         "must be upgraded",
                         version, LEAT_PROTOCOL_VERSION);
    }
    LEAT_WIRE_TRY(err);
    *ret_count = count;
    *ret_type = type;
    return LEAT_OK;
}

enum leat_err leat_wire_decode(struct leat_bytes frame, struct leat_arena *arena,
                               struct leat_msg *ret_msg, struct leat_why *why)
{
    struct leat_wire_reader reader = {leat_wire_cursor_of(frame), arena, why, "message", NULL};
    uint32_t count;
    uint64_t type = 0;
    LEAT_WIRE_TRY(get_envelope(&reader, &count, &type));
    uint32_t elements = elements_of(type);
    if (elements == 0) {
        return leat_fail(why, LEAT_ERR_UNKNOWN_TYPE, "message type %" PRIu64 " is not known", type);
    }
    if (count < elements) {
        return leat_fail(why, LEAT_ERR_MALFORMED,
                         "message type %" PRIu64 " has %" PRIu32 " elements, needs %" PRIu32, type,
                         count, elements);
    }
    struct leat_msg msg;
    LEAT_WIRE_TRY(get_fields(&reader, type, &msg));
    LEAT_WIRE_TRY(leat_wire_reader_extra(&reader, count - elements));
    LEAT_WIRE_TRY(leat_wire_reader_end(&reader));
    *ret_msg = msg;
    return LEAT_OK;
}

uint64_t leat_wire_peek_type(struct leat_bytes frame)
{
    struct leat_wire_cursor cursor = leat_wire_cursor_of(frame);
    uint32_t count;
    uint64_t version;
    uint64_t type;
    if (leat_wire_cursor_array(&cursor, &count) != LEAT_OK ||
        leat_wire_cursor_u64(&cursor, &version) != LEAT_OK ||
        leat_wire_cursor_u64(&cursor, &type) != LEAT_OK) {
        return 0;
    }
    return type;
}
