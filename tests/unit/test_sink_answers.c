/* What the sink answers on its ROUTER socket besides STORED, and how it ends. */
#include "tests/unit/sink_rig.h"

static const struct leat_msg_answers *query(struct rig *rig, const unsigned *numbers, size_t count,
                                            bool with_output)
{
    static struct leat_item_job_id ids[LEAT_QUERY_IDS_MAX];
    struct leat_msg msg = {.type = LEAT_MSG_QUERY};
    for (size_t i = 0; i < count; i++) {
        ids[i].id = rig_id(numbers[i]);
    }
    msg.query.ref = 5;
    msg.query.with_output = with_output;
    msg.query.jobs.items = ids;
    msg.query.jobs.count = count;
    rig_message(rig, 3, &msg);
    const struct leat_msg *answers = rig_reply(rig, LEAT_MSG_ANSWERS);
    assert_non_null(answers);
    assert_int_equal(answers->answers.ref, 5);
    return &answers->answers;
}

static void a_query_finds_the_results_that_are_there_in_the_order_asked_for(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_failure(2), rig_success(3)};
    rig_results(rig, 1, items, 3);
    const struct leat_msg_answers *answers = query(rig, (unsigned[]){3, 77, 2}, 3, false);
    struct leat_id third = rig_id(3);
    assert_int_equal(answers->looked_at, 3);
    assert_int_equal(answers->results.count, 2);
    assert_true(leat_id_equal(&answers->results.items[0].id, &third));
    assert_int_equal(answers->results.items[0].output.size, 0);
    assert_int_equal(answers->results.items[1].status, LEAT_STATE_FAILED);
    assert_int_equal(answers->results.items[1].body.size, 0);
    assert_false(leat_store_is_committing(rig->store));
}

static void output_and_body_come_when_they_are_asked_for(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_failure(2)};
    rig_results(rig, 1, items, 2);
    const struct leat_msg_answers *answers = query(rig, (unsigned[]){1, 2}, 2, true);
    assert_int_equal(answers->results.items[0].output.size, 4);
    assert_memory_equal(answers->results.items[0].output.data, "sent", 4);
    assert_int_equal(answers->results.items[1].body.size, 4);
}

static void a_large_answer_says_how_far_it_looked(void **state)
{
    struct rig *rig = *state;
    static uint8_t big[100 << 10];
    unsigned numbers[10];
    for (unsigned i = 0; i < 10; i++) {
        struct leat_item_result result = rig_success(i + 1);
        result.output = leat_bytes_of(big, sizeof big);
        rig_results(rig, i, &result, 1);
        numbers[i] = i + 1;
    }
    size_t seen = 0;
    unsigned rounds = 0;
    while (seen < 10) {
        const struct leat_msg_answers *answers = query(rig, numbers + seen, 10 - seen, true);
        assert_true(answers->looked_at >= 1);
        assert_int_equal(answers->results.count, answers->looked_at);
        assert_true(answers->looked_at <= 3);
        seen += answers->looked_at;
        rounds++;
    }
    assert_int_equal(rounds, 4);
}

static void rerun(struct rig *rig, unsigned number, const char *expected)
{
    struct leat_item_job_id id = {rig_id(number)};
    struct leat_msg msg = {.type = LEAT_MSG_RERUN};
    msg.rerun.ref = 8;
    msg.rerun.jobs.items = &id;
    msg.rerun.jobs.count = 1;
    rig_message(rig, 3, &msg);
    const struct leat_msg *done = rig_reply(rig, LEAT_MSG_DONE);
    assert_non_null(done);
    assert_int_equal(done->done.ref, 8);
    assert_true(leat_str_equal(done->done.text, leat_str_of(expected)));
}

static void a_rerun_marks_failures_once_and_nothing_else(void **state)
{
    struct rig *rig = *state;
    struct leat_item_result items[] = {rig_success(1), rig_failure(2)};
    rig_results(rig, 1, items, 2);
    rerun(rig, 2, "1 marked");
    rerun(rig, 2, "0 marked");
    rerun(rig, 1, "0 marked");
    rerun(rig, 99, "0 marked");
    rig_check(rig);
}

