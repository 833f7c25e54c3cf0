/* Who waits at which queue, and whose turn it is. */
#include "tests/unit/ventilator_rig.h"

static unsigned taker_of(struct rig *rig)
{
    assert_int_equal(rig_count(rig, LEAT_MSG_JOBS), 1);
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND && action->msg.type == LEAT_MSG_JOBS) {
            for (unsigned worker = 1; worker < 10; worker++) {
                struct leat_peer peer = rig_peer(worker);
                if (peer.size == action->peer.size &&
                    memcmp(peer.bytes, action->peer.bytes, peer.size) == 0) {
                    return worker;
                }
            }
        }
    }
    return 0;
}

static void a_job_goes_to_whoever_has_waited_longest(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (unsigned worker = 1; worker <= 3; worker++) {
        rig_hello(&rig, worker, 1, "q", NULL, 0);
        rig_credit(&rig, worker, 1, 1, 2);
    }
    static const unsigned takers[] = {1, 2, 3, 1, 2};
    for (unsigned i = 0; i < 5; i++) {
        rig_submit(&rig, 1, 1 + i, 1 + i, 1);
        assert_int_equal(taker_of(&rig), takers[i]);
    }
    rig_credit(&rig, 1, 1, 2, 3); /* it had its two; now it stands behind the third */
    rig_submit(&rig, 1, 6, 6, 1);
    assert_int_equal(taker_of(&rig), 3);
    rig_submit(&rig, 1, 7, 7, 1);
    assert_int_equal(taker_of(&rig), 1);
    rig_submit(&rig, 1, 8, 8, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0); /* nobody has credit left */
    rig_close(&rig);
}

/* What a worker is given of one queue counts in the line of another. */
static void who_was_served_at_one_queue_stands_last_at_the_others(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "a,b", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 9);
    rig_hello(&rig, 2, 1, "b", NULL, 0);
    rig_credit(&rig, 2, 1, 1, 9);
    static const struct {
        const char *queue;
        unsigned taker;
    } cases[] = {{"b", 1}, {"b", 2}, {"a", 1}, {"b", 2}};
    for (unsigned i = 0; i < 4; i++) {
        struct leat_item_submission job = rig_job(1 + i, cases[i].queue, "t");
        rig_submit_jobs(&rig, 1, 1 + i, &job, 1);
        assert_int_equal(taker_of(&rig), cases[i].taker);
    }
    rig_close(&rig);
}

/* A queue is there from its first job on; a name that is said twice is one queue. */
static void workers_wait_in_line_before_their_queue_is_there(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q,z,q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    rig_submit(&rig, 1, 1, 1, 2);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.count, 1);
    rig_goodbye(&rig, 1, 1, 2);
    rig_hello(&rig, 2, 1, "z,q,q", NULL, 0);
    rig_credit(&rig, 2, 1, 1, 2);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.count, 2);
    rig_close(&rig);
}

static void a_new_round_begins_outside_of_the_lines(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q,b", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 2, "b", NULL, 0);
    rig_submit(&rig, 1, 2, 2, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0);
    rig_credit(&rig, 1, 2, 1, 5);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0); /* it no longer serves q */
    struct leat_item_submission job = rig_job(3, "b", "t");
    rig_submit_jobs(&rig, 1, 3, &job, 1);
    assert_int_equal(taker_of(&rig), 1);
    rig_close(&rig);
}

static void a_paused_queue_keeps_its_line(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    rig_control(&rig, "pause", "q");
    rig_submit(&rig, 1, 1, 1, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0);
    rig_control(&rig, "resume", "q");
    assert_int_equal(taker_of(&rig), 1);
    rig_close(&rig);
}

/* Many wait at a queue whose only job they may not take: each is looked at once in a turn, however
 * many jobs of another queue are given out in it. */
