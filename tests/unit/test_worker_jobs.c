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

/* A story to read: what the wire sees of a job that fails three times, the second of two slots
 * idle. */
static void a_job_is_retried_and_fails_for_good_at_its_last_attempt(void **state)
{
    (void)state;
    start(2, 0);
    rig_open(&rig);
    rig_forget(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1});
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_TIMEOUT, false, "timeout after 2 s");
    rig_pong(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1, .delivery = 2, .attempt = 2});
    rig_ran(&rig, &rig.runs[1], LEAT_FAILURE_EXIT, false, "exit status 1");
    rig_pong(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1, .delivery = 3, .attempt = 3});
    rig_ran(&rig, &rig.runs[2], LEAT_FAILURE_TIMEOUT, false, "timeout after 2 s");
    rig_stored(&rig, 1);
    rig_expect(&rig, "RUN 1/1 attempt=1\n"
                     "RETRY number=2 1/1 attempt=1\n"
                     "CREDIT number=3 total=3\n"
                     "PING number=4 busy=0 outbox=0\n"
                     "RUN 1/2 attempt=2\n"
                     "RETRY number=5 1/2 attempt=2\n"
                     "CREDIT number=6 total=4\n"
                     "PING number=7 busy=0 outbox=0\n"
                     "RUN 1/3 attempt=3\n"
                     "RESULTS batch=1 1=failed(failed after 3 attempts: timeout after 2 s)\n"
                     "CREDIT number=8 total=5\n");
    struct leat_worker_counts counts = leat_worker_counts(rig.worker);
    assert_int_equal(counts.failed, 1);
    assert_int_equal(counts.repeated, 2);
    assert_int_equal(counts.finished, 0);
}

static void a_permanent_error_is_not_retried(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1});
    rig_forget(&rig);
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, true, "exit status 65");
    rig_expect(&rig, "RESULTS batch=1 1=failed(failed after 1 attempt: exit status 65)\n"
                     "CREDIT number=2 total=2\n");
}

static void a_kind_of_failure_that_is_never_retried_is_not_retried(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1});
    rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_TOO_LARGE, false, "");
    assert_non_null(strstr(rig.trace, "1=failed(failed after 1 attempt: too_large)"));
}

static void a_type_without_a_handler_never_reaches_the_spawner(void **state)
{
    (void)state;
    start(1, 4);
    rig_open(&rig);
    rig_forget(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1, .type = "zzz"});
    assert_non_null(strstr(rig.trace, "RETRY number=2 1/1 attempt=1\n"));
    rig_push(&rig, &(struct rig_job){.n = 1, .delivery = 2, .attempt = 3, .type = "zzz"});
    assert_non_null(strstr(rig.trace, "1=failed(failed after 3 attempts: no handler for type "
                                      "'zzz' here)"));
    assert_int_equal(rig.run_count, 0);
}

static void a_body_that_cannot_be_read_fails_for_good(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_forget(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1, .malformed = true});
    assert_non_null(strstr(rig.trace, "RESULTS batch=1 1=failed(failed after 0 attempts: "));
    assert_int_equal(rig.run_count, 0);
}

static void a_job_that_expired_while_it_waited_is_not_started(void **state)
{
    (void)state;
    start(1, 1);
    rig_open(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1});
    int64_t expires_at_ms = rig.now.wall.us / 1000 + 1000;
    rig_push(&rig, &(struct rig_job){.n = 2, .expires_at_ms = expires_at_ms});
    rig_pass(&rig, 1000000);
    rig_ran_next(&rig);
    assert_int_equal(rig.run_count, 1);
    assert_non_null(strstr(rig.trace, "2=expired(expired before its next attempt could start)"));
    assert_int_equal(leat_worker_counts(rig.worker).expired, 1);
}

static void a_job_that_expired_while_it_waited_with_the_spawner_is_as_any_other(void **state)
{
    (void)state;
    start(1, 1);
    rig_open(&rig);
    int64_t expires_at_ms = rig.now.wall.us / 1000 + 1000;
    rig_push(&rig, &(struct rig_job){.n = 1, .attempt = 2, .expires_at_ms = expires_at_ms});
    assert_int_equal(rig.runs[0].expires_at_ms, expires_at_ms);
    rig_pass(&rig, 2000000);
    rig_ran(&rig, &rig.runs[rig.ended++], LEAT_FAILURE_EXPIRED, false, "expired");
    assert_non_null(strstr(rig.trace, "1=expired(expired before its next attempt could start)"));
    assert_null(strstr(rig.trace, "RETRY"));
    assert_int_equal(leat_worker_counts(rig.worker).expired, 1);
}

static void jobs_start_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    start(3, 30);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 33);
    for (int i = 0; i < 33; i++) {
        rig_ran_next(&rig);
    }
    for (uint64_t i = 0; i < 33; i++) {
        struct leat_id id = rig_id(i + 1);
        assert_true(leat_id_equal(&rig.runs[i].id, &id));
    }
}

