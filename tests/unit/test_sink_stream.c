/* The stream of settled ids. */
#include "broker/sink/sink_record.h"
#include "tests/unit/sink_rig.h"

static void expect_settled(struct rig *rig, size_t nth, uint8_t peer, uint64_t first, size_t count)
{
    const struct leat_action *action = rig_sent(rig, LEAT_LINK_PEERS, LEAT_MSG_SETTLED, nth);
    struct leat_id stream = leat_sink_info(rig->sink).stream;
    if (action == NULL) {
        fail_msg("SETTLED %zu was not sent", nth);
        return;
    }
    assert_true(leat_peer_equal(action->peer, rig_peer(peer)));
    assert_true(leat_id_equal(&action->msg.settled.stream, &stream));
    assert_int_equal(action->msg.settled.first, first);
    assert_int_equal(action->msg.settled.jobs.count, count);
}

static void expect_silence(struct rig *rig)
{
    assert_null(rig_sent(rig, LEAT_LINK_PEERS, LEAT_MSG_SETTLED, 0));
}

static void a_ventilator_without_a_stream_gets_everything_from_1_on(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 3);
    expect_silence(rig); /* nobody follows yet */
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    expect_settled(rig, 0, 9, 1, 3);
    const struct leat_msg *settled = rig_reply(rig, LEAT_MSG_SETTLED);
    for (unsigned i = 0; i < 3; i++) {
        struct leat_id id = rig_id(1 + i);
        assert_true(leat_id_equal(&settled->settled.jobs.items[i].id, &id));
    }
    rig_confirm(rig, 9, 2);
    rig_check(rig);
}

static void new_results_are_pushed_to_the_follower_at_once_in_one_message(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 5);
    expect_settled(rig, 0, 9, 1, 5);
    assert_null(rig_sent(rig, LEAT_LINK_PEERS, LEAT_MSG_SETTLED, 1));
    rig_record_many(rig, 6, 2);
    expect_settled(rig, 0, 9, 6, 2);
}

static void a_follow_always_gets_an_answer(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    expect_settled(rig, 0, 9, 1, 0);
    rig_record_many(rig, 1, 2);
    rig_confirm(rig, 9, 2);
    expect_settled(rig, 0, 9, 3, 0);
    rig_confirm(rig, 9, 2);
    expect_settled(rig, 0, 9, 3, 0);
}

static void a_block_of_the_log_goes_with_the_results_that_it_stands_for(void **state)
{
    struct rig *rig = *state;
    rig->config.keep_results_ms = 1000;
    rig_reboot(rig);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 10);
    rig_confirm(rig, 9, 4);
    assert_int_equal(leat_sink_info(rig->sink).trimmed, 0);
    assert_int_equal(leat_store_count(rig->store, LEAT_SINK_TABLE_LOG), 1);
    rig_confirm(rig, 9, 2); /* an old FOLLOW that comes late takes nothing back */
    assert_int_equal(leat_sink_info(rig->sink).confirmed, 4);
    rig_pass(rig, 1001 * LEAT_US_PER_MS);
    rig_tick(rig);
    assert_int_equal(leat_sink_info(rig->sink).trimmed, 4); /* the others are not confirmed */
    assert_int_equal(leat_sink_info(rig->sink).successes, 6);
    assert_int_equal(leat_store_count(rig->store, LEAT_SINK_TABLE_LOG), 1);
    rig_check(rig);
    rig_confirm(rig, 9, 10);
    assert_int_equal(leat_sink_info(rig->sink).trimmed, 10);
    assert_int_equal(leat_store_count(rig->store, LEAT_SINK_TABLE_LOG), 0);
    assert_int_equal(leat_store_count(rig->store, LEAT_SINK_TABLE_RESULTS), 0);
    rig_check(rig);
}

static void no_more_than_the_window_is_sent_unconfirmed(void **state)
{
    struct rig *rig = *state;
    rig->config.settled_window = 10;
    rig_reboot(rig);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 25);
    expect_settled(rig, 0, 9, 1, 10);
    rig_record_many(rig, 26, 1);
    expect_silence(rig);
    rig_confirm(rig, 9, 7);
    expect_settled(rig, 0, 9, 11, 7);
    rig_check(rig);
}

