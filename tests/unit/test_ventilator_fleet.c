/* Sessions, credit, sharing out, leases. */
#include <string.h>

#include "tests/unit/ventilator_rig.h"

static void jobs_leave_a_queue_in_the_order_of_acceptance_over_all_types(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[6];
    for (unsigned i = 0; i < 6; i++) {
        jobs[i] = rig_job(i + 1, "q", i % 2 == 0 ? "x" : "y");
    }
    rig_submit_jobs(&rig, 1, 1, jobs, 6);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 6);
    const struct leat_msg_jobs *sent = &rig_sent(&rig, LEAT_MSG_JOBS)->jobs;
    assert_int_equal(sent->jobs.count, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(sent->jobs.items[i].id.bytes[15], i + 1);
    }
    rig_close(&rig);
}

static void a_type_without_tokens_lets_the_others_pass(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[] = {rig_job(1, "q", "slow"), rig_job(2, "q", "slow"),
                                          rig_job(3, "q", "fast"), rig_job(4, "other", "slow")};
    rig_submit_jobs(&rig, 1, 1, jobs, 4);
    rig_hello(&rig, 1, 1, "q,other", NULL, 0);
    rig_credit_limited(&rig, 1, 1, 9, "slow", 1);
    rig_say(&rig, "one more");
    rig_credit_limited(&rig, 1, 2, 9, "slow", 2);
    rig_say(&rig, "no limit");
    rig_credit(&rig, 1, 1, 3, 9);
    rig_expect_trace(&rig, "  w101 <- ACCEPTED batch 1, known 0\n"
                           "  * worker_joined s1 2\n"
                           "  w1 <- WELCOME round 1, refused []\n"
                           "  w1 <- JOBS 1.1 j1/1 attempt 1 j3/1 attempt 1\n"
                           "one more\n"
                           "  w1 <- JOBS 1.2 j4/1 attempt 1\n"
                           "no limit\n"
                           "  w1 <- JOBS 1.3 j2/1 attempt 1\n");
    rig_close(&rig);
}

static void queues_take_turns_however_full_one_of_them_is(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 10);
    struct leat_item_submission jobs[] = {rig_job(21, "b", "t"), rig_job(22, "b", "t")};
    rig_submit_jobs(&rig, 1, 2, jobs, 2);
    rig_hello(&rig, 1, 1, "q,b", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    rig_expect_trace(&rig,
                     "  w101 <- ACCEPTED batch 1, known 0\n"
                     "  w101 <- ACCEPTED batch 2, known 0\n"
                     "  * worker_joined s1 2\n"
                     "  w1 <- WELCOME round 1, refused []\n"
                     "  w1 <- JOBS 1.1 j1/1 attempt 1 j21/1 attempt 1 j2/1 attempt 1 j22/1 attempt "
                     "1 j3/1 attempt 1\n");
    rig_close(&rig);
}

static void workers_share_evenly_and_each_gets_one_message(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    for (unsigned worker = 1; worker <= 3; worker++) {
        rig_hello(&rig, worker, 1, "q", NULL, 0);
        rig_credit(&rig, worker, 1, 1, 100);
    }
    rig_submit(&rig, 1, 1, 1, 30);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 3);
    for (size_t i = 0; i < rig.out.count; i++) {
        const struct leat_action *action = &rig.out.actions[i];
        if (action->kind == LEAT_ACTION_SEND && action->msg.type == LEAT_MSG_JOBS) {
            assert_int_equal(action->msg.jobs.jobs.count, 10);
        }
    }
    rig_close(&rig);
}

static void submit_bodies(struct rig *rig, unsigned count, size_t bytes)
{
    static const unsigned char body[400 << 10];
    struct leat_item_submission jobs[32];
    assert_true(count <= 32 && bytes <= sizeof body);
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = rig_job(1 + i, "q", "t");
        jobs[i].body = leat_bytes_of(body, bytes);
    }
    rig_submit_jobs(rig, 1, 1, jobs, count);
}

