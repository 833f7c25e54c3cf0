#include "core/policy.h"

#include <string.h>

/* Roles as the table writes them. */
enum {
#define ROLE(NAME, bit, name, what) NAME = bit,
#include "core/policy.def"
#undef ROLE
};

static const struct {
    enum leat_role role;
    const char *name;
    const char *what;
} roles[] = {
#define ROLE(NAME, bit, name, what) {LEAT_ROLE_##NAME, name, what},
#include "core/policy.def"
#undef ROLE
};

#define ROLES (sizeof roles / sizeof roles[0])

const char *leat_role_name(enum leat_role role)
{
    for (size_t i = 0; i < ROLES; i++) {
        if (roles[i].role == role) {
            return roles[i].name;
        }
    }
    return "unknown";
}

enum leat_err leat_role_parse(struct leat_str text, enum leat_role *ret_role, struct leat_why *why)
{
    for (size_t i = 0; i < ROLES; i++) {
        if (leat_str_equal(text, leat_str_of(roles[i].name))) {
            *ret_role = roles[i].role;
            return LEAT_OK;
        }
    }
    int shown = (int)(text.size > 40 ? 40 : text.size);
    return leat_fail(why, LEAT_ERR_INVALID,
                     "role is '%.*s', the roles are producer, worker, operator, broker", shown,
                     shown > 0 ? text.data : "");
}

bool leat_role_at(size_t index, const char **ret_name, const char **ret_what)
{
    if (index >= ROLES) {
        return false;
    }
    *ret_name = roles[index].name;
    *ret_what = roles[index].what;
    return true;
}

static unsigned roles_for(enum leat_msg_type type)
{
    switch ((int)type) {
#define RIGHT(MESSAGE, allowed)                                                                    \
    case LEAT_MSG_##MESSAGE:                                                                       \
        return allowed;
#include "core/policy.def"
#undef RIGHT
    default:
        return 0;
    }
}

static const char *message_name(enum leat_msg_type type)
{
    switch ((int)type) {
#define NAME_OF(NAME, name, number, direction, doc)                                                \
    case number:                                                                                   \
        return #NAME;
        LEAT_MESSAGES(NAME_OF)
#undef NAME_OF
    default:
        return "unknown";
    }
}

static bool is_bound_to_queues(const struct leat_principal *who)
{
    return who->queue_count > 0 &&
           (who->role == LEAT_ROLE_PRODUCER || who->role == LEAT_ROLE_WORKER);
}

bool leat_policy_serves(const struct leat_principal *who, struct leat_str queue)
{
    if (who == NULL || !is_bound_to_queues(who)) {
        return true;
    }
    for (size_t i = 0; i < who->queue_count; i++) {
        if (leat_str_equal(who->queues[i], queue)) {
            return true;
        }
    }
    return false;
}

static enum leat_err unknown(struct leat_why *why)
{
    return leat_fail(why, LEAT_ERR_FORBIDDEN, "this key is not known, or not any more");
}

static enum leat_err wrong_queue(const struct leat_principal *who, const char *what,
                                 struct leat_str queue, struct leat_why *why)
{
    int shown = (int)(queue.size > LEAT_QUEUE_BYTES_MAX ? LEAT_QUEUE_BYTES_MAX : queue.size);
    return leat_fail(why, LEAT_ERR_FORBIDDEN, "key '%s' (%s): %s: queue '%.*s' is none of its own",
                     who->name, leat_role_name(who->role), what, shown,
                     shown > 0 ? queue.data : "");
}

/* The first queue in the message that is none of its own; true when there is one. */
static bool find_foreign_queue(const struct leat_principal *who, const struct leat_msg *msg,
                               struct leat_str *ret_queue)
{
    if (msg->type == LEAT_MSG_SUBMIT) {
        for (size_t i = 0; i < msg->submit.jobs.count; i++) {
            *ret_queue = msg->submit.jobs.items[i].queue;
            if (!leat_policy_serves(who, *ret_queue)) {
                return true;
            }
        }
    } else if (msg->type == LEAT_MSG_HELLO) {
        for (size_t i = 0; i < msg->hello.queues.count; i++) {
            *ret_queue = msg->hello.queues.items[i].name;
            if (!leat_policy_serves(who, *ret_queue)) {
                return true;
            }
        }
    } else if (msg->type == LEAT_MSG_RESULTS) {
        for (size_t i = 0; i < msg->results.results.count; i++) {
            *ret_queue = msg->results.results.items[i].queue;
            if (!leat_policy_serves(who, *ret_queue)) {
                return true;
            }
        }
    }
    return false;
}

