/* What is forgotten, and when: nothing that is known grows without bound, and nothing is forgotten
 * because somebody set a clock. */
#include "tests/unit/ventilator_rig.h"

static void a_wall_clock_that_jumps_by_years_makes_no_job_and_no_batch_new_again(void **state)
{
    (void)state;
    static const int64_t years[] = {10, -20};
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_settled(&rig, 1, 1, 1, 2);
    for (size_t i = 0; i < sizeof years / sizeof years[0]; i++) {
        rig.now.wall.us += years[i] * 365 * 24 * 3600 * LEAT_US_PER_S;
        rig_pass_ms(&rig, 3000);
        rig_submit(&rig, 1, 1, 1, 2);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.batch, 1);
        rig_submit(&rig, 2 + (unsigned)i, 1, 1, 2);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.known, 2);
        assert_int_equal(rig_counts(&rig).jobs, 0);
    }
    rig_close(&rig);
}

static void producers_that_come_and_go_soon_make_room_for_others(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.hold = true;
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    struct leat_event event = {
        .kind = LEAT_EVENT_MESSAGE, .link = LEAT_LINK_PEERS, .peer = rig_peer(1), .msg = &msg};
    msg.submit.batch = 1;
    for (unsigned i = 1; i <= LEAT_PRODUCERS_MAX + 1; i++) {
        msg.submit.producer = rig_id('p', i);
        event.now = rig.now;
        leat_out_clear(&rig.out);
        leat_ventilator_step(rig.ventilator, &event, &rig.out); /* without checks, for speed */
    }
    assert_int_equal(rig_counts(&rig).producers, LEAT_PRODUCERS_MAX);
    assert_int_equal(rig_count(&rig, LEAT_MSG_BUSY), 1);
    rig_commit(&rig);
    event = (struct leat_event){.kind = LEAT_EVENT_TICK};
    for (unsigned i = 0; i < 1100; i++) {
        rig.now.mono_us += LEAT_US_PER_S / 10;
        rig.now.wall.us += LEAT_US_PER_S / 10;
        event.now = rig.now;
        leat_out_clear(&rig.out);
        leat_ventilator_step(rig.ventilator, &event, &rig.out);
    }
    assert_true(rig_counts(&rig).producers <= LEAT_PRODUCERS_MAX / 4 * 3);
    rig_close(&rig);
}

static void a_queue_that_was_only_paused_and_resumed_is_forgotten(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_control(&rig, "pause", "q");
    assert_int_equal(leat_ventilator_queue_count(rig.ventilator), 1);
    rig_control(&rig, "resume", "q");
    assert_int_equal(leat_ventilator_queue_count(rig.ventilator), 0);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_control(&rig, "pause", "q");
    rig_submit(&rig, 1, 1, 1, 1);
    rig_control(&rig, "resume", "q");
    assert_int_equal(leat_ventilator_queue_count(rig.ventilator), 1);
    rig_credit(&rig, 1, 1, 1, 1);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wall_clock_that_jumps_by_years_makes_no_job_and_no_batch_new_again),
        cmocka_unit_test(producers_that_come_and_go_soon_make_room_for_others),
        cmocka_unit_test(a_queue_that_was_only_paused_and_resumed_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