static void gauges_pass_through_to_the_metrics_as_a_copy_of_their_own(void **state)
{
    struct rig *rig = *state;
    char name[] = "mail";
    struct leat_item_queue_gauge queue = {.queue = {name, 4}, .ready = 7};
    struct leat_item_worker_gauge worker = {.name = {name, 4}, .slots = 2};
    struct leat_msg msg = {.type = LEAT_MSG_GAUGES};
    msg.gauges.queues.items = &queue;
    msg.gauges.queues.count = 1;
    msg.gauges.workers.items = &worker;
    msg.gauges.workers.count = 1;
    msg.gauges.accepted_total = 12;
    rig_message(rig, 9, &msg);
    name[0] = 'X';
    queue.ready = 0;
    const struct leat_action *sent = rig_sent(rig, LEAT_LINK_METRICS, LEAT_MSG_GAUGES, 0);
    assert_non_null(sent);
    assert_int_equal(sent->msg.gauges.queues.items[0].ready, 7);
    assert_true(leat_str_equal(sent->msg.gauges.queues.items[0].queue, leat_str_of("mail")));
    assert_int_equal(sent->msg.gauges.workers.items[0].slots, 2);
    assert_int_equal(sent->msg.gauges.accepted_total, 12);
}

static void a_ping_is_answered_with_the_version(void **state)
{
    struct rig *rig = *state;
    struct leat_msg msg = {.type = LEAT_MSG_CONTROL};
    msg.control.ref = 4;
    msg.control.verb = leat_str_of("ping");
    rig_message(rig, 3, &msg);
    assert_true(
        leat_str_equal(rig_reply(rig, LEAT_MSG_DONE)->done.text, leat_str_of(LEAT_VERSION)));
    msg.control.verb = leat_str_of("pause");
    rig_message(rig, 3, &msg);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_STATE);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ERROR)->error.ref, 4);
}

static void bad_bytes_and_strange_messages_get_an_error_and_an_error_gets_none(void **state)
{
    struct rig *rig = *state;
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    rig_message(rig, 3, &msg);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ERROR)->error.type, LEAT_MSG_SUBMIT);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_MALFORMED,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(3),
                                      .error = LEAT_ERR_VERSION,
                                      .why = "version 9"});
    assert_int_equal(rig_reply(rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_VERSION);
    assert_int_equal(leat_sink_info(rig->sink).refused_total, 2);
    msg = (struct leat_msg){.type = LEAT_MSG_ERROR};
    rig_message(rig, 3, &msg);
    assert_null(rig_reply(rig, LEAT_MSG_ERROR));
}

/* The last action of the last step. */
static const struct leat_action *last_action(const struct rig *rig)
{
    assert_true(rig->out.count > 0);
    return &rig->out.actions[rig->out.count - 1];
}

static void quit_and_stop_end_it_with_status_0_after_all_that_came_before(void **state)
{
    struct rig *rig = *state;
    struct leat_msg quit = {.type = LEAT_MSG_QUIT};
    rig_record(rig, 1);
    rig_message(rig, 8, &quit); /* from somebody who is not the ventilator */
    assert_int_equal(rig_reply(rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_STATE);
    assert_false(leat_sink_info(rig->sink).ended);
    rig_follow(rig, 9, leat_sink_info(rig->sink).stream, 0);
    rig_message(rig, 9, &quit);
    assert_int_equal(last_action(rig)->kind, LEAT_ACTION_EXIT);
    assert_int_equal(last_action(rig)->exit_status, 0);
    assert_true(leat_sink_info(rig->sink).ended);
    assert_int_equal(leat_sink_deadline_us(rig->sink), LEAT_NEVER_US);
    rig_record(rig, 2); /* too late: no STORED, its sender keeps it */
    assert_int_equal(rig->out.count, 0);
    rig_check(rig);

    rig_shut(rig);
    rig_boot(rig);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_STOP});
    assert_int_equal(last_action(rig)->kind, LEAT_ACTION_EXIT);
    assert_int_equal(last_action(rig)->exit_status, 0);
}

