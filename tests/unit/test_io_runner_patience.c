/* A batch waits while nobody waits for it, and never else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/exit.h"
#include "io/signals.h"
#include "io_runner_world.h"

static struct world world;

static int fini(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* Says it so many times, and turns until the core has heard all. */
static void say_many(zsock_t *client, const char *verb, uint64_t first, size_t count)
{
    size_t seen = world_count(&world, LEAT_EVENT_MESSAGE);
    for (size_t i = 0; i < count; i++) {
        world_say(client, verb, first + i);
    }
    world_turn_until_messages(&world, seen + count);
    world_turn(&world);
}

/* However much the batch before has carried: there is load, and whoever waits has waited for it. */
static void what_somebody_waits_for_goes_as_soon_as_the_batch_before_is_done(void **state)
{
    (void)state;
    const size_t counts[] = {1, 3, 400, 400, 1};
    uint64_t said = 0;
    world_init(&world, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    say_many(client, "put", said, 1);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        said += i == 0 ? 1 : counts[i - 1];
        assert_true(leat_store_is_committing(world.store));
        say_many(client, "put", said, counts[i]); /* it fills behind the one under way */
        assert_int_equal(leat_store_filling_rows(world.store), counts[i]);
        leat_store_memory_complete(world.store);
        world_turn(&world);
        assert_true(leat_store_is_committing(world.store));
        assert_false(leat_store_is_dirty(world.store));
    }
    zsock_destroy(&client);
}

/* Nobody waits for the first: it waits for the second, and both go in one batch. */
static void what_nobody_waits_for_goes_with_what_somebody_waits_for(void **state)
{
    (void)state;
    world_init(&world, true);
    world.config.patience_us = 3600 * LEAT_US_PER_S;
    world_start(&world);
    zsock_t *client = world_client(&world);
    say_many(client, "patient", 1, 2);
    say_many(client, "keep", 3, 1);
    assert_true(leat_store_is_dirty(world.store));
    assert_false(leat_store_is_committing(world.store));
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    say_many(client, "put", 5, 1);
    assert_true(leat_store_is_committing(world.store));
    say_many(client, "patient", 6, 1); /* the next batch: it waits again */
    leat_store_memory_complete(world.store);
    world_turn(&world);
    world_expect_answer(client, 1);
    world_expect_answer(client, 2);
    world_expect_answer(client, 5);
    assert_false(leat_store_is_committing(world.store));
    say_many(client, "ping", 7, 1); /* has written nothing, but may have read what is not durable */
    assert_true(leat_store_is_committing(world.store));
    leat_store_memory_complete(world.store);
    world_turn(&world);
    world_expect_answer(client, 6);
    world_expect_answer(client, 7);
    assert_int_equal(leat_runner_counts(world.runner).commits, 2);
    zsock_destroy(&client);
}

static void what_nobody_waits_for_goes_alone_when_its_patience_ends(void **state)
{
    (void)state;
    world_init(&world, true);
    world.config.patience_us = 50 * LEAT_US_PER_MS;
    world_start(&world);
    zsock_t *client = world_client(&world);
    for (uint64_t ref = 1; ref <= 3; ref++) { /* each has a patience of its own */
        size_t seen = world_count(&world, LEAT_EVENT_MESSAGE);
        world_say(client, "patient", ref);
        world_turn_until_messages(&world, seen + 1);
        int64_t since_us = leat_runner_now(world.runner).mono_us;
        while (!leat_store_is_committing(world.store)) {
            world_turn(&world);
        }
        assert_true(leat_runner_now(world.runner).mono_us - since_us >= 40 * LEAT_US_PER_MS);
        leat_store_memory_complete(world.store);
        world_turn(&world);
        world_expect_answer(client, ref);
    }
    zsock_destroy(&client);
}

