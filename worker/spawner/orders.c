#include <stdio.h>

#include "wire/codec.h"
#include "worker/spawner/loop.h"
#include "worker/spawner/slot_bytes.h"

/* What an attempt's payload is, and, if it lies in shared memory, what is to be told when it is not
 * needed there any more. */
struct body {
    struct leat_bytes payload;
    _Atomic uint32_t *done;
};

static void answer_unheld(struct leat_spawner_loop *loop, const struct leat_item_attempt *run,
                          enum leat_failure failure, const char *reason)
{
    char text[LEAT_REPORT_BYTES];
    const struct leat_item_outcome outcome = {
        .id = run->id,
        .delivery = run->delivery,
        .failure = failure,
        .error = leat_report_text(text, reason, (struct leat_str){0}),
    };
    leat_spawner_tell(loop, &outcome);
}

/* A command reads its payload from a pipe, so that it is needed in the order. */
static void take_run(struct leat_spawner_loop *loop, const struct leat_item_attempt *run,
                     struct body *body)
{
    struct leat_item_attempt order = *run;
    const struct leat_spawner_handler *handler = leat_spawner_find(loop->config, run->type);
    if (handler == NULL) {
        char reason[LEAT_REPORT_REASON_BYTES];
        snprintf(reason, sizeof reason, "no handler for type %.*s on this worker",
                 LEAT_STR_ARGS(run->type));
        answer_unheld(loop, run, LEAT_FAILURE_NO_HANDLER, reason);
        return;
    }
    const bool stays = body->done != NULL && handler->kind == LEAT_SPAWNER_PLUGIN;
    order.payload = stays ? run->payload : body->payload;
    struct leat_attempt *attempt =
        leat_plan_add(&loop->plan, run, leat_slot_order_size(&order), handler->kind, loop->now_us);
    if (attempt == NULL) {
        answer_unheld(loop, run, LEAT_FAILURE_SPAWN, "out of memory");
        return;
    }
    leat_slot_order_write(&order, (size_t)(handler - loop->config->handlers), loop->now_us, stays,
                          attempt->order);
    if (stays) {
        attempt->body = body->done;
        body->done = NULL;
    }
}

/* The attempts of a RUN. False: it is none that the worker would send. */
static bool take_runs(struct leat_spawner_loop *loop, const struct leat_msg_run *msg)
{
    for (size_t i = 0; i < msg->attempts.count; i++) {
        const struct leat_item_attempt *run = &msg->attempts.items[i];
        struct body body = {.payload = run->payload};
        if (msg->apart && leat_bodies_find(&loop->config->bodies, run->payload, &body.payload,
                                           &body.done) != LEAT_OK) {
            return false;
        }
        take_run(loop, run, &body);
        if (body.done != NULL) {
            leat_bodies_done(body.done);
        }
    }
    return true;
}

void leat_spawner_take_back(struct leat_spawner_loop *loop, size_t slot)
{
    const struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    if (head == NULL) {
        return;
    }
    const uint64_t begun = leat_slot_take_back(leat_spawner_process(loop, slot, head->kind));
    const struct leat_list *flight = &loop->plan.slots[slot].flight;
    size_t keep = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(flight, node, after)
    {
        keep += leat_attempt_of(node)->seq <= begun;
    }
    leat_plan_give_back(&loop->plan, slot, keep);
}

bool leat_spawner_end_head(struct leat_spawner_loop *loop, size_t slot, enum leat_failure cause)
{
    struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    leat_spawner_take_back(loop, slot);
    /* Two in flight now: the first has ended, its answer is on its way, and the second runs. It is
     * not the second's time that is up. */
    if (leat_plan_head(&loop->plan, slot) != head || loop->plan.slots[slot].flight.count != 1) {
        return false;
    }
    if (head->cause == LEAT_FAILURE_NONE) {
        head->cause = cause;
        struct leat_slot *process = &loop->slots[slot].plugin;
        process->ending = true;
        loop->plan.slots[slot].closed = true;
        leat_slot_control(process, LEAT_CONTROL_TERM, 0);
    }
    return true;
}

