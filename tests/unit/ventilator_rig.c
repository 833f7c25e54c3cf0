#include "tests/unit/ventilator_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

struct leat_id rig_id(char kind, unsigned number)
{
    struct leat_id id = {{0}};
    id.bytes[0] = (uint8_t)kind;
    id.bytes[12] = (uint8_t)(number >> 24);
    id.bytes[13] = (uint8_t)(number >> 16);
    id.bytes[14] = (uint8_t)(number >> 8);
    id.bytes[15] = (uint8_t)number;
    return id;
}

struct leat_peer rig_peer(unsigned number)
{
    struct leat_peer peer = {.size = 5};
    peer.bytes[4] = (uint8_t)number;
    return peer;
}

static const char *name_of(const struct leat_id *id, char text[16])
{
    unsigned number = (unsigned)id->bytes[12] << 24 | (unsigned)id->bytes[13] << 16 |
                      (unsigned)id->bytes[14] << 8 | id->bytes[15];
    if (leat_id_is_zero(id)) {
        snprintf(text, 16, "-");
    } else {
        snprintf(text, 16, "%c%u", id->bytes[0], number);
    }
    return text;
}

/* ---- the trace ---- */

static void put(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct rig *rig, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(rig->trace + rig->trace_size, sizeof rig->trace - rig->trace_size, format,
                         arguments);
    va_end(arguments);
    rig->trace_size += (size_t)size;
    if (rig->trace_size >= sizeof rig->trace) {
        rig->trace_size = 0; /* of a long test that does not look at it */
    }
}

void rig_say(struct rig *rig, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    put(rig, "%s\n", line);
}

void rig_expect_trace(struct rig *rig, const char *expected)
{
    if (strcmp(rig->trace, expected) != 0) {
        printf("---- expected\n%s---- is\n%s----\n", expected, rig->trace);
        fail_msg("the trace differs");
    }
    rig->trace_size = 0;
    rig->trace[0] = '\0';
}

static void put_leases(struct rig *rig, const struct leat_item_lease *leases, size_t count)
{
    char name[16];
    for (size_t i = 0; i < count; i++) {
        put(rig, "%s%s/%llu", i > 0 ? " " : "", name_of(&leases[i].id, name),
            (unsigned long long)leases[i].delivery);
    }
}

static void put_jobs(struct rig *rig, const struct leat_msg_jobs *jobs)
{
    char name[16];
    put(rig, "JOBS %llu.%llu", (unsigned long long)jobs->round, (unsigned long long)jobs->number);
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const struct leat_item_delivery *job = &jobs->jobs.items[i];
        put(rig, " %s/%llu attempt %llu", name_of(&job->id, name),
            (unsigned long long)job->delivery, (unsigned long long)job->attempt);
    }
}

static void put_results(struct rig *rig, const struct leat_msg_results *results)
{
    char name[16];
    put(rig, "RESULTS %llu", (unsigned long long)results->batch);
    for (size_t i = 0; i < results->results.count; i++) {
        const struct leat_item_result *result = &results->results.items[i];
        put(rig, " %s %s: %.*s", name_of(&result->id, name), leat_state_name(result->status),
            LEAT_STR_ARGS(result->error));
    }
}

