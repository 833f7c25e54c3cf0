/* Stories that matter, told as readable traces. */
#include "tests/unit/ventilator_rig.h"

static void a_job_goes_from_producer_to_worker_and_is_forgotten_when_settled(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_settled(&rig, 1, 1, 0, 0);
    rig_say(&rig, "a worker comes");
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 2);
    rig_say(&rig, "three jobs for a credit of two");
    rig_submit(&rig, 1, 1, 1, 3);
    rig_say(&rig, "the sink has the first result");
    rig_settled(&rig, 1, 1, 1, 1);
    rig_say(&rig, "the worker asks for more");
    rig_credit(&rig, 1, 1, 2, 3);
    rig_ping(&rig, 1, 1, 3);
    rig_expect_trace(&rig, "  * stream_started t1 0\n"
                           "a worker comes\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "three jobs for a credit of two\n"
                           "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1 j2/1 attempt 1\n"
                           "the sink has the first result\n"
                           "  sink <- FOLLOW t1 from 1\n"
                           "the worker asks for more\n"
                           "  w1 <- JOBS 1.2 j3/1 attempt 1\n"
                           "  w1 <- PONG 1.3\n");
    assert_int_equal(rig_counts(&rig).jobs, 2);
    assert_int_equal(rig_counts(&rig).leased, 2);
    assert_int_equal(rig_counts(&rig).remembered, 1);
    rig_close(&rig);
}

static void a_worker_dies_holding_a_job_and_another_gets_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    rig_say(&rig, "silence");
    rig_pass_ms(&rig, 2900);
    rig_hello(&rig, 2, 1, "q", NULL, 0);
    rig_credit(&rig, 2, 1, 1, 1);
    rig_pass_ms(&rig, 200);
    rig_say(&rig, "the first one was not dead: it comes back and says that its attempt failed");
    rig_retry(&rig, 1, 1, 2, 1, 1, 0);
    rig_hello(&rig, 1, 2, "q", (struct leat_item_lease[]){rig_lease(1, 1)}, 1);
    rig_expect_trace(&rig, "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1\n"
                           "silence\n"
                           "  * worker_joined s2 2\n"
                           "  w2 <- WELCOME round 1, refused []\n"
                           "  * worker_lost s1 1\n"
                           "  * job_redelivered j1 1\n"
                           "  w2 <- JOBS 1.1 j1/2 attempt 1\n"
                           "the first one was not dead: it comes back and says that its attempt "
                           "failed\n"
                           "  w1 <- ERROR UNKNOWN_SESSION\n"
                           "  * lease_refused j1 1\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 2, refused [j1/1]\n");
    struct leat_id job = rig_id('j', 1), session = rig_id('s', 2);
    assert_true(leat_ventilator_holds_lease(rig.ventilator, &job, 2, &session));
    rig_close(&rig);
}

static void
the_ventilator_restarts_with_leases_out_and_redelivers_only_what_nobody_has(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_settled(&rig, 1, 1, 0, 0);
    rig_submit(&rig, 1, 1, 1, 3);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 3);
    rig_settled(&rig, 1, 1, 1, 1);
    rig_expect_trace(&rig, "  * stream_started t1 0\n"
                           "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1 j2/1 attempt 1 j3/1 attempt 1\n"
                           "  sink <- FOLLOW t1 from 1\n");
    rig_say(&rig, "kill -9");
    rig_restart(&rig);
    rig_hello(&rig, 2, 1, "q", NULL, 0);
    rig_credit(&rig, 2, 1, 1, 10);
    rig_say(&rig, "half a second later the worker is back; j1 is settled, j3 never reached it");
    rig_pass_ms(&rig, 500);
    rig_ping(&rig, 1, 1, 2);
    rig_hello(&rig, 1, 2, "q", (struct leat_item_lease[]){rig_lease(1, 1), rig_lease(2, 1)}, 2);
    rig_say(&rig, "the grace ends");
    rig_pass_ms(&rig, 1600);
    rig_expect_trace(&rig, "kill -9\n"
                           "  * recovered - 2\n"
                           "  * worker_joined s2 2\n"
                           "  w2 <- WELCOME round 1, refused []\n"
                           "  sink <- FOLLOW t1 from 1\n"
                           "half a second later the worker is back; j1 is settled, j3 never "
                           "reached it\n"
                           "  w1 <- ERROR UNKNOWN_SESSION\n"
                           "  * lease_refused j1 1\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 2, refused [j1/1]\n"
                           "the grace ends\n"
                           "  w2 <- JOBS 1.1 j3/1 attempt 1\n");
    rig_close(&rig);
}

