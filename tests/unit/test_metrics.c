/* The registry of the metrics actor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sink/metrics.h"

static int setup(void **state)
{
    *state = leat_metrics_new();
    return 0;
}

static int teardown(void **state)
{
    struct leat_metrics *metrics = *state;
    leat_metrics_destroy(&metrics);
    assert_null(metrics);
    leat_metrics_destroy(&metrics);
    return 0;
}

static struct leat_item_ended ended(const char *queue, const char *type, uint64_t status,
                                    uint64_t failure, uint64_t attempts)
{
    return (struct leat_item_ended){
        .queue = leat_str_of(queue),
        .type = leat_str_of(type),
        .status = status,
        .failure = failure,
        .attempts = attempts,
        .wait_us = 10,
        .run_us = 20,
        .total_us = 30,
    };
}

static void tell(struct leat_metrics *metrics, struct leat_item_ended *jobs, size_t count)
{
    struct leat_msg_finished finished = {.jobs = {.items = jobs, .count = count}};
    leat_metrics_finished(metrics, &finished);
}

static const struct leat_metrics_pair *pair_of(const struct leat_metrics *metrics,
                                               const char *queue, const char *type)
{
    for (size_t i = 0; i < leat_metrics_pair_count(metrics); i++) {
        const struct leat_metrics_pair *pair = leat_metrics_pair(metrics, i);
        if (strcmp(pair->queue, queue) == 0 && strcmp(pair->type, type) == 0) {
            return pair;
        }
    }
    fail_msg("no pair %s %s", queue, type);
    return NULL;
}

static void each_pair_of_queue_and_type_is_counted_apart(void **state)
{
    struct leat_metrics *metrics = *state;
    struct leat_item_ended jobs[] = {
        ended("mail", "send", LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1),
        ended("mail", "send", LEAT_STATE_FAILED, LEAT_FAILURE_TIMEOUT, 3),
        ended("mail", "scan", LEAT_STATE_FAILED, LEAT_FAILURE_EXIT, 2),
        ended("mail", "send", LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 2),
        ended("m", "ailsend", LEAT_STATE_EXPIRED, LEAT_FAILURE_EXPIRED, 0),
        ended("mail", "send", LEAT_STATE_CANCELLED, LEAT_FAILURE_NONE, 0),
    };
    tell(metrics, jobs, 6);
    assert_int_equal(leat_metrics_pair_count(metrics), 3);
    const struct leat_metrics_pair *pair = pair_of(metrics, "mail", "send");
    assert_int_equal(pair->counters.succeeded, 2);
    assert_int_equal(pair->counters.failed, 1);
    assert_int_equal(pair->counters.cancelled, 1);
    assert_int_equal(pair->counters.expired, 0);
    assert_int_equal(pair->counters.attempts, 6);
    assert_int_equal(pair->counters.retried, 3);
    assert_int_equal(pair->counters.failed_by[LEAT_FAILURE_TIMEOUT], 1);
    assert_int_equal(pair->counters.failed_by[LEAT_FAILURE_EXIT], 0);
    assert_int_equal(pair_of(metrics, "mail", "scan")->counters.failed_by[LEAT_FAILURE_EXIT], 1);
    assert_int_equal(pair_of(metrics, "m", "ailsend")->counters.expired, 1);
}

static void jobs_that_were_never_begun_are_left_out_of_wait_and_run(void **state)
{
    struct leat_metrics *metrics = *state;
    struct leat_item_ended jobs[] = {
        ended("q", "t", LEAT_STATE_EXPIRED, LEAT_FAILURE_EXPIRED, 0),
        ended("q", "t", LEAT_STATE_SUCCEEDED, LEAT_FAILURE_NONE, 1),
    };
    tell(metrics, jobs, 2);
    const struct leat_metrics_pair *pair = pair_of(metrics, "q", "t");
    assert_int_equal(pair->histograms[LEAT_METRICS_wait_us]->count, 1);
    assert_int_equal(pair->histograms[LEAT_METRICS_run_us]->count, 1);
    assert_int_equal(pair->histograms[LEAT_METRICS_total_us]->count, 2);
    assert_int_equal(leat_histogram_quantile_us(pair->histograms[LEAT_METRICS_run_us], 500), 20);
}

static void names_without_end_are_counted_together_and_none_is_lost(void **state)
{
    struct leat_metrics *metrics = *state;
    uint64_t total = 0;
    for (unsigned i = 0; i < 2 * LEAT_METRICS_PAIRS_MAX; i++) {
        char queue[32];
        snprintf(queue, sizeof queue, "queue-%u", i);
        struct leat_item_ended job = ended(queue, "t", LEAT_STATE_SUCCEEDED, 0, 1);
        tell(metrics, &job, 1);
        tell(metrics, &job, 1);
    }
    /* Those that came first still have their own. */
    struct leat_item_ended job = ended("queue-3", "t", LEAT_STATE_SUCCEEDED, 0, 1);
    tell(metrics, &job, 1);
    assert_int_equal(leat_metrics_pair_count(metrics), LEAT_METRICS_PAIRS_MAX + 1);
    assert_int_equal(pair_of(metrics, "queue-3", "t")->counters.succeeded, 3);
    assert_int_equal(pair_of(metrics, "*", "*")->counters.succeeded, 2 * LEAT_METRICS_PAIRS_MAX);
    for (size_t i = 0; i < leat_metrics_pair_count(metrics); i++) {
        total += leat_metrics_pair(metrics, i)->counters.succeeded;
    }
    assert_int_equal(total, 4 * LEAT_METRICS_PAIRS_MAX + 1);
}

