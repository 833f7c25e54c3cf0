#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker_rig.h"

static struct rig rig;

static void start(size_t slots, size_t prefetch)
{
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    rig_init(&rig, &config);
}

static int stop(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void a_worker_says_hello_first_and_asks_for_jobs_once_it_is_welcome(void **state)
{
    (void)state;
    start(2, 2);
    rig_tick(&rig);
    rig_expect(&rig, "HELLO round=1 leases=\n");
    rig_welcome(&rig, NULL, 0);
    rig_expect(&rig, "CREDIT number=1 total=4\n");
    assert_true(leat_worker_is_open(rig.worker));
}

static void without_a_welcome_hello_is_repeated_in_a_new_round_less_and_less_often(void **state)
{
    (void)state;
    start(1, 0);
    rig_tick(&rig);
    int64_t last_us = rig.now.mono_us;
    for (uint64_t round = 2; round < 12; round++) {
        int64_t wait_us = leat_worker_deadline_us(rig.worker) - last_us;
        assert_true(wait_us >= 500000 && wait_us <= 5000000);
        assert_true(round < 8 || wait_us >= 2500000);
        rig_pass(&rig, wait_us);
        assert_int_equal(rig.round, round);
        last_us = rig.now.mono_us;
    }
}

static void a_welcome_of_an_older_round_or_for_another_session_is_passed_over(void **state)
{
    (void)state;
    start(1, 0);
    rig_tick(&rig);
    rig_pass(&rig, 1000000);
    assert_int_equal(rig.round, 2);
    struct leat_msg msg = {.type = LEAT_MSG_WELCOME};
    msg.welcome.session = rig_id(0xabcdef);
    msg.welcome.round = 1;
    rig_message(&rig, LEAT_LINK_VENTILATOR, &msg);
    assert_false(leat_worker_is_open(rig.worker));
    msg.welcome.round = 2;
    msg.welcome.session = rig_id(0xabcdee);
    rig_message(&rig, LEAT_LINK_VENTILATOR, &msg);
    assert_false(leat_worker_is_open(rig.worker));
}

static void a_gap_in_the_numbers_starts_a_new_round_that_names_every_lease(void **state)
{
    (void)state;
    start(2, 2);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 4);
    rig_ran_next(&rig);
    rig_forget(&rig);
    rig_pass(&rig, 500000);
    rig.number++; /* a message of the ventilator is lost */
    rig_push(&rig, &(struct rig_job){.n = 9});
    rig_expect(&rig, "HELLO round=2 leases=1/1,2/1,3/1,4/1\n");
    rig_welcome(&rig, NULL, 0);
    /* three jobs wait or run: room for one of four */
    rig_expect(&rig, "CREDIT number=1 total=1\n");
    assert_false(leat_worker_holds(rig.worker, &(struct leat_id){{0}}, 1));
    struct leat_id id = rig_id(9);
    assert_false(leat_worker_holds(rig.worker, &id, 1));
}

static void a_message_that_comes_twice_counts_once(void **state)
{
    (void)state;
    start(2, 2);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    rig.number--;
    rig_push(&rig, &(struct rig_job){.n = 2});
    rig_expect(&rig, "");
    assert_int_equal(leat_worker_counts(rig.worker).jobs_received, 1);
    assert_true(leat_worker_is_open(rig.worker));
}

static void the_ventilators_errors_start_one_new_round_however_many_there_are(void **state)
{
    (void)state;
    static const enum leat_err codes[] = {LEAT_ERR_UNKNOWN_SESSION, LEAT_ERR_OUT_OF_ORDER};
    for (size_t i = 0; i < 2; i++) {
        start(1, 0);
        rig_open(&rig);
        rig_pass(&rig, 200000);
        rig_error(&rig, codes[i]);
        assert_int_equal(rig.round, 2);
        rig_error(&rig, codes[i]);
        rig_error(&rig, codes[i]);
        assert_int_equal(rig.round, 2);
        rig_welcome(&rig, NULL, 0);
        /* at once again: HELLOs keep a distance */
        rig_error(&rig, codes[i]);
        assert_int_equal(rig.round, 2);
        rig_pass(&rig, 100000);
        assert_int_equal(rig.round, 3);
        if (i == 0) {
            rig_fini(&rig);
        }
    }
}