/* How many jobs the first JOBS has of `count` with bodies of so many bytes, and how many JOBS. */
static void expect_messages(size_t items_max, unsigned count, size_t bytes, size_t first,
                            size_t messages)
{
    struct rig rig;
    rig_begin(&rig);
    rig.config.batch_items_max = items_max;
    rig_boot(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 100);
    submit_bodies(&rig, count, bytes);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), messages);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.count, first);
    rig_close(&rig);
}

static void a_message_of_jobs_is_closed_at_its_limits(void **state)
{
    (void)state;
    expect_messages(4, 10, 6, 4, 3);
    expect_messages(4, 10, LEAT_BATCH_FEW_BYTES / 3 + 1, 3, 4);
    expect_messages(LEAT_BATCH_ITEMS_MAX, 30, LEAT_BATCH_BYTES_TARGET / 18 + 1, 18, 2);
}

/* Fourteen of these reach what closes a batch of many. */
static void few_jobs_may_be_more_bytes_than_many(void **state)
{
    (void)state;
    expect_messages(LEAT_BATCH_ITEMS_MAX, 30, LEAT_BATCH_BYTES_TARGET / 14 + 1,
                    LEAT_BATCH_FEW_ITEMS, 2);
}

static void repeated_messages_and_those_of_older_rounds_are_ignored(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 5);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    rig_credit(&rig, 1, 1, 1, 3);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    assert_int_equal(rig_count(&rig, LEAT_MSG_WELCOME), 0);
    rig_hello(&rig, 1, 3, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 2, 5);
    rig_hello(&rig, 1, 2, "q", NULL, 0);
    assert_int_equal(rig_count(&rig, LEAT_MSG_WELCOME), 0);
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_close(&rig);
}

static void a_gap_asks_for_a_new_round_and_nothing_behind_it_counts(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 5);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 2, 5);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_OUT_OF_ORDER);
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_ping(&rig, 1, 2, 1); /* of a round whose HELLO was lost */
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_OUT_OF_ORDER);
    rig_ping(&rig, 77, 1, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_UNKNOWN_SESSION);
    rig_close(&rig);
}

static void a_lost_jobs_message_costs_no_delivery(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    for (uint64_t round = 1; round < 10; round++) {
        rig_credit(&rig, 1, round, 1, 2);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.items[0].delivery, 1);
        rig_hello(&rig, 1, round + 1, "q", NULL, 0);
        assert_int_equal(rig_counts(&rig).ready, 2);
    }
    rig_close(&rig);
}

static void a_session_may_come_back_on_another_connection(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    struct leat_item_name queue = {leat_str_of("q")};
    struct leat_item_lease lease = rig_lease(1, 1);
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = rig_id('s', 1);
    msg.hello.round = 2;
    msg.hello.queues.items = &queue;
    msg.hello.queues.count = 1;
    msg.hello.leases.items = &lease;
    msg.hello.leases.count = 1;
    rig_tell(&rig, 40, &msg);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_WELCOME)->welcome.refused.count, 0);
    rig_ping(&rig, 1, 2, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_UNKNOWN_SESSION);
    rig_ping(&rig, 40, 2, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_PONG)->pong.number, 1);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_close(&rig);
}

static void
a_lease_of_another_session_can_neither_be_retried_nor_returned_nor_announced(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    struct leat_item_lease lease = rig_lease(1, 1);
    rig_hello(&rig, 2, 1, "q", &lease, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_WELCOME)->welcome.refused.count, 1);
    rig_retry(&rig, 2, 1, 1, 1, 1, 0);
    assert_true(rig_noted(&rig, LEAT_NOTE_LEASE_REFUSED));
    rig_return(&rig, 2, 1, 2, 1, 1);
    assert_true(rig_noted(&rig, LEAT_NOTE_LEASE_REFUSED));
    rig_retry(&rig, 1, 1, 2, 1, 7, 0); /* a delivery that never was */
    assert_true(rig_noted(&rig, LEAT_NOTE_LEASE_REFUSED));
    assert_int_equal(rig_counts(&rig).leased, 1);
    assert_int_equal(rig_counts(&rig).retried_total, 0);
    rig_close(&rig);
}