static void long_stretches_are_cut_into_batches(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < 3; i++) {
        rig_record_many(rig, 1 + i * 4000, 4000);
    }
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    expect_settled(rig, 0, 9, 1, LEAT_BATCH_ITEMS_MAX);
    expect_settled(rig, 1, 9, 1 + LEAT_BATCH_ITEMS_MAX, LEAT_BATCH_ITEMS_MAX);
    expect_settled(rig, 2, 9, 1 + 2 * LEAT_BATCH_ITEMS_MAX, 12000 - 2 * LEAT_BATCH_ITEMS_MAX);
    rig_confirm(rig, 9, 12000);
    rig_check(rig);
}

static void lost_settled_is_sent_again_after_a_while_and_less_and_less_often(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 3);
    int64_t waits_s[4];
    for (size_t i = 0; i < 4; i++) {
        int64_t deadline_us = leat_sink_deadline_us(rig->sink);
        waits_s[i] = (deadline_us - rig->now.mono_us) / LEAT_US_PER_S;
        rig_pass(rig, deadline_us - rig->now.mono_us - 1);
        rig_tick(rig);
        expect_silence(rig);
        rig_pass(rig, 1);
        rig_tick(rig);
        expect_settled(rig, 0, 9, 1, 3);
    }
    assert_int_equal(waits_s[0], 1);
    assert_int_equal(waits_s[1], 2);
    assert_int_equal(waits_s[3], 8);
    rig_confirm(rig, 9, 3);
    rig_pass(rig, 100 * LEAT_US_PER_S);
    rig_tick(rig);
    expect_silence(rig);
}

static void a_follow_without_progress_gets_the_rest_again(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 3);
    rig_confirm(rig, 9, 1);
    expect_settled(rig, 0, 9, 2, 0); /* the rest may still be on its way */
    rig_pass(rig, LEAT_US_PER_S);
    rig_confirm(rig, 9, 1);
    expect_settled(rig, 0, 9, 2, 2);
}

static void a_ventilator_that_reconnects_gets_the_unconfirmed_again(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 3);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(9)});
    assert_false(leat_sink_info(rig->sink).followed);
    rig_record_many(rig, 4, 1);
    expect_silence(rig);
    rig_confirm(rig, 10, 1);
    expect_settled(rig, 0, 10, 2, 3);
}

static void somebody_elses_lost_connection_does_not_stop_the_stream(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_UNREACHABLE,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(3)});
    rig_record_many(rig, 1, 1);
    expect_settled(rig, 0, 9, 1, 1);
}

static void the_stream_goes_on_where_it_stood_after_a_crash(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 5);
    rig_confirm(rig, 9, 2);
    rig_reboot(rig);
    rig_record_many(rig, 6, 1); /* not committed, and lost */
    rig_shut(rig);
    leat_store_memory_crash(rig->store, LEAT_STORE_LOST);
    rig_boot(rig);
    rig_confirm(rig, 10, 2);
    expect_settled(rig, 0, 10, 3, 3);
    rig_record_many(rig, 7, 1);
    expect_settled(rig, 0, 10, 6, 1);
    rig_check(rig);
}

static void a_later_result_settles_its_id_again(void **state)
{
    struct rig *rig = *state;
    struct leat_id id = rig_id(1);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 1);
    rig_confirm(rig, 9, 1);
    rig_record_many(rig, 1, 1);
    expect_settled(rig, 0, 9, 2, 1);
    assert_true(leat_id_equal(&rig_reply(rig, LEAT_MSG_SETTLED)->settled.jobs.items[0].id, &id));
    rig_check(rig);
}

static void repeated_results_do_not_let_the_stream_grow_while_nobody_follows(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < 50; i++) {
        rig_record_many(rig, 1, 3);
    }
    assert_int_equal(leat_sink_info(rig->sink).last, 3);
    rig_check(rig);
}