static void other_errors_change_nothing(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_forget(&rig);
    rig_error(&rig, LEAT_ERR_LIMIT);
    rig_expect(&rig, "");
    assert_true(leat_worker_is_open(rig.worker));
}

static void pings_go_out_as_often_as_the_welcome_says(void **state)
{
    (void)state;
    start(2, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "PING number=2 busy=1 outbox=0\n");
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "PING number=3 busy=1 outbox=0\n");
}

static void pings_are_rarer_while_nothing_is_held(void **state)
{
    (void)state;
    start(2, 0);
    rig_open(&rig);
    rig_forget(&rig);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "PING number=2 busy=0 outbox=0\n");
    rig_pong(&rig);
    rig_pass(&rig, 1999999);
    rig_expect(&rig, "");
    rig_pass(&rig, 1);
    rig_expect(&rig, "PING number=3 busy=0 outbox=0\n");
    rig_pong(&rig);
    rig_pass(&rig, 500000);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    rig_pass(&rig, 999999);
    rig_expect(&rig, "");
    rig_pass(&rig, 1);
    rig_expect(&rig, "PING number=4 busy=1 outbox=0\n");
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "PING number=5 busy=1 outbox=0\n");
}

/* Twice the period; less, as far as else no PING might be lost. */
static void an_idle_worker_pings_half_as_often_whatever_silence_is_allowed(void **state)
{
    static const struct {
        uint64_t ping_ms, lost_after_ms;
        int64_t expected_ms;
    } rows[] = {
        {1000, 3600000, 2000}, {1000, 5000, 2000}, {1000, 4000, 1500}, {1000, 3000, 1000},
        {1000, 2000, 1000},    {300, 600000, 600}, {50, 60000, 100},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        start(2, 0);
        rig.ping_ms = rows[i].ping_ms;
        rig.lost_after_ms = rows[i].lost_after_ms;
        rig_open(&rig);
        rig_pass(&rig, (int64_t)rig.ping_ms * LEAT_US_PER_MS);
        assert_int_equal(rig.pings, 1);
        rig_pong(&rig);
        rig_pass(&rig, rows[i].expected_ms * LEAT_US_PER_MS - 1);
        assert_int_equal(rig.pings, 1);
        rig_pass(&rig, 1);
        assert_int_equal(rig.pings, 2);
        rig_fini(&rig);
    }
}

static void silence_starts_a_new_round_and_a_pong_ends_silence(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    for (int i = 0; i < 10; i++) {
        rig_pass(&rig, 4000000);
        rig_pong(&rig);
    }
    assert_int_equal(rig.round, 1);
    rig_pass(&rig, 4999999);
    assert_int_equal(rig.round, 1);
    rig_pass(&rig, 1);
    assert_int_equal(rig.round, 2);
}

static void work_goes_on_while_the_ventilator_is_away(void **state)
{
    (void)state;
    start(1, 2);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 3);
    rig_pass(&rig, 5000000);
    assert_false(leat_worker_is_open(rig.worker));
    for (int i = 0; i < 3; i++) {
        rig_ran_next(&rig);
    }
    assert_int_equal(leat_worker_counts(rig.worker).succeeded, 3);
    rig_pass(&rig, 5000000);
    assert_int_equal(rig.last_lease_count, 3); /* results that nobody has stored */
    rig_stored(&rig, 1);
    rig_stored(&rig, 2);
    rig_stored(&rig, 3);
    rig_pass(&rig, 5000000);
    assert_int_equal(rig.last_lease_count, 0);
}

static void a_send_that_fails_leads_to_a_new_round_after_a_while(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_step(&rig,
             (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE, .link = LEAT_LINK_VENTILATOR});
    assert_int_equal(rig.round, 1);
    assert_false(leat_worker_is_open(rig.worker));
    assert_true(leat_worker_deadline_us(rig.worker) >= rig.now.mono_us + 500000);
    rig_pass(&rig, 1000000);
    assert_int_equal(rig.round, 2);
}