static void numbers_of_failures_that_mean_nothing_do_no_harm(void **state)
{
    struct leat_metrics *metrics = *state;
    struct leat_item_ended job = ended("q", "t", LEAT_STATE_FAILED, UINT64_MAX, UINT64_MAX);
    tell(metrics, &job, 1);
    assert_int_equal(pair_of(metrics, "q", "t")->counters.failed, 1);
}

static void gauges_replace_those_before(void **state)
{
    struct leat_metrics *metrics = *state;
    char long_name[1000];
    int64_t told_us = 0;
    size_t count = 0;
    memset(long_name, 'w', sizeof long_name);
    struct leat_item_queue_gauge queues[] = {{.queue = leat_str_of("a"), .ready = 5},
                                             {.queue = leat_str_of("b"), .paused = true}};
    struct leat_item_worker_gauge worker = {.name = {long_name, sizeof long_name}, .slots = 4};
    struct leat_msg_gauges gauges = {.jobs = 9, .lost_total = 1};
    gauges.queues.items = queues;
    gauges.queues.count = 2;
    gauges.workers.items = &worker;
    gauges.workers.count = 1;

    assert_null(leat_metrics_ventilator(metrics, &told_us));
    leat_metrics_gauges(metrics, &gauges, 77);
    assert_int_equal(leat_metrics_ventilator(metrics, &told_us)->jobs, 9);
    assert_int_equal(told_us, 77);
    assert_int_equal(leat_metrics_queues(metrics, &count)[0].ready, 5);
    assert_true(leat_metrics_queues(metrics, &count)[1].paused);
    assert_int_equal(count, 2);
    assert_int_equal(strlen(leat_metrics_workers(metrics, &count)[0].name),
                     LEAT_METRICS_WORKER_NAME_BYTES);

    gauges.queues.count = 1;
    gauges.workers.count = 0;
    leat_metrics_gauges(metrics, &gauges, 78);
    (void)leat_metrics_queues(metrics, &count);
    assert_int_equal(count, 1);
    (void)leat_metrics_workers(metrics, &count);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(each_pair_of_queue_and_type_is_counted_apart),
        TEST(jobs_that_were_never_begun_are_left_out_of_wait_and_run),
        TEST(names_without_end_are_counted_together_and_none_is_lost),
        TEST(numbers_of_failures_that_mean_nothing_do_no_harm),
        TEST(gauges_replace_those_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
