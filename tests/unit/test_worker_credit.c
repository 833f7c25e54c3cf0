#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker_rig.h"

static struct rig rig;

static int stop(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static const struct leat_worker_handler handlers[] = {{{"a", 1}, LEAT_WORKER_EXEC},
                                                      {{"b", 1}, LEAT_WORKER_EXEC}};

static void start(size_t slots, size_t prefetch, const struct leat_worker_rate *rates,
                  size_t rate_count)
{
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    config.handlers = handlers;
    config.handler_count = 2;
    config.rates = rates;
    config.rate_count = rate_count;
    rig_init(&rig, &config);
}

static void a_worker_grants_what_slots_and_prefetch_have_room_for(void **state)
{
    (void)state;
    start(2, 4, NULL, 0);
    rig_open(&rig);
    rig_expect(&rig, "HELLO round=1 leases=\nCREDIT number=1 total=6\n");
    rig_jobs(&rig, "a", 1, 6);
    rig_forget(&rig);
    rig_ran_next(&rig); /* one place: not worth a message while the slots are busy */
    assert_null(strstr(rig.trace, "CREDIT"));
    rig_ran_next(&rig); /* half of the prefetch is */
    assert_non_null(strstr(rig.trace, "CREDIT number=2 total=8\n"));
}

static void more_than_was_granted_is_handed_back(void **state)
{
    (void)state;
    start(1, 1, NULL, 0);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 2);
    rig_forget(&rig);
    rig_jobs(&rig, "a", 3, 1);
    assert_non_null(strstr(rig.trace, "RETURN number=2 3/1\n"));
}

static void a_busy_worker_asks_in_batches(void **state)
{
    (void)state;
    start(4, 100, NULL, 0);
    rig.quiet = true;
    rig_open(&rig);
    uint64_t pushed = 0;
    for (int i = 0; i < 1000; i++) {
        while (pushed < rig.credit) {
            rig_jobs(&rig, "a", ++pushed, 1);
        }
        rig_ran_next(&rig);
    }
    assert_true(rig.credit_count <= 1 + 1000 / 50);
}

/* A ventilator that pushes `round_us` after it was granted; jobs that take `job_us` in one of two
 * slots. Returns the most that was held beyond the slots. */
static size_t work(uint64_t *pushed, int64_t total_us, int64_t job_us, int64_t round_us)
{
    static const int64_t batch_us = 500; /* in which the spawner's answers come */
    size_t most = 0;
    int64_t credit_us = rig.now.mono_us;
    int64_t spent_us = 0;
    for (int64_t at_us = 0; at_us < total_us; at_us += batch_us) {
        if (*pushed == rig.credit) {
            credit_us = rig.now.mono_us;
        } else if (rig.now.mono_us - credit_us >= round_us) {
            const uint64_t count = rig.credit - *pushed;
            rig_jobs(&rig, "b", *pushed + 1, count);
            *pushed += count;
        }
        spent_us += 2 * batch_us;
        const struct leat_worker_counts counts = leat_worker_counts(rig.worker);
        const size_t held = counts.queued + counts.started;
        most = held > 2 && held - 2 > most ? held - 2 : most;
        for (; spent_us >= job_us && rig.ended < rig.run_count; spent_us -= job_us) {
            rig_ran_next(&rig);
        }
        if (rig.ended == rig.run_count) {
            spent_us = 0; /* the slots had nothing to do */
        }
        rig_stored(&rig, rig.last_batch);
        rig_pass(&rig, batch_us);
    }
    return most;
}

static void start_following(size_t prefetch, size_t prefetch_max)
{
    static const struct leat_worker_handler plugin = {{"b", 1}, LEAT_WORKER_PLUGIN};
    struct leat_worker_config config;
    rig_config(&config, 2, prefetch);
    config.handlers = &plugin;
    config.handler_count = 1;
    config.prefetch_max = prefetch_max;
    rig_init(&rig, &config);
    rig.quiet = true;
    rig_open(&rig);
}

static void quick_jobs_are_held_for_longer_than_the_ventilator_needs_to_send_more(void **state)
{
    (void)state;
    start_following(2, 5000);
    uint64_t pushed = 0;
    (void)work(&pushed, 200000, 500, 5000); /* 4 a ms at most */
    const size_t before = rig.ended;
    const size_t held = work(&pushed, 200000, 500, 5000);
    assert_in_range(rig.ended - before, 795, 800); /* the slots never waited */
    assert_in_range(held, 120, 240);               /* 50 ms of work, not all that it may hold */
    assert_int_equal(rig.returned, 0);
}

