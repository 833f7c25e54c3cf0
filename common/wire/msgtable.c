#include "wire/msgtable.h"

#include <string.h>

#define ITEM_OF_U64(item)  NULL
#define ITEM_OF_I64(item)  NULL
#define ITEM_OF_BOOL(item) NULL
#define ITEM_OF_ID(item)   NULL
#define ITEM_OF_STR(item)  NULL
#define ITEM_OF_BIN(item)  NULL
#define ITEM_OF_LIST(item) item_##item
#define ITEM_OF_ITEM(item) item_##item

/* `owner` is a typedef that each function below makes for itself: the only way to tell a field
 * macro of which struct it is. That is why the tables stand inside functions. */
#define FIELD(kind, name, max, item, doc)                                                          \
    {#name, LEAT_WIRE_FIELD_##kind, (uint64_t)(max), ITEM_OF_##kind(item),                         \
     doc,   offsetof(owner, name)},

#define DEFINE_ITEM(NAME, name)                                                                    \
    static const struct leat_wire_item *item_##name(void)                                          \
    {                                                                                              \
        typedef struct leat_item_##name owner;                                                     \
        static const struct leat_wire_field fields[] = {LEAT_FIELDS_##NAME(FIELD)};                \
        static const struct leat_wire_item item = {#name, sizeof(owner), fields,                   \
                                                   sizeof(fields) / sizeof(fields[0])};            \
        return &item;                                                                              \
    }
LEAT_ITEMS(DEFINE_ITEM)

#define DEFINE_MESSAGE(NAME, name, number, direction, doc)                                         \
    static const struct leat_wire_message *message_##name(void)                                    \
    {                                                                                              \
        typedef struct leat_msg_##name owner;                                                      \
        static const struct leat_wire_field fields[] = {LEAT_FIELDS_##NAME(FIELD)};                \
        static const struct leat_wire_message message = {                                          \
            LEAT_MSG_##NAME, #NAME, direction, doc, fields, sizeof(fields) / sizeof(fields[0])};   \
        return &message;                                                                           \
    }
LEAT_MESSAGES(DEFINE_MESSAGE)

const struct leat_wire_message *leat_wire_message_at(size_t index)
{
    static const struct leat_wire_message *(*const all[])(void) = {
#define MESSAGE(NAME, name, number, direction, doc) message_##name,
        LEAT_MESSAGES(MESSAGE)
#undef MESSAGE
    };
    return index < sizeof(all) / sizeof(all[0]) ? all[index]() : NULL;
}

const struct leat_wire_item *leat_wire_item_at(size_t index)
{
    static const struct leat_wire_item *(*const all[])(void) = {
#define ITEM(NAME, name) item_##name,
        LEAT_ITEMS(ITEM)
#undef ITEM
    };
    return index < sizeof(all) / sizeof(all[0]) ? all[index]() : NULL;
}

const struct leat_wire_message *leat_wire_message_of(uint64_t type)
{
    switch (type) {
#define MESSAGE(NAME, name, number, direction, doc)                                                \
    case number:                                                                                   \
        return message_##name();
        LEAT_MESSAGES(MESSAGE)
#undef MESSAGE
    default:
        return NULL;
    }
}

const char *leat_wire_message_name(uint64_t type)
{
    const struct leat_wire_message *message = leat_wire_message_of(type);
    return message == NULL ? "unknown" : message->name;
}

const char *leat_wire_field_kind_name(enum leat_wire_field_kind kind)
{
    switch (kind) {
    case LEAT_WIRE_FIELD_U64:
        return "U64";
    case LEAT_WIRE_FIELD_I64:
        return "I64";
    case LEAT_WIRE_FIELD_BOOL:
        return "BOOL";
    case LEAT_WIRE_FIELD_ID:
        return "ID";
    case LEAT_WIRE_FIELD_STR:
        return "STR";
    case LEAT_WIRE_FIELD_BIN:
        return "BIN";
    case LEAT_WIRE_FIELD_LIST:
        return "LIST";
    case LEAT_WIRE_FIELD_ITEM:
        return "ITEM";
    }
    return "unknown";
}

struct leat_wire_list leat_wire_list_at(const void *member)
{
    /* Every LIST member is a pointer to a struct, then a count; pointers to structs all have the
     * same representation (C11 6.2.5 paragraph 28). memcpy, because the types differ. */
    struct {
        struct leat_item_job_id *items;
        size_t count;
    } copy;
    memcpy(&copy, member, sizeof(copy));
    return (struct leat_wire_list){copy.items, copy.count};
}