static void a_ventilator_that_knows_more_than_the_sink_gets_a_stream_with_a_new_name(void **state)
{
    struct rig *rig = *state;
    struct leat_id before = leat_sink_info(rig->sink).stream;
    rig_record_many(rig, 1, 2);
    rig_confirm(rig, 9, 50); /* the sink was restored from an older copy */
    struct leat_id after = leat_sink_info(rig->sink).stream;
    assert_false(leat_id_equal(&before, &after));
    expect_settled(rig, 0, 9, 1, 2);
    rig_reboot(rig);
    struct leat_id kept = leat_sink_info(rig->sink).stream;
    assert_true(leat_id_equal(&after, &kept));
    rig_check(rig);
}

static void numbers_that_a_restored_sink_gave_again_are_not_taken_for_known_ones(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 2);
    struct leat_id before = leat_sink_info(rig->sink).stream;
    rig->config.seed = 8;
    rig_reboot(rig); /* 3 to 5 were sent before the copy was put back, and are other jobs' now */
    rig_record_many(rig, 13, 4);
    rig_follow(rig, 10, before, 5);
    struct leat_id after = leat_sink_info(rig->sink).stream;
    assert_false(leat_id_equal(&before, &after));
    expect_settled(rig, 0, 10, 1, 6);
    rig_check(rig);
}

/* Flips a bit of the block that ends with `last`. */
static void damage_block(struct rig *rig, uint64_t last)
{
    struct leat_bytes value;
    uint8_t row[512];
    struct leat_sink_number_key key = leat_sink_number_key(last);
    struct leat_bytes place = leat_bytes_of(key.bytes, sizeof key.bytes);
    assert_int_equal(leat_store_get(rig->store, LEAT_SINK_TABLE_LOG, place, &value), LEAT_OK);
    assert_true(value.size <= sizeof row);
    memcpy(row, value.data, value.size);
    row[value.size - 1] ^= 1;
    leat_store_put(rig->store, LEAT_SINK_TABLE_LOG, place, leat_bytes_of(row, value.size));
}

static void expect_ids_from_1(struct rig *rig, size_t count)
{
    expect_settled(rig, 0, 9, 1, count);
    const struct leat_msg *settled = rig_reply(rig, LEAT_MSG_SETTLED);
    for (unsigned i = 0; i < count; i++) {
        struct leat_id id = rig_id(i + 1);
        assert_true(leat_id_equal(&settled->settled.jobs.items[i].id, &id));
    }
}

static void a_damaged_block_is_named_and_made_again_from_the_results(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 3);
    rig_record_many(rig, 4, 3);
    rig_record_many(rig, 7, 3);
    damage_block(rig, 6);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_DAMAGED));
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_MENDED));
    assert_false(leat_sink_info(rig->sink).ended);
    expect_ids_from_1(rig, 9);
    rig_check(rig);
    damage_block(rig, 9);
    rig_reboot(rig); /* which looks at all of it */
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_DAMAGED));
    assert_true(rig_noted(rig, LEAT_NOTE_RECORD_MENDED));
    rig_check(rig);
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    assert_false(rig_noted(rig, LEAT_NOTE_RECORD_DAMAGED));
    expect_ids_from_1(rig, 9);
}

static void a_number_whose_result_is_gone_as_well_stands_for_nobody(void **state)
{
    struct rig *rig = *state;
    rig_record_many(rig, 1, 3);
    damage_block(rig, 3);
    struct leat_id second = rig_id(2);
    leat_store_del(rig->store, LEAT_SINK_TABLE_RESULTS, leat_bytes_of(second.bytes, LEAT_ID_BYTES));
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    expect_settled(rig, 0, 9, 1, 3);
    const struct leat_item_job_id *ids = rig_reply(rig, LEAT_MSG_SETTLED)->settled.jobs.items;
    struct leat_id third = rig_id(3);
    assert_true(leat_id_is_zero(&ids[1].id));
    assert_true(leat_id_equal(&ids[2].id, &third));
}

/* The last block, and one that a result got when it came again. */
static void a_lost_end_of_the_log_is_made_anew_from_what_the_results_know(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record_many(rig, 1, 2);
    rig_confirm(rig, 9, 2);
    rig_record_many(rig, 1, 1); /* known: its id gets the number 3 */
    rig_record_many(rig, 3, 2);
    struct leat_sink_number_key key = leat_sink_number_key(5);
    leat_store_del(rig->store, LEAT_SINK_TABLE_LOG, leat_bytes_of(key.bytes, sizeof key.bytes));
    damage_block(rig, 3);
    rig_reboot(rig);
    rig_check(rig);
    rig_confirm(rig, 9, 2);
    expect_settled(rig, 0, 9, 3, 3);
    const struct leat_item_job_id *ids = rig_reply(rig, LEAT_MSG_SETTLED)->settled.jobs.items;
    static const unsigned expected[] = {1, 3, 4};
    for (unsigned i = 0; i < 3; i++) {
        struct leat_id id = rig_id(expected[i]);
        assert_true(leat_id_equal(&ids[i].id, &id));
    }
}