static void start_kinds(size_t slots, size_t prefetch, const struct leat_worker_rate *rate)
{
    static const struct leat_worker_handler handlers[] = {{{"a", 1}, LEAT_WORKER_EXEC},
                                                          {{"b", 1}, LEAT_WORKER_PLUGIN}};
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    config.handlers = handlers;
    config.handler_count = 2;
    config.rates = rate;
    config.rate_count = rate == NULL ? 0 : 1;
    rig_init(&rig, &config);
}

static void commands_get_one_attempt_per_slot_and_plugins_a_pipeline(void **state)
{
    (void)state;
    start_kinds(2, 3 * LEAT_PIPELINE_JOBS, NULL);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 10);
    assert_int_equal(leat_worker_counts(rig.worker).started, 2);
    rig_jobs(&rig, "b", 100, 2 * LEAT_PIPELINE_JOBS + 50);
    assert_int_equal(leat_worker_counts(rig.worker).started, 2 + 2 * LEAT_PIPELINE_JOBS);
}

/* For so many ms: one ends in each, and time goes on. */
static void end_one_a_ms(int ms)
{
    for (int i = 0; i < ms; i++) {
        rig_ran_next(&rig);
        rig_pass(&rig, 1000);
    }
}

static void quick_commands_are_started_ahead_and_slow_ones_are_not(void **state)
{
    (void)state;
    start_kinds(2, 1000, NULL);
    rig.quiet = true;
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 300);
    rig_pass(&rig, 100000);
    assert_int_equal(leat_worker_counts(rig.worker).started, 2);
    end_one_a_ms(50);
    assert_int_equal(leat_worker_counts(rig.worker).started, 2 * LEAT_PIPELINE_COMMANDS);
    /* Nothing ends for a while: what was started ahead ends, and no more is. */
    rig_pass(&rig, 200000);
    for (int i = 0; i < 2 * (LEAT_PIPELINE_COMMANDS - 1); i++) {
        rig_ran_next(&rig);
        assert_int_equal(leat_worker_counts(rig.worker).started,
                         2 * LEAT_PIPELINE_COMMANDS - 1 - i);
    }
    rig_ran_next(&rig);
    assert_int_equal(leat_worker_counts(rig.worker).started, 2);
    /* 25 ms each on two slots: as many are ahead as end in 50 ms. */
    for (int i = 0; i < 40; i++) {
        rig_pass(&rig, 12500);
        rig_ran_next(&rig);
    }
    assert_in_range(leat_worker_counts(rig.worker).started, 2, 2 + 8);
    /* And it sleeps when there is nothing to do. */
    while (rig.ended < rig.run_count) {
        rig_ran_next(&rig);
    }
    rig_pass(&rig, 500000);
    assert_true(leat_worker_deadline_us(rig.worker) > rig.now.mono_us + 100000);
}

static void quick_plug_ins_start_no_commands_ahead(void **state)
{
    (void)state;
    start_kinds(2, 1000, NULL);
    rig.quiet = true;
    rig_open(&rig);
    rig_jobs(&rig, "b", 1, 200);
    end_one_a_ms(100);
    rig_jobs(&rig, "a", 1000, 50);
    const struct leat_worker_counts counts = leat_worker_counts(rig.worker);
    assert_int_equal(counts.started, 100 + 2);
    assert_int_equal(counts.queued, 48);
}

static void jobs_of_different_types_start_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    static const struct leat_worker_rate rate = {{"", 0}, {1, 1000000}, 1};
    start_kinds(1, 10, &rate);
    rig_open(&rig);
    for (uint64_t i = 1; i <= 8; i++) {
        rig_jobs(&rig, i % 3 == 0 ? "a" : "b", i, 1);
    }
    for (uint64_t i = 1; i <= 8; i++) {
        struct leat_id id = rig_id(i);
        assert_true(leat_id_equal(&rig.runs[i - 1].id, &id));
        rig_ran_next(&rig);
        rig_pass(&rig, 1000000);
    }
}

static void results_carry_everything_that_is_known(void *context, const struct leat_action *action)
{
    size_t *seen = context;
    if (action->msg.type != LEAT_MSG_RESULTS) {
        return;
    }
    const struct leat_item_result *r = &action->msg.results.results.items[0];
    struct leat_id session = rig_id(0xabcdef);
    assert_true(leat_id_equal(&action->msg.results.sender, &session));
    assert_true(leat_str_equal(r->queue, leat_str_of("default")));
    assert_true(leat_str_equal(r->type, leat_str_of("a")));
    assert_true(leat_str_equal(r->worker, leat_str_of("host:1")));
    assert_int_equal(r->accepted_us, RIG_WALL_US - 2000);
    assert_int_equal(r->finished_us, RIG_WALL_US + 900);
    assert_int_equal(r->wait_us, 1000 + 5);
    assert_int_equal(r->run_us, 700);
    assert_int_equal(r->attempts, 1);
    assert_int_equal(r->delivery, 1);
    assert_int_equal(r->headers.count, 1);
    assert_true(leat_str_equal(r->headers.items[0].value, leat_str_of("de")));
    bool succeeded = r->status == LEAT_STATE_SUCCEEDED;
    assert_int_equal(r->body.size > 0, !succeeded);
    assert_int_equal(r->output.size, succeeded ? 2 : 0);
    assert_int_equal(r->failure, succeeded ? LEAT_FAILURE_NONE : LEAT_FAILURE_SIGNAL);
    ++*seen;
}

