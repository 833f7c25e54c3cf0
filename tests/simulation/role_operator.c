/* The person with the command line: says CONTROL, and hears DONE. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulation/roles.h"

struct operator
{
    uint64_t ref;
    bool has_words;
    char verb[16], argument[LEAT_QUEUE_BYTES_MAX];
};

void sim_operator_say(struct sim_node *node, const char *verb, const char *argument)
{
    struct operator* operator= node->core;
    if (operator== NULL) {
        return;
    }
    assert(strlen(verb) < sizeof(operator->verb));
    assert(strlen(argument) < sizeof(operator->argument));
    memcpy(operator->verb, verb, strlen(verb) + 1);
    memcpy(operator->argument, argument, strlen(argument) + 1);
    operator->has_words = true;
    struct leat_event tick = {.kind = LEAT_EVENT_TICK};
    sim_event(node, &tick);
}

static void operator_step(void *core, const struct leat_event *event, struct leat_out *out)
{
    struct operator* operator= core;
    (void)event;
    if (!operator->has_words) {
        return;
    }
    operator->has_words = false;
    struct leat_msg *msg =
        leat_out_send(out, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, LEAT_MSG_CONTROL);
    msg->control.ref = ++operator->ref;
    msg->control.verb = leat_str_of(operator->verb);
    msg->control.argument = leat_str_of(operator->argument);
}

static int64_t operator_deadline_us(const void *core)
{
    (void)core;
    return LEAT_NEVER_US;
}

static void operator_check(const void *core)
{
    (void)core;
}

static void *operator_boot(struct sim_node *node, struct leat_out *out)
{
    (void)node;
    (void)out;
    struct operator* operator= calloc(1, sizeof(*operator));
    assert(operator!= NULL);
    return operator;
}

static void operator_destroy(void *core)
{
    free(core);
}

const struct sim_role sim_role_operator = {
    .name = "operator",
    .step = operator_step,
    .deadline_us = operator_deadline_us,
    .check = operator_check,
    .boot = operator_boot,
    .destroy = operator_destroy,
};
