/* The message table at run time: what the documents, the dumper, tests and fuzz seeds walk through.
 * Constant data; any thread. */
#ifndef LEAT_WIRE_MSGTABLE_H
#define LEAT_WIRE_MSGTABLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/messages.h"

enum leat_wire_field_kind {
    LEAT_WIRE_FIELD_U64 = 1,
    LEAT_WIRE_FIELD_I64,
    LEAT_WIRE_FIELD_BOOL,
    LEAT_WIRE_FIELD_ID,
    LEAT_WIRE_FIELD_STR,
    LEAT_WIRE_FIELD_BIN,
    LEAT_WIRE_FIELD_LIST,
    LEAT_WIRE_FIELD_ITEM,
};

struct leat_wire_item;

struct leat_wire_field {
    const char *name;
    enum leat_wire_field_kind kind;
    uint64_t max;                               /* bytes of STR and BIN, items of LIST, else 0 */
    const struct leat_wire_item *(*item)(void); /* of LIST and ITEM, else NULL */
    const char *doc;
    size_t offset; /* in the item's or the message's struct */
};

struct leat_wire_item {
    const char *name; /* "submission" */
    size_t size;      /* of struct leat_item_... */
    const struct leat_wire_field *fields;
    size_t field_count;
};

struct leat_wire_message {
    enum leat_msg_type type;
    const char *name;      /* "SUBMIT" */
    const char *direction; /* "producer -> ventilator" */
    const char *doc;
    const struct leat_wire_field *fields; /* offsets count from the start of struct leat_msg_... */
    size_t field_count;
};

/* In the order of messages.def; NULL when index is past the last. */
const struct leat_wire_message *leat_wire_message_at(size_t index);
const struct leat_wire_item *leat_wire_item_at(size_t index);

/* NULL for a number that is no type. */
const struct leat_wire_message *leat_wire_message_of(uint64_t type);
/* "SUBMIT"; "unknown" for a number that is no type. */
const char *leat_wire_message_name(uint64_t type);
/* "U64", "LIST", ... */
const char *leat_wire_field_kind_name(enum leat_wire_field_kind kind);

/* Where the fields of a message begin: every offset above counts from here. */
static inline const void *leat_wire_message_fields(const struct leat_msg *msg)
{
    return &msg->error; /* all members of a union begin at the same place */
}

/* A LIST member of any item type, read through its offset. */
struct leat_wire_list {
    const void *items;
    size_t count;
};
struct leat_wire_list leat_wire_list_at(const void *member);

#endif