static void put_msg(struct rig *rig, const struct leat_msg *msg)
{
    char name[16];
    switch ((int)msg->type) {
    case LEAT_MSG_ACCEPTED:
        put(rig, "ACCEPTED batch %llu, known %llu", (unsigned long long)msg->accepted.batch,
            (unsigned long long)msg->accepted.known);
        break;
    case LEAT_MSG_BUSY:
        put(rig, "BUSY batch %llu: %.*s", (unsigned long long)msg->busy.batch,
            LEAT_STR_ARGS(msg->busy.reason));
        break;
    case LEAT_MSG_REJECTED:
        put(rig, "REJECTED batch %llu", (unsigned long long)msg->rejected.batch);
        break;
    case LEAT_MSG_RESEND:
        put(rig, "RESEND from %llu", (unsigned long long)msg->resend.batch);
        break;
    case LEAT_MSG_WELCOME:
        put(rig, "WELCOME round %llu, refused [", (unsigned long long)msg->welcome.round);
        put_leases(rig, msg->welcome.refused.items, msg->welcome.refused.count);
        put(rig, "]");
        break;
    case LEAT_MSG_JOBS:
        put_jobs(rig, &msg->jobs);
        break;
    case LEAT_MSG_PONG:
        put(rig, "PONG %llu.%llu", (unsigned long long)msg->pong.round,
            (unsigned long long)msg->pong.number);
        break;
    case LEAT_MSG_DRAIN:
        put(rig, "DRAIN");
        break;
    case LEAT_MSG_GOODBYE:
        put(rig, "GOODBYE");
        break;
    case LEAT_MSG_FOLLOW:
        put(rig, "FOLLOW %s from %llu", name_of(&msg->follow.stream, name),
            (unsigned long long)msg->follow.settled);
        break;
    case LEAT_MSG_RESULTS:
        put_results(rig, &msg->results);
        break;
    case LEAT_MSG_DONE:
        put(rig, "DONE %.*s", LEAT_STR_ARGS(msg->done.text));
        break;
    case LEAT_MSG_ERROR:
        put(rig, "ERROR %s", leat_err_name((unsigned)msg->error.code));
        break;
    case LEAT_MSG_QUIT:
        put(rig, "QUIT");
        break;
    default:
        put(rig, "message 0x%x", (unsigned)msg->type);
    }
}

static bool is_of_interest(struct rig *rig, const struct leat_action *action)
{
    if (action->kind != LEAT_ACTION_SEND) {
        return true;
    }
    if (action->msg.type == LEAT_MSG_FOLLOW) {
        bool is_new = action->msg.follow.settled + 1 != rig->followed;
        rig->followed = action->msg.follow.settled + 1;
        return is_new;
    }
    return action->msg.type != LEAT_MSG_GAUGES;
}

static void put_action(struct rig *rig, const struct leat_action *action)
{
    char name[16];
    if (!is_of_interest(rig, action)) {
        return;
    }
    switch (action->kind) {
    case LEAT_ACTION_SEND:
        if (action->link == LEAT_LINK_SINK) {
            put(rig, "  sink <- ");
        } else {
            put(rig, "  w%u <- ", action->peer.bytes[4]);
        }
        put_msg(rig, &action->msg);
        put(rig, "\n");
        break;
    case LEAT_ACTION_NOTE:
        put(rig, "  * %s %s %lld\n", leat_note_name(action->note.id),
            name_of(&action->note.subject, name), (long long)action->note.value);
        break;
    case LEAT_ACTION_EXIT:
        put(rig, "  exit %d\n", action->exit_status);
        break;
    }
}

static void put_actions(struct rig *rig)
{
    for (size_t i = 0; i < rig->out.count; i++) {
        put_action(rig, &rig->out.actions[i]);
    }
}

/* ---- life ---- */

void rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->store = leat_store_open_memory();
    leat_ventilator_config_init(&rig->config);
    rig->config.sender = rig_id('v', 1);
    rig->config.seed = 7;
    rig->config.lost_after_ms = 3000;
    rig->config.ping_ms = 1000;
    rig->config.recovery_grace_ms = 2000;
    rig->config.deliveries_max = 3;
    rig->now = (struct leat_now){1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    leat_out_init(&rig->out);
}

void rig_check(struct rig *rig)
{
    struct leat_why why = {""};
    if (!rig->unchecked && leat_ventilator_check(rig->ventilator, &why) != LEAT_OK) {
        fail_msg("invariant: %s", why.text);
    }
}

void rig_commit(struct rig *rig)
{
    struct leat_why why = {""};
    if (leat_store_sync(rig->store, &why) != LEAT_OK) {
        fail_msg("commit: %s", why.text);
    }
}

void rig_boot(struct rig *rig)
{
    struct leat_why why = {""};
    rig->typed = leat_ventilator_store_new(rig->store);
    rig->ventilator = leat_ventilator_new(&rig->config, rig->typed);
    leat_out_clear(&rig->out);
    if (leat_ventilator_recover(rig->ventilator, rig->now, &rig->out, &why) != LEAT_OK) {
        fail_msg("recover: %s", why.text);
    }
    put_actions(rig);
    rig_check(rig);
}

