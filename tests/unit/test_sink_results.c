/* What the sink does with results: the first one wins, and it says STORED. */
#include "tests/unit/sink_rig.h"

/* The kept result of a job, or fails. */
static struct leat_item_result kept(struct rig *rig, unsigned number, bool whole,
                                    struct leat_arena *arena)
{
    struct leat_item_result result;
    struct leat_id id = rig_id(number);
    assert_int_equal(leat_sink_store_read(rig->typed, &id, whole, arena, &result), LEAT_OK);
    return result;
}

static void a_result_is_recorded_and_its_batch_is_stored(void **state)
{
    struct rig *rig = *state;
    struct leat_arena arena;
    struct leat_item_header header = {leat_str_of("trace"), leat_str_of("abc")};
    struct leat_item_result sent = rig_failure(1);
    sent.headers.items = &header;
    sent.headers.count = 1;
    rig_results(rig, 41, &sent, 1);

    const struct leat_msg *stored = rig_reply(rig, LEAT_MSG_STORED);
    assert_non_null(stored);
    assert_int_equal(stored->stored.batch, 41);
    struct leat_id sender = rig_id(999999);
    assert_true(leat_id_equal(&stored->stored.sender, &sender));
    assert_true(leat_store_is_dirty(rig->store));

    leat_arena_init(&arena, 1 << 20);
    struct leat_item_result got = kept(rig, 1, true, &arena);
    assert_int_equal(got.status, LEAT_STATE_FAILED);
    assert_int_equal(got.failure, LEAT_FAILURE_TIMEOUT);
    assert_true(leat_str_equal(got.error, sent.error));
    assert_int_equal(got.body.size, 4);
    assert_int_equal(got.headers.count, 1);
    assert_true(leat_str_equal(got.headers.items[0].value, header.value));
    leat_arena_fini(&arena);
    rig_check(rig);
}

static void the_first_result_of_a_job_wins(void **state)
{
    struct rig *rig = *state;
    struct leat_arena arena;
    struct leat_item_result first = rig_success(1);
    struct leat_item_result later = rig_failure(1);
    rig_results(rig, 1, &first, 1);
    rig_results(rig, 2, &later, 1);

    assert_non_null(rig_reply(rig, LEAT_MSG_STORED));
    assert_true(rig_noted(rig, LEAT_NOTE_RESULT_DUPLICATE));
    assert_int_equal(leat_sink_info(rig->sink).duplicate_total, 1);
    assert_int_equal(leat_sink_info(rig->sink).successes, 1);
    assert_int_equal(leat_sink_info(rig->sink).failures, 0);
    leat_arena_init(&arena, 1 << 20);
    assert_int_equal(kept(rig, 1, false, &arena).status, LEAT_STATE_SUCCEEDED);
    leat_arena_fini(&arena);
    rig_check(rig);
}

static void the_first_of_two_results_in_one_batch_wins(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result both[] = {rig_success(1), rig_failure(1)};
    rig_results(rig, 1, both, 2);
    assert_int_equal(leat_sink_info(rig->sink).successes, 1);
    assert_int_equal(leat_sink_info(rig->sink).failures, 0);
    assert_int_equal(leat_sink_info(rig->sink).last, 1);
    rig_check(rig);
}

static void metrics_and_subscribers_hear_only_of_first_results(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_failure(2), rig_failure(1)};
    items[0].accepted_us = rig->now.wall.us - 5000;
    rig_results(rig, 1, items, 3);

    const struct leat_action *batch = rig_sent(rig, LEAT_LINK_METRICS, LEAT_MSG_FINISHED, 0);
    assert_non_null(batch);
    assert_int_equal(batch->msg.finished.jobs.count, 2);
    assert_int_equal(batch->msg.finished.jobs.items[0].total_us, 5000);
    assert_int_equal(batch->msg.finished.jobs.items[1].failure, LEAT_FAILURE_TIMEOUT);
    const struct leat_action *event = rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, 0);
    assert_non_null(event);
    assert_int_equal(event->msg.finished.jobs.count, 2);
    assert_null(rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, 1));

    rig_results(rig, 2, items, 3);
    assert_null(rig_sent(rig, LEAT_LINK_METRICS, LEAT_MSG_FINISHED, 0));
}