static void a_broken_store_ends_it_with_the_status_of_the_store(void **state)
{
    struct rig *rig = *state;
    rig_follow(rig, 9, (struct leat_id){{0}}, 0);
    rig_record(rig, 1);
    leat_store_memory_fail(rig->store);
    leat_store_seal(rig->store);
    assert_int_equal(leat_store_advance(rig->store, NULL), LEAT_ERR_IO);
    rig_record(rig, 2);
    assert_int_equal(last_action(rig)->kind, LEAT_ACTION_EXIT);
    assert_int_equal(last_action(rig)->exit_status, LEAT_SINK_EXIT_STORE);
}

static void a_producer_reads_only_results_of_its_own_queues(void **state)
{
    struct rig *rig = *state;
    static const struct leat_str mail[] = {{"mail", 4}};
    static const struct leat_str other[] = {{"other", 5}};
    struct leat_principal own = {
        .role = LEAT_ROLE_PRODUCER, .name = "own", .queues = mail, .queue_count = 1};
    struct leat_principal foreign = {
        .role = LEAT_ROLE_PRODUCER, .name = "foreign", .queues = other, .queue_count = 1};
    struct leat_item_job_id id = {rig_id(1)};
    rig_record(rig, 1);
    struct leat_msg msg = {.type = LEAT_MSG_QUERY};
    msg.query.jobs.items = &id;
    msg.query.jobs.count = 1;
    struct leat_event event = {
        .kind = LEAT_EVENT_MESSAGE, .link = LEAT_LINK_PEERS, .peer = rig_peer(3), .msg = &msg};
    event.who = &own;
    rig_feed(rig, event);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ANSWERS)->answers.results.count, 1);
    event.who = &foreign;
    rig_feed(rig, event);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ANSWERS)->answers.results.count, 0);
    assert_int_equal(rig_reply(rig, LEAT_MSG_ANSWERS)->answers.looked_at, 1);
}

static void what_is_forbidden_gets_an_error_with_its_ref(void **state)
{
    struct rig *rig = *state;
    struct leat_msg msg = {.type = LEAT_MSG_RERUN};
    msg.rerun.ref = 17;
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_FORBIDDEN,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(3),
                                      .msg = &msg,
                                      .why = "key 'p' (producer) may not send RERUN"});
    const struct leat_msg *reply = rig_reply(rig, LEAT_MSG_ERROR);
    assert_int_equal(reply->error.code, LEAT_ERR_FORBIDDEN);
    assert_int_equal(reply->error.type, LEAT_MSG_RERUN);
    assert_int_equal(reply->error.ref, 17);
    assert_int_equal(leat_sink_info(rig->sink).refused_total, 1);
}

static void a_ventilator_whose_key_is_revoked_follows_no_more(void **state)
{
    struct rig *rig = *state;
    struct leat_principal broker = {.key = {{1}}, .role = LEAT_ROLE_BROKER, .name = "b"};
    struct leat_principal another = {.key = {{2}}, .role = LEAT_ROLE_BROKER, .name = "c"};
    struct leat_msg msg = {.type = LEAT_MSG_FOLLOW};
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_MESSAGE,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(4),
                                      .msg = &msg,
                                      .who = &broker});
    assert_true(leat_sink_info(rig->sink).followed);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_REVOKED, .who = &another});
    rig_feed(rig,
             (struct leat_event){.kind = LEAT_EVENT_REVOKED, .who = &broker, .instead = &broker});
    assert_true(leat_sink_info(rig->sink).followed);
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_REVOKED, .who = &broker});
    assert_false(leat_sink_info(rig->sink).followed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
        TEST(a_query_finds_the_results_that_are_there_in_the_order_asked_for),
        TEST(output_and_body_come_when_they_are_asked_for),
        TEST(a_large_answer_says_how_far_it_looked),
        TEST(a_rerun_marks_failures_once_and_nothing_else),
        TEST(gauges_pass_through_to_the_metrics_as_a_copy_of_their_own),
        TEST(a_ping_is_answered_with_the_version),
        TEST(bad_bytes_and_strange_messages_get_an_error_and_an_error_gets_none),
        TEST(quit_and_stop_end_it_with_status_0_after_all_that_came_before),
        TEST(a_broken_store_ends_it_with_the_status_of_the_store),
        cmocka_unit_test_setup_teardown(a_producer_reads_only_results_of_its_own_queues, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(what_is_forbidden_gets_an_error_with_its_ref, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(a_ventilator_whose_key_is_revoked_follows_no_more,
                                        rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
