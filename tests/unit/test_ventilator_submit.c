/* SUBMIT, times, settling, and what people ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ventilator_rig.h"

static int64_t wall_ms(const struct rig *rig)
{
    return rig->now.wall.us / LEAT_US_PER_MS;
}

static void a_job_that_can_never_be_accepted_rejects_the_whole_batch(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    static char large[LEAT_PAYLOAD_BYTES_DEFAULT + LEAT_BODY_OVERHEAD_BYTES + 1];
    struct leat_item_submission bad[] = {
        rig_job(2, "bad name", "t"), rig_job(2, "", "t"),  rig_job(2, "q", "ty/pe"),
        rig_job(2, "q", "t"),        rig_job(2, "q", "t"),
    };
    bad[3].body = leat_bytes_of(large, sizeof large);
    bad[4].id = (struct leat_id){{0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct leat_item_submission jobs[2] = {rig_job(1, "q", "t"), bad[i]};
        rig_submit_jobs(&rig, 1, 1, jobs, 2);
        const struct leat_msg_rejected *rejected = &rig_sent(&rig, LEAT_MSG_REJECTED)->rejected;
        assert_int_equal(rejected->batch, 1);
        assert_memory_equal(rejected->text.data, "job 2 (", 7);
        assert_int_equal(rig_counts(&rig).jobs, 0);
    }
    rig_submit(&rig, 1, 1, 1, 1); /* its number was not used up */
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.batch, 1);
    rig_close(&rig);
}

static void a_job_twice_in_a_batch_or_settled_lately_is_known(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission twice[] = {rig_job(1, "q", "t"), rig_job(1, "q", "t")};
    rig_submit_jobs(&rig, 1, 1, twice, 2);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.known, 1);
    rig_settled(&rig, 1, 1, 1, 1);
    rig_submit(&rig, 2, 1, 1, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.known, 1);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    rig_close(&rig);
}

static void a_settled_id_is_forgotten_after_its_time_also_over_a_restart(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig.config.dedupe_ms = 10000;
    rig_boot(&rig);
    rig_submit(&rig, 1, 1, 1, 300);
    rig_settled(&rig, 1, 1, 1, 280);
    rig_restart(&rig);
    assert_int_equal(rig_counts(&rig).remembered, 280);
    rig_pass_ms(&rig, 9000);
    rig_settled(&rig, 1, 281, 281, 1);
    assert_int_equal(rig_counts(&rig).remembered, 281);
    rig_pass_ms(&rig, 1500);
    assert_int_equal(rig_counts(&rig).remembered, 1);
    rig_submit(&rig, 2, 1, 1, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ACCEPTED)->accepted.known, 0);
    rig_close(&rig);
}

static void no_more_settled_ids_are_remembered_than_allowed(void **state)
{
    (void)state;
    struct rig rig;
    rig_begin(&rig);
    rig.config.dedupe_max = 100;
    rig_boot(&rig);
    rig_submit(&rig, 1, 1, 1, 200);
    for (unsigned i = 0; i < 20; i++) {
        rig_settled(&rig, 1, 1 + 10 * i, 1 + 10 * i, 10);
    }
    rig_pass_ms(&rig, 100);
    assert_int_equal(rig_counts(&rig).remembered, 100);
    rig_close(&rig);
}

static void the_same_settled_ids_again_and_gaps_change_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 5);
    rig_settled(&rig, 1, 1, 1, 2);
    rig_settled(&rig, 1, 1, 1, 2);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOLLOW)->follow.settled, 2);
    rig_settled(&rig, 1, 4, 4, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOLLOW)->follow.settled, 2);
    assert_int_equal(rig_counts(&rig).jobs, 3);
    rig_settled(&rig, 1, 2, 2, 2); /* 2 was seen, 3 was not */
    assert_int_equal(rig_counts(&rig).jobs, 2);
    assert_int_equal(rig_counts(&rig).settled, 3);
    rig_close(&rig);
}

static void another_stream_is_taken_from_its_first_number_only(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 4);
    rig_settled(&rig, 1, 1, 1, 2);
    rig_settled(&rig, 2, 3, 3, 1);
    assert_int_equal(rig_counts(&rig).jobs, 2);
    rig_settled(&rig, 2, 1, 3, 1);
    assert_int_equal(rig_counts(&rig).jobs, 1);
    struct leat_id stream = rig_id('t', 2);
    assert_true(leat_id_equal(&rig_sent(&rig, LEAT_MSG_FOLLOW)->follow.stream, &stream));
    rig_restart(&rig);
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    assert_true(leat_id_equal(&rig_sent(&rig, LEAT_MSG_FOLLOW)->follow.stream, &stream));
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOLLOW)->follow.settled, 1);
    rig_close(&rig);
}