static void a_line_that_may_take_nothing_is_walked_once_in_a_turn(void **state)
{
    (void)state;
    enum { WAITING = 20, JOBS = 50 };
    struct rig rig;
    rig_open(&rig);
    for (unsigned worker = 1; worker <= WAITING; worker++) {
        rig_hello(&rig, worker, 1, "a", NULL, 0);
        rig_credit_limited(&rig, worker, 1, 100, "rated", 0);
    }
    rig_hello(&rig, WAITING + 1, 1, "b", NULL, 0);
    rig_credit(&rig, WAITING + 1, 1, 1, JOBS);
    struct leat_item_submission blocked = rig_job(1, "a", "rated");
    rig_submit_jobs(&rig, 1, 1, &blocked, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0);
    struct leat_item_submission jobs[JOBS];
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = rig_job(2 + i, "b", "t");
    }
    uint64_t before = leat_ventilator_counts(rig.ventilator).looks_total;
    rig_submit_jobs(&rig, 1, 2, jobs, JOBS);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.count, JOBS);
    uint64_t looks = leat_ventilator_counts(rig.ventilator).looks_total - before;
    assert_in_range(looks, WAITING + JOBS, 2 * (WAITING + JOBS));
    rig_close(&rig);
}

/* So many workers, one after the other; the first of them may take no job of type "rated". */
static void line_up(struct rig *rig, unsigned workers, unsigned limited)
{
    for (unsigned worker = 1; worker <= workers; worker++) {
        rig_hello(rig, worker, 1, "q", NULL, 0);
        if (worker <= limited) {
            rig_credit_limited(rig, worker, 1, 100, "rated", 0);
        } else {
            rig_credit(rig, worker, 1, 1, 100);
        }
    }
}

static void submit_one(struct rig *rig, unsigned number, const char *type)
{
    struct leat_item_submission job = rig_job(number, "q", type);
    rig_submit_jobs(rig, 1, number, &job, 1);
}

/* The first two wait for a job that is not of the rated type. The third takes one; then the fourth
 * is before them, but the third is not. */
static void who_may_take_nothing_stands_behind_all_but_the_taker(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    line_up(&rig, 4, 2);
    static const struct {
        const char *type;
        unsigned taker;
    } cases[] = {{"rated", 3}, {"t", 4}, {"t", 1}, {"t", 2}, {"t", 3}};
    for (unsigned i = 0; i < 5; i++) {
        submit_one(&rig, 1 + i, cases[i].type);
        assert_int_equal(taker_of(&rig), cases[i].taker);
    }
    rig_close(&rig);
}

static void a_walk_in_which_nobody_takes_leaves_the_line_as_it_was(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    line_up(&rig, 3, 3);
    submit_one(&rig, 1, "rated");
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0);
    for (unsigned worker = 1; worker <= 3; worker++) {
        submit_one(&rig, 1 + worker, "t");
        assert_int_equal(taker_of(&rig), worker);
    }
    rig_close(&rig);
}

/* As many may take the jobs as may not: about two looks for each job, not one at everybody. */
static void who_may_take_nothing_is_not_passed_for_each_job(void **state)
{
    (void)state;
    enum { EACH = 20, JOBS = 200 };
    struct rig rig;
    rig_open(&rig);
    line_up(&rig, 2 * EACH, EACH);
    struct leat_item_submission jobs[JOBS];
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = rig_job(1 + i, "q", "rated");
    }
    uint64_t before = leat_ventilator_counts(rig.ventilator).looks_total;
    rig_submit_jobs(&rig, 1, 1, jobs, JOBS);
    assert_int_equal(rig_counts(&rig).leased, JOBS);
    assert_in_range(leat_ventilator_counts(rig.ventilator).looks_total - before, JOBS, 3 * JOBS);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_goes_to_whoever_has_waited_longest),
        cmocka_unit_test(who_was_served_at_one_queue_stands_last_at_the_others),
        cmocka_unit_test(workers_wait_in_line_before_their_queue_is_there),
        cmocka_unit_test(a_new_round_begins_outside_of_the_lines),
        cmocka_unit_test(a_paused_queue_keeps_its_line),
        cmocka_unit_test(a_line_that_may_take_nothing_is_walked_once_in_a_turn),
        cmocka_unit_test(who_may_take_nothing_stands_behind_all_but_the_taker),
        cmocka_unit_test(a_walk_in_which_nobody_takes_leaves_the_line_as_it_was),
        cmocka_unit_test(who_may_take_nothing_is_not_passed_for_each_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
