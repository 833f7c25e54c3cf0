/* leat_guard STAGE BATCHES: runs a stage; for valgrind, see guard.py. */
#include "bench/guard/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_counting;

static const struct guard_stage *const stages[] = {
    &guard_submitter, &guard_ventilator, &guard_worker, &guard_sink,
    &guard_codec,     &guard_lmdb,       &guard_journal};

void guard_count(void)
{
    is_counting = true;
}

void guard_stop(const char *what, const char *why)
{
    fprintf(stderr, "guard: %s: %s\n", what, why);
    exit(1);
}

/* ---- what is counted; names that guard.py gives to valgrind ---- */

void guard_counted(void (*work)(void *context), void *context);

__attribute__((noinline)) void guard_counted(void (*work)(void *context), void *context)
{
    work(context);
    __asm__ volatile("" ::: "memory"); /* no tail call: the function must be left to be seen */
}

void guard_work(void (*work)(void *context), void *context)
{
    if (is_counting) {
        guard_counted(work, context);
    } else {
        work(context);
    }
}

/* ---- cores ---- */

void guard_core_init(struct guard_core *core)
{
    core->now = (struct leat_now){1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    leat_out_init(&core->out);
    leat_arena_init(&core->arena, LEAT_OUT_BYTES_MAX);
}

void guard_core_fini(struct guard_core *core)
{
    leat_out_fini(&core->out);
    leat_arena_fini(&core->arena);
    leat_wire_buffer_fini(&core->in);
    leat_wire_buffer_fini(&core->encoded);
}

struct turn {
    struct guard_core *core;
    struct leat_event event;
    struct leat_bytes frame;
};

static void take_turn(void *context)
{
    struct turn *turn = context;
    struct guard_core *core = turn->core;
    struct leat_msg msg;
    struct leat_why why;
    leat_out_clear(&core->out);
    leat_arena_clear(&core->arena);
    if (turn->event.kind == LEAT_EVENT_MESSAGE) {
        guard_check(leat_wire_decode(turn->frame, &core->arena, &msg, &why), "decode");
        turn->event.msg = &msg;
    }
    core->step(core->core, &turn->event, &core->out);
    for (size_t i = 0; i < core->out.count; i++) {
        if (core->out.actions[i].kind == LEAT_ACTION_SEND) {
            leat_wire_buffer_clear(&core->encoded);
            guard_check(leat_wire_encode(&core->out.actions[i].msg, &core->encoded), "encode");
        }
    }
}

static void feed(struct guard_core *core, struct leat_event event, struct leat_bytes frame)
{
    struct leat_why why;
    event.now = core->now;
    struct turn turn = {.core = core, .event = event, .frame = frame};
    guard_work(take_turn, &turn);
    if (core->store != NULL && leat_store_sync(core->store, &why) != LEAT_OK) {
        guard_stop("commit", why.text);
    }
    for (size_t i = 0; core->on_send != NULL && i < core->out.count; i++) {
        if (core->out.actions[i].kind == LEAT_ACTION_SEND) {
            core->on_send(core->context, &core->out.actions[i]);
        }
    }
}

void guard_tell(struct guard_core *core, enum leat_link link, struct leat_peer peer,
                const struct leat_msg *msg)
{
    leat_wire_buffer_clear(&core->in);
    guard_check(leat_wire_encode(msg, &core->in), "encoding what a peer says");
    feed(core, (struct leat_event){.kind = LEAT_EVENT_MESSAGE, .link = link, .peer = peer},
         leat_wire_buffer_view(&core->in));
    core->now.mono_us += 100; /* virtual time: a batch in 100 us */
    core->now.wall.us += 100;
}

void guard_tick(struct guard_core *core)
{
    feed(core, (struct leat_event){.kind = LEAT_EVENT_TICK}, (struct leat_bytes){NULL, 0});
}

/* ---- jobs ---- */

struct leat_id guard_id(uint8_t kind, uint64_t number)
{
    struct leat_id id = {{0x01, 0x8f, kind, 0, 0, 0, 0x70, 0, 0x80}};
    for (int i = 0; i < 7; i++) {
        id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
    }
    return id;
}

uint64_t guard_number(const struct leat_id *id)
{
    uint64_t number = 0;
    for (int i = 9; i < 16; i++) {
        number = number << 8 | id->bytes[i];
    }
    return number;
}

struct leat_peer guard_peer(uint8_t number)
{
    return (struct leat_peer){.size = 5, .bytes = {0, 1, 2, 3, number}};
}

struct leat_bytes guard_body(void)
{
    static uint8_t payload[GUARD_PAYLOAD_BYTES];
    static struct leat_wire_buffer encoded;
    if (encoded.size == 0) {
        struct leat_item_body body = {.payload = leat_bytes_of(payload, sizeof payload),
                                      .timeout_ms = 60000,
                                      .attempts_max = 3,
                                      .backoff_base_ms = 1000,
                                      .backoff_factor_milli = 2000,
                                      .backoff_cap_ms = 300000,
                                      .backoff_jitter = true};
        memset(payload, 'x', sizeof payload);
        guard_check(leat_wire_encode_item_body(&body, &encoded), "body");
    }
    return leat_wire_buffer_view(&encoded);
}

struct leat_item_submission *guard_submissions(uint64_t batch)
{
    static struct leat_item_submission jobs[GUARD_BATCH];
    for (uint64_t i = 0; i < GUARD_BATCH; i++) {
        jobs[i] = (struct leat_item_submission){.id = guard_id('j', batch * GUARD_BATCH + i),
                                                .queue = leat_str_of("default"),
                                                .type = leat_str_of("stamp"),
                                                .body = guard_body()};
    }
    return jobs;
}

struct leat_item_delivery *guard_deliveries(uint64_t batch, struct leat_now now)
{
    static struct leat_item_delivery jobs[GUARD_BATCH];
    for (uint64_t i = 0; i < GUARD_BATCH; i++) {
        jobs[i] = (struct leat_item_delivery){.id = guard_id('j', batch * GUARD_BATCH + i),
                                              .delivery = 1,
                                              .attempt = 1,
                                              .queue = leat_str_of("default"),
                                              .type = leat_str_of("stamp"),
                                              .accepted_us = now.wall.us - 2000,
                                              .ready_us = now.wall.us - 1000,
                                              .body = guard_body()};
    }
    return jobs;
}

struct leat_item_result *guard_results(uint64_t batch, struct leat_now now)
{
    static struct leat_item_result results[GUARD_BATCH];
    for (uint64_t i = 0; i < GUARD_BATCH; i++) {
        results[i] = (struct leat_item_result){.id = guard_id('j', batch * GUARD_BATCH + i),
                                               .queue = leat_str_of("default"),
                                               .type = leat_str_of("stamp"),
                                               .status = LEAT_STATE_SUCCEEDED,
                                               .attempts = 1,
                                               .delivery = 1,
                                               .output = leat_bytes_of("0123456789abcdef", 16),
                                               .accepted_us = now.wall.us - 3000,
                                               .finished_us = now.wall.us - 500,
                                               .wait_us = 1500,
                                               .run_us = 3,
                                               .worker = leat_str_of("host:12345")};
    }
    return results;
}

struct leat_item_job_id *guard_job_ids(uint64_t batch)
{
    static struct leat_item_job_id ids[GUARD_BATCH];
    for (uint64_t i = 0; i < GUARD_BATCH; i++) {
        ids[i].id = guard_id('j', batch * GUARD_BATCH + i);
    }
    return ids;
}

/* ---- the program ---- */

int main(int argc, char **argv)
{
    const size_t stage_count = sizeof stages / sizeof stages[0];
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < stage_count; i++) {
            printf("%s\t%s\n", stages[i]->name, stages[i]->what);
        }
        return 0;
    }
    uint64_t batches = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    for (size_t i = 0; i < stage_count && batches > 0; i++) {
        if (strcmp(argv[1], stages[i]->name) == 0) {
            void *stage = stages[i]->begin();
            stages[i]->run(stage, 0, batches / 4 + 1);
            guard_count();
            stages[i]->run(stage, batches / 4 + 1, batches);
            stages[i]->end(stage);
            printf("%llu\n", (unsigned long long)(batches * GUARD_BATCH));
            return 0;
        }
    }
    fprintf(stderr, "usage: leat_guard --list | STAGE BATCHES\n");
    return 2;
}