static void a_job_is_pushed_at_its_not_before_and_not_earlier(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 9);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.not_before_ms = wall_ms(&rig) + 1500;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    assert_int_equal(rig_counts(&rig).scheduled, 1);
    rig_pass_ms(&rig, 1499);
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_close(&rig);
}

static void a_not_before_follows_the_wall_clock(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.not_before_ms = wall_ms(&rig) + 3600 * 1000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    rig.now.wall.us += 3600 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 1000);
    assert_int_equal(rig_counts(&rig).ready, 1);
    rig_close(&rig);
}

static void a_job_that_nobody_took_ends_as_expired_and_the_sink_is_told(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.expires_at_ms = wall_ms(&rig) + 1000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    rig_pass_ms(&rig, 999);
    assert_int_equal(rig_counts(&rig).ready, 1);
    rig.now.mono_us += LEAT_US_PER_MS;
    rig.now.wall.us += LEAT_US_PER_MS;
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    const struct leat_item_result *result =
        &rig_sent(&rig, LEAT_MSG_RESULTS)->results.results.items[0];
    assert_int_equal(result->status, LEAT_STATE_EXPIRED);
    assert_int_equal(result->failure, LEAT_FAILURE_EXPIRED);
    assert_int_equal(result->attempts, 0);
    assert_int_equal(result->body.size, 6);
    assert_int_equal(rig_counts(&rig).ending, 1);
    rig_restart(&rig);
    assert_int_equal(rig_counts(&rig).ending, 1);
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
    assert_int_equal(rig_count(&rig, LEAT_MSG_RESULTS), 1);
    rig_close(&rig);
}

static void a_job_that_expires_while_it_runs_may_finish_but_is_not_run_again(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct rig rig;
        rig_open(&rig);
        struct leat_item_submission job = rig_job(1, "q", "t");
        job.expires_at_ms = wall_ms(&rig) + 1000;
        rig_submit_jobs(&rig, 1, 1, &job, 1);
        rig_hello(&rig, 1, 1, "q", NULL, 0);
        rig_credit(&rig, 1, 1, 1, 9);
        rig_pass_ms(&rig, 2000);
        assert_int_equal(rig_counts(&rig).leased, 1);
        if (how == 0) {
            rig_retry(&rig, 1, 1, 2, 1, 1, 50);
        } else if (how == 1) {
            rig_return(&rig, 1, 1, 2, 1, 1);
        } else if (how == 2) {
            rig_pass_ms(&rig, 1500);
        } else {
            rig_restart(&rig); /* and nobody announces it while the grace lasts */
            rig_pass_ms(&rig, 1900);
            assert_int_equal(rig_counts(&rig).ready, 1);
            rig_pass_ms(&rig, 200);
        }
        assert_int_equal(rig_counts(&rig).ending, 1);
        assert_int_equal(rig_counts(&rig).jobs, 1);
        rig_close(&rig);
    }
}

static void a_job_that_expires_while_it_runs_is_left_to_its_worker_over_a_restart(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.expires_at_ms = wall_ms(&rig) + 1000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 9);
    rig_pass_ms(&rig, 2000);
    rig_restart(&rig);
    rig_pass_ms(&rig, 1000);
    struct leat_item_lease lease = rig_lease(1, 1);
    rig_hello(&rig, 1, 2, "q", &lease, 1);
    rig_pass_ms(&rig, 2000);
    assert_int_equal(rig_counts(&rig).leased, 1);
    rig_close(&rig);
}

static void an_expiry_is_watched_however_the_wall_clock_jumps(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.expires_at_ms = wall_ms(&rig) + 1000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    rig_say(&rig, "its time passes while it runs, then the clock is set back");
    rig_pass_ms(&rig, 1500);
    rig.now.wall.us -= 3600 * LEAT_US_PER_S;
    rig_return(&rig, 1, 1, 2, 1, 1);
    assert_int_equal(rig_counts(&rig).ready, 1);
    rig_say(&rig, "one that expires sooner than what was looked at before");
    struct leat_item_submission sooner = rig_job(2, "other", "t");
    sooner.expires_at_ms = wall_ms(&rig) + 500;
    rig_submit_jobs(&rig, 1, 2, &sooner, 1);
    rig_pass_ms(&rig, 600);
    assert_int_equal(rig_counts(&rig).expired_total, 1);
    rig.now.wall.us += 3600 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 1000); /* a jump is seen with the next tick, and there is one each second */
    assert_int_equal(rig_counts(&rig).expired_total, 2);
    rig_close(&rig);
}