static void a_ventilator_restored_from_an_older_copy_gets_a_stream_with_a_new_name(void **state)
{
    struct rig *rig = *state;
    struct leat_id before = leat_sink_info(rig->sink).stream;
    rig_record_many(rig, 1, 5);
    rig_confirm(rig, 9, 4);
    rig_confirm(rig, 10, 1); /* 2 to 4 are gone */
    struct leat_id after = leat_sink_info(rig->sink).stream;
    assert_false(leat_id_equal(&before, &after));
    expect_settled(rig, 0, 10, 1, 1);
    rig_check(rig);
}

static void
a_ventilator_that_does_not_know_the_stream_gets_the_rest_as_a_stream_from_1(void **state)
{
    struct rig *rig = *state;
    struct leat_id before = leat_sink_info(rig->sink).stream;
    rig_record_many(rig, 1, 5);
    rig_confirm(rig, 9, 2);
    rig_follow(rig, 10, (struct leat_id){{0}}, 0); /* its store was lost */
    struct leat_id after = leat_sink_info(rig->sink).stream;
    assert_false(leat_id_equal(&before, &after));
    expect_settled(rig, 0, 10, 1, 3);
    struct leat_id third = rig_id(3);
    assert_true(leat_id_equal(&rig_reply(rig, LEAT_MSG_SETTLED)->settled.jobs.items[0].id, &third));
    /* Asked again, it keeps its name, for its beginning is still there. */
    rig_follow(rig, 10, before, 2);
    struct leat_id still = leat_sink_info(rig->sink).stream;
    assert_true(leat_id_equal(&after, &still));
    expect_settled(rig, 0, 10, 1, 3);
    rig_confirm(rig, 10, 1);
    assert_int_equal(leat_sink_info(rig->sink).confirmed, 3);
    rig_record_many(rig, 6, 1);
    expect_settled(rig, 0, 10, 4, 1);
    rig_reboot(rig);
    rig_confirm(rig, 11, 3);
    expect_settled(rig, 0, 11, 4, 1);
    rig_check(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
        TEST(a_ventilator_without_a_stream_gets_everything_from_1_on),
        TEST(new_results_are_pushed_to_the_follower_at_once_in_one_message),
        TEST(a_follow_always_gets_an_answer),
        TEST(a_block_of_the_log_goes_with_the_results_that_it_stands_for),
        TEST(no_more_than_the_window_is_sent_unconfirmed),
        TEST(long_stretches_are_cut_into_batches),
        TEST(lost_settled_is_sent_again_after_a_while_and_less_and_less_often),
        TEST(a_follow_without_progress_gets_the_rest_again),
        TEST(a_ventilator_that_reconnects_gets_the_unconfirmed_again),
        TEST(somebody_elses_lost_connection_does_not_stop_the_stream),
        TEST(the_stream_goes_on_where_it_stood_after_a_crash),
        TEST(a_later_result_settles_its_id_again),
        TEST(repeated_results_do_not_let_the_stream_grow_while_nobody_follows),
        TEST(a_ventilator_that_knows_more_than_the_sink_gets_a_stream_with_a_new_name),
        TEST(numbers_that_a_restored_sink_gave_again_are_not_taken_for_known_ones),
        TEST(a_damaged_block_is_named_and_made_again_from_the_results),
        TEST(a_number_whose_result_is_gone_as_well_stands_for_nobody),
        TEST(a_lost_end_of_the_log_is_made_anew_from_what_the_results_know),
        TEST(a_ventilator_restored_from_an_older_copy_gets_a_stream_with_a_new_name),
        TEST(a_ventilator_that_does_not_know_the_stream_gets_the_rest_as_a_stream_from_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