static void what_nobody_waits_for_goes_alone_when_there_is_much_of_it(void **state)
{
    (void)state;
    world_init(&world, true);
    world.config.patience_us = 3600 * LEAT_US_PER_S;
    world.config.patience_rows = 10;
    world_start(&world);
    zsock_t *client = world_client(&world);
    say_many(client, "patient", 1, 9);
    assert_false(leat_store_is_committing(world.store));
    say_many(client, "patient", 10, 1);
    assert_true(leat_store_is_committing(world.store));
    zsock_destroy(&client);
}

static void while_there_is_nothing_to_read_a_quick_store_commits_within_the_turn(void **state)
{
    (void)state;
    world_init(&world, true);
    leat_store_memory_be_quick(world.store, true);
    world_start(&world);
    zsock_t *client = world_client(&world);
    for (uint64_t ref = 1; ref <= 3; ref++) {
        world_say(client, "put", ref);
        world_turn_until_messages(&world, ref);
        assert_int_equal(leat_store_durable(world.store), ref);
        assert_int_equal(leat_runner_counts(world.runner).commits, ref);
        assert_int_equal(leat_runner_counts(world.runner).messages_out, ref);
    }
    zsock_destroy(&client);
}

static void while_there_is_more_to_read_it_is_read_meanwhile(void **state)
{
    (void)state;
    world_init(&world, true);
    leat_store_memory_be_quick(world.store, true);
    world.config.budget_messages = 1;
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1); /* and did not look whether there was another one */
    assert_true(leat_store_is_committing(world.store));
    world_say(client, "put", 2);
    world_turn_until_messages(&world, 2);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    leat_store_memory_complete(world.store);
    world_turn(&world); /* nothing to read: the second goes at once */
    assert_int_equal(leat_store_durable(world.store), 2);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 2);
    zsock_destroy(&client);
}

static void a_commit_that_fails_within_the_turn_ends_the_loop_and_nothing_leaves(void **state)
{
    (void)state;
    world_init(&world, true);
    leat_store_memory_be_quick(world.store, true);
    leat_store_memory_fail(world.store);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    assert_int_equal(world.status, LEAT_EXIT_STORE);
    assert_int_equal(leat_runner_counts(world.runner).messages_out, 0);
    zsock_destroy(&client);
}

static void a_store_that_a_commit_within_the_turn_has_filled_is_told_at_once(void **state)
{
    (void)state;
    world_init(&world, true);
    leat_store_memory_be_quick(world.store, true);
    leat_store_memory_limit(world.store, 1);
    world_start(&world);
    zsock_t *client = world_client(&world);
    world_say(client, "put", 1);
    world_turn_until_messages(&world, 1);
    assert_int_equal(world_count(&world, LEAT_EVENT_SPACE), 0);
    struct leat_now before;
    struct leat_now after;
    leat_clock_now(&before);
    leat_runner_turn(world.runner, LEAT_US_PER_S, &world.status);
    leat_clock_now(&after);
    assert_int_equal(world_count(&world, LEAT_EVENT_SPACE), 1);
    assert_true(after.mono_us - before.mono_us < LEAT_US_PER_S); /* it did not wait for a peer */
    zsock_destroy(&client);
}

#define RUNNER_TEST(name) cmocka_unit_test_teardown(name, fini)

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        RUNNER_TEST(what_somebody_waits_for_goes_as_soon_as_the_batch_before_is_done),
        RUNNER_TEST(what_nobody_waits_for_goes_with_what_somebody_waits_for),
        RUNNER_TEST(what_nobody_waits_for_goes_alone_when_its_patience_ends),
        RUNNER_TEST(what_nobody_waits_for_goes_alone_when_there_is_much_of_it),
        RUNNER_TEST(while_there_is_nothing_to_read_a_quick_store_commits_within_the_turn),
        RUNNER_TEST(while_there_is_more_to_read_it_is_read_meanwhile),
        RUNNER_TEST(a_commit_that_fails_within_the_turn_ends_the_loop_and_nothing_leaves),
        RUNNER_TEST(a_store_that_a_commit_within_the_turn_has_filled_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