static void
a_job_that_expired_while_it_ran_is_watched_again_after_clock_and_process_went_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.expires_at_ms = wall_ms(&rig) + 1000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    rig_pass_ms(&rig, 1500);
    rig.now.wall.us -= 10 * LEAT_US_PER_S;
    rig_restart(&rig);
    rig_pass_ms(&rig, 9000);
    assert_int_equal(rig_counts(&rig).ready, 1);
    rig_pass_ms(&rig, 1000);
    assert_int_equal(rig_counts(&rig).ending, 1);
    rig_close(&rig);
}

static void a_clock_set_back_over_a_restart_stalls_no_retry(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    rig_retry(&rig, 1, 1, 2, 1, 1, 5000);
    rig.now.wall.us -= 3600 * LEAT_US_PER_S;
    rig_restart(&rig);
    rig_pass_ms(&rig, 4900);
    assert_int_equal(rig_counts(&rig).retrying, 1);
    rig_pass_ms(&rig, 200);
    assert_int_equal(rig_counts(&rig).ready, 1);
    rig_close(&rig);
}

static void large_bodies_come_back_as_they_were_submitted(void **state)
{
    (void)state;
    struct rig rig;
    static const size_t sizes[] = {0,
                                   1,
                                   LEAT_VENTILATOR_INLINE_BYTES - 1,
                                   LEAT_VENTILATOR_INLINE_BYTES,
                                   LEAT_VENTILATOR_INLINE_BYTES + 1,
                                   LEAT_STORE_LARGE_BYTES - 1,
                                   LEAT_STORE_LARGE_BYTES,
                                   65535,
                                   65536,
                                   900000};
    size_t count = sizeof sizes / sizeof sizes[0];
    char *bytes = malloc(900000);
    for (size_t i = 0; i < 900000; i++) {
        bytes[i] = (char)(i * 7);
    }
    rig_open(&rig);
    for (unsigned i = 0; i < count; i++) {
        struct leat_item_submission job = rig_job(i + 1, "q", "t");
        job.body = leat_bytes_of(bytes, sizes[i]);
        rig_submit_jobs(&rig, 1, i + 1, &job, 1);
    }
    rig_restart(&rig);
    rig_pass_ms(&rig, 2100);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    for (unsigned i = 0; i < count; i++) {
        const struct leat_item_delivery *job = &rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.items[0];
        assert_int_equal(job->body.size, sizes[i]);
        assert_true(sizes[i] == 0 || memcmp(job->body.data, bytes, sizes[i]) == 0);
        rig_credit(&rig, 1, 1, i + 2, i + 2);
    }
    rig_settled(&rig, 1, 1, 1, (unsigned)count);
    assert_int_equal(rig_counts(&rig).bytes, 0);
    assert_int_equal(leat_store_count(rig.store, LEAT_VENTILATOR_TABLE_BODIES), 0);
    free(bytes);
    rig_close(&rig);
}

static void a_producer_is_forgotten_after_a_day_of_idleness(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    rig_pass_ms(&rig, 3000);
    assert_int_equal(rig_counts(&rig).producers, 1);
    rig.now.mono_us += 25 * 3600 * LEAT_US_PER_S;
    rig_pass_ms(&rig, 2000);
    assert_int_equal(rig_counts(&rig).producers, 0);
    rig_submit(&rig, 1, 2, 2, 1);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_RESEND)->resend.batch, 1);
    rig_close(&rig);
}