static void slow_jobs_are_left_for_other_workers_and_none_is_handed_back(void **state)
{
    (void)state;
    start_following(2, 5000);
    uint64_t pushed = 0;
    (void)work(&pushed, 200000, 500, 5000);
    (void)work(&pushed, 600000, 2000, 5000); /* what is held of the quick ones ends */
    assert_in_range(work(&pushed, 500000, 2000, 5000), 30, 60);
    rig_pass(&rig, 100000);
    assert_in_range(rig.credit - pushed + leat_worker_counts(rig.worker).queued, 0, 60);
    assert_int_equal(rig.returned, 0);
}

static void an_idle_worker_asks_for_no_more_than_slots_and_the_least_prefetch(void **state)
{
    (void)state;
    start_following(2, 5000);
    uint64_t pushed = 0;
    (void)work(&pushed, 200000, 500, 5000);
    while (rig.ended < rig.run_count) {
        rig_ran_next(&rig);
    }
    assert_true(rig.credit - pushed > 100);
    rig_pass(&rig, 500000);
    assert_int_equal(rig.credit - pushed, 4);
    assert_true(leat_worker_deadline_us(rig.worker) > rig.now.mono_us + 100000); /* and sleeps */
}

static void what_was_granted_before_the_prefetch_fell_is_taken(void **state)
{
    (void)state;
    start_following(2, 5000);
    uint64_t pushed = 0;
    (void)work(&pushed, 200000, 500, 5000);
    while (rig.ended < rig.run_count) {
        rig_ran_next(&rig);
    }
    const uint64_t granted = rig.credit;
    rig_pass(&rig, 500000);
    assert_true(rig.credit < granted);
    rig_jobs(&rig, "b", pushed + 1, granted - pushed); /* they were on their way */
    assert_int_equal(rig.returned, 0);
}

static void a_given_prefetch_stays_as_it_is(void **state)
{
    (void)state;
    start_following(3, 0);
    uint64_t pushed = 0;
    assert_int_equal(work(&pushed, 100000, 500, 0), 3);
}

static void without_tokens_nothing_is_granted_and_a_token_brings_credit(void **state)
{
    (void)state;
    static const struct leat_worker_rate rate = {{"", 0}, {2, 1000000}, 2};
    start(4, 4, &rate, 1);
    rig_open(&rig);
    rig_expect(&rig, "HELLO round=1 leases=\nCREDIT number=1 total=2\n");
    rig_jobs(&rig, "a", 1, 2);
    rig_forget(&rig);
    rig_pass(&rig, 499999);
    rig_expect(&rig, "");
    rig_pass(&rig, 1);
    rig_expect(&rig, "CREDIT number=2 total=3\n");
}

static void a_job_that_waits_has_its_token_set_aside(void **state)
{
    (void)state;
    static const struct leat_worker_rate rates[] = {{{"", 0}, {1, 1000000}, 6},
                                                    {{"a", 1}, {1, 1000000}, 4}};
    start(1, 9, rates, 2);
    rig_open(&rig);
    rig_expect(&rig, "HELLO round=1 leases=\nCREDIT number=1 total=6 a=4\n");
    rig_jobs(&rig, "a", 1, 3); /* one starts, two wait */
    rig_forget(&rig);
    rig_pass(&rig, 1000000);
    assert_non_null(strstr(rig.trace, "CREDIT number=2 total=7 a=5\n"));
}

static void a_limited_type_has_a_total_of_its_own_and_lets_others_pass(void **state)
{
    (void)state;
    static const struct leat_worker_rate rate = {{"b", 1}, {1, 1000000}, 1};
    start(2, 2, &rate, 1);
    rig_open(&rig);
    rig_expect(&rig, "HELLO round=1 leases=\nCREDIT number=1 total=4 b=1\n");
    rig_jobs(&rig, "b", 1, 2); /* one too many: it has to wait for its token */
    rig_jobs(&rig, "a", 3, 1);
    rig_expect(&rig, "RUN 1/1 attempt=1\nRUN 3/1 attempt=1\n");
    rig_ran_next(&rig);
    rig_forget(&rig);
    rig_pass(&rig, 999999);
    assert_null(strstr(rig.trace, "RUN"));
    rig_pass(&rig, 1);
    assert_non_null(strstr(rig.trace, "RUN 2/1 attempt=1\n"));
}

static void with_a_rate_nothing_is_sent_ahead_to_the_spawner(void **state)
{
    (void)state;
    static const struct leat_worker_handler plugin = {{"a", 1}, LEAT_WORKER_PLUGIN};
    static const struct leat_worker_rate rate = {{"", 0}, {1000, 1000000}, 100};
    struct leat_worker_config config;
    rig_config(&config, 3, 50);
    config.handlers = &plugin;
    config.rates = &rate;
    config.rate_count = 1;
    rig_init(&rig, &config);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 20);
    assert_int_equal(leat_worker_counts(rig.worker).started, 3);
}

