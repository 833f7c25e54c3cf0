/* Writes the seeds that follow from the message table, and one history per core, from which the
 * fuzzer can go on: fuzz_seeds DIRECTORY, with the sub-directories of corpus/ in it. Needed again
 * when the table changes; scripts/fuzz calls it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/core_harness.h"
#include "tests/unit/wire_messages.h"
#include "wire/codec.h"

static const char *directory;
static struct leat_wire_buffer history;
static uint8_t options; /* first byte of a history */

static void save(const char *target, const char *name, struct leat_bytes bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", directory, target, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes.data, 1, bytes.size, file) != bytes.size ||
        fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void byte(uint8_t value)
{
    if (leat_wire_buffer_append(&history, &value, 1) != LEAT_OK) {
        abort();
    }
}

static void op(uint8_t code, uint8_t argument)
{
    byte(code);
    byte(argument);
}

static void message(uint8_t code, const struct leat_msg *msg)
{
    byte(code);
    fuzz_write_message(msg, &history);
}

static void begin(void)
{
    leat_wire_buffer_clear(&history);
    byte(options);
}

static void end(const char *target, const char *name)
{
    save(target, name, leat_wire_buffer_view(&history));
}

/* ---- every message ---- */

static void each_message(void)
{
    struct leat_rng rng;
    struct leat_arena arena;
    leat_rng_init(&rng, 1);
    leat_arena_init(&arena, 16u << 20);
    const struct leat_wire_message *entry;
    for (size_t i = 0; (entry = leat_wire_message_at(i)) != NULL; i++) {
        struct leat_msg msg;
        struct leat_wire_buffer frame;
        char name[64];
        leat_arena_clear(&arena);
        leat_wire_buffer_init(&frame, 0);
        do {
            wire_random_message(entry, &rng, &arena, &msg);
            leat_wire_buffer_clear(&frame);
        } while (leat_wire_encode(&msg, &frame) != LEAT_OK || frame.size > 700);
        snprintf(name, sizeof name, "message_%s", entry->name);
        save("wire", name, leat_wire_buffer_view(&frame));
        leat_wire_buffer_fini(&frame);
        static const char *const cores[] = {"ventilator", "sink", "worker", "submitter"};
        for (size_t core = 0; core < sizeof cores / sizeof cores[0]; core++) {
            begin();
            message(0, &msg);
            message(4, &msg);
            op(FUZZ_OP_PASS, 0);
            end(cores[core], name);
        }
    }
    leat_arena_fini(&arena);
}

/* ---- histories ---- */

static struct leat_msg submit(struct leat_item_submission *jobs, size_t count, uint64_t batch)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (struct leat_item_submission){.id = fuzz_id((unsigned)(batch * 10 + i)),
                                                .queue = leat_str_of("default"),
                                                .type = leat_str_of("echo"),
                                                .body = leat_bytes_of("body", 4)};
    }
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.producer = fuzz_id(0xC0);
    msg.submit.batch = batch;
    msg.submit.jobs.items = jobs;
    msg.submit.jobs.count = count;
    return msg;
}

static void hello(uint8_t peer, uint64_t round)
{
    struct leat_item_name queue = {leat_str_of("default")};
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = fuzz_id(0xD0u + peer);
    msg.hello.round = round;
    msg.hello.name = leat_str_of("host:1");
    msg.hello.queues.items = &queue;
    msg.hello.queues.count = 1;
    msg.hello.slots = 2;
    message(peer, &msg);
    msg = (struct leat_msg){.type = LEAT_MSG_CREDIT};
    msg.credit.round = round;
    msg.credit.number = 1;
    msg.credit.total = 4;
    message(peer, &msg);
}

static void ventilator_history(const char *name)
{
    struct leat_item_submission jobs[3];
    begin();
    hello(0, 1);
    struct leat_msg msg = submit(jobs, 3, 1);
    jobs[2].not_before_ms = INT64_C(1700000002000);
    message(1, &msg);
    op(FUZZ_OP_COMMIT, 1);
    op(FUZZ_OP_PASS, 0);
    struct leat_item_repeat again = {
        .id = fuzz_id(10), .delivery = 1, .attempt = 2, .delay_ms = 200};
    msg = (struct leat_msg){.type = LEAT_MSG_RETRY};
    msg.retry.round = 1;
    msg.retry.number = 2;
    msg.retry.jobs.items = &again;
    msg.retry.jobs.count = 1;
    message(0, &msg);
    struct leat_item_lease lease = {.id = fuzz_id(11), .delivery = 1};
    msg = (struct leat_msg){.type = LEAT_MSG_RETURN};
    msg.handback.round = 1;
    msg.handback.number = 3;
    msg.handback.jobs.items = &lease;
    msg.handback.jobs.count = 1;
    message(0, &msg);
    op(FUZZ_OP_PASS, 8);
    struct leat_item_job_id settled = {fuzz_id(11)};
    msg = (struct leat_msg){.type = LEAT_MSG_SETTLED};
    msg.settled.stream = fuzz_id(0xB0);
    msg.settled.first = 1;
    msg.settled.jobs.items = &settled;
    msg.settled.jobs.count = 1;
    message(4, &msg);
    op(FUZZ_OP_COMMIT, 1);
    op(FUZZ_OP_RESTART, 0);
    hello(0, 2);
    op(FUZZ_OP_PASS, 9);
    hello(1, 1);
    op(FUZZ_OP_PASS, 11);
    msg = (struct leat_msg){.type = LEAT_MSG_CONTROL};
    msg.control.verb = leat_str_of("pause");
    msg.control.argument = leat_str_of("default");
    message(2, &msg);
    msg = submit(jobs, 3, 2);
    jobs[0].expires_at_ms = INT64_C(1700000100000);
    message(1, &msg);
    op(FUZZ_OP_WALL, 6);
    op(FUZZ_OP_PASS, 13);
    byte(FUZZ_OP_STOP);
    op(FUZZ_OP_PASS, 11);
    end("ventilator", name);
}