static void many_more_pairs_of_queue_and_type_than_lanes_come_and_go(void **state)
{
    (void)state;
    struct rig rig;
    char names[16][16];
    struct leat_item_submission jobs[16];
    rig_open(&rig);
    rig.hold = true; /* for speed */
    for (unsigned batch = 0; batch < LEAT_LANES_MAX / 16; batch++) {
        for (unsigned i = 0; i < 16; i++) {
            snprintf(names[i], sizeof names[i], "q%u", batch * 16 + i);
            jobs[i] = rig_job(batch * 16 + i + 1, names[i], "t");
        }
        struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
        msg.submit.producer = rig_id('p', 1);
        msg.submit.batch = batch + 1;
        msg.submit.jobs.items = jobs;
        msg.submit.jobs.count = 16;
        struct leat_event event = {.kind = LEAT_EVENT_MESSAGE,
                                   .now = rig.now,
                                   .link = LEAT_LINK_PEERS,
                                   .peer = rig_peer(1),
                                   .msg = &msg};
        leat_out_clear(&rig.out);
        leat_ventilator_step(rig.ventilator, &event, &rig.out);
        assert_int_equal(rig_count(&rig, LEAT_MSG_ACCEPTED), 1);
    }
    rig.hold = false;
    struct leat_item_submission more[] = {rig_job(9001, "x", "t"), rig_job(9002, "y", "t")};
    rig_submit_jobs(&rig, 2, 1, more, 2);
    assert_int_equal(rig_count(&rig, LEAT_MSG_BUSY), 1);
    rig_settled(&rig, 1, 1, 1, 1); /* one lane is empty now, and two are needed */
    rig_submit_jobs(&rig, 2, 1, more, 2);
    assert_int_equal(rig_count(&rig, LEAT_MSG_BUSY), 1);
    rig_settled(&rig, 1, 2, 2, 1);
    rig_submit_jobs(&rig, 2, 1, more, 2);
    assert_int_equal(rig_count(&rig, LEAT_MSG_ACCEPTED), 1);
    rig_settled(&rig, 1, 3, 3, LEAT_LANES_MAX - 2);
    rig_restart(&rig);
    assert_int_equal(leat_ventilator_queue_count(rig.ventilator), 2);
    rig_close(&rig);
}

static void lookup_tells_where_a_job_is(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[] = {rig_job(1, "q", "t"), rig_job(2, "q", "t"),
                                          rig_job(3, "q", "t")};
    jobs[2].not_before_ms = wall_ms(&rig) + 5000;
    rig_submit_jobs(&rig, 1, 1, jobs, 3);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 1);
    static const uint64_t states[] = {LEAT_STATE_LEASED, LEAT_STATE_READY, LEAT_STATE_SCHEDULED,
                                      LEAT_STATE_NONE};
    for (unsigned i = 0; i < 4; i++) {
        struct leat_msg msg = {.type = LEAT_MSG_LOOKUP};
        msg.lookup.ref = 7 + i;
        msg.lookup.id = rig_id('j', i + 1);
        rig_tell(&rig, 50, &msg);
        const struct leat_msg_found *found = &rig_sent(&rig, LEAT_MSG_FOUND)->found;
        assert_int_equal(found->ref, 7 + i);
        assert_int_equal(found->state, states[i]);
        assert_int_equal(found->due_ms, i == 2 ? jobs[2].not_before_ms : 0);
        assert_int_equal(found->worker.size, i == 0 ? 6 : 0);
    }
    rig_close(&rig);
}

static void what_is_not_for_the_ventilator_is_answered_with_an_error_and_counted(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    static const enum leat_msg_type wrong[] = {LEAT_MSG_WELCOME, LEAT_MSG_RESULTS, LEAT_MSG_SETTLED,
                                               LEAT_MSG_RUN, LEAT_MSG_QUERY};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct leat_msg msg = {.type = wrong[i]};
        rig_tell(&rig, 9, &msg);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_STATE);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.type, wrong[i]);
        assert_int_equal(rig_counts(&rig).malformed_total, i + 1);
    }
    rig_feed(&rig, (struct leat_event){.kind = LEAT_EVENT_MALFORMED,
                                       .link = LEAT_LINK_PEERS,
                                       .peer = rig_peer(9),
                                       .error = LEAT_ERR_VERSION,
                                       .why = "version 9"});
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_VERSION);
    struct leat_msg error = {.type = LEAT_MSG_ERROR};
    rig_tell(&rig, 9, &error); /* an answer would begin an endless talk */
    assert_int_equal(rig_count(&rig, LEAT_MSG_ERROR), 0);
    rig_control(&rig, "dance", "");
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    rig_control(&rig, "pause", "no such/name");
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    struct leat_msg submit = {.type = LEAT_MSG_SUBMIT};
    rig_tell(&rig, 9, &submit);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_INVALID);
    rig_close(&rig);
}