static void an_attempt_fails_and_is_repeated_after_its_delay(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    rig_say(&rig, "again in 700 ms");
    rig_retry(&rig, 1, 1, 2, 1, 1, 700);
    rig_say(&rig, "the worker did not hear that, and names the lease in a new round");
    rig_hello(&rig, 1, 2, "q", (struct leat_item_lease[]){rig_lease(1, 1)}, 1);
    rig_credit(&rig, 1, 2, 1, 5);
    rig_pass_ms(&rig, 600);
    rig_say(&rig, "the clock is set back by an hour, which moves no retry");
    rig.now.wall.us -= 3600 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 200);
    rig_expect_trace(&rig, "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1\n"
                           "again in 700 ms\n"
                           "the worker did not hear that, and names the lease in a new round\n"
                           "  * lease_refused j1 1\n"
                           "  * worker_resumed s1 0\n"
                           "  w1 <- WELCOME round 2, refused [j1/1]\n"
                           "the clock is set back by an hour, which moves no retry\n"
                           "  w1 <- JOBS 2.1 j1/2 attempt 2\n");
    rig_close(&rig);
}

static void a_job_that_kills_its_workers_ends_as_failed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_settled(&rig, 1, 1, 0, 0);
    rig_submit(&rig, 1, 1, 1, 1);
    for (unsigned worker = 1; worker <= 3; worker++) {
        rig_hello(&rig, worker, 1, "q", NULL, 0);
        rig_credit(&rig, worker, 1, 1, 1);
        rig_pass_ms(&rig, 3000);
    }
    rig_say(&rig, "the sink does not answer, then does");
    rig_pass_ms(&rig, 1000);
    struct leat_msg stored = {.type = LEAT_MSG_STORED};
    stored.stored.sender = rig_id('v', 1);
    stored.stored.batch = 1;
    rig_tell_from_sink(&rig, &stored);
    rig_settled(&rig, 1, 1, 1, 1);
    rig_expect_trace(&rig, "  * stream_started t1 0\n"
                           "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1\n"
                           "  * worker_lost s1 1\n"
                           "  * job_redelivered j1 1\n"
                           "  * worker_joined s2 2\n"
                           "  w2 <- WELCOME round 1, refused []\n"
                           "  w2 <- JOBS 1.1 j1/2 attempt 1\n"
                           "  * worker_lost s2 1\n"
                           "  * job_redelivered j1 2\n"
                           "  * worker_joined s3 2\n"
                           "  w3 <- WELCOME round 1, refused []\n"
                           "  w3 <- JOBS 1.1 j1/3 attempt 1\n"
                           "  * worker_lost s3 1\n"
                           "  * job_lost_too_often j1 3\n"
                           "  sink <- RESULTS 1 j1 failed: worker lost 3 times\n"
                           "the sink does not answer, then does\n"
                           "  sink <- RESULTS 1 j1 failed: worker lost 3 times\n"
                           "  sink <- FOLLOW t1 from 1\n");
    assert_int_equal(rig_counts(&rig).jobs, 0);
    assert_int_equal(rig_counts(&rig).bytes, 0);
    rig_close(&rig);
}

static void a_full_ventilator_says_busy_until_jobs_are_settled(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig.config.jobs_max = LEAT_BATCH_ITEMS_MAX;
    rig_boot(&rig);
    rig_settled(&rig, 1, 1, 0, 0);
    rig.trace_size = 0;
    rig_submit(&rig, 1, 1, 1, LEAT_BATCH_ITEMS_MAX - 1);
    rig_say(&rig, "two more do not fit, and nothing of them is kept");
    rig_submit(&rig, 1, 2, 5000, 2);
    assert_int_equal(rig_counts(&rig).jobs, LEAT_BATCH_ITEMS_MAX - 1);
    rig_say(&rig, "settling goes on, and makes room");
    rig_settled(&rig, 1, 1, 1, 1);
    rig_submit(&rig, 1, 2, 5000, 2);
    rig_say(&rig, "the disk is full");
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = true});
    rig_settled(&rig, 1, 2, 2, 5);
    rig_submit(&rig, 1, 3, 6000, 1);
    rig_say(&rig, "what was accepted before is acknowledged all the same");
    rig_submit(&rig, 1, 2, 5000, 2);
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = false});
    rig_submit(&rig, 1, 3, 6000, 1);
    rig_expect_trace(&rig, "  w101 <- ACCEPTED batch 1, known 0\n"
                           "two more do not fit, and nothing of them is kept\n"
                           "  w101 <- BUSY batch 2: too many jobs\n"
                           "settling goes on, and makes room\n"
                           "  sink <- FOLLOW t1 from 1\n"
                           "  w101 <- ACCEPTED batch 2, known 0\n"
                           "the disk is full\n"
                           "  * store_full - 0\n"
                           "  sink <- FOLLOW t1 from 6\n"
                           "  w101 <- BUSY batch 3: disk or store is full\n"
                           "what was accepted before is acknowledged all the same\n"
                           "  w101 <- ACCEPTED batch 2, known 0\n"
                           "  * store_room - 0\n"
                           "  w101 <- ACCEPTED batch 3, known 0\n");
    rig_close(&rig);
}

