#include "wire/bulk.h"

#include "wire/fields.h"

/* ---- byte strings in an item, but for lists of its own: terms of a sum ---- */

#define BULK_U64(name)
#define BULK_I64(name)
#define BULK_BOOL(name)
#define BULK_ID(name)
#define BULK_STR(name)
#define BULK_BIN(name) +from->name.size
#define BULK_ITEM(name)
#define BULK_LIST(name)
#define BULK(kind, name, max, item, doc) BULK_##kind(name)

/* ---- and in the items of a message: statements ---- */

#define ITEMS_BULK_U64(name, item)
#define ITEMS_BULK_I64(name, item)
#define ITEMS_BULK_BOOL(name, item)
#define ITEMS_BULK_ID(name, item)
#define ITEMS_BULK_STR(name, item)
#define ITEMS_BULK_BIN(name, item)
#define ITEMS_BULK_ITEM(name, item)
#define ITEMS_BULK_LIST(name, item)                                                                \
    for (size_t i = 0; i < from->name.count; i++) {                                                \
        bulk += bulk_of_##item(&from->name.items[i]);                                              \
    }
#define ITEMS_BULK(kind, name, max, item, doc) ITEMS_BULK_##kind(name, item)

/* ---- what an item or a message asks for beside its own values: statements ---- */

#define MOST_U64(name, item)
#define MOST_I64(name, item)
#define MOST_BOOL(name, item)
#define MOST_ID(name, item)
#define MOST_STR(name, item)
#define MOST_BIN(name, item)
#define MOST_ITEM(name, item) most += most_of_##item(&from->name);
#define MOST_LIST(name, item)                                                                      \
    for (size_t i = 0; i < from->name.count; i++) {                                                \
        most += most_of_##item(&from->name.items[i]);                                              \
    }
#define MOST(kind, name, max, item, doc) MOST_##kind(name, item)

/* Not every item is in a message. */
#define DEFINE_MOST(NAME, of, type)                                                                \
    __attribute__((unused)) static size_t most_of_##of(const struct type *from)                    \
    {                                                                                              \
        size_t most = LEAT_WIRE_HEADS_BYTES_MAX LEAT_FIELDS_##NAME(LEAT_WIRE_ROOM);                \
        (void)from;                                                                                \
        LEAT_FIELDS_##NAME(MOST) return most;                                                      \
    }
#define DEFINE_ITEM(NAME, name)                                                                    \
    __attribute__((unused)) static inline size_t bulk_of_##name(                                   \
        const struct leat_item_##name *from)                                                       \
    {                                                                                              \
        (void)from;                                                                                \
        return 0 LEAT_FIELDS_##NAME(BULK);                                                         \
    }                                                                                              \
    DEFINE_MOST(NAME, name, leat_item_##name)
#define DEFINE_MESSAGE(NAME, name, number, direction, doc)                                         \
    static inline size_t bulk_of_msg_##name(const struct leat_msg_##name *from)                    \
    {                                                                                              \
        size_t bulk = 0;                                                                           \
        (void)from;                                                                                \
        LEAT_FIELDS_##NAME(ITEMS_BULK) return bulk;                                                \
    }                                                                                              \
    DEFINE_MOST(NAME, msg_##name, leat_msg_##name)

LEAT_ITEMS(DEFINE_ITEM)
LEAT_MESSAGES(DEFINE_MESSAGE)

static size_t room_for_bulk(const struct leat_msg *msg)
{
    switch (msg->type) {
#define ROOM(NAME, name, number, direction, doc)                                                   \
    case LEAT_MSG_##NAME:                                                                          \
        return bulk_of_msg_##name(&msg->name) < LEAT_WIRE_BULK_BYTES_MIN                           \
                   ? 0                                                                             \
                   : most_of_msg_##name(&msg->name);
        LEAT_MESSAGES(ROOM)
#undef ROOM
    }
    return 0;
}

void leat_wire_reserve_bulk(const struct leat_msg *msg, struct leat_wire_buffer *out)
{
    enum leat_err err = leat_wire_buffer_reserve(out, room_for_bulk(msg));
    (void)err;
}