static void a_worker_that_pings_is_not_lost(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    for (uint64_t number = 1; number < 20; number++) {
        rig_pass_ms(&rig, 2900);
        rig_ping(&rig, 1, 1, number);
    }
    assert_int_equal(rig_counts(&rig).sessions, 1);
    rig_pass_ms(&rig, 3000);
    assert_int_equal(rig_counts(&rig).sessions, 0);
    rig_close(&rig);
}

static void a_wall_clock_that_jumps_loses_no_worker(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig.now.wall.us += 7200 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 2900);
    assert_int_equal(rig_counts(&rig).sessions, 1);
    rig.now.wall.us -= 14400 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 200);
    assert_int_equal(rig_counts(&rig).sessions, 0);
    rig_close(&rig);
}

static void time_in_which_this_process_was_stopped_is_nobodys_silence(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig.now.mono_us += 60 * LEAT_US_PER_S;
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    assert_int_equal(rig_counts(&rig).sessions, 1);
    rig_pass_ms(&rig, 3000);
    assert_int_equal(rig_counts(&rig).sessions, 0);
    rig_close(&rig);
}

static void nothing_is_pushed_where_a_send_failed_until_it_is_heard_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 9);
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE,
                                       .link = LEAT_LINK_PEERS,
                                       .peer = rig_peer(1)});
    rig_submit(&rig, 1, 1, 1, 1);
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_ping(&rig, 1, 1, 2);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_close(&rig);
}

static void a_time_to_push_again_that_has_passed_does_not_stay(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    size_t limit_bytes = rig.out.arena.limit_bytes;
    rig.out.arena.limit_bytes = 0; /* `out` is full */
    rig_credit(&rig, 1, 1, 1, 1);
    rig.out.arena.limit_bytes = limit_bytes;
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_settled(&rig, 1, 1, 1, 1); /* and now there is nothing to push */
    rig_pass_ms(&rig, 10);
    assert_true(leat_ventilator_deadline_us(rig.ventilator) > rig.now.mono_us);
    rig_pass_ms(&rig, 3500);
    assert_int_equal(rig_counts(&rig).sessions, 0);
    rig_close(&rig);
}

static void a_job_whose_result_was_lost_with_the_sinks_store_is_run_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 3);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 3);
    rig_settled(&rig, 1, 1, 1, 1);
    /* The result of j2 is stored, so the worker has forgotten it; j3 runs. The sink's store is lost
     * before it says that j2 is settled, and another sink begins another stream. */
    rig_settled(&rig, 2, 1, 0, 0);
    uint64_t number = 2;
    for (unsigned i = 0; i < 4; i++) {
        rig_pass_ms(&rig, 1000);
        rig_ping(&rig, 1, 1, number++);
        assert_int_equal(rig_count(&rig, LEAT_MSG_ERROR), 0);
    }
    rig_pass_ms(&rig, 1500);
    rig_ping(&rig, 1, 1, number);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_OUT_OF_ORDER);
    struct leat_item_lease lease = rig_lease(3, 1);
    rig_hello(&rig, 1, 2, "q", &lease, 1);
    rig_credit(&rig, 1, 2, 1, 1);
    const struct leat_msg_jobs *jobs = &rig_sent(&rig, LEAT_MSG_JOBS)->jobs;
    assert_int_equal(jobs->jobs.count, 1);
    assert_int_equal(jobs->jobs.items[0].id.bytes[15], 2);
    rig_ping(&rig, 1, 2, 2);
    assert_int_equal(rig_count(&rig, LEAT_MSG_PONG), 1);
    rig_close(&rig);
}

/* A sink that was restored from an older copy of its store may go on in the old stream. What it had
 * stored since the copy is gone, and the worker has dropped it: only a new round can tell. */