static void a_paused_queue_rests_over_a_restart_until_it_is_resumed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_control(&rig, "pause", "q");
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q,other", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    struct leat_item_submission other = rig_job(2, "other", "t");
    rig_submit_jobs(&rig, 1, 2, &other, 1);
    rig_restart(&rig);
    rig_hello(&rig, 1, 2, "q,other", (struct leat_item_lease[]){rig_lease(2, 1)}, 1);
    rig_credit(&rig, 1, 2, 1, 5);
    rig_pass_ms(&rig, 2500);
    rig_control(&rig, "resume", "q");
    rig_expect_trace(&rig, "  * queue_paused - 0\n"
                           "  w200 <- DONE paused q\n"
                           "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w101 <- ACCEPTED batch 2, known 0\n"
                           "  w1 <- JOBS 1.1 j2/1 attempt 1\n"
                           "  * recovered - 2\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 2, refused []\n"
                           "  sink <- FOLLOW - from 0\n"
                           "  * queue_resumed - 0\n"
                           "  w200 <- DONE resumed q\n"
                           "  w1 <- JOBS 2.1 j1/1 attempt 1\n");
    rig_close(&rig);
}

static void a_batch_sent_again_over_a_restart_never_becomes_more_jobs(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_say(&rig, "the next batch does not reach the disk");
    rig.hold = true;
    rig_submit(&rig, 1, 2, 3, 2);
    rig_restart(&rig);
    rig.hold = false;
    assert_int_equal(rig_counts(&rig).jobs, 2);
    rig_submit(&rig, 1, 3, 5, 1);
    rig_submit(&rig, 1, 2, 3, 2);
    rig_submit(&rig, 1, 3, 5, 1);
    rig_say(&rig, "another producer sends the same jobs");
    rig_submit(&rig, 2, 7, 4, 2);
    rig_submit(&rig, 3, 1, 4, 3);
    rig_expect_trace(&rig, "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  w101 <- ACCEPTED batch 1, known 0\n"
                           "the next batch does not reach the disk\n"
                           "  w101 <- ACCEPTED batch 2, known 0\n"
                           "  * recovered - 2\n"
                           "  w101 <- RESEND from 2\n"
                           "  sink <- FOLLOW - from 0\n"
                           "  w101 <- ACCEPTED batch 2, known 0\n"
                           "  w101 <- ACCEPTED batch 3, known 0\n"
                           "another producer sends the same jobs\n"
                           "  w102 <- RESEND from 1\n"
                           "  w103 <- ACCEPTED batch 1, known 2\n");
    assert_int_equal(rig_counts(&rig).jobs, 6);
    rig_close(&rig);
}

static void a_shutdown_drains_the_workers_then_hears_the_sink_out_then_ends(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_settled(&rig, 1, 1, 0, 0);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 2);
    rig.trace_size = 0;
    rig_control(&rig, "shutdown", "");
    rig_submit(&rig, 1, 2, 3, 1);
    rig_return(&rig, 1, 1, 2, 2, 1);
    rig_goodbye(&rig, 1, 1, 3);
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    rig_settled(&rig, 1, 1, 1, 1);
    rig_settled(&rig, 1, 2, 0, 0);
    rig_expect_trace(&rig, "  w200 <- DONE shutting down\n"
                           "  * draining - 2\n"
                           "  w1 <- DRAIN\n"
                           "  w101 <- BUSY batch 2: stopping\n"
                           "  * worker_left s1 1\n"
                           "  sink <- FOLLOW t1 from 1\n"
                           "  sink <- QUIT\n"
                           "  * stopped - 0\n"
                           "  exit 0\n");
    assert_true(leat_ventilator_is_ended(rig.ventilator));
    assert_int_equal(rig_counts(&rig).jobs, 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_goes_from_producer_to_worker_and_is_forgotten_when_settled),
        cmocka_unit_test(a_worker_dies_holding_a_job_and_another_gets_it),
        cmocka_unit_test(
            the_ventilator_restarts_with_leases_out_and_redelivers_only_what_nobody_has),
        cmocka_unit_test(an_attempt_fails_and_is_repeated_after_its_delay),
        cmocka_unit_test(a_job_that_kills_its_workers_ends_as_failed),
        cmocka_unit_test(a_full_ventilator_says_busy_until_jobs_are_settled),
        cmocka_unit_test(a_paused_queue_rests_over_a_restart_until_it_is_resumed),
        cmocka_unit_test(a_batch_sent_again_over_a_restart_never_becomes_more_jobs),
        cmocka_unit_test(a_shutdown_drains_the_workers_then_hears_the_sink_out_then_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
