#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <signal.h>

#include "core/rng.h"
#include "io/clock.h"
#include "io/exit.h"
#include "io/random.h"
#include "io/signals.h"
#include "io_capture.h"
#include "io_runner_world.h"

static struct world world;

static int fini(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* ---- holding back ---- */

static void without_a_store_answers_leave_at_once(void **state)
{
    (void)state;
    world_init(&world, false);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "ping", 1);
    world_turn_until_messages(&world, 1);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 1);
    world_expect_answer(client, 1);
    zsock_destroy(&client);
}

static void the_first_event_is_a_tick(void **state)
{
    (void)state;
    world_init(&world, false);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "ping", 1);
    world_turn_until_messages(&world, 1);
    assert_int_equal(world.events[0].kind, LEAT_EVENT_TICK);
    zsock_destroy(&client);
}

static void nothing_leaves_before_it_is_durable(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    for (int i = 0; i < 5; i++) {
        world_turn(&world);
    }
    struct leat_runner_counts counts = leat_runner_counts(world.runner);
    assert_int_equal(counts.messages_out, 0);
    assert_int_equal(counts.waiting_actions, 1);
    assert_true(counts.waiting_bytes > 0);
    assert_true(leat_store_is_committing(world.store));
    leat_store_memory_complete(world.store);
    world_turn(&world);
    world_expect_answer(client, 1);
    counts = leat_runner_counts(world.runner);
    assert_int_equal(counts.messages_out, 1);
    assert_int_equal(counts.waiting_actions, 0);
    assert_int_equal(counts.waiting_bytes, 0);
    assert_int_equal(counts.commits, 1);
    assert_int_equal(counts.commit_actions, 1);
    zsock_destroy(&client);
}

static void a_step_that_wrote_nothing_waits_for_what_it_may_have_read(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    zsock_t *other = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    world_say(other, "ping", 2);
    world_turn_until_messages(&world, 2);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    assert_int_equal(leat_runner_counts(world.runner).waiting_actions, 2);
    leat_store_memory_complete(world.store);
    world_turn(&world);
    world_expect_answer(client, 1);
    world_expect_answer(other, 2);
    world_say(other, "ping", 3); /* nothing is under way any more: at once */
    world_turn_until_messages(&world, 3);
    world_expect_answer(other, 3);
    zsock_destroy(&client);
    zsock_destroy(&other);
}

static void it_waits_also_when_nothing_else_waits(void **state)
{
    (void)state;
    world_init(&world, true);
    world.config.patience_us = 1;
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "keep", 1);
    world_turn_until_messages(&world, 1);
    world_turn(&world); /* nobody waits for it: one turn later */
    assert_true(leat_store_is_committing(world.store));
    world_say(client, "ping", 2);
    world_turn_until_messages(&world, 2);
    assert_int_equal(leat_runner_counts(world.runner).waiting_actions, 1);
    leat_store_memory_complete(world.store);
    world_turn(&world);
    world_expect_answer(client, 2);
    zsock_destroy(&client);
}

static void the_next_batch_fills_while_one_is_on_its_way(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    assert_true(leat_store_is_committing(world.store));
    world_say(client, "put", 2);
    world_say(client, "put", 3);
    world_turn_until_messages(&world, 3);
    assert_true(leat_store_is_dirty(world.store));
    leat_store_memory_complete(world.store);
    world_turn(&world);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 1);
    assert_true(leat_store_is_committing(world.store));
    leat_store_memory_complete(world.store);
    world_turn(&world);
    for (uint64_t ref = 1; ref <= 3; ref++) {
        world_expect_answer(client, ref);
    }
    assert_int_equal(leat_runner_counts(world.runner).commits, 2);
    assert_int_equal(leat_runner_counts(world.runner).commit_actions_max, 2);
    zsock_destroy(&client);
}