/* A commit that frees ten thousand results must not be ten thousand messages to a subscriber. */
static void
an_event_holds_neighbours_of_one_queue_and_no_more_than_a_subscriber_is_told(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[LEAT_EVENT_JOBS_MAX + 6];
    static const struct {
        const char *queue;
        unsigned first, count;
    } expected[] = {
        {"mail", 0, LEAT_EVENT_JOBS_MAX},
        {"mail", LEAT_EVENT_JOBS_MAX, 3},
        {"news", LEAT_EVENT_JOBS_MAX + 3, 2},
        {"mail", LEAT_EVENT_JOBS_MAX + 5, 1},
    };
    for (unsigned i = 0; i < sizeof items / sizeof *items; i++) {
        items[i] = rig_success(i + 1);
    }
    items[LEAT_EVENT_JOBS_MAX + 3].queue = leat_str_of("news");
    items[LEAT_EVENT_JOBS_MAX + 4].queue = leat_str_of("news");
    rig_results(rig, 1, items, sizeof items / sizeof *items);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct leat_action *sent = rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, i);
        assert_non_null(sent);
        const struct leat_msg_finished *event = &sent->msg.finished;
        assert_int_equal(event->jobs.count, expected[i].count);
        for (size_t j = 0; j < event->jobs.count; j++) {
            const struct leat_item_ended *job = &event->jobs.items[j];
            assert_true(leat_id_equal(&job->id, &items[expected[i].first + j].id));
            assert_true(leat_str_equal(job->queue, leat_str_of(expected[i].queue)));
        }
    }
    assert_null(
        rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, sizeof expected / sizeof *expected));
}

static void nothing_is_published_while_nobody_listens(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_success(2)};
    leat_sink_publish(rig->sink, false);
    rig_results(rig, 1, &items[0], 1);
    assert_non_null(rig_sent(rig, LEAT_LINK_METRICS, LEAT_MSG_FINISHED, 0));
    assert_null(rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, 0));
    leat_sink_publish(rig->sink, true);
    rig_results(rig, 2, &items[1], 1);
    assert_non_null(rig_sent(rig, LEAT_LINK_EVENTS, LEAT_MSG_FINISHED, 0));
}

static void time_from_accepted_to_stored_is_never_negative(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result result = rig_success(1);
    result.accepted_us = rig->now.wall.us + 99 * LEAT_US_PER_S;
    rig_results(rig, 1, &result, 1);
    const struct leat_action *batch = rig_sent(rig, LEAT_LINK_METRICS, LEAT_MSG_FINISHED, 0);
    assert_int_equal(batch->msg.finished.jobs.items[0].total_us, 0);
}

static void results_that_cannot_be_are_refused_and_nothing_of_the_batch_is_kept(void **state)
{
    struct rig *rig = *state;
    static const char long_name[66] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static char long_error[LEAT_ERROR_BYTES_MAX + 1];
    memset(long_error, 'e', sizeof long_error);
    struct {
        const char *what;
        uint64_t status, failure;
        struct leat_str queue, type, error;
        bool zero_id;
        enum leat_err code;
    } cases[] = {
        {"state that is not final", 3, 0, {"q", 1}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"no such state", 99, 0, {"q", 1}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"succeeded with a failure", 4, 3, {"q", 1}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"failed without one", 5, 0, {"q", 1}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"no such failure", 5, 200, {"q", 1}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"empty queue", 4, 0, {"", 0}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"queue with a space", 4, 0, {"a b", 3}, {"t", 1}, {0}, false, LEAT_ERR_INVALID},
        {"long type", 4, 0, {"q", 1}, {long_name, 65}, {0}, false, LEAT_ERR_LIMIT},
        {"long error",
         5,
         1,
         {"q", 1},
         {"t", 1},
         {long_error, sizeof long_error},
         false,
         LEAT_ERR_LIMIT},
        {"zero id", 4, 0, {"q", 1}, {"t", 1}, {0}, true, LEAT_ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leat_item_result items[] = {rig_success(1), rig_success(2)};
        items[1].status = cases[i].status;
        items[1].failure = cases[i].failure;
        items[1].queue = cases[i].queue;
        items[1].type = cases[i].type;
        items[1].error = cases[i].error;
        if (cases[i].zero_id) {
            memset(&items[1].id, 0, sizeof items[1].id);
        }
        rig_results(rig, 77, items, 2);
        const struct leat_msg *error = rig_reply(rig, LEAT_MSG_ERROR);
        if (error == NULL || error->error.code != cases[i].code || error->error.ref != 77 ||
            error->error.type != LEAT_MSG_RESULTS || rig_reply(rig, LEAT_MSG_STORED) != NULL) {
            fail_msg("%s: not refused as it should be", cases[i].what);
        }
        assert_int_equal(leat_sink_info(rig->sink).last, 0);
    }
}

static void expired_and_cancelled_jobs_are_kept_with_the_failures(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_failure(1), rig_failure(2)};
    items[0].status = LEAT_STATE_EXPIRED;
    items[0].failure = LEAT_FAILURE_EXPIRED;
    items[1].status = LEAT_STATE_CANCELLED;
    items[1].failure = LEAT_FAILURE_NONE;
    rig_results(rig, 1, items, 2);
    assert_non_null(rig_reply(rig, LEAT_MSG_STORED));
    assert_int_equal(leat_sink_info(rig->sink).failures, 2);
    rig_check(rig);
}