static void sink_history(const char *name)
{
    struct leat_item_result results[3];
    begin();
    for (unsigned i = 0; i < 3; i++) {
        results[i] =
            (struct leat_item_result){.id = fuzz_id(10 + i),
                                      .queue = leat_str_of("default"),
                                      .type = leat_str_of("echo"),
                                      .status = i == 0 ? LEAT_STATE_SUCCEEDED : LEAT_STATE_FAILED,
                                      .failure = i == 0 ? 0 : LEAT_FAILURE_EXIT,
                                      .attempts = 1,
                                      .delivery = 1,
                                      .output = leat_bytes_of("out", 3),
                                      .worker = leat_str_of("host:1")};
    }
    struct leat_msg msg = {.type = LEAT_MSG_RESULTS};
    msg.results.sender = fuzz_id(0xD0);
    msg.results.batch = 1;
    msg.results.results.items = results;
    msg.results.results.count = 3;
    message(0, &msg);
    op(FUZZ_OP_COMMIT, 1);
    msg = (struct leat_msg){.type = LEAT_MSG_FOLLOW};
    message(1, &msg);
    /* FOLLOW of the right stream with what was confirmed, in the words of fuzz_number */
    byte(1);
    op(LEAT_MSG_FOLLOW, 0xF0);
    byte(0xF3);
    op(FUZZ_OP_PASS, 8);
    struct leat_item_job_id ids[2] = {{fuzz_id(10)}, {fuzz_id(11)}};
    msg = (struct leat_msg){.type = LEAT_MSG_QUERY};
    msg.query.with_output = true;
    msg.query.jobs.items = ids;
    msg.query.jobs.count = 2;
    message(2, &msg);
    msg = (struct leat_msg){.type = LEAT_MSG_RERUN};
    msg.rerun.jobs.items = ids + 1;
    msg.rerun.jobs.count = 1;
    message(2, &msg);
    op(FUZZ_OP_RESTART, 1);
    op(FUZZ_OP_PASS, 15);
    msg = (struct leat_msg){.type = LEAT_MSG_QUIT};
    message(1, &msg);
    end("sink", name);
}

static void worker_history(void)
{
    begin();
    op(FUZZ_OP_PASS, 1);
    /* WELCOME and JOBS of the round of its HELLO, in the words of fuzz_number */
    static const uint8_t welcome[] = {0, LEAT_MSG_WELCOME, 0xF0, 0xF0, 0xE1, 0xE3, 0};
    for (size_t i = 0; i < sizeof welcome; i++) {
        byte(welcome[i]);
    }
    static const uint8_t jobs[] = {
        0,    LEAT_MSG_JOBS,
        0xF0, 0xF1,
        2,    10,
        1,    1,
        1,    6,
        0,    0,
        0,    0xF0, /* a job "echo" */
        11,   1,
        1,    1,
        5,    0,
        0,    0,
        0xF0, /* a job "send" */
    };
    for (size_t i = 0; i < sizeof jobs; i++) {
        byte(jobs[i]);
    }
    op(FUZZ_OP_PASS, 0);
    static const uint8_t ran[] = {FUZZ_OP_COMMIT, 0, 0,    0, 5, 5, 0,
                                  FUZZ_OP_COMMIT, 0, 0x81, 1, 5, 5, 0};
    for (size_t i = 0; i < sizeof ran; i++) {
        byte(ran[i]);
    }
    static const uint8_t stored[] = {4, LEAT_MSG_STORED, 0xF0, 0xF2};
    for (size_t i = 0; i < sizeof stored; i++) {
        byte(stored[i]);
    }
    op(FUZZ_OP_PASS, 8);
    static const uint8_t drain[] = {0, LEAT_MSG_DRAIN, 0xF0, 0xF1, FUZZ_OP_RESTART, 4};
    for (size_t i = 0; i < sizeof drain; i++) {
        byte(drain[i]);
    }
    op(FUZZ_OP_PASS, 12);
    end("worker", "history");
}

static void submitter_history(void)
{
    begin();
    for (uint8_t i = 0; i < 4; i++) {
        op(FUZZ_OP_COMMIT, 3);
        byte(0);
    }
    op(FUZZ_OP_PASS, 0);
    static const uint8_t answers[] = {0,
                                      LEAT_MSG_BUSY,
                                      0xF0,
                                      0xF2,
                                      100,
                                      0,
                                      FUZZ_OP_PASS,
                                      0,
                                      0,
                                      LEAT_MSG_ACCEPTED,
                                      0xF0,
                                      0xF2,
                                      0,
                                      FUZZ_OP_COMMIT,
                                      3,
                                      0,
                                      FUZZ_OP_PASS,
                                      1,
                                      0,
                                      LEAT_MSG_RESEND,
                                      0xF0,
                                      1,
                                      FUZZ_OP_PASS,
                                      10,
                                      0,
                                      LEAT_MSG_REJECTED,
                                      0xF0,
                                      0xF2,
                                      4,
                                      1};
    for (size_t i = 0; i < sizeof answers; i++) {
        byte(answers[i]);
    }
    end("submitter", "history");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
        return 2;
    }
    directory = argv[1];
    leat_wire_buffer_init(&history, 0);
    each_message();
    ventilator_history("history");
    sink_history("history");
    options = 64; /* keys are in use */
    ventilator_history("history_with_keys");
    sink_history("history_with_keys");
    options = 0;
    worker_history();
    submitter_history();
    leat_wire_buffer_fini(&history);
    return 0;
}
