#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker_rig.h"

static struct rig rig;

static int stop(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void start(size_t slots, size_t prefetch)
{
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    rig_init(&rig, &config);
    rig_open(&rig);
}

/* A story: one job runs, two wait; then somebody says `leat shutdown`. */
static void a_drained_worker_hands_back_finishes_reports_and_says_goodbye(void **state)
{
    (void)state;
    start(1, 2);
    rig_jobs(&rig, "a", 1, 3);
    rig_forget(&rig);
    rig_drain(&rig);
    rig_expect(&rig, "RECALL\n"
                     "RETURN number=2 2/1 3/1\n");
    rig_recalled(&rig, 1);     /* what runs is not named */
    rig_jobs(&rig, "a", 4, 1); /* was on its way */
    rig_expect(&rig, "RETURN number=3 4/1\n"
                     "CREDIT number=4 total=4\n");
    rig_ran_next(&rig);
    rig_expect(&rig, "RESULTS batch=1 1=succeeded\n");
    rig_stored(&rig, 1);
    rig_expect(&rig, "GOODBYE number=5\nEXIT 0\n");
    assert_true(leat_worker_is_ended(rig.worker));
    assert_true(leat_worker_deadline_us(rig.worker) == LEAT_NEVER_US);
    rig_tick(&rig);
    rig_expect(&rig, "");
}

static void credit_that_is_out_is_taken_back(void **state)
{
    (void)state;
    start(2, 2);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    rig_stop(&rig);
    assert_non_null(strstr(rig.trace, "CREDIT number=2 total=1\n"));
}

static void an_idle_worker_ends_at_once(void **state)
{
    (void)state;
    start(2, 2);
    rig_forget(&rig);
    rig_stop(&rig);
    rig_expect(&rig, "CREDIT number=2 total=0\nGOODBYE number=3\nEXIT 0\n");
}

static void a_worker_that_no_ventilator_knows_ends_at_once(void **state)
{
    (void)state;
    struct leat_worker_config config;
    rig_config(&config, 1, 0);
    rig_init(&rig, &config);
    rig_tick(&rig);
    rig_forget(&rig);
    rig_stop(&rig);
    rig_expect(&rig, "EXIT 0\n");
}

static void attempts_that_the_spawner_had_not_begun_are_handed_back(void **state)
{
    (void)state;
    static const struct leat_worker_handler plugin = {{"a", 1}, LEAT_WORKER_PLUGIN};
    struct leat_worker_config config;
    rig_config(&config, 1, 9);
    config.handlers = &plugin;
    rig_init(&rig, &config);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 5);
    rig_stop(&rig);
    rig_forget(&rig);
    rig_recalled(&rig, 1);
    rig_expect(&rig, "RETURN number=3 2/1 3/1 4/1 5/1\n");
    assert_int_equal(leat_worker_counts(rig.worker).started, 1);
}

static void what_runs_longer_than_the_drain_time_is_killed_and_handed_back(void **state)
{
    (void)state;
    start(2, 0);
    rig_jobs(&rig, "a", 1, 2);
    rig_stop(&rig);
    for (int i = 0; i < 29; i++) {
        rig_pass(&rig, 1000000);
        rig_pong(&rig);
    }
    rig_ran_next(&rig);
    rig_stored(&rig, 1);
    assert_int_equal(rig.kills, 0);
    rig_pass(&rig, 999999);
    rig_forget(&rig);
    rig_pass(&rig, 1);
    assert_int_equal(rig.kills, 1);
    assert_non_null(strstr(rig.trace, "KILL 0/0\n"));
    rig_forget(&rig);
    rig_ran(&rig, &rig.runs[1], LEAT_FAILURE_KILLED, false, "killed");
    assert_non_null(strstr(rig.trace, "RETURN"));
    assert_non_null(strstr(rig.trace, "2/1\n"));
    assert_null(strstr(rig.trace, "RETRY"));
    assert_int_equal(rig.exit_status, 0);
}

static void a_second_stop_kills_at_once(void **state)
{
    (void)state;
    start(1, 1);
    rig_jobs(&rig, "a", 1, 2);
    rig_forget(&rig);
    rig_stop(&rig);
    rig_expect(&rig, "RECALL\nRETURN number=2 2/1\n");
    rig_stop(&rig);
    rig_expect(&rig, "KILL 0/0\n");
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_KILLED, false, "killed");
    rig_expect(&rig, "RETURN number=3 1/1\nGOODBYE number=4\nEXIT 0\n");
}