void rig_open(struct rig *rig)
{
    rig_begin(rig);
    rig_boot(rig);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    rig->trace_size = 0;
    rig->trace[0] = '\0';
}

static void shut(struct rig *rig)
{
    leat_out_clear(&rig->out);
    leat_ventilator_destroy(&rig->ventilator);
    leat_ventilator_store_destroy(&rig->typed);
}

void rig_close(struct rig *rig)
{
    shut(rig);
    leat_out_fini(&rig->out);
    leat_store_close(&rig->store);
}

void rig_restart(struct rig *rig)
{
    shut(rig);
    leat_store_memory_crash(rig->store, LEAT_STORE_LOST);
    rig->followed = 0;
    rig_boot(rig);
}

void rig_feed(struct rig *rig, struct leat_event event)
{
    event.now = rig->now;
    leat_out_clear(&rig->out);
    leat_ventilator_step(rig->ventilator, &event, &rig->out);
    put_actions(rig);
    rig_check(rig);
    if (!rig->hold) {
        rig_commit(rig);
    }
}

void rig_pass_ms(struct rig *rig, int64_t ms)
{
    int64_t end_us = rig->now.mono_us + ms * LEAT_US_PER_MS;
    int steps = 0;
    for (;;) {
        int64_t deadline_us = leat_ventilator_deadline_us(rig->ventilator);
        int64_t at_us = deadline_us > rig->now.mono_us ? deadline_us : rig->now.mono_us;
        if (at_us > end_us) {
            break;
        }
        rig->now.wall.us += at_us - rig->now.mono_us;
        rig->now.mono_us = at_us;
        rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
        if (++steps == 100000) {
            fail_msg("the ventilator wants to be called again and again");
        }
    }
    rig->now.wall.us += end_us - rig->now.mono_us;
    rig->now.mono_us = end_us;
}

/* ---- messages ---- */

void rig_tell(struct rig *rig, unsigned peer, const struct leat_msg *msg)
{
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_MESSAGE,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(peer),
                                      .msg = msg});
}

void rig_tell_from_sink(struct rig *rig, const struct leat_msg *msg)
{
    rig_feed(rig,
             (struct leat_event){.kind = LEAT_EVENT_MESSAGE, .link = LEAT_LINK_SINK, .msg = msg});
}

struct leat_item_submission rig_job(unsigned number, const char *queue, const char *type)
{
    return (struct leat_item_submission){
        .id = rig_id('j', number),
        .queue = leat_str_of(queue),
        .type = leat_str_of(type),
        .body = leat_bytes_of("a body", 6),
    };
}

void rig_submit_jobs(struct rig *rig, unsigned producer, uint64_t batch,
                     struct leat_item_submission *jobs, size_t count)
{
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.producer = rig_id('p', producer);
    msg.submit.batch = batch;
    msg.submit.jobs.items = jobs;
    msg.submit.jobs.count = count;
    rig_tell(rig, 100 + producer, &msg);
}

void rig_submit(struct rig *rig, unsigned producer, uint64_t batch, unsigned first, unsigned count)
{
    struct leat_item_submission *jobs = calloc(count + 1, sizeof *jobs);
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = rig_job(first + i, "q", "t");
    }
    rig_submit_jobs(rig, producer, batch, jobs, count);
    free(jobs);
}

struct leat_item_lease rig_lease(unsigned job, uint64_t delivery)
{
    return (struct leat_item_lease){rig_id('j', job), delivery};
}

void rig_hello(struct rig *rig, unsigned worker, uint64_t round, const char *queues,
               const struct leat_item_lease *leases, size_t count)
{
    struct leat_item_name names[8];
    struct leat_item_lease copies[64];
    char text[256];
    size_t queue_count = 0;
    snprintf(text, sizeof text, "%s", queues);
    for (char *save, *name = strtok_r(text, ",", &save); name != NULL;
         name = strtok_r(NULL, ",", &save)) {
        names[queue_count++].name = leat_str_of(name);
    }
    if (count > 0) {
        memcpy(copies, leases, count * sizeof *leases);
    }
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = rig_id('s', worker);
    msg.hello.round = round;
    msg.hello.name = leat_str_of("worker");
    msg.hello.queues.items = names;
    msg.hello.queues.count = queue_count;
    msg.hello.slots = 2;
    msg.hello.leases.items = copies;
    msg.hello.leases.count = count;
    rig_tell(rig, worker, &msg);
}