static void a_full_store_answers_busy_keeps_nothing_and_goes_on_settling(void **state)
{
    struct rig *rig = *state;
    rig_record(rig, 1);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = true});
    assert_true(rig_noted(rig, LEAT_NOTE_STORE_FULL));

    rig_record(rig, 2);
    const struct leat_msg *busy = rig_reply(rig, LEAT_MSG_BUSY);
    assert_non_null(busy);
    assert_int_equal(busy->busy.batch, 2);
    assert_true(busy->busy.retry_after_ms > 0);
    assert_null(rig_reply(rig, LEAT_MSG_STORED));
    assert_int_equal(leat_sink_info(rig->sink).successes, 1);

    rig_confirm(rig, 9, 0);
    assert_int_equal(rig_reply(rig, LEAT_MSG_SETTLED)->settled.jobs.count, 1);
    rig_confirm(rig, 9, 1);
    assert_int_equal(leat_sink_info(rig->sink).confirmed, 1);

    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_SPACE, .store_full = false});
    rig_record(rig, 2);
    assert_non_null(rig_reply(rig, LEAT_MSG_STORED));
}

static void a_damaged_result_is_neither_replaced_nor_served(void **state)
{
    struct rig *rig = *state;
    struct leat_id id = rig_id(1);
    struct leat_bytes key = leat_bytes_of(id.bytes, LEAT_ID_BYTES);
    struct leat_bytes value;
    uint8_t copy[512];
    rig_record(rig, 1);
    assert_int_equal(leat_store_get(rig->store, LEAT_SINK_TABLE_RESULTS, key, &value), LEAT_OK);
    size_t size = value.size;
    assert_true(size < sizeof copy);
    memcpy(copy, value.data, size);
    copy[size / 2] ^= 1;
    leat_store_put(rig->store, LEAT_SINK_TABLE_RESULTS, key, leat_bytes_of(copy, size));

    struct leat_item_result later = rig_failure(1);
    rig_results(rig, 2, &later, 1);
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_DAMAGED));
    assert_non_null(rig_reply(rig, LEAT_MSG_STORED));
    assert_int_equal(leat_sink_info(rig->sink).failures, 0);
    assert_int_equal(leat_sink_info(rig->sink).last, 2); /* settled again all the same */

    struct leat_item_job_id asked = {id};
    struct leat_msg query = {.type = LEAT_MSG_QUERY};
    query.query.jobs.items = &asked;
    query.query.jobs.count = 1;
    rig_message(rig, 3, &query);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ANSWERS)->answers.results.count, 0);
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_DAMAGED));
}

static void results_are_found_again_after_a_restart(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_failure(2)};
    rig_results(rig, 1, items, 2);
    struct leat_id stream = leat_sink_info(rig->sink).stream;
    assert_int_equal(leat_store_sync(rig->store, NULL), LEAT_OK);
    rig_shut(rig);
    leat_store_memory_crash(rig->store, LEAT_STORE_LOST);
    rig->config.seed = 8;
    rig_boot(rig);
    assert_true(rig_noted(rig, LEAT_NOTE_RECOVERED));
    struct leat_sink_info info = leat_sink_info(rig->sink);
    assert_true(leat_id_equal(&info.stream, &stream));
    assert_int_equal(info.successes, 1);
    assert_int_equal(info.failures, 1);
    assert_int_equal(info.last, 2);
    assert_int_equal(info.recorded_total, 2);
    rig_check(rig);
}

/* The ventilator has taken number 1 and forgotten the job, and its producer has submitted it anew,
 * before the sink hears of it. */
static void
a_later_result_settles_its_id_again_when_its_number_was_sent_in_an_earlier_life(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result result = rig_success(1);
    struct leat_id id = rig_id(1);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_results(rig, 1, &result, 1);
    assert_int_equal(rig_reply(rig, LEAT_MSG_SETTLED)->settled.first, 1);
    rig_reboot(rig);
    rig_results(rig, 2, &result, 1);
    rig_confirm(rig, 10, 1);
    const struct leat_msg_settled *settled = &rig_reply(rig, LEAT_MSG_SETTLED)->settled;
    assert_int_equal(settled->first, 2);
    assert_int_equal(settled->jobs.count, 1);
    assert_true(leat_id_equal(&settled->jobs.items[0].id, &id));
    rig_check(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
        TEST(a_result_is_recorded_and_its_batch_is_stored),
        TEST(the_first_result_of_a_job_wins),
        TEST(the_first_of_two_results_in_one_batch_wins),
        TEST(metrics_and_subscribers_hear_only_of_first_results),
        TEST(an_event_holds_neighbours_of_one_queue_and_no_more_than_a_subscriber_is_told),
        TEST(nothing_is_published_while_nobody_listens),
        TEST(time_from_accepted_to_stored_is_never_negative),
        TEST(results_that_cannot_be_are_refused_and_nothing_of_the_batch_is_kept),
        TEST(expired_and_cancelled_jobs_are_kept_with_the_failures),
        TEST(a_full_store_answers_busy_keeps_nothing_and_goes_on_settling),
        TEST(a_damaged_result_is_neither_replaced_nor_served),
        TEST(a_later_result_settles_its_id_again_when_its_number_was_sent_in_an_earlier_life),
        TEST(results_are_found_again_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
