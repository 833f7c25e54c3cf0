#include "worker_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/codec.h"

uint64_t rig_seed(void)
{
    const char *text = getenv("LEAT_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 1;
    printf("LEAT_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

struct leat_id rig_id(uint64_t n)
{
    struct leat_id id = {{0}};
    for (size_t i = 0; i < 8; i++) {
        id.bytes[15 - i] = (uint8_t)(n >> 8 * i);
    }
    return id;
}

static unsigned long long number_of(const struct leat_id *id)
{
    unsigned long long n = 0;
    for (size_t i = 8; i < 16; i++) {
        n = n << 8 | id->bytes[i];
    }
    return n;
}

void rig_config(struct leat_worker_config *config, size_t slots, size_t prefetch)
{
    static const struct leat_str queue = {"default", 7};
    static const struct leat_worker_handler handler = {{"a", 1}, LEAT_WORKER_EXEC};
    *config = (struct leat_worker_config){
        .session = rig_id(0xabcdef),
        .name = {"host:1", 6},
        .queues = &queue,
        .queue_count = 1,
        .handlers = &handler,
        .handler_count = 1,
        .slots = slots,
        .prefetch = prefetch,
        .drain_ms = 30000,
        .grace_ms = 5000,
        .seed = 1,
    };
}

void rig_init(struct rig *rig, const struct leat_worker_config *config)
{
    struct leat_why why = {{0}};
    *rig = (struct rig){.exit_status = -1, .ping_ms = 1000, .lost_after_ms = 5000};
    rig->now = (struct leat_now){.mono_us = 1000000, .wall = {RIG_WALL_US}};
    leat_out_init(&rig->out);
    if (leat_worker_new(config, &rig->worker, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
}

void rig_fini(struct rig *rig)
{
    leat_worker_destroy(&rig->worker);
    leat_out_fini(&rig->out);
}

static void say(struct rig *rig, const char *format, ...) LEAT_PRINTF(2, 3);

static void say(struct rig *rig, const char *format, ...)
{
    if (rig->quiet) {
        return;
    }
    va_list args;
    va_start(args, format);
    int size =
        vsnprintf(rig->trace + rig->trace_size, RIG_TRACE_BYTES - rig->trace_size, format, args);
    va_end(args);
    assert_true(size >= 0 && rig->trace_size + (size_t)size < RIG_TRACE_BYTES);
    rig->trace_size += (size_t)size;
}

static void check_codec(const struct leat_msg *msg)
{
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, LEAT_MESSAGE_BYTES_MAX);
    assert_int_equal(leat_wire_encode(msg, &buffer), LEAT_OK);
    leat_wire_buffer_fini(&buffer);
}

static void saw_hello(struct rig *rig, const struct leat_msg_hello *hello)
{
    rig->round = hello->round;
    rig->number = 0;
    rig->pings = 0;
    rig->hello_count++;
    rig->last_lease_count = hello->leases.count;
    say(rig, "HELLO round=%llu leases=", (unsigned long long)hello->round);
    for (size_t i = 0; i < hello->leases.count; i++) {
        say(rig, "%s%llu/%llu", i > 0 ? "," : "", number_of(&hello->leases.items[i].id),
            (unsigned long long)hello->leases.items[i].delivery);
    }
    say(rig, "\n");
}

static void saw_credit(struct rig *rig, const struct leat_msg_credit *credit)
{
    rig->credit = credit->total;
    rig->credit_count++;
    rig->credit_limit = credit->limits.count > 0 ? credit->limits.items[0].total : 0;
    say(rig, "CREDIT number=%llu total=%llu", (unsigned long long)credit->number,
        (unsigned long long)credit->total);
    for (size_t i = 0; i < credit->limits.count; i++) {
        say(rig, " %.*s=%llu", LEAT_STR_ARGS(credit->limits.items[i].type),
            (unsigned long long)credit->limits.items[i].total);
    }
    say(rig, "\n");
}

static void saw_attempt(struct rig *rig, const struct leat_item_attempt *run)
{
    assert_true(rig->run_count < RIG_RUNS_MAX);
    struct rig_run *kept = &rig->runs[rig->run_count++];
    *kept = (struct rig_run){
        run->id, run->delivery, run->attempt, run->expires_at_ms, rig->now.mono_us, {0}};
    memcpy(kept->type, run->type.data, run->type.size);
    say(rig, "RUN %llu/%llu attempt=%llu\n", number_of(&run->id), (unsigned long long)run->delivery,
        (unsigned long long)run->attempt);
}

static void saw_results(struct rig *rig, const struct leat_msg_results *results)
{
    rig->last_batch = results->batch;
    rig->last_batch_count = results->results.count;
    rig->results_count++;
    say(rig, "RESULTS batch=%llu", (unsigned long long)results->batch);
    for (size_t i = 0; i < results->results.count; i++) {
        const struct leat_item_result *r = &results->results.items[i];
        say(rig, " %llu=%s", number_of(&r->id), leat_state_name(r->status));
        if (r->error.size > 0) {
            say(rig, "(%.*s)", LEAT_STR_ARGS(r->error));
        }
    }
    say(rig, "\n");
}

static void saw_retry(struct rig *rig, const struct leat_msg_retry *retry)
{
    say(rig, "RETRY number=%llu", (unsigned long long)retry->number);
    for (size_t i = 0; i < retry->jobs.count; i++) {
        const struct leat_item_repeat *job = &retry->jobs.items[i];
        say(rig, " %llu/%llu attempt=%llu", number_of(&job->id), (unsigned long long)job->delivery,
            (unsigned long long)job->attempt);
    }
    say(rig, "\n");
}

static void saw_return(struct rig *rig, const struct leat_msg_handback *back)
{
    rig->returned += back->jobs.count;
    say(rig, "RETURN number=%llu", (unsigned long long)back->number);
    for (size_t i = 0; i < back->jobs.count; i++) {
        say(rig, " %llu/%llu", number_of(&back->jobs.items[i].id),
            (unsigned long long)back->jobs.items[i].delivery);
    }
    say(rig, "\n");
}

static void saw_message(struct rig *rig, const struct leat_action *action)
{
    const struct leat_msg *msg = &action->msg;
    if (msg->type == LEAT_MSG_HELLO) {
        saw_hello(rig, &msg->hello);
    } else if (msg->type == LEAT_MSG_CREDIT) {
        saw_credit(rig, &msg->credit);
    } else if (msg->type == LEAT_MSG_RUN) {
        for (size_t i = 0; i < msg->run.attempts.count; i++) {
            saw_attempt(rig, &msg->run.attempts.items[i]);
        }
    } else if (msg->type == LEAT_MSG_RESULTS) {
        saw_results(rig, &msg->results);
    } else if (msg->type == LEAT_MSG_RETRY) {
        saw_retry(rig, &msg->retry);
    } else if (msg->type == LEAT_MSG_RETURN) {
        saw_return(rig, &msg->handback);
    } else if (msg->type == LEAT_MSG_PING) {
        rig->pings++;
        say(rig, "PING number=%llu busy=%llu outbox=%llu\n", (unsigned long long)msg->ping.number,
            (unsigned long long)msg->ping.busy, (unsigned long long)msg->ping.outbox);
    } else if (msg->type == LEAT_MSG_KILL) {
        rig->kills++;
        say(rig, "KILL %llu/%llu\n", number_of(&msg->kill.id),
            (unsigned long long)msg->kill.delivery);
    } else if (msg->type == LEAT_MSG_RECALL) {
        rig->recalls++;
        say(rig, "RECALL\n");
    } else {
        assert_int_equal(msg->type, LEAT_MSG_GOODBYE);
        rig->goodbye = true;
        say(rig, "GOODBYE number=%llu\n", (unsigned long long)msg->goodbye.number);
    }
}

void rig_step(struct rig *rig, struct leat_event event)
{
    event.now = rig->now;
    leat_worker_step(rig->worker, &event, &rig->out);
    leat_worker_check(rig->worker);
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND) {
            check_codec(&action->msg);
            saw_message(rig, action);
            if (rig->on_send != NULL) {
                rig->on_send(rig->context, action);
            }
        } else if (action->kind == LEAT_ACTION_EXIT) {
            rig->exit_status = action->exit_status;
            say(rig, "EXIT %d\n", action->exit_status);
        }
    }
    leat_out_clear(&rig->out);
}

void rig_tick(struct rig *rig)
{
    rig_step(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
}

void rig_message(struct rig *rig, enum leat_link link, const struct leat_msg *msg)
{
    rig_step(rig, (struct leat_event){.kind = LEAT_EVENT_MESSAGE, .link = link, .msg = msg});
}

void rig_pass(struct rig *rig, int64_t us)
{
    int64_t until_us = rig->now.mono_us + us;
    while (rig->now.mono_us < until_us) {
        int64_t next_us = leat_min_us(until_us, leat_worker_deadline_us(rig->worker));
        if (next_us > rig->now.mono_us) {
            rig->now.wall.us += next_us - rig->now.mono_us;
            rig->now.mono_us = next_us;
        }
        rig_tick(rig);
        /* A deadline that is not in the future after its step would make the shell spin. */
        assert_true(leat_worker_deadline_us(rig->worker) > rig->now.mono_us);
    }
}

void rig_welcome(struct rig *rig, const struct leat_item_lease *refused, size_t count)
{
    struct leat_item_lease copy[64];
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        copy[i] = refused[i];
    }
    struct leat_msg msg = {.type = LEAT_MSG_WELCOME};
    msg.welcome.session = rig_id(0xabcdef);
    msg.welcome.round = rig->round;
    msg.welcome.ping_ms = rig->ping_ms;
    msg.welcome.lost_after_ms = rig->lost_after_ms;
    msg.welcome.refused.items = copy;
    msg.welcome.refused.count = count;
    rig->number = 0;
    rig_message(rig, LEAT_LINK_VENTILATOR, &msg);
}

void rig_open(struct rig *rig)
{
    rig_tick(rig);
    rig_welcome(rig, NULL, 0);
}

static void encode_body(const struct rig_job *job, struct leat_wire_buffer *buffer)
{
    struct leat_item_header header = {{"lang", 4}, {"de", 2}};
    const char *payload = job->payload != NULL ? job->payload : "p";
    struct leat_item_body body = {
        .payload = {(const uint8_t *)payload, strlen(payload)},
        .timeout_ms = 2000,
        .attempts_max = job->attempts_max != 0 ? job->attempts_max : 3,
        .backoff_base_ms = 1000,
        .backoff_factor_milli = 2000,
        .backoff_cap_ms = 60000,
        .backoff_jitter = true,
    };
    body.headers.items = &header;
    body.headers.count = job->header ? 1 : 0;
    assert_int_equal(leat_wire_encode_item_body(&body, buffer), LEAT_OK);
}

void rig_push(struct rig *rig, const struct rig_job *job)
{
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, LEAT_MESSAGE_BYTES_MAX);
    encode_body(job, &buffer);
    struct leat_item_delivery item = {
        .id = rig_id(job->n),
        .delivery = job->delivery != 0 ? job->delivery : 1,
        .attempt = job->attempt != 0 ? job->attempt : 1,
        .queue = {"default", 7},
        .type = leat_str_of(job->type != NULL ? job->type : "a"),
        .expires_at_ms = job->expires_at_ms,
        .accepted_us = rig->now.wall.us - 2000,
        .ready_us = rig->now.wall.us - 1000,
        .body = leat_bytes_of(buffer.data, job->malformed ? buffer.size / 2 : buffer.size),
    };
    struct leat_msg msg = {.type = LEAT_MSG_JOBS};
    msg.jobs.round = rig->round;
    msg.jobs.number = ++rig->number;
    msg.jobs.jobs.items = &item;
    msg.jobs.jobs.count = 1;
    rig_message(rig, LEAT_LINK_VENTILATOR, &msg);
    leat_wire_buffer_fini(&buffer);
}

void rig_jobs(struct rig *rig, const char *type, uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rig_push(rig, &(struct rig_job){.n = first + i, .type = type});
    }
}

