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

static void start(size_t slots, size_t prefetch, size_t results_max, size_t bytes_max)
{
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    config.outbox_results_max = results_max;
    config.outbox_bytes_max = bytes_max;
    rig_init(&rig, &config);
}

/* A story: two slots, room for four results, and a sink that is away for a while. */
static void a_sink_that_is_away_stops_new_work_and_loses_nothing(void **state)
{
    (void)state;
    start(2, 0, 4, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 2);
    rig_ran_next(&rig);
    rig_ran_next(&rig);
    assert_int_equal(rig.credit, 4);
    rig_forget(&rig);
    rig_jobs(&rig, "a", 3, 2);
    rig_ran_next(&rig);
    /* with the job that waits, as many results as there is room for: no start, no credit */
    rig_expect(&rig, "RUN 3/1 attempt=1\nRESULTS batch=3 3=succeeded\n");
    assert_int_equal(rig.credit, 4);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "RESULTS batch=1 1=succeeded\nRESULTS batch=2 2=succeeded\n"
                     "RESULTS batch=3 3=succeeded\nPING number=4 busy=0 outbox=3\n");
    rig_stored(&rig, 2);
    rig_expect(&rig, "");
    rig_stored(&rig, 1); /* a quarter is left: open again */
    rig_expect(&rig, "RUN 4/1 attempt=1\nCREDIT number=5 total=5\n");
    rig_stored(&rig, 3);
    rig_ran_next(&rig);
    rig_stored(&rig, 4);
    assert_int_equal(leat_worker_counts(rig.worker).succeeded, 4);
    assert_int_equal(leat_worker_counts(rig.worker).finished, 0);
    assert_int_equal(leat_worker_counts(rig.worker).finished_bytes, 0);
}

static void of_a_batch_that_the_sink_refuses_only_the_bad_result_is_given_up(void **state)
{
    (void)state;
    start(8, 0, 100, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 8);
    for (int i = 0; i < 8; i++) { /* four batches of one, and the rest waits */
        rig_ran_next(&rig);
    }
    rig_forget(&rig);
    rig_stored(&rig, 1);
    rig_expect(&rig, "RESULTS batch=5 5=succeeded 6=succeeded 7=succeeded 8=succeeded\n");
    rig_refused(&rig, 5, LEAT_ERR_MEMORY); /* it may help to send it again */
    rig_refused(&rig, 99, LEAT_ERR_FORBIDDEN);
    rig_expect(&rig, "");
    for (uint64_t batch = 2; batch <= 4; batch++) {
        rig_stored(&rig, batch);
    }
    rig_forget(&rig);
    rig_refused(&rig, 5, LEAT_ERR_FORBIDDEN);
    rig_expect(&rig, "RESULTS batch=6 5=succeeded\nRESULTS batch=7 6=succeeded\n"
                     "RESULTS batch=8 7=succeeded\nRESULTS batch=9 8=succeeded\n");
    rig_stored(&rig, 6);
    rig_refused(&rig, 7, LEAT_ERR_FORBIDDEN);
    rig_stored(&rig, 8);
    rig_stored(&rig, 9);
    assert_int_equal(leat_worker_counts(rig.worker).finished, 0);
    assert_int_equal(leat_worker_counts(rig.worker).finished_bytes, 0);
}

static void what_waits_in_the_queue_is_not_started_while_the_outbox_is_full(void **state)
{
    (void)state;
    start(1, 3, 100, 1); /* one byte: every result fills it */
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 4);
    rig_forget(&rig);
    rig_ran_next(&rig);
    rig_expect(&rig, "RESULTS batch=1 1=succeeded\n");
    rig_stored(&rig, 1);
    rig_expect(&rig, "RUN 2/1 attempt=1\nCREDIT number=2 total=5\n");
}

static void jobs_whose_results_would_not_fit_are_handed_back(void **state)
{
    (void)state;
    start(2, 2, 4, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 2);
    rig_ran_next(&rig);
    rig_ran_next(&rig);
    rig_forget(&rig);
    rig_jobs(&rig, "a", 3, 3);
    assert_int_equal(rig.returned, 1);
    assert_non_null(strstr(rig.trace, " 5/1\n"));
}