/* Its refusals are of leases that the HELLO of then has named. */
static void a_welcome_that_comes_again_does_not_open_a_round_that_was_given_up(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, false, "exit 1"); /* RETRY was said */
    rig_step(&rig,
             (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE, .link = LEAT_LINK_VENTILATOR});
    rig_welcome(&rig, &(struct leat_item_lease){rig_id(1), 1}, 1);
    assert_false(leat_worker_is_open(rig.worker));
    assert_int_equal(leat_worker_counts(rig.worker).repeating, 1);
    rig_forget(&rig);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "HELLO round=2 leases=1/1\n");
    rig_welcome(&rig, NULL, 0);
    rig_expect(&rig, "RETRY number=1 1/1 attempt=1\n"
                     "CREDIT number=2 total=1\n"
                     "PING number=3 busy=0 outbox=0\n");
}

static void the_ventilators_goodbye_leaves_the_work_alone_and_comes_back_later(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    struct leat_msg msg = {.type = LEAT_MSG_GOODBYE};
    msg.goodbye.round = 1;
    msg.goodbye.number = ++rig.number;
    rig_message(&rig, LEAT_LINK_VENTILATOR, &msg);
    rig_expect(&rig, "");
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "HELLO round=2 leases=1/1\n");
}

static void refused_leases_are_stopped_wherever_they_are(void **state)
{
    (void)state;
    start(1, 4);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 4);
    rig_ran_next(&rig);                                              /* 1: result in the outbox */
    rig_ran(&rig, &rig.runs[1], LEAT_FAILURE_EXIT, false, "exit 1"); /* 2: to be repeated */
    rig.ended = 2;                                                   /* 3 runs, 4 waits */
    rig_pass(&rig, 200000);
    rig_forget(&rig);
    rig_error(&rig, LEAT_ERR_UNKNOWN_SESSION);
    rig_expect(&rig, "HELLO round=2 leases=1/1,2/1,3/1,4/1\n");
    struct leat_item_lease all[] = {
        {rig_id(1), 1}, {rig_id(2), 1}, {rig_id(3), 1}, {rig_id(4), 1}, {rig_id(5), 7}};
    rig_welcome(&rig, all, 5);
    rig_expect(&rig, "KILL 3/1\nCREDIT number=1 total=4\n");
    struct leat_worker_counts counts = leat_worker_counts(rig.worker);
    assert_int_equal(counts.queued, 0);
    assert_int_equal(counts.repeating, 0);
    assert_int_equal(counts.started, 1);
    assert_int_equal(counts.finished, 1);
    rig_ran(&rig, &rig.runs[2], LEAT_FAILURE_KILLED, false, "killed");
    assert_int_equal(leat_worker_counts(rig.worker).started, 0);
    rig_pass(&rig, 1000000);
    assert_non_null(strstr(rig.trace, "RESULTS batch=1 1=succeeded")); /* still pushed */
    assert_null(strstr(rig.trace, "RETRY"));
    rig_error(&rig, LEAT_ERR_UNKNOWN_SESSION);
    assert_int_equal(rig.last_lease_count, 0);
}

static void a_refused_job_that_succeeded_all_the_same_is_reported(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_pass(&rig, 200000);
    rig_error(&rig, LEAT_ERR_UNKNOWN_SESSION);
    rig_welcome(&rig, &(struct leat_item_lease){rig_id(1), 1}, 1);
    rig_forget(&rig);
    rig_ran_next(&rig);
    rig_expect(&rig, "RESULTS batch=1 1=succeeded\nCREDIT number=1 total=1\n");
}

static void
a_refused_lease_that_comes_back_is_handed_back_when_its_old_attempt_is_gone(void **state)
{
    (void)state;
    start(1, 1);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_pass(&rig, 200000);
    rig_error(&rig, LEAT_ERR_UNKNOWN_SESSION);
    rig_welcome(&rig, &(struct leat_item_lease){rig_id(1), 1}, 1);
    rig_push(&rig, &(struct rig_job){.n = 1}); /* another worker has handed it back */
    rig_forget(&rig);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_KILLED, false, "killed");
    assert_non_null(strstr(rig.trace, "RETURN number="));
    assert_int_equal(rig.returned, 1);
    assert_null(strstr(rig.trace, "RETRY"));
}

