/* How long results are kept. */
#include "tests/unit/sink_rig.h"

#define HOUR_US (INT64_C(3600) * LEAT_US_PER_S)

static void confirm_all(struct rig *rig)
{
    struct leat_sink_info info = leat_sink_info(rig->sink);
    rig_confirm(rig, 9, info.last - info.base);
}

static void successes_are_removed_when_they_are_old(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 2);
    rig_pass(rig, HOUR_US);
    rig_record_many(rig, 3, 1);
    confirm_all(rig);
    rig_pass(rig, 23 * HOUR_US - 1);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).successes, 3);
    assert_int_equal(leat_sink_deadline_us(rig->sink), rig->now.mono_us + 1);
    rig_pass(rig, 1);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).successes, 1);
    assert_true(rig_noted(rig, LEAT_NOTE_RETENTION));
    rig_check(rig);
}

static void failures_are_kept_longer(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result failure = rig_failure(1);
    rig_results(rig, 1, &failure, 1);
    confirm_all(rig);
    rig_pass(rig, 29 * 24 * HOUR_US);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).failures, 1);
    rig_pass(rig, 24 * HOUR_US);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).failures, 0);
    rig_check(rig);
}

static void above_the_bound_the_oldest_successes_go(void **state)
{
    struct rig *rig = *state;
    struct leat_sink_kept kept;
    struct leat_id old = rig_id(1);
    struct leat_id young = rig_id(20);
    rig->config.keep_results_max = 10;
    rig_reboot(rig);
    rig_record_many(rig, 1, 10);
    rig_pass(rig, 1000);
    rig_record_many(rig, 11, 10);
    confirm_all(rig);
    assert_int_equal(leat_sink_info(rig->sink).successes, 10);
    assert_int_equal(leat_sink_store_find(rig->typed, &old, &kept), LEAT_ERR_NOT_FOUND);
    assert_int_equal(leat_sink_store_find(rig->typed, &young, &kept), LEAT_OK);
    rig_check(rig);
}

static void much_is_removed_in_small_steps(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 2000);
    confirm_all(rig);
    rig_pass(rig, 25 * HOUR_US);
    uint64_t before = leat_sink_info(rig->sink).successes;
    unsigned steps = 0;
    while (before > 0) {
        rig_tick(rig);
        uint64_t after = leat_sink_info(rig->sink).successes;
        assert_true(before - after > 0 && before - after <= 512);
        assert_true(after == 0 ||
                    leat_sink_deadline_us(rig->sink) <= rig->now.mono_us + 10 * LEAT_US_PER_MS);
        rig_pass(rig, 10 * LEAT_US_PER_MS);
        before = after;
        steps++;
    }
    assert_true(steps >= 4);
    assert_int_equal(leat_sink_deadline_us(rig->sink), LEAT_NEVER_US);
    rig_check(rig);
}

static void a_result_is_kept_until_the_ventilator_has_confirmed_it(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 2);
    rig_confirm(rig, 9, 1);
    rig_pass(rig, 1000 * HOUR_US);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).successes, 1);
    rig_confirm(rig, 9, 2);
    assert_int_equal(leat_sink_info(rig->sink).successes, 0);
    rig_check(rig);
}

static bool is_kept(struct rig *rig, unsigned number)
{
    struct leat_sink_kept kept;
    struct leat_id id = rig_id(number);
    return leat_sink_store_find(rig->typed, &id, &kept) == LEAT_OK;
}

static void a_wall_clock_that_jumps_by_years_removes_nothing(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result failure = rig_failure(1);
    rig_results(rig, 1, &failure, 1);
    rig_record_many(rig, 2, 1);
    confirm_all(rig);
    rig->now.wall.us += 10 * 365 * 24 * HOUR_US;
    rig_pass(rig, HOUR_US);
    rig_tick(rig);
    assert_true(is_kept(rig, 1) && is_kept(rig, 2));
    rig->now.wall.us -= 20 * 365 * 24 * HOUR_US;
    rig_record_many(rig, 3, 1);
    confirm_all(rig);
    rig_reboot(rig);
    rig_pass(rig, 23 * HOUR_US);
    rig_tick(rig);
    assert_true(is_kept(rig, 1) && !is_kept(rig, 2) && is_kept(rig, 3));
    rig_pass(rig, HOUR_US);
    rig_tick(rig);
    assert_false(is_kept(rig, 3));
    rig_check(rig);
}

static void after_a_clock_was_set_back_the_oldest_goes_and_not_the_newest(void **state)
{
    struct rig *rig = *state;
    rig->config.keep_results_max = 2;
    rig_reboot(rig);
    rig_record_many(rig, 1, 2);
    confirm_all(rig);
    rig->now.wall.us -= 365 * 24 * HOUR_US;
    rig_pass(rig, 1);
    rig_record_many(rig, 3, 1);
    confirm_all(rig);
    assert_true(!is_kept(rig, 1) && is_kept(rig, 2) && is_kept(rig, 3));
    rig_reboot(rig);
    rig_pass(rig, 1);
    rig_record_many(rig, 4, 1);
    confirm_all(rig);
    assert_true(!is_kept(rig, 2) && is_kept(rig, 3) && is_kept(rig, 4));
    rig_check(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
        TEST(successes_are_removed_when_they_are_old),
        TEST(failures_are_kept_longer),
        TEST(above_the_bound_the_oldest_successes_go),
        TEST(much_is_removed_in_small_steps),
        TEST(a_result_is_kept_until_the_ventilator_has_confirmed_it),
        TEST(a_wall_clock_that_jumps_by_years_removes_nothing),
        TEST(after_a_clock_was_set_back_the_oldest_goes_and_not_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