static void a_worker_with_an_old_lease_is_asked_what_it_holds(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 2);
    assert_int_equal(rig_counts(&rig).leased, 2);
    uint64_t number = 2;
    for (int64_t ms = 0; ms <= LEAT_AUDIT_MS; ms += 1000) {
        rig_ping(&rig, 1, 1, number++);
        assert_int_equal(rig_count(&rig, LEAT_MSG_ERROR), 0);
        rig_pass_ms(&rig, 1000);
    }
    rig_ping(&rig, 1, 1, number);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_OUT_OF_ORDER);
    struct leat_item_lease lease = rig_lease(2, 1);
    rig_hello(&rig, 1, 2, "q", &lease, 1);
    rig_credit(&rig, 1, 2, 1, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.items[0].id.bytes[15], 1);
    rig_close(&rig);
}

static void goodbye_gives_the_leases_up_without_counting_a_loss(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 3);
    for (unsigned worker = 1; worker <= 6; worker++) {
        rig_hello(&rig, worker, 1, "q", NULL, 0);
        rig_credit(&rig, worker, 1, 1, 9);
        assert_int_equal(rig_counts(&rig).leased, 3);
        rig_goodbye(&rig, worker, 1, 5); /* something before it was lost: it counts all the same */
        assert_int_equal(rig_counts(&rig).ready, 3);
    }
    assert_int_equal(rig_counts(&rig).ending, 0);
    assert_int_equal(rig_counts(&rig).lost_total, 0);
    rig_close(&rig);
}

static void a_lost_worker_with_very_many_leases_is_worked_off_in_bounded_steps(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 4000);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 4000);
    assert_int_equal(rig_counts(&rig).leased, 4000);
    rig.hold = true;
    rig_pass_ms(&rig, 2999);
    rig.now.mono_us += LEAT_US_PER_MS;
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    assert_int_equal(rig_counts(&rig).leased, 4000 - 1024);
    assert_true(leat_ventilator_deadline_us(rig.ventilator) <= rig.now.mono_us);
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).leased, 0);
    assert_int_equal(rig_counts(&rig).ready, 4000);
    rig_close(&rig);
}

static void more_ready_jobs_than_a_window_holds_all_come_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig.hold = true;
    for (unsigned batch = 0; batch < 3; batch++) {
        rig_submit(&rig, 1, batch + 1, 1 + 3000 * batch, 3000);
    }
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    unsigned next = 1;
    for (uint64_t number = 1; number <= 9; number++) {
        rig_credit(&rig, 1, 1, number, number * 1000);
        for (size_t i = 0; i < rig.out.count; i++) {
            const struct leat_action *action = &rig.out.actions[i];
            if (action->kind != LEAT_ACTION_SEND || action->msg.type != LEAT_MSG_JOBS) {
                continue;
            }
            for (size_t j = 0; j < action->msg.jobs.jobs.count; j++) {
                struct leat_id expected = rig_id('j', next++);
                assert_true(leat_id_equal(&action->msg.jobs.jobs.items[j].id, &expected));
            }
        }
    }
    assert_int_equal(next, 9001);
    rig_hello(&rig, 1, 2, "q", NULL, 0); /* all 9000 come back, far more than a window */
    assert_int_equal(rig_counts(&rig).ready, 9000);
    rig_credit(&rig, 1, 2, 1, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.items[0].id.bytes[15], 1);
    rig_close(&rig);
}

static void a_bad_hello_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 0, "q", NULL, 0);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    rig_hello(&rig, 1, 1, "", NULL, 0);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    rig_hello(&rig, 1, 1, "a b", NULL, 0);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    assert_int_equal(rig_counts(&rig).sessions, 0);
    rig_close(&rig);
}