/* Plug-ins "a" and "b"; a rate, or NULL. */
static void start_plugins(size_t slots, size_t prefetch, const struct leat_worker_rate *rate)
{
    static const struct leat_worker_handler plugins[] = {{{"a", 1}, LEAT_WORKER_PLUGIN},
                                                         {{"b", 1}, LEAT_WORKER_PLUGIN}};
    struct leat_worker_config config;
    rig_config(&config, slots, prefetch);
    config.handlers = plugins;
    config.handler_count = 2;
    config.rates = rate;
    config.rate_count = rate == NULL ? 0 : 1;
    rig_init(&rig, &config);
}

/* Type b has a rate. It gets the first slot that is free, however many of a could be sent ahead;
 * and of the others that have come before, as many are ahead as without. */
static void a_rate_of_one_type_keeps_only_that_type_from_being_sent_ahead(void **state)
{
    (void)state;
    static const struct leat_worker_rate rate = {{"b", 1}, {1000, 1000000}, 100};
    start_plugins(3, 100, &rate);
    rig_open(&rig);
    rig_jobs(&rig, "a", 1, 20);
    assert_int_equal(leat_worker_counts(rig.worker).started, 20);
    rig_jobs(&rig, "b", 21, 5);
    rig_jobs(&rig, "a", 26, 10);
    assert_int_equal(leat_worker_counts(rig.worker).started, 20);
    for (int i = 0; i < 17; i++) {
        rig_ran_next(&rig);
        assert_int_equal(rig.run_count, 20);
    }
    for (int i = 0; i < 5; i++) { /* each b as soon as there is a slot */
        rig_ran_next(&rig);
        assert_int_equal(rig.run_count, i < 4 ? 21 + i : 35);
        assert_string_equal(rig.runs[20 + i].type, "b");
    }
}

/* A large job of b comes when small ones of a take all bytes that may be started, and more of them
 * come for each that ends: it is the next that starts, and takes its turn. */
static void a_large_job_is_not_passed_for_ever_by_small_ones(void **state)
{
    (void)state;
    enum { SMALL_BYTES = 100 << 10, LARGE_BYTES = 900 << 10, SMALL = 700 };
    static char small[SMALL_BYTES + 1], large[LARGE_BYTES + 1];
    memset(small, 's', SMALL_BYTES);
    memset(large, 'l', LARGE_BYTES);
    start_plugins(4, 2 * SMALL, NULL);
    rig_open(&rig);
    uint64_t n = 0;
    while (++n <= SMALL) {
        rig_push(&rig, &(struct rig_job){.n = n, .type = "a", .payload = small});
    }
    size_t started = rig.run_count;
    assert_true(started < SMALL); /* bytes are what the others wait for */
    rig_push(&rig, &(struct rig_job){.n = n, .type = "b", .payload = large});
    size_t ahead_of_it = SMALL - started; /* they came first */
    for (size_t i = 0; i < started + ahead_of_it; i++) {
        rig_ran_next(&rig);
        rig_push(&rig, &(struct rig_job){.n = ++n, .type = "a", .payload = small});
    }
    bool has_run = false;
    for (size_t i = 0; i < rig.run_count; i++) {
        has_run |= strcmp(rig.runs[i].type, "b") == 0;
    }
    assert_true(has_run);
}

/* It waits until nothing is started any more, and nothing passes it; then it goes alone. */
static void a_job_larger_than_all_that_may_be_started_goes_alone(void **state)
{
    (void)state;
    start(2, 6, NULL, 0);
    rig.quiet = true;
    rig_open(&rig);
    char *huge = malloc(LEAT_STARTED_BYTES_MAX + 1);
    assert_non_null(huge);
    memset(huge, 'h', LEAT_STARTED_BYTES_MAX);
    huge[LEAT_STARTED_BYTES_MAX] = '\0'; /* with its head the body is larger */
    rig_jobs(&rig, "a", 1, 2);
    rig_push(&rig, &(struct rig_job){.n = 3, .type = "b", .payload = huge});
    rig_jobs(&rig, "a", 4, 2);
    free(huge);
    assert_int_equal(rig.run_count, 2);
    rig_ran_next(&rig);
    assert_int_equal(rig.run_count, 2);
    rig_ran_next(&rig);
    assert_int_equal(rig.run_count, 3);
    assert_string_equal(rig.runs[2].type, "b");
    rig_ran_next(&rig);
    assert_int_equal(rig.run_count, 5);
}

/* At most burst + rate * t starts in any window of time t, for the worker and for the type. Starts
 * are compared pairwise, which sees every window that begins and ends with a start. */