static void a_result_carries_everything_and_the_body_only_when_it_failed(void **state)
{
    (void)state;
    static const enum leat_failure failures[] = {LEAT_FAILURE_NONE, LEAT_FAILURE_SIGNAL};
    for (size_t i = 0; i < 2; i++) {
        size_t seen = 0;
        start(1, 0);
        rig.on_send = results_carry_everything_that_is_known;
        rig.context = &seen;
        rig_open(&rig);
        rig_push(&rig, &(struct rig_job){.n = 1, .header = true});
        rig.now.wall.us += 900;
        rig.now.mono_us += 900;
        rig_ran(&rig, &rig.runs[0], failures[i], true, "");
        assert_int_equal(seen, 1);
        if (i == 0) {
            rig_fini(&rig);
        }
    }
}

static void a_long_error_is_cut_between_characters(void **state)
{
    (void)state;
    static char text[LEAT_ERROR_BYTES_MAX];
    for (size_t shift = 0; shift < 3; shift++) {
        start(1, 0);
        rig.quiet = true;
        rig_open(&rig);
        rig_push(&rig, &(struct rig_job){.n = 1});
        memset(text, 'x', sizeof(text));
        for (size_t i = shift; i + 3 < sizeof(text); i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
        }
        text[sizeof(text) - 1] = '\0';
        rig_ran(&rig, &rig.runs[0], LEAT_FAILURE_EXIT, true, text); /* the codec checks UTF-8 */
        assert_int_equal(rig.results_count, 1);
        if (shift < 2) {
            rig_fini(&rig);
        }
    }
}

static void a_wall_clock_that_jumps_back_makes_no_waiting_time(void **state)
{
    (void)state;
    start(1, 0);
    rig_open(&rig);
    rig_push(&rig, &(struct rig_job){.n = 1});
    rig.now.wall.us -= INT64_C(3600) * 1000000;
    rig_ran_next(&rig); /* the codec and the invariants see to the rest */
    rig_push(&rig, &(struct rig_job){.n = 2});
    rig_ran_next(&rig);
    assert_int_equal(leat_worker_counts(rig.worker).succeeded, 2);
}

static void settings_out_of_range_are_refused_with_the_setting_and_the_value(void **state)
{
    (void)state;
    start(1, 0);
    static const struct leat_worker_rate no_handler = {{"x", 1}, {1, 1000000}, 1};
    static const struct leat_worker_rate twice[] = {{{"a", 1}, {1, 1000000}, 1},
                                                    {{"a", 1}, {2, 1000000}, 1}};
    static const struct leat_worker_handler same[] = {{{"a", 1}, LEAT_WORKER_EXEC},
                                                      {{"a", 1}, LEAT_WORKER_PLUGIN}};
    struct leat_worker_config good;
    rig_config(&good, 1, 0);
    struct leat_worker_config bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = good;
    }
    bad[0].slots = 0;
    bad[1].slots = LEAT_SLOTS_MAX + 1;
    bad[2].prefetch = LEAT_PREFETCH_MAX + 1;
    bad[3].queue_count = 0;
    bad[4].session = (struct leat_id){{0}};
    bad[5].rates = &no_handler;
    bad[5].rate_count = 1;
    bad[6].rates = twice;
    bad[6].rate_count = 2;
    bad[7].handlers = same;
    bad[7].handler_count = 2;
    bad[8].drain_ms = -1;
    for (size_t i = 0; i < 9; i++) {
        struct leat_worker *worker = NULL;
        struct leat_why why = {{0}};
        assert_int_not_equal(leat_worker_new(&bad[i], &worker, &why), LEAT_OK);
        assert_null(worker);
        assert_true(strlen(why.text) > 10);
    }
    leat_worker_destroy(&(struct leat_worker *){NULL});
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_is_retried_and_fails_for_good_at_its_last_attempt),
        TEST(a_permanent_error_is_not_retried),
        TEST(a_kind_of_failure_that_is_never_retried_is_not_retried),
        TEST(a_type_without_a_handler_never_reaches_the_spawner),
        TEST(a_body_that_cannot_be_read_fails_for_good),
        TEST(a_job_that_expired_while_it_waited_is_not_started),
        TEST(a_job_that_expired_while_it_waited_with_the_spawner_is_as_any_other),
        TEST(jobs_start_in_the_order_in_which_they_came),
        TEST(commands_get_one_attempt_per_slot_and_plugins_a_pipeline),
        TEST(quick_commands_are_started_ahead_and_slow_ones_are_not),
        TEST(quick_plug_ins_start_no_commands_ahead),
        TEST(jobs_of_different_types_start_in_the_order_in_which_they_came),
        TEST(a_result_carries_everything_and_the_body_only_when_it_failed),
        TEST(a_long_error_is_cut_between_characters),
        TEST(a_wall_clock_that_jumps_back_makes_no_waiting_time),
        TEST(settings_out_of_range_are_refused_with_the_setting_and_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
