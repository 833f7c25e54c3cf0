/* The simulated cluster: P1 over many seeds.
 *
 * LEAT_SEED=N      replays one history       LEAT_TRACE=1   prints every message of it
 * LEAT_SEEDS=N     runs N histories (default 2000), from LEAT_SEED or 1 on
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/simulation/cluster.h"

#define S INT64_C(1000000)

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static struct sim_cluster_config faulty(uint64_t seed)
{
    return (struct sim_cluster_config){
        .seed = seed,
        .workers = 1 + (int)(seed % 4),
        .producers = 1 + (int)(seed % 3),
        .jobs_per_producer = 40,
        .faults_for_us = 20 * S,
        .end_us = 300 * S,
        .trace = getenv("LEAT_TRACE") != NULL,
    };
}

/* An assertion in a core says nothing of the seed. */
static uint64_t seed_at_work;

static void on_abort(int number)
{
    char text[64];
    int size =
        snprintf(text, sizeof(text), "seed %" PRIu64 ": an assertion failed\n", seed_at_work);
    ssize_t written = write(STDERR_FILENO, text, (size_t)size);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

static void fails_with(uint64_t seed, const struct sim_cluster_report *report)
{
    fail_msg("seed %" PRIu64 ": %s: %s (replay: LEAT_SEED=%" PRIu64 " LEAT_SEEDS=1 LEAT_TRACE=1)",
             seed, report->broken, report->text, seed);
}

static void run_seeds(enum sim_loss loses, uint64_t divisor)
{
    uint64_t first = from_environment("LEAT_SEED", 1);
    uint64_t count = from_environment("LEAT_SEEDS", 2000);
    count = count < divisor ? 1 : count / divisor;
    struct sim_cluster_report sum = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_cluster_config config = faulty(seed);
        config.loses = loses;
        seed_at_work = seed;
        struct sim_cluster_report report = sim_cluster_run(&config);
        if (report.broken != NULL) {
            fails_with(seed, &report);
        }
        sum.submitted += report.submitted;
        sum.acknowledged += report.acknowledged;
        sum.results += report.results;
        sum.steps += report.steps;
        sum.messages += report.messages;
        sum.lost += report.lost;
        sum.crashes += report.crashes;
    }
    print_message("seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " jobs, %" PRIu64
                  " acknowledged, %" PRIu64 " results, %" PRIu64 " crashes, %" PRIu64
                  " messages, %" PRIu64 " lost, %" PRIu64 " steps\n",
                  first, first + count - 1, sum.submitted, sum.acknowledged, sum.results,
                  sum.crashes, sum.messages, sum.lost, sum.steps);
    assert_true(sum.acknowledged > 0);
}

static void every_acknowledged_job_has_exactly_one_result_whatever_fails(void **state)
{
    (void)state;
    run_seeds(SIM_LOSES_NOTHING, 1);
}

/* Histories in which something was found, for as long as the simulation chooses alike. */
static void histories_that_failed_once_hold(void **state)
{
    (void)state;
    static const struct {
        enum sim_loss loses;
        uint64_t seed;
    } histories[] = {
        /* a number sent in an earlier life of the sink did not settle a later submission */
        {SIM_LOSES_NOTHING, 135010},
        /* what a sink removed at its start was counted in another batch */
        {SIM_LOSES_NOTHING, 214640},
        /* a restored ventilator counted one failed attempt twice */
        {SIM_RESTORES_VENTILATOR_DISK, 60602},
    };
    for (size_t i = 0; i < sizeof(histories) / sizeof(histories[0]); i++) {
        seed_at_work = histories[i].seed;
        struct sim_cluster_config config = faulty(seed_at_work);
        config.loses = histories[i].loses;
        struct sim_cluster_report report = sim_cluster_run(&config);
        if (report.broken != NULL) {
            fails_with(seed_at_work, &report);
        }
    }
}

static void a_sink_with_an_empty_disk_gets_all_results_from_then_on(void **state)
{
    (void)state;
    run_seeds(SIM_LOSES_SINK_DISK, 10);
}

static void a_ventilator_with_an_empty_disk_serves_all_jobs_from_then_on(void **state)
{
    (void)state;
    run_seeds(SIM_LOSES_VENTILATOR_DISK, 10);
}

static void a_sink_restored_from_an_older_copy_gets_all_results_from_then_on(void **state)
{
    (void)state;
    run_seeds(SIM_RESTORES_SINK_DISK, 10);
}

static void a_ventilator_restored_from_an_older_copy_serves_all_jobs_from_then_on(void **state)
{
    (void)state;
    run_seeds(SIM_RESTORES_VENTILATOR_DISK, 10);
}

static void without_faults_all_jobs_end_as_they_must(void **state)
{
    (void)state;
    struct sim_cluster_config config = faulty(from_environment("LEAT_SEED", 1));
    config.faults_for_us = 0;
    struct sim_cluster_report report = sim_cluster_run(&config);
    if (report.broken != NULL) {
        fails_with(config.seed, &report);
    }
    assert_int_equal(report.acknowledged, report.submitted);
    assert_int_equal(report.results + report.removed, report.submitted);
}

static void the_same_seed_gives_the_same_history(void **state)
{
    (void)state;
    struct sim_cluster_config config = faulty(7);
    struct sim_cluster_report one = sim_cluster_run(&config);
    struct sim_cluster_report two = sim_cluster_run(&config);
    assert_true(one.crashes > 0);
    assert_int_equal(one.steps, two.steps);
    assert_int_equal(one.messages, two.messages);
    assert_int_equal(one.ended_us, two.ended_us);
}

int main(void)
{
    const char *only = getenv("LEAT_TEST");
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults_all_jobs_end_as_they_must),
        cmocka_unit_test(the_same_seed_gives_the_same_history),
        cmocka_unit_test(every_acknowledged_job_has_exactly_one_result_whatever_fails),
        cmocka_unit_test(histories_that_failed_once_hold),
        cmocka_unit_test(a_sink_with_an_empty_disk_gets_all_results_from_then_on),
        cmocka_unit_test(a_ventilator_with_an_empty_disk_serves_all_jobs_from_then_on),
        cmocka_unit_test(a_sink_restored_from_an_older_copy_gets_all_results_from_then_on),
        cmocka_unit_test(a_ventilator_restored_from_an_older_copy_serves_all_jobs_from_then_on),
    };
    signal(SIGABRT, on_abort);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
