/* Who may say what: the rules for peers that are known by their keys (core/policy.def). Pure; the
 * shell finds out who speaks, asks here before a core sees the message, and tells the core whom it
 * hears.
 *
 * A key has one role, and maybe a list of queues. The list bounds what a producer may submit and
 * whose results it may read, and what a worker may take and give results of. For operators and
 * brokers it has no meaning. */
#ifndef LEAT_CORE_POLICY_H
#define LEAT_CORE_POLICY_H

#include "core/messages.h"

#define LEAT_KEY_BYTES          32
#define LEAT_KEY_TEXT_BYTES     41 /* Z85, with its terminating zero */
#define LEAT_KEY_NAME_BYTES_MAX 64

struct leat_key {
    uint8_t bytes[LEAT_KEY_BYTES];
};

static inline bool leat_key_equal(const struct leat_key *a, const struct leat_key *b)
{
    return memcmp(a->bytes, b->bytes, LEAT_KEY_BYTES) == 0;
}

enum leat_role {
#define ROLE(NAME, bit, name, what) LEAT_ROLE_##NAME = bit,
#include "core/policy.def"
#undef ROLE
};

/* Somebody whose key is known. */
struct leat_principal {
    struct leat_key key; /* public */
    enum leat_role role;
    char name[LEAT_KEY_NAME_BYTES_MAX + 1];
    const struct leat_str *queues; /* borrowed */
    size_t queue_count;            /* 0: every queue */
};

/* "producer"; "unknown" for what is none. */
const char *leat_role_name(enum leat_role role);
/* LEAT_ERR_INVALID names the roles that there are. */
LEAT_MUST_USE enum leat_err leat_role_parse(struct leat_str text, enum leat_role *ret_role,
                                            struct leat_why *why);
/* Names and purposes, one after the other; false at the end. */
bool leat_role_at(size_t index, const char **ret_name, const char **ret_what);

/* Whether the principal's queues hold this one. NULL: keys are not in use, everything is allowed.
 */
bool leat_policy_serves(const struct leat_principal *who, struct leat_str queue);

/* Whether `who` may send the message to a broker. NULL: a key that is not known (any more).
 * LEAT_ERR_FORBIDDEN, and `why` names the key, its role and the message. */
LEAT_MUST_USE enum leat_err leat_policy_check(const struct leat_principal *who,
                                              const struct leat_msg *msg, struct leat_why *why);

/* The same for a request to the stats socket; `queue` is the one asked about, "" for all. */
LEAT_MUST_USE enum leat_err leat_policy_check_request(const struct leat_principal *who,
                                                      const char *request, const char *queue,
                                                      struct leat_why *why);

/* Whether `who` may subscribe to the events of all queues. */
bool leat_policy_may_subscribe(const struct leat_principal *who);

/* What an ERROR about the message repeats as `ref`: its batch, number, round or ref; 0: it has
 * none. */
uint64_t leat_policy_ref(const struct leat_msg *msg);

/* Whether both are known with the same rights. */
bool leat_principal_equal(const struct leat_principal *a, const struct leat_principal *b);

#endif