static void after_a_failed_commit_nothing_leaves_and_the_loop_ends_with_74(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    leat_store_memory_fail(world.store);
    struct io_capture capture;
    io_capture_start(&capture, STDERR_FILENO);
    int status = leat_runner_run(world.runner);
    const char *text = io_capture_end(&capture);
    assert_int_equal(status, LEAT_EXIT_STORE);
    assert_int_equal(LEAT_EXIT_STORE, 74);
    assert_non_null(strstr(text, "level=error"));
    assert_non_null(strstr(text, "event=store_failed"));
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    leat_runner_destroy(&world.runner);
    zsock_destroy(&world.router);
    assert_false(world_hear(client, 100, NULL, NULL));
    zsock_destroy(&client);
}

static void an_exit_waits_until_what_was_written_before_it_is_durable(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_say(client, "exit", 2);
    world_turn_until_messages(&world, 2);
    world_say(client, "ping", 3);
    for (int i = 0; i < 5; i++) {
        world_turn(&world);
    }
    assert_int_equal(world.status, -1);
    assert_int_equal(world_count(&world, LEAT_EVENT_MESSAGE), 2);
    while (world.status == -1) {
        leat_store_memory_complete(world.store);
        world_turn(&world);
    }
    assert_int_equal(world.status, 9);
    world_expect_answer(client, 1);
    world_expect_answer(client, 2);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 2);
    zsock_destroy(&client);
}

static void too_much_waiting_stops_reading_and_the_clock_of_the_core(void **state)
{
    (void)state;
    world_init(&world, true);
    world.config.waiting_actions_max = 10;
    world_start(&world);
    zsock_t *client = world_client(&world);
    enum { TOTAL = 100 };
    for (uint64_t ref = 1; ref <= TOTAL; ref++) {
        world_say(client, "put", ref);
    }
    world_turn_until_messages(&world, 11);
    for (int i = 0; i < 5; i++) {
        world_turn(&world); /* each waits for 1 ms: real time goes on */
    }
    assert_int_equal(world_count(&world, LEAT_EVENT_MESSAGE), 11);
    assert_true(leat_runner_counts(world.runner).paused);
    struct leat_now before = leat_runner_now(world.runner);
    world_turn(&world);
    assert_true(leat_runner_now(world.runner).mono_us == before.mono_us);
    assert_true(leat_runner_now(world.runner).wall.us > before.wall.us);
    while (world_count(&world, LEAT_EVENT_MESSAGE) < TOTAL ||
           leat_runner_counts(world.runner).waiting_actions > 0) {
        leat_store_memory_complete(world.store);
        world_turn(&world);
    }
    for (uint64_t ref = 1; ref <= TOTAL; ref++) {
        world_expect_answer(client, ref);
    }
    assert_false(leat_runner_counts(world.runner).paused);
    assert_true(leat_runner_counts(world.runner).pauses >= 1);
    for (size_t i = 1; i < world.event_count; i++) {
        assert_true(world.events[i].now.mono_us >= world.events[i - 1].now.mono_us);
    }
    zsock_destroy(&client);
}

static void a_batch_that_grows_behind_a_stuck_commit_stops_reading_too(void **state)
{
    (void)state;
    world_init(&world, true);
    world.write_bytes = 1 << 16;
    world.config.filling_bytes_max = 1 << 20;
    world_start(&world);
    zsock_t *client = world_client(&world);
    for (uint64_t ref = 1; ref <= 200; ref++) {
        world_say(client, "put", ref);
    }
    while (!leat_runner_counts(world.runner).paused || !leat_store_is_committing(world.store)) {
        world_turn(&world);
    }
    for (int i = 0; i < 5; i++) {
        world_turn(&world);
    }
    assert_true(world_count(&world, LEAT_EVENT_MESSAGE) < 150);
    while (world_count(&world, LEAT_EVENT_MESSAGE) < 200) {
        leat_store_memory_complete(world.store);
        world_turn(&world);
    }
    zsock_destroy(&client);
}