static bool is_meant(const struct leat_msg_kill *kill, const struct leat_attempt *attempt)
{
    return leat_id_is_zero(&kill->id) ||
           (leat_id_equal(&kill->id, &attempt->id) && kill->delivery == attempt->delivery);
}

static bool is_in_flight(const struct leat_spawner_loop *loop, size_t slot,
                         const struct leat_msg_kill *kill)
{
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&loop->plan.slots[slot].flight, node, after)
    {
        if (is_meant(kill, leat_attempt_of(node))) {
            return true;
        }
    }
    return false;
}

static void take_kill(struct leat_spawner_loop *loop, const struct leat_msg_kill *kill)
{
    /* First what runs, so that what stood behind it is among the waiting ones afterwards. */
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        if (!is_in_flight(loop, i, kill)) {
            continue;
        }
        leat_spawner_take_back(loop, i);
        struct leat_list_node *last = leat_list_last(&loop->plan.slots[i].flight);
        if (last == NULL || !is_meant(kill, leat_attempt_of(last))) {
            continue;
        }
        /* The last that was begun is the one that runs: those before it have ended. */
        struct leat_attempt *running = leat_attempt_of(last);
        if (running->kind == LEAT_SPAWNER_EXEC) {
            leat_slot_control(&loop->slots[i].exec, LEAT_CONTROL_TERM, running->seq);
        } else if (loop->plan.slots[i].flight.count == 1) {
            (void)leat_spawner_end_head(loop, i, LEAT_FAILURE_KILLED);
        } else {
            running->cause = LEAT_FAILURE_KILLED; /* once it is the first */
        }
    }
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&loop->plan.waiting, node, after)
    {
        struct leat_attempt *attempt = leat_attempt_of(node);
        if (is_meant(kill, attempt)) {
            leat_spawner_answer_cause(loop, LEAT_PLAN_WAITING, attempt, LEAT_FAILURE_KILLED, 0);
        }
    }
}

static void take_recall(struct leat_spawner_loop *loop)
{
    for (size_t i = 0; i < loop->plan.slots_count; i++) {
        leat_spawner_take_back(loop, i);
    }
    struct leat_msg answer = {.type = LEAT_MSG_RECALLED};
    struct leat_item_lease *leases =
        leat_arena_take(&loop->arena, loop->plan.waiting.count * sizeof *leases);
    if (leases == NULL || loop->plan.waiting.count > LEAT_SESSION_LEASES_MAX) {
        loop->stopping = true; /* more than the worker may ever have given us */
        return;
    }
    size_t count = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&loop->plan.waiting, node, after)
    {
        struct leat_attempt *attempt = leat_attempt_of(node);
        leases[count++] = (struct leat_item_lease){attempt->id, attempt->delivery};
        leat_plan_drop(&loop->plan, LEAT_PLAN_WAITING, attempt);
    }
    answer.recalled.jobs.items = leases;
    answer.recalled.jobs.count = count;
    leat_spawner_send(loop, &answer);
}

void leat_spawner_obey(struct leat_spawner_loop *loop, struct leat_bytes frame)
{
    struct leat_msg msg;
    leat_arena_clear(&loop->arena);
    if (leat_wire_decode(frame, &loop->arena, &msg, NULL) != LEAT_OK) {
        loop->stopping = true; /* both ends are ours: there is no use in going on */
    } else if (msg.type == LEAT_MSG_RUN) {
        loop->stopping |= !take_runs(loop, &msg.run);
    } else if (msg.type == LEAT_MSG_KILL) {
        take_kill(loop, &msg.kill);
    } else if (msg.type == LEAT_MSG_RECALL) {
        take_recall(loop);
    }
}