static void a_damaged_record_ends_its_job_as_failed_and_harms_no_other(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 3);
    static const uint8_t key[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'j', 0,
                                  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   2};
    struct leat_bytes value, row = leat_bytes_of(key, sizeof key);
    assert_int_equal(leat_store_get(rig.store, LEAT_VENTILATOR_TABLE_READY, row, &value), LEAT_OK);
    uint8_t damaged[256];
    memcpy(damaged, value.data, value.size);
    damaged[value.size - 1] ^= 4;
    leat_store_put(rig.store, LEAT_VENTILATOR_TABLE_READY, row, leat_bytes_of(damaged, value.size));
    rig_commit(&rig);
    rig_restart(&rig); /* what it knows of the rows is gone */
    rig_pass_ms(&rig, 2000);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 9);
    assert_true(rig_noted(&rig, LEAT_NOTE_RECORD_DAMAGED));
    const struct leat_msg_jobs *jobs = &rig_sent(&rig, LEAT_MSG_JOBS)->jobs;
    assert_int_equal(jobs->jobs.count, 2);
    assert_int_equal(jobs->jobs.items[1].id.bytes[15], 3);
    const struct leat_msg_results *results = &rig_sent(&rig, LEAT_MSG_RESULTS)->results;
    assert_int_equal(results->results.items[0].id.bytes[15], 2);
    assert_int_equal(results->results.items[0].failure, LEAT_FAILURE_MALFORMED);
    rig_close(&rig);
}

static void a_store_that_cannot_be_read_ends_the_process_with_its_own_status(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    leat_store_memory_fail(rig.store);
    leat_store_put(rig.store, 0, leat_bytes_of("k", 1), leat_bytes_of("v", 1));
    leat_store_seal(rig.store);
    assert_int_equal(leat_store_advance(rig.store, NULL), LEAT_ERR_IO);
    rig.hold = true;
    struct leat_item_submission job = rig_job(2, "q", "t");
    rig_submit_jobs(&rig, 1, 2, &job, 1);
    assert_int_equal(rig.out.actions[rig.out.count - 1].kind, LEAT_ACTION_EXIT);
    assert_int_equal(rig.out.actions[rig.out.count - 1].exit_status, LEAT_VENTILATOR_EXIT_STORE);
    assert_int_equal(rig_count(&rig, LEAT_MSG_ACCEPTED), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_that_can_never_be_accepted_rejects_the_whole_batch),
        cmocka_unit_test(a_job_twice_in_a_batch_or_settled_lately_is_known),
        cmocka_unit_test(a_settled_id_is_forgotten_after_its_time_also_over_a_restart),
        cmocka_unit_test(no_more_settled_ids_are_remembered_than_allowed),
        cmocka_unit_test(the_same_settled_ids_again_and_gaps_change_nothing),
        cmocka_unit_test(another_stream_is_taken_from_its_first_number_only),
        cmocka_unit_test(a_job_is_pushed_at_its_not_before_and_not_earlier),
        cmocka_unit_test(a_not_before_follows_the_wall_clock),
        cmocka_unit_test(a_job_that_nobody_took_ends_as_expired_and_the_sink_is_told),
        cmocka_unit_test(a_job_that_expires_while_it_runs_may_finish_but_is_not_run_again),
        cmocka_unit_test(a_job_that_expires_while_it_runs_is_left_to_its_worker_over_a_restart),
        cmocka_unit_test(an_expiry_is_watched_however_the_wall_clock_jumps),
        cmocka_unit_test(
            a_job_that_expired_while_it_ran_is_watched_again_after_clock_and_process_went_back),
        cmocka_unit_test(a_clock_set_back_over_a_restart_stalls_no_retry),
        cmocka_unit_test(large_bodies_come_back_as_they_were_submitted),
        cmocka_unit_test(a_producer_is_forgotten_after_a_day_of_idleness),
        cmocka_unit_test(many_more_pairs_of_queue_and_type_than_lanes_come_and_go),
        cmocka_unit_test(lookup_tells_where_a_job_is),
        cmocka_unit_test(what_is_not_for_the_ventilator_is_answered_with_an_error_and_counted),
        cmocka_unit_test(a_damaged_record_ends_its_job_as_failed_and_harms_no_other),
        cmocka_unit_test(a_store_that_cannot_be_read_ends_the_process_with_its_own_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