static void room_that_goes_and_comes_is_told(void **state)
{
    (void)state;
    world_init(&world, true);
    world_start(&world);
    world_turn(&world);
    leat_store_memory_set_full(world.store, true);
    assert_true(world_turn_until(&world, LEAT_EVENT_SPACE, 1)->store_full);
    world_turn(&world);
    leat_store_memory_set_full(world.store, false);
    assert_false(world_turn_until(&world, LEAT_EVENT_SPACE, 2)->store_full);
    world_turn(&world);
    assert_int_equal(world_count(&world, LEAT_EVENT_SPACE), 2);
}

/* Whatever was answered is there after a crash, whatever the timing: the reason why this file
 * exists. */
static void an_answered_write_survives_a_crash_at_any_moment(void **state)
{
    (void)state;
    const char *text = getenv("LEAT_SEED");
    uint64_t first = text != NULL ? strtoull(text, NULL, 10) : leat_random_seed() >> 1;
    print_message("LEAT_SEED=%llu\n", (unsigned long long)first);
    for (uint64_t seed = first; seed < first + 60; seed++) {
        struct leat_rng rng;
        leat_rng_init(&rng, seed);
        world_init(&world, true);
        world.config.budget_messages = 1 + (unsigned)leat_rng_below(&rng, 8);
        world.config.waiting_actions_max = 1 + leat_rng_below(&rng, 20);
        world_start(&world);
        zsock_t *client = world_client(&world);
        uint64_t said = 0;
        uint64_t heard = 0;
        bool is_put[256] = {false};
        uint64_t turns = 1 + leat_rng_below(&rng, 60);
        for (uint64_t i = 0; i < turns; i++) {
            while (said < 200 && leat_rng_below(&rng, 2) == 0) {
                is_put[said] = leat_rng_below(&rng, 3) > 0;
                world_say(client, is_put[said] ? "put" : "ping", said);
                said++;
            }
            if (leat_rng_below(&rng, 3) == 0) {
                leat_store_memory_complete(world.store);
            }
            leat_store_memory_be_quick(world.store, leat_rng_below(&rng, 2) == 0);
            leat_runner_turn(world.runner, 0, &world.status);
        }
        leat_store_memory_crash(world.store, LEAT_STORE_LOST);
        uint64_t sent = leat_runner_counts(world.runner).messages_out;
        uint64_t ref = 0;
        for (; heard < sent; heard++) {
            assert_true(world_hear(client, 5000, &ref, NULL));
            assert_int_equal(ref, heard); /* in order, none twice */
            struct leat_bytes value;
            if (is_put[ref]) {
                assert_int_equal(
                    leat_store_get(world.store, 0, leat_bytes_of(&ref, sizeof ref), &value),
                    LEAT_OK);
            }
        }
        zsock_destroy(&client);
        world_fini(&world);
    }
    world_init(&world, false); /* for fini */
}

/* ---- events ---- */

static void a_send_that_fails_is_told_to_the_core(void **state)
{
    (void)state;
    world_init(&world, false);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "to", 1);
    const struct world_event *event = world_turn_until(&world, LEAT_EVENT_UNREACHABLE, 1);
    assert_int_equal(event->link, LEAT_LINK_PEERS);
    assert_int_equal(leat_runner_counts(world.runner).unreachable, 1);
    zsock_destroy(&client);
}