static void sigterm_says_goodbye_to_all_and_ends_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_hello(&rig, 2, 1, "q", NULL, 0);
    rig.trace_size = 0;
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_STOP});
    rig_submit(&rig, 1, 2, 2, 1);
    rig_expect_trace(&rig, "  w1 <- GOODBYE\n"
                           "  w2 <- GOODBYE\n"
                           "  * stopped - 0\n"
                           "  exit 0\n");
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_STOP});
    rig_expect_trace(&rig, "  exit 0\n");
    rig_close(&rig);
}

static void gauges_tell_what_there_is_once_a_second_while_the_sink_is_heard(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[] = {rig_job(1, "a", "x"), rig_job(2, "a", "y"),
                                          rig_job(3, "b", "x")};
    jobs[1].not_before_ms = rig.now.wall.us / LEAT_US_PER_MS + 60000;
    rig_submit_jobs(&rig, 1, 1, jobs, 3);
    rig_hello(&rig, 1, 1, "b", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 5);
    rig_pass_ms(&rig, 1500);
    assert_int_equal(rig_count(&rig, LEAT_MSG_GAUGES), 0);
    rig_settled(&rig, 1, 1, 0, 0);
    rig_pass_ms(&rig, 500);
    const struct leat_msg_gauges *gauges = &rig_sent(&rig, LEAT_MSG_GAUGES)->gauges;
    assert_int_equal(gauges->jobs, 3);
    assert_int_equal(gauges->queues.count, 2);
    const struct leat_item_queue_gauge *a = &gauges->queues.items[0];
    assert_memory_equal(a->queue.data, "a", 1);
    assert_int_equal(a->ready, 1);
    assert_int_equal(a->scheduled, 1);
    assert_int_equal(a->oldest_ready_ms, 2000);
    assert_int_equal(gauges->queues.items[1].leased, 1);
    assert_int_equal(gauges->workers.count, 1);
    assert_int_equal(gauges->workers.items[0].leased, 1);
    assert_int_equal(gauges->workers.items[0].silent_ms, 2000);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_leave_a_queue_in_the_order_of_acceptance_over_all_types),
        cmocka_unit_test(a_type_without_tokens_lets_the_others_pass),
        cmocka_unit_test(queues_take_turns_however_full_one_of_them_is),
        cmocka_unit_test(workers_share_evenly_and_each_gets_one_message),
        cmocka_unit_test(a_message_of_jobs_is_closed_at_its_limits),
        cmocka_unit_test(few_jobs_may_be_more_bytes_than_many),
        cmocka_unit_test(repeated_messages_and_those_of_older_rounds_are_ignored),
        cmocka_unit_test(a_gap_asks_for_a_new_round_and_nothing_behind_it_counts),
        cmocka_unit_test(a_lost_jobs_message_costs_no_delivery),
        cmocka_unit_test(a_session_may_come_back_on_another_connection),
        cmocka_unit_test(
            a_lease_of_another_session_can_neither_be_retried_nor_returned_nor_announced),
        cmocka_unit_test(a_worker_that_pings_is_not_lost),
        cmocka_unit_test(a_wall_clock_that_jumps_loses_no_worker),
        cmocka_unit_test(time_in_which_this_process_was_stopped_is_nobodys_silence),
        cmocka_unit_test(nothing_is_pushed_where_a_send_failed_until_it_is_heard_again),
        cmocka_unit_test(a_time_to_push_again_that_has_passed_does_not_stay),
        cmocka_unit_test(a_job_whose_result_was_lost_with_the_sinks_store_is_run_again),
        cmocka_unit_test(a_worker_with_an_old_lease_is_asked_what_it_holds),
        cmocka_unit_test(goodbye_gives_the_leases_up_without_counting_a_loss),
        cmocka_unit_test(a_lost_worker_with_very_many_leases_is_worked_off_in_bounded_steps),
        cmocka_unit_test(more_ready_jobs_than_a_window_holds_all_come_in_order),
        cmocka_unit_test(a_bad_hello_is_refused),
        cmocka_unit_test(sigterm_says_goodbye_to_all_and_ends_at_once),
        cmocka_unit_test(gauges_tell_what_there_is_once_a_second_while_the_sink_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