static void an_attempt_that_ends_by_itself_before_the_kill_counts(void **state)
{
    (void)state;
    start(2, 0);
    rig_jobs(&rig, "a", 1, 2);
    rig_stop(&rig);
    rig_stop(&rig);
    rig_forget(&rig);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_NONE, false, "");
    rig_expect(&rig, "RESULTS batch=1 1=succeeded\n");
    rig_ran(&rig, &rig.runs[1], LEAT_FAILURE_EXIT, false, "exit status 1");
    assert_non_null(strstr(rig.trace, "RETRY"));
    rig_pong(&rig);
    rig_stored(&rig, 1);
    assert_int_equal(rig.exit_status, 0);
}

static void what_is_handed_back_while_the_ventilator_is_away_is_not_named_to_it_again(void **state)
{
    (void)state;
    start(1, 2);
    rig_jobs(&rig, "a", 1, 3);
    rig_step(&rig,
             (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE, .link = LEAT_LINK_VENTILATOR});
    rig_forget(&rig);
    rig_stop(&rig);
    rig_expect(&rig, "RECALL\n");
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "HELLO round=2 leases=1/1\n");
    rig_welcome(&rig, NULL, 0);
    rig_expect(&rig, "");
}

static void a_third_stop_ends_whatever_is_left(void **state)
{
    (void)state;
    start(1, 0);
    rig_jobs(&rig, "a", 1, 1);
    rig_stop(&rig);
    rig_stop(&rig);
    assert_int_equal(rig.exit_status, -1);
    rig_stop(&rig);
    assert_int_equal(rig.exit_status, 1);
}

static void without_a_sink_it_ends_after_a_bound_and_says_so_by_its_status(void **state)
{
    (void)state;
    start(1, 0);
    rig_jobs(&rig, "a", 1, 1);
    rig_ran_next(&rig);
    rig_stop(&rig);
    for (int i = 0; i < 59; i++) {
        rig_pass(&rig, 1000000);
        rig_pong(&rig);
    }
    assert_int_equal(rig.exit_status, -1);
    rig_pass(&rig, 1000000);
    assert_int_equal(rig.exit_status, 1);
    assert_true(rig.goodbye);
}

static void a_retry_nobody_confirms_holds_up_the_end_for_a_moment_only(void **state)
{
    (void)state;
    start(1, 0);
    rig_jobs(&rig, "a", 1, 1);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, false, "exit status 1");
    rig_stop(&rig);
    assert_int_equal(rig.exit_status, -1);
    rig_pass(&rig, 1999999);
    assert_int_equal(rig.exit_status, -1);
    rig_pass(&rig, 1);
    assert_int_equal(rig.exit_status, 0);
}

static void a_drain_after_a_signal_is_no_second_signal(void **state)
{
    (void)state;
    start(1, 0);
    rig_jobs(&rig, "a", 1, 1);
    rig_drain(&rig);
    rig_stop(&rig);
    assert_int_equal(rig.kills, 0);
    rig_stop(&rig);
    assert_int_equal(rig.kills, 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_drained_worker_hands_back_finishes_reports_and_says_goodbye),
        TEST(credit_that_is_out_is_taken_back),
        TEST(an_idle_worker_ends_at_once),
        TEST(a_worker_that_no_ventilator_knows_ends_at_once),
        TEST(attempts_that_the_spawner_had_not_begun_are_handed_back),
        TEST(what_runs_longer_than_the_drain_time_is_killed_and_handed_back),
        TEST(a_second_stop_kills_at_once),
        TEST(an_attempt_that_ends_by_itself_before_the_kill_counts),
        TEST(what_is_handed_back_while_the_ventilator_is_away_is_not_named_to_it_again),
        TEST(a_third_stop_ends_whatever_is_left),
        TEST(without_a_sink_it_ends_after_a_bound_and_says_so_by_its_status),
        TEST(a_retry_nobody_confirms_holds_up_the_end_for_a_moment_only),
        TEST(a_drain_after_a_signal_is_no_second_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