void rig_pong(struct rig *rig)
{
    struct leat_msg msg = {.type = LEAT_MSG_PONG};
    msg.pong.round = rig->round;
    msg.pong.number = ++rig->number;
    rig_message(rig, LEAT_LINK_VENTILATOR, &msg);
}

void rig_drain(struct rig *rig)
{
    struct leat_msg msg = {.type = LEAT_MSG_DRAIN};
    msg.drain.round = rig->round;
    msg.drain.number = ++rig->number;
    rig_message(rig, LEAT_LINK_VENTILATOR, &msg);
}

void rig_stop(struct rig *rig)
{
    rig_step(rig, (struct leat_event){.kind = LEAT_EVENT_STOP});
}

void rig_stored(struct rig *rig, uint64_t batch)
{
    struct leat_msg msg = {.type = LEAT_MSG_STORED};
    msg.stored.sender = rig_id(0xabcdef);
    msg.stored.batch = batch;
    rig_message(rig, LEAT_LINK_SINK, &msg);
}

void rig_refused(struct rig *rig, uint64_t batch, enum leat_err code)
{
    struct leat_msg msg = {.type = LEAT_MSG_ERROR};
    msg.error.code = code;
    msg.error.text = leat_str_of(leat_err_text(code));
    msg.error.type = LEAT_MSG_RESULTS;
    msg.error.ref = batch;
    rig_message(rig, LEAT_LINK_SINK, &msg);
}