static void a_retry_is_kept_and_said_again_until_a_pong_confirms_it(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_forget(&rig);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, false, "exit 1");
    rig_expect(&rig, "RETRY number=2 1/1 attempt=1\n"
                     "CREDIT number=3 total=2\n"
                     "PING number=4 busy=0 outbox=0\n");
    assert_int_equal(leat_worker_counts(rig.worker).repeating, 1);
    rig_pass(&rig, 200000);
    rig_error(&rig, LEAT_ERR_OUT_OF_ORDER);
    rig_expect(&rig, "HELLO round=2 leases=1/1\n");
    rig_welcome(&rig, NULL, 0);
    rig_expect(&rig, "RETRY number=1 1/1 attempt=1\n"
                     "CREDIT number=2 total=1\n"
                     "PING number=3 busy=0 outbox=0\n");
    rig_pong(&rig);
    assert_int_equal(leat_worker_counts(rig.worker).repeating, 0);
    rig_expect(&rig, "");
}

static void a_pong_for_a_ping_before_the_retry_confirms_nothing(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_pass(&rig, 1000000); /* a PING is on its way */
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, false, "exit 1");
    rig_forget(&rig);
    rig_pong(&rig);
    assert_int_equal(leat_worker_counts(rig.worker).repeating, 1);
    rig_expect(&rig, "PING number=5 busy=0 outbox=0\n");
    rig_pong(&rig);
    assert_int_equal(leat_worker_counts(rig.worker).repeating, 0);
}

static void what_nobody_should_send_is_passed_over(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_forget(&rig);
    static const enum leat_msg_type types[] = {LEAT_MSG_SUBMIT, LEAT_MSG_RAN,  LEAT_MSG_RECALLED,
                                               LEAT_MSG_STORED, LEAT_MSG_PONG, LEAT_MSG_DRAIN};
    static const enum leat_link links[] = {LEAT_LINK_VENTILATOR, LEAT_LINK_SINK, LEAT_LINK_SPAWNER};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            struct leat_msg msg = {.type = types[i]};
            rig_message(&rig, links[j], &msg);
        }
    }
    rig_step(&rig, (struct leat_event){.kind = LEAT_EVENT_MALFORMED,
                                       .link = LEAT_LINK_SINK,
                                       .error = LEAT_ERR_MALFORMED,
                                       .why = "nonsense"});
    rig_expect(&rig, "");
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_worker_says_hello_first_and_asks_for_jobs_once_it_is_welcome),
        TEST(without_a_welcome_hello_is_repeated_in_a_new_round_less_and_less_often),
        TEST(a_welcome_of_an_older_round_or_for_another_session_is_passed_over),
        TEST(a_gap_in_the_numbers_starts_a_new_round_that_names_every_lease),
        TEST(a_message_that_comes_twice_counts_once),
        TEST(the_ventilators_errors_start_one_new_round_however_many_there_are),
        TEST(other_errors_change_nothing),
        TEST(pings_go_out_as_often_as_the_welcome_says),
        TEST(pings_are_rarer_while_nothing_is_held),
        cmocka_unit_test(an_idle_worker_pings_half_as_often_whatever_silence_is_allowed),
        TEST(silence_starts_a_new_round_and_a_pong_ends_silence),
        TEST(work_goes_on_while_the_ventilator_is_away),
        TEST(a_send_that_fails_leads_to_a_new_round_after_a_while),
        TEST(a_welcome_that_comes_again_does_not_open_a_round_that_was_given_up),
        TEST(the_ventilators_goodbye_leaves_the_work_alone_and_comes_back_later),
        TEST(refused_leases_are_stopped_wherever_they_are),
        TEST(a_refused_job_that_succeeded_all_the_same_is_reported),
        TEST(a_refused_lease_that_comes_back_is_handed_back_when_its_old_attempt_is_gone),
        TEST(a_retry_is_kept_and_said_again_until_a_pong_confirms_it),
        TEST(a_pong_for_a_ping_before_the_retry_confirms_nothing),
        TEST(what_nobody_should_send_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