enum leat_err leat_policy_check(const struct leat_principal *who, const struct leat_msg *msg,
                                struct leat_why *why)
{
    if (who == NULL) {
        return unknown(why);
    }
    unsigned allowed = roles_for(msg->type);
    if (msg->type == LEAT_MSG_CONTROL && !leat_str_equal(msg->control.verb, leat_str_of("ping"))) {
        allowed = OPERATOR;
    }
    if ((allowed & (unsigned)who->role) == 0) {
        int verb = msg->type == LEAT_MSG_CONTROL && msg->control.verb.size <= 16
                       ? (int)msg->control.verb.size
                       : 0;
        return leat_fail(why, LEAT_ERR_FORBIDDEN, "key '%s' (%s) may not send %s%s%.*s", who->name,
                         leat_role_name(who->role), message_name(msg->type), verb > 0 ? " " : "",
                         verb, verb > 0 ? msg->control.verb.data : "");
    }
    struct leat_str queue;
    if (is_bound_to_queues(who) && find_foreign_queue(who, msg, &queue)) {
        return wrong_queue(who, message_name(msg->type), queue, why);
    }
    return LEAT_OK;
}

enum leat_err leat_policy_check_request(const struct leat_principal *who, const char *request,
                                        const char *queue, struct leat_why *why)
{
    static const struct {
        const char *name;
        unsigned allowed;
    } rights[] = {
#define REQUEST(name, allowed) {name, allowed},
#include "core/policy.def"
#undef REQUEST
    };
    if (who == NULL) {
        return unknown(why);
    }
    unsigned allowed = 0;
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        if (strcmp(rights[i].name, request) == 0) {
            allowed = rights[i].allowed;
        }
    }
    if ((allowed & (unsigned)who->role) == 0) {
        return leat_fail(why, LEAT_ERR_FORBIDDEN, "key '%s' (%s) may not ask for '%.40s'",
                         who->name, leat_role_name(who->role), request);
    }
    /* A job's queue is known when it was found; failures of all queues are not for all. */
    if (strcmp(request, "failures") == 0 && !leat_policy_serves(who, leat_str_of(queue))) {
        return wrong_queue(who, request, leat_str_of(queue), why);
    }
    return LEAT_OK;
}

bool leat_policy_may_subscribe(const struct leat_principal *who)
{
    return who != NULL && (who->role == LEAT_ROLE_OPERATOR ||
                           (who->role == LEAT_ROLE_PRODUCER && who->queue_count == 0));
}

uint64_t leat_policy_ref(const struct leat_msg *msg)
{
    switch ((int)msg->type) {
    case LEAT_MSG_SUBMIT:
        return msg->submit.batch;
    case LEAT_MSG_RESULTS:
        return msg->results.batch;
    case LEAT_MSG_HELLO:
        return msg->hello.round;
    case LEAT_MSG_CREDIT:
        return msg->credit.number;
    case LEAT_MSG_RETRY:
        return msg->retry.number;
    case LEAT_MSG_RETURN:
        return msg->handback.number;
    case LEAT_MSG_PING:
        return msg->ping.number;
    case LEAT_MSG_GOODBYE:
        return msg->goodbye.number;
    case LEAT_MSG_CONTROL:
        return msg->control.ref;
    case LEAT_MSG_LOOKUP:
        return msg->lookup.ref;
    case LEAT_MSG_QUERY:
        return msg->query.ref;
    case LEAT_MSG_RERUN:
        return msg->rerun.ref;
    default:
        return 0;
    }
}

bool leat_principal_equal(const struct leat_principal *a, const struct leat_principal *b)
{
    if (!leat_key_equal(&a->key, &b->key) || a->role != b->role ||
        a->queue_count != b->queue_count) {
        return false;
    }
    for (size_t i = 0; i < a->queue_count; i++) {
        if (!leat_str_equal(a->queues[i], b->queues[i])) {
            return false;
        }
    }
    return true;
}