static void bytes_that_are_no_message_are_answered_and_the_loop_goes_on(void **state)
{
    (void)state;
    world_init(&world, false);
    world_start(&world);
    zsock_t *client = world_client(&world);
    void *raw = zsock_resolve(client);
    const uint8_t bomb[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
    const uint8_t unknown[] = {0x92, 0x01, 0x7e};
    const uint8_t newer[] = {0x92, 0x63, 0x40};
    zmq_send(raw, "", 0, 0);
    zmq_send(raw, bomb, sizeof bomb, 0);
    zmq_send(raw, unknown, sizeof unknown, 0);
    zmq_send(raw, newer, sizeof newer, 0);
    zmq_send(raw, "a", 1, ZMQ_SNDMORE);
    zmq_send(raw, "b", 1, 0);
    world_say(client, "ping", 77);
    world_turn_until_messages(&world, 1);
    const uint64_t codes[] = {LEAT_ERR_MALFORMED, LEAT_ERR_MALFORMED, LEAT_ERR_UNKNOWN_TYPE,
                              LEAT_ERR_VERSION, LEAT_ERR_MALFORMED};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        uint64_t type = 0;
        uint64_t code = 0;
        assert_true(world_hear(client, 5000, &type, &code));
        assert_int_equal(code, codes[i]);
        if (code == LEAT_ERR_UNKNOWN_TYPE) {
            assert_int_equal(type, 0x7e);
        }
    }
    world_expect_answer(client, 77);
    assert_int_equal(leat_runner_counts(world.runner).malformed, 5);
    zsock_destroy(&client);
}

static void ticks_come_at_the_deadline_and_not_before(void **state)
{
    (void)state;
    world_init(&world, false);
    world_start(&world);
    world_turn(&world);
    int64_t wanted = leat_runner_now(world.runner).mono_us + 30 * LEAT_US_PER_MS;
    world.deadline_us = wanted;
    const struct world_event *tick = world_turn_until(&world, LEAT_EVENT_TICK, 2);
    assert_true(tick->now.mono_us >= wanted);
}

static void sigterm_is_a_stop(void **state)
{
    (void)state;
    world_init(&world, false);
    assert_int_equal(leat_signals_open(&world.config.signal_fd, NULL), LEAT_OK);
    world_start(&world);
    kill(getpid(), SIGTERM);
    assert_int_equal(leat_runner_run(world.runner), LEAT_EXIT_OK);
    assert_int_equal(world_count(&world, LEAT_EVENT_STOP), 1);
    close(world.config.signal_fd);
}

#define RUNNER_TEST(name) cmocka_unit_test_teardown(name, fini)

static void a_second_signal_ends_a_process_whose_disk_takes_nothing(void **state)
{
    (void)state;
    world_init(&world, true);
    assert_int_equal(leat_signals_open(&world.config.signal_fd, NULL), LEAT_OK);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_say(client, "exit", 2);
    world_turn_until_messages(&world, 2);
    world_turn(&world);
    assert_int_equal(world.status, -1);
    kill(getpid(), SIGTERM);
    for (int i = 0; i < 3 && world.status == -1; i++) {
        world_turn(&world);
    }
    assert_int_equal(world.status, LEAT_EXIT_STORE);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    close(world.config.signal_fd);
    zsock_destroy(&client);
    world_fini(&world);
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        RUNNER_TEST(without_a_store_answers_leave_at_once),
        RUNNER_TEST(the_first_event_is_a_tick),
        RUNNER_TEST(nothing_leaves_before_it_is_durable),
        RUNNER_TEST(a_step_that_wrote_nothing_waits_for_what_it_may_have_read),
        RUNNER_TEST(it_waits_also_when_nothing_else_waits),
        RUNNER_TEST(the_next_batch_fills_while_one_is_on_its_way),
        RUNNER_TEST(after_a_failed_commit_nothing_leaves_and_the_loop_ends_with_74),
        RUNNER_TEST(an_exit_waits_until_what_was_written_before_it_is_durable),
        RUNNER_TEST(too_much_waiting_stops_reading_and_the_clock_of_the_core),
        RUNNER_TEST(a_batch_that_grows_behind_a_stuck_commit_stops_reading_too),
        RUNNER_TEST(room_that_goes_and_comes_is_told),
        RUNNER_TEST(an_answered_write_survives_a_crash_at_any_moment),
        RUNNER_TEST(a_send_that_fails_is_told_to_the_core),
        RUNNER_TEST(bytes_that_are_no_message_are_answered_and_the_loop_goes_on),
        RUNNER_TEST(ticks_come_at_the_deadline_and_not_before),
        RUNNER_TEST(sigterm_is_a_stop),
        RUNNER_TEST(a_second_signal_ends_a_process_whose_disk_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