void rig_error(struct rig *rig, enum leat_err code)
{
    struct leat_msg msg = {.type = LEAT_MSG_ERROR};
    msg.error.code = code;
    msg.error.text = leat_str_of(leat_err_text(code));
    rig_message(rig, LEAT_LINK_VENTILATOR, &msg);
}

void rig_ran(struct rig *rig, const struct rig_run *run, enum leat_failure failure, bool permanent,
             const char *error)
{
    struct leat_item_outcome outcome = {
        .id = run->id,
        .delivery = run->delivery,
        .failure = failure,
        .permanent = permanent,
        .error = leat_str_of(error),
        .output = leat_bytes_of("ok", failure == LEAT_FAILURE_NONE ? 2 : 0),
        .queued_us = 5,
        .run_us = 700,
    };
    struct leat_msg msg = {.type = LEAT_MSG_RAN};
    msg.ran.outcomes.items = &outcome;
    msg.ran.outcomes.count = 1;
    rig_message(rig, LEAT_LINK_SPAWNER, &msg);
}

void rig_ran_next(struct rig *rig)
{
    assert_true(rig->ended < rig->run_count);
    rig_ran(rig, &rig->runs[rig->ended++], LEAT_FAILURE_NONE, false, "");
}

void rig_recalled(struct rig *rig, size_t keep)
{
    struct leat_item_lease leases[256];
    size_t count = 0;
    for (size_t i = rig->ended + keep; i < rig->run_count; i++) {
        assert_true(count < 256);
        leases[count++] = (struct leat_item_lease){rig->runs[i].id, rig->runs[i].delivery};
    }
    rig->run_count -= count;
    struct leat_msg msg = {.type = LEAT_MSG_RECALLED};
    msg.recalled.jobs.items = leases;
    msg.recalled.jobs.count = count;
    rig_message(rig, LEAT_LINK_SPAWNER, &msg);
}

void rig_forget(struct rig *rig)
{
    rig->trace_size = 0;
    rig->trace[0] = '\0';
}

void rig_expect(struct rig *rig, const char *trace)
{
    assert_string_equal(rig->trace, trace);
    rig_forget(rig);
}
