/* The metrics actor as a thread: it answers whatever its feeder is doing, and never holds it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "broker/sink/metrics_actor.h"
#include "io/clock.h"
#include "io/signals.h"
#include "wire/codec.h"

static enum leat_err nothing_get(void *context, leat_table table, struct leat_bytes key,
                                 struct leat_bytes *ret_value)
{
    (void)context;
    (void)table;
    (void)key;
    (void)ret_value;
    return LEAT_ERR_NOT_FOUND;
}

/* A disk that takes its time: the scan ends only when the test lets it. */
static enum leat_err slow_scan(void *context, leat_table table, struct leat_bytes from,
                               leat_store_visit_fn *visit, void *visit_context)
{
    zsock_t *gate = context;
    (void)table;
    (void)from;
    (void)visit;
    (void)visit_context;
    zsock_wait(gate);
    return LEAT_OK;
}

struct bench {
    struct leat_metrics_actor *actor;
    zsock_t *client;
    zsock_t *gate;  /* our end */
    zsock_t *latch; /* the actor's end */
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct leat_why why = {""};
    /* A name of its own each time: a socket that is being closed may still be bound to its name. */
    static unsigned gates;
    char gate[64];
    snprintf(gate, sizeof gate, "inproc://test-gate-%u", gates++);
    bench->gate = zsock_new(ZMQ_PAIR);
    bench->latch = zsock_new(ZMQ_PAIR);
    assert_int_equal(zsock_bind(bench->gate, "%s", gate), 0);
    assert_int_equal(zsock_connect(bench->latch, "%s", gate), 0);
    struct leat_metrics_actor_config config = {
        .endpoint = "tcp://127.0.0.1:*",
        .view = {bench->latch, nothing_get, slow_scan},
    };
    if (leat_metrics_actor_start(&config, &bench->actor, bench->endpoint, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(leat_socket_connect(ZMQ_REQ, bench->endpoint, &bench->client, NULL), LEAT_OK);
    zsock_set_rcvtimeo(bench->client, 20000);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    leat_metrics_actor_stop(&bench->actor);
    assert_null(bench->actor);
    leat_metrics_actor_stop(&bench->actor);
    zsock_destroy(&bench->client);
    zsock_destroy(&bench->gate);
    zsock_destroy(&bench->latch);
    free(bench);
    return 0;
}

static json_t *ask(struct bench *bench, const char *text)
{
    zstr_send(bench->client, text);
    char *reply = zstr_recv(bench->client);
    assert_non_null(reply);
    json_t *tree = json_loads(reply, 0, NULL);
    assert_non_null(tree);
    zstr_free(&reply);
    return tree;
}

static bool tell_finished(struct bench *bench, size_t count)
{
    struct leat_item_ended job = {.queue = leat_str_of("mail"),
                                  .type = leat_str_of("send"),
                                  .status = LEAT_STATE_SUCCEEDED,
                                  .attempts = 1};
    struct leat_item_ended *jobs = calloc(count, sizeof *jobs);
    struct leat_msg msg = {.type = LEAT_MSG_FINISHED};
    struct leat_wire_buffer buffer;
    zmq_msg_t frame;
    for (size_t i = 0; i < count; i++) {
        jobs[i] = job;
    }
    msg.finished.jobs.items = jobs;
    msg.finished.jobs.count = count;
    leat_wire_buffer_init(&buffer, 0);
    assert_int_equal(leat_wire_encode(&msg, &buffer), LEAT_OK);
    leat_socket_frame_copy(&frame, leat_wire_buffer_view(&buffer));
    bool sent = leat_socket_send(leat_metrics_actor_feed(bench->actor), NULL, (struct leat_str){0},
                                 &frame) == LEAT_SENT;
    if (!sent) {
        zmq_msg_close(&frame);
    }
    leat_wire_buffer_fini(&buffer);
    free(jobs);
    return sent;
}

static int64_t succeeded(struct bench *bench)
{
    json_t *reply = ask(bench, "{\"request\":\"stats\"}");
    int64_t count =
        json_integer_value(json_object_get(json_object_get(reply, "totals"), "succeeded"));
    json_decref(reply);
    return count;
}

static void what_it_was_told_before_is_in_the_answer(void **state)
{
    struct bench *bench = *state;
    struct leat_metrics_sink figures = {.successes = 42, .dropped_total = 3};
    assert_true(tell_finished(bench, 1000));
    assert_true(tell_finished(bench, 5));
    assert_true(leat_metrics_actor_tell(bench->actor, &figures));
    assert_int_equal(succeeded(bench), 1005);
    json_t *reply = ask(bench, "{\"request\":\"stats\"}");
    const json_t *sink = json_object_get(reply, "sink");
    assert_int_equal(json_integer_value(json_object_get(sink, "successes")), 42);
    assert_int_equal(json_integer_value(json_object_get(sink, "dropped_total")), 3);
    json_decref(reply);
}

/* The sink's thread is this one: while it is here, asking, it does nothing for the actor, as when
 * it waits for the disk. Most answers count, not all, since the machine may be busy. */
static void it_answers_within_10_ms_while_the_thread_that_feeds_it_is_blocked(void **state)
{
    struct bench *bench = *state;
    unsigned quick = 0;
    assert_true(tell_finished(bench, 4096));
    for (unsigned i = 0; i < 100; i++) {
        struct leat_now before;
        struct leat_now after;
        leat_clock_now(&before);
        assert_int_equal(succeeded(bench), 4096);
        leat_clock_now(&after);
        quick += after.mono_us - before.mono_us < 10 * LEAT_US_PER_MS;
    }
    assert_true(quick > 50);
}

static void a_busy_actor_drops_updates_and_never_holds_up_the_sink(void **state)
{
    struct bench *bench = *state;
    unsigned sent = 0;
    unsigned dropped = 0;
    struct leat_metrics_sink figures = {0};
    /* It sits in the slow scan until the gate opens. */
    zstr_send(bench->client, "{\"request\":\"failures\"}");
    while (dropped < 10) {
        if (tell_finished(bench, 1)) {
            sent++;
        } else {
            dropped++;
        }
        assert_true(sent < 100000);
    }
    assert_false(leat_metrics_actor_tell(bench->actor, &figures));
    zsock_signal(bench->gate, 0);
    char *reply = zstr_recv(bench->client);
    assert_non_null(reply);
    zstr_free(&reply);
    /* Everything that was not dropped arrives, in the order of the feed. */
    int64_t counted = 0;
    for (unsigned i = 0; i < 10000 && counted < sent; i++) {
        counted = succeeded(bench);
    }
    assert_int_equal(counted, sent);
}

static void bad_requests_of_any_kind_are_answered_and_the_next_good_one_too(void **state)
{
    struct bench *bench = *state;
    static char large[100000];
    memset(large, 'x', sizeof large - 1);
    json_t *reply = ask(bench, large);
    assert_true(json_is_object(json_object_get(reply, "error")));
    json_decref(reply);
    zstr_sendx(bench->client, "{\"request\":\"ping\"}", "and more", NULL);
    char *text = zstr_recv(bench->client);
    assert_non_null(strstr(text, "MALFORMED"));
    zstr_free(&text);
    reply = ask(bench, "{\"request\":\"stats\"}");
    const json_t *sink = json_object_get(reply, "sink");
    assert_int_equal(json_integer_value(json_object_get(sink, "request_errors_total")), 2);
    json_decref(reply);
}

static void an_address_that_is_taken_is_an_error_and_leaves_nothing_behind(void **state)
{
    struct bench *bench = *state;
    struct leat_metrics_actor *second = NULL;
    struct leat_why why = {""};
    struct leat_metrics_actor_config config = {
        .endpoint = bench->endpoint,
        .view = {NULL, nothing_get, slow_scan},
    };
    assert_int_equal(leat_metrics_actor_start(&config, &second, NULL, &why), LEAT_ERR_LOCKED);
    assert_null(second);
    assert_true(strlen(why.text) > 0);
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(what_it_was_told_before_is_in_the_answer),
        TEST(it_answers_within_10_ms_while_the_thread_that_feeds_it_is_blocked),
        TEST(a_busy_actor_drops_updates_and_never_holds_up_the_sink),
        TEST(bad_requests_of_any_kind_are_answered_and_the_next_good_one_too),
        TEST(an_address_that_is_taken_is_an_error_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
