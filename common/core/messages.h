/* The structs of all messages, made from messages.def.
 *
 * Every text, byte string and list in a message is borrowed: a decoded message borrows from the
 * received frame and from the arena it was decoded into; a message that a core emits borrows from
 * the arena of its `struct leat_out`. Who keeps something, copies it.
 */
#ifndef LEAT_CORE_MESSAGES_H
#define LEAT_CORE_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "core/limits.h"
#include "core/messages.def"
#include "core/view.h"

#define LEAT_MEMBER_U64(name, item)  uint64_t name;
#define LEAT_MEMBER_I64(name, item)  int64_t name;
#define LEAT_MEMBER_BOOL(name, item) bool name;
#define LEAT_MEMBER_ID(name, item)   struct leat_id name;
#define LEAT_MEMBER_STR(name, item)  struct leat_str name;
#define LEAT_MEMBER_BIN(name, item)  struct leat_bytes name;
#define LEAT_MEMBER_ITEM(name, item) struct leat_item_##item name;
#define LEAT_MEMBER_LIST(name, item)                                                               \
    struct {                                                                                       \
        struct leat_item_##item *items;                                                            \
        size_t count;                                                                              \
    } name;
#define LEAT_MEMBER(kind, name, max, item, doc) LEAT_MEMBER_##kind(name, item)

#define LEAT_ITEM_STRUCT(NAME, name)                                                               \
    struct leat_item_##name {                                                                      \
        LEAT_FIELDS_##NAME(LEAT_MEMBER)                                                            \
    };
LEAT_ITEMS(LEAT_ITEM_STRUCT)
#undef LEAT_ITEM_STRUCT

enum leat_msg_type {
#define LEAT_MSG_ENUM(NAME, name, number, direction, doc) LEAT_MSG_##NAME = number,
    LEAT_MESSAGES(LEAT_MSG_ENUM)
#undef LEAT_MSG_ENUM
};

#define LEAT_MSG_STRUCT(NAME, name, number, direction, doc)                                        \
    struct leat_msg_##name {                                                                       \
        LEAT_FIELDS_##NAME(LEAT_MEMBER)                                                            \
    };
LEAT_MESSAGES(LEAT_MSG_STRUCT)
#undef LEAT_MSG_STRUCT

/* Any message: msg.type says which member holds. */
struct leat_msg {
    enum leat_msg_type type;
    union {
#define LEAT_MSG_MEMBER(NAME, name, number, direction, doc) struct leat_msg_##name name;
        LEAT_MESSAGES(LEAT_MSG_MEMBER)
#undef LEAT_MSG_MEMBER
    };
};

enum leat_state {
    LEAT_STATE_NONE = 0,
#define TO(state)                       0u
#define STATE(NAME, number, text, next) LEAT_STATE_##NAME = number,
#include "core/state.def"
#undef STATE
#undef TO
};

enum leat_failure {
#define FAILURE(NAME, number, text, retried) LEAT_FAILURE_##NAME = number,
#include "core/failure.def"
#undef FAILURE
};

/* Names for people; "unknown" for numbers that mean nothing. */
const char *leat_state_name(uint64_t state);
const char *leat_failure_name(uint64_t failure);
/* The failure with that name; LEAT_ERR_NOT_FOUND. */
LEAT_MUST_USE enum leat_err leat_failure_parse(struct leat_str name,
                                               enum leat_failure *ret_failure);
/* Whether an attempt that failed so is tried again unless something else says otherwise. */
bool leat_failure_is_retried(enum leat_failure failure);
/* Whether the table of states allows the step. */
bool leat_state_may_follow(enum leat_state from, enum leat_state to);

#endif