static void check_windows(const char *type, uint64_t tokens, uint64_t per_us, uint64_t burst)
{
    for (size_t first = 0; first < rig.run_count; first++) {
        if (type != NULL && strcmp(rig.runs[first].type, type) != 0) {
            continue;
        }
        uint64_t starts = 0;
        for (size_t last = first; last < rig.run_count; last++) {
            starts += type == NULL || strcmp(rig.runs[last].type, type) == 0;
            uint64_t span_us = (uint64_t)(rig.runs[last].at_us - rig.runs[first].at_us);
            assert_true(starts <= burst + span_us * tokens / per_us);
        }
    }
}

static uint64_t below(struct leat_rng *rng, uint64_t bound)
{
    return leat_rng_below(rng, bound);
}

static void push_random(struct leat_rng *rng, uint64_t *pushed, uint64_t *pushed_b)
{
    bool greedy = below(rng, 20) == 0; /* a ventilator that does not keep to the credit */
    bool b = below(rng, 2) == 0;
    if ((*pushed < rig.credit && (!b || *pushed_b < rig.credit_limit)) || greedy) {
        rig_jobs(&rig, b ? "b" : "a", ++*pushed + 1000, 1);
        *pushed_b += b;
    }
}

static void the_rate_is_never_exceeded_over_any_window(void **state)
{
    (void)state;
    uint64_t seed = rig_seed();
    for (uint64_t run = 0; run < 20; run++) {
        struct leat_rng rng;
        leat_rng_init(&rng, seed + run);
        struct leat_worker_rate rates[] = {
            {{"", 0}, {1 + below(&rng, 20), 1000000}, 1 + below(&rng, 5)},
            {{"b", 1}, {1 + below(&rng, 100), 60000000}, 1 + below(&rng, 3)}};
        start(1 + below(&rng, 8), below(&rng, 8), rates, 2);
        rig.quiet = true;
        rig_open(&rig);
        uint64_t pushed = 0;
        uint64_t pushed_b = 0;
        for (int i = 0; i < 2000; i++) {
            uint64_t dice = below(&rng, 10);
            if (dice < 5) {
                push_random(&rng, &pushed, &pushed_b);
            } else if (dice < 8 && rig.ended < rig.run_count) {
                rig_ran_next(&rig);
            } else {
                rig.now.wall.us -= (int64_t)below(&rng, 5000000); /* the wall clock is no matter */
                rig_pass(&rig, (int64_t)below(&rng, 200000));
                rig_pong(&rig);
            }
            if (rig.results_count > 0) {
                rig_stored(&rig, rig.last_batch);
            }
        }
        assert_true(rig.run_count > 20);
        check_windows(NULL, rates[0].rate.tokens, rates[0].rate.per_us, rates[0].burst);
        check_windows("b", rates[1].rate.tokens, rates[1].rate.per_us, rates[1].burst);
        if (run < 19) {
            rig_fini(&rig);
        }
    }
}

static void the_rate_is_used_up_when_there_are_jobs(void **state)
{
    (void)state;
    static const struct leat_worker_rate rate = {{"", 0}, {500, 1000000}, 10};
    start(2, 8, &rate, 1);
    rig.quiet = true;
    rig_open(&rig);
    uint64_t pushed = 0;
    int64_t until_us = rig.now.mono_us + 4000000;
    while (rig.now.mono_us < until_us) {
        while (pushed < rig.credit) {
            rig_jobs(&rig, "a", ++pushed, 1);
        }
        while (rig.ended < rig.run_count) {
            rig_ran_next(&rig);
        }
        rig_stored(&rig, rig.last_batch);
        rig_pass(&rig, 1000);
    }
    assert_in_range(rig.run_count, 1950, 2010);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_worker_grants_what_slots_and_prefetch_have_room_for),
        TEST(more_than_was_granted_is_handed_back),
        TEST(a_busy_worker_asks_in_batches),
        TEST(quick_jobs_are_held_for_longer_than_the_ventilator_needs_to_send_more),
        TEST(slow_jobs_are_left_for_other_workers_and_none_is_handed_back),
        TEST(an_idle_worker_asks_for_no_more_than_slots_and_the_least_prefetch),
        TEST(what_was_granted_before_the_prefetch_fell_is_taken),
        TEST(a_given_prefetch_stays_as_it_is),
        TEST(without_tokens_nothing_is_granted_and_a_token_brings_credit),
        TEST(a_job_that_waits_has_its_token_set_aside),
        TEST(a_limited_type_has_a_total_of_its_own_and_lets_others_pass),
        TEST(with_a_rate_nothing_is_sent_ahead_to_the_spawner),
        TEST(a_rate_of_one_type_keeps_only_that_type_from_being_sent_ahead),
        TEST(a_large_job_is_not_passed_for_ever_by_small_ones),
        TEST(a_job_larger_than_all_that_may_be_started_goes_alone),
        TEST(the_rate_is_never_exceeded_over_any_window),
        TEST(the_rate_is_used_up_when_there_are_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