static void a_batch_is_sent_again_unchanged_ever_more_slowly_until_it_is_stored(void **state)
{
    (void)state;
    start(1, 0, 0, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_ran_next(&rig);
    static const int64_t waits_ms[] = {1000, 2000, 4000, 5000, 5000};
    for (size_t i = 0; i < 5; i++) {
        uint64_t before = rig.results_count;
        for (int64_t ms = 0; ms + 500 < waits_ms[i]; ms += 500) {
            rig_pass(&rig, 500000);
            if (leat_worker_is_open(rig.worker)) {
                rig_pong(&rig);
            }
        }
        rig_pass(&rig, 499999);
        assert_int_equal(rig.results_count, before);
        rig_pass(&rig, 1);
        assert_int_equal(rig.results_count, before + 1);
        assert_int_equal(rig.last_batch, 1);
        assert_int_equal(rig.last_batch_count, 1);
    }
    rig_stored(&rig, 1);
    uint64_t before = rig.results_count;
    rig_pass(&rig, 20000000);
    assert_int_equal(rig.results_count, before);
}

static void results_gather_while_batches_are_on_their_way(void **state)
{
    (void)state;
    start(100, 0, 0, 0);
    rig.quiet = true;
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 100);
    for (int i = 0; i < 100; i++) {
        rig_ran_next(&rig);
    }
    assert_int_equal(rig.results_count, LEAT_OUTBOX_BATCHES);
    rig_stored(&rig, 2);
    assert_int_equal(rig.results_count, LEAT_OUTBOX_BATCHES + 1);
    assert_int_equal(rig.last_batch_count, 100 - LEAT_OUTBOX_BATCHES);
}

static void a_batch_closes_at_its_size_in_bytes(void **state)
{
    (void)state;
    enum { JOBS = 30 };
    static char payload[60001];
    memset(payload, 'x', sizeof(payload) - 1);
    start(JOBS, 0, 0, 0);
    rig.quiet = true;
    rig_open(&rig);
    for (uint64_t i = 0; i < JOBS; i++) {
        rig_push(&rig, &(struct rig_job){.n = 1 + i, .payload = payload});
    }
    for (size_t i = 0; i < JOBS; i++) {
        rig_ran(&rig, &rig.runs[i], LEAT_FAILURE_EXIT, true, "no");
    }
    rig_stored(&rig, 1);
    assert_int_equal(rig.last_batch_count, LEAT_BATCH_FEW_ITEMS); /* 960,000 bytes */
}

static void a_busy_sink_is_asked_again_after_its_hint(void **state)
{
    (void)state;
    start(2, 0, 0, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 2);
    rig_ran_next(&rig);
    struct leat_msg msg = {.type = LEAT_MSG_BUSY};
    msg.busy.sender = rig_id(0xabcdef);
    msg.busy.batch = 1;
    msg.busy.retry_after_ms = 300;
    rig_message(&rig, LEAT_LINK_SINK, &msg);
    rig_forget(&rig);
    rig_ran_next(&rig);
    assert_null(strstr(rig.trace, "RESULTS")); /* nor anything new before */
    rig_pass(&rig, 299999);
    assert_null(strstr(rig.trace, "RESULTS"));
    rig_pass(&rig, 1);
    assert_non_null(strstr(rig.trace, "RESULTS batch=1 1=succeeded\nRESULTS batch=2 2=succeeded"));
}

static void stored_for_somebody_else_or_an_unknown_batch_changes_nothing(void **state)
{
    (void)state;
    start(1, 0, 0, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 1);
    rig_ran_next(&rig);
    rig_stored(&rig, 2);
    rig_stored(&rig, 0);
    struct leat_msg msg = {.type = LEAT_MSG_STORED};
    msg.stored.sender = rig_id(0xabcdee);
    msg.stored.batch = 1;
    rig_message(&rig, LEAT_LINK_SINK, &msg);
    assert_int_equal(leat_worker_counts(rig.worker).finished, 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sink_that_is_away_stops_new_work_and_loses_nothing),
        TEST(of_a_batch_that_the_sink_refuses_only_the_bad_result_is_given_up),
        TEST(what_waits_in_the_queue_is_not_started_while_the_outbox_is_full),
        TEST(jobs_whose_results_would_not_fit_are_handed_back),
        TEST(a_batch_is_sent_again_unchanged_ever_more_slowly_until_it_is_stored),
        TEST(results_gather_while_batches_are_on_their_way),
        TEST(a_batch_closes_at_its_size_in_bytes),
        TEST(a_busy_sink_is_asked_again_after_its_hint),
        TEST(stored_for_somebody_else_or_an_unknown_batch_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