void rig_credit(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, uint64_t total)
{
    struct leat_msg msg = {.type = LEAT_MSG_CREDIT};
    msg.credit.round = round;
    msg.credit.number = number;
    msg.credit.total = total;
    rig_tell(rig, worker, &msg);
}

void rig_credit_limited(struct rig *rig, unsigned worker, uint64_t number, uint64_t total,
                        const char *type, uint64_t of_type)
{
    struct leat_item_type_limit limit = {.type = leat_str_of(type), .total = of_type};
    struct leat_msg msg = {.type = LEAT_MSG_CREDIT};
    msg.credit.round = 1;
    msg.credit.number = number;
    msg.credit.total = total;
    msg.credit.limits.items = &limit;
    msg.credit.limits.count = 1;
    rig_tell(rig, worker, &msg);
}

void rig_ping(struct rig *rig, unsigned worker, uint64_t round, uint64_t number)
{
    struct leat_msg msg = {.type = LEAT_MSG_PING};
    msg.ping.round = round;
    msg.ping.number = number;
    rig_tell(rig, worker, &msg);
}

void rig_retry(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, unsigned job,
               uint64_t delivery, uint64_t delay_ms)
{
    struct leat_item_repeat repeat = {
        .id = rig_id('j', job), .delivery = delivery, .attempt = 1, .delay_ms = delay_ms};
    struct leat_msg msg = {.type = LEAT_MSG_RETRY};
    msg.retry.round = round;
    msg.retry.number = number;
    msg.retry.jobs.items = &repeat;
    msg.retry.jobs.count = 1;
    rig_tell(rig, worker, &msg);
}

void rig_return(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, unsigned job,
                uint64_t delivery)
{
    struct leat_item_lease lease = rig_lease(job, delivery);
    struct leat_msg msg = {.type = LEAT_MSG_RETURN};
    msg.handback.round = round;
    msg.handback.number = number;
    msg.handback.jobs.items = &lease;
    msg.handback.jobs.count = 1;
    rig_tell(rig, worker, &msg);
}

void rig_goodbye(struct rig *rig, unsigned worker, uint64_t round, uint64_t number)
{
    struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
    msg.goodbye.round = round;
    msg.goodbye.number = number;
    rig_tell(rig, worker, &msg);
}

void rig_settled(struct rig *rig, unsigned stream, uint64_t first, unsigned first_job,
                 unsigned count)
{
    struct leat_item_job_id *ids = calloc(count + 1, sizeof *ids);
    for (unsigned i = 0; i < count; i++) {
        ids[i].id = rig_id('j', first_job + i);
    }
    struct leat_msg msg = {.type = LEAT_MSG_SETTLED};
    msg.settled.stream = rig_id('t', stream);
    msg.settled.first = first;
    msg.settled.jobs.items = ids;
    msg.settled.jobs.count = count;
    rig_tell_from_sink(rig, &msg);
    free(ids);
}

void rig_control(struct rig *rig, const char *verb, const char *argument)
{
    struct leat_msg msg = {.type = LEAT_MSG_CONTROL};
    msg.control.ref = 1;
    msg.control.verb = leat_str_of(verb);
    msg.control.argument = leat_str_of(argument);
    rig_tell(rig, 200, &msg);
}

/* ---- looking ---- */

const struct leat_msg *rig_sent(const struct rig *rig, enum leat_msg_type type)
{
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND && action->msg.type == type) {
            return &action->msg;
        }
    }
    fail_msg("no message of type 0x%x was sent", (unsigned)type);
    abort();
}

size_t rig_count(const struct rig *rig, enum leat_msg_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        count += action->kind == LEAT_ACTION_SEND && action->msg.type == type ? 1 : 0;
    }
    return count;
}

bool rig_noted(const struct rig *rig, enum leat_note_id note)
{
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_NOTE && action->note.id == note) {
            return true;
        }
    }
    return false;
}

struct leat_ventilator_counts rig_counts(const struct rig *rig)
{
    return leat_ventilator_counts(rig->ventilator);
}
