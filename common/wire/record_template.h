/* Struct, encoder and decoder for a table of items in the form of core/messages.def.
 *
 * This header has no guard: it is included once per table, and twice when the code is wanted too.
 * Write a table, say broker/ventilator/records.def:
 *
 *   #define LEAT_VENTILATOR_ITEMS(I) I(KEPT_JOB, kept_job) I(KEPT_LEASE, kept_lease)
 *   #define LEAT_FIELDS_KEPT_JOB(F) \
 *       F(ID, id, 0, none, "job id") \
 *       F(LIST, headers, LEAT_HEADERS_MAX, header, "free headers")
 *   #define LEAT_FIELDS_KEPT_LEASE(F) ...
 *
 * In a header, for the structs and the declarations:
 *
 *   #include "broker/ventilator/records.def"
 *   #define LEAT_RECORD_TABLE LEAT_VENTILATOR_ITEMS
 *   #include "wire/record_template.h"
 *
 * and in one .c file, after that header, for the functions:
 *
 *   #define LEAT_RECORD_TABLE LEAT_VENTILATOR_ITEMS
 *   #define LEAT_RECORD_IMPLEMENT
 *   #include "wire/record_template.h"
 *
 * Each item NAME gets struct leat_item_NAME and the functions leat_wire_encode_item_NAME,
 * leat_wire_decode_item_NAME, leat_wire_seal_item_NAME, leat_wire_unseal_item_NAME, as wire/codec.h
 * describes them. Item names are one namespace with those of messages.def: a record may hold a LIST
 * or ITEM of `header`, `lease`, ..., and its own names must differ from them. An item must stand in
 * its list before the items that hold it. The target links leat_wire.
 *
 * LEAT_RECORD_STRUCTS_EXIST: leave the structs out, they are defined already.
 * All LEAT_RECORD_... parameters are undefined again at the end of this header.
 */
#ifndef LEAT_RECORD_TABLE
#error "define LEAT_RECORD_TABLE before this header is included"
#endif

#include "core/arena.h"
#include "core/messages.h"
#include "wire/buffer.h"
#include "wire/record.h"

#ifndef LEAT_RECORD_IMPLEMENT

struct leat_wire_writer; /* wire/fields.h */
struct leat_wire_reader;

#ifndef LEAT_RECORD_STRUCTS_EXIST
#define LEAT_RECORD_STRUCT(NAME, name)                                                             \
    struct leat_item_##name {                                                                      \
        LEAT_FIELDS_##NAME(LEAT_MEMBER)                                                            \
    };
LEAT_RECORD_TABLE(LEAT_RECORD_STRUCT)
#undef LEAT_RECORD_STRUCT
#endif

/* The fewest bytes that one item can have: head of the array, then the smallest form of each field.
 * A list may not declare more items than the bytes that are left can hold. */
#ifndef LEAT_WIRE_LEAST
#define LEAT_WIRE_LEAST_OF_U64(item)                +1
#define LEAT_WIRE_LEAST_OF_I64(item)                +1
#define LEAT_WIRE_LEAST_OF_BOOL(item)               +1
#define LEAT_WIRE_LEAST_OF_ID(item)                 +(2 + LEAT_ID_BYTES)
#define LEAT_WIRE_LEAST_OF_STR(item)                +1
#define LEAT_WIRE_LEAST_OF_BIN(item)                +2
#define LEAT_WIRE_LEAST_OF_LIST(item)               +1
#define LEAT_WIRE_LEAST_OF_ITEM(item)               +LEAT_WIRE_LEAST_##item
#define LEAT_WIRE_LEAST(kind, name, max, item, doc) LEAT_WIRE_LEAST_OF_##kind(item)
#endif
#define LEAT_RECORD_LEAST(NAME, name)                                                              \
    enum { LEAT_WIRE_LEAST_##name = 1 LEAT_FIELDS_##NAME(LEAT_WIRE_LEAST) };
LEAT_RECORD_TABLE(LEAT_RECORD_LEAST)
#undef LEAT_RECORD_LEAST

/* put and get are for the codec itself: one item nested in something larger. */
#define LEAT_RECORD_DECLARE(NAME, name)                                                            \
    void leat_wire_put_##name(struct leat_wire_writer *writer,                                     \
                              const struct leat_item_##name *item);                                \
    LEAT_MUST_USE enum leat_err leat_wire_get_##name(struct leat_wire_reader *reader,              \
                                                     struct leat_item_##name *ret_item);           \
    LEAT_MUST_USE enum leat_err leat_wire_encode_item_##name(const struct leat_item_##name *item,  \
                                                             struct leat_wire_buffer *out);        \
    LEAT_MUST_USE enum leat_err leat_wire_decode_item_##name(                                      \
        struct leat_bytes bytes, struct leat_arena *arena, struct leat_item_##name *ret_item,      \
        struct leat_why *why);                                                                     \
    LEAT_MUST_USE enum leat_err leat_wire_seal_item_##name(const struct leat_item_##name *item,    \
                                                           struct leat_record_place place,         \
                                                           struct leat_wire_buffer *out);          \
    LEAT_MUST_USE enum leat_err leat_wire_unseal_item_##name(                                      \
        struct leat_bytes sealed, struct leat_record_place place, struct leat_arena *arena,        \
        struct leat_item_##name *ret_item, struct leat_why *why);
LEAT_RECORD_TABLE(LEAT_RECORD_DECLARE)
#undef LEAT_RECORD_DECLARE

#else /* LEAT_RECORD_IMPLEMENT */

#include "wire/fields.h"

LEAT_RECORD_TABLE(LEAT_WIRE_DEFINE_ITEM)

#endif

#undef LEAT_RECORD_TABLE
#undef LEAT_RECORD_IMPLEMENT
#undef LEAT_RECORD_STRUCTS_EXIST
