/* What the ventilator does with what it is told about keys: forbidden messages are answered and
 * counted, sessions belong to their keys, rights that end take sessions with them at once. */
#include "tests/unit/ventilator_rig.h"

static const struct leat_str queue_q[] = {{"q", 1}};
static const struct leat_str queues_qr[] = {{"q", 1}, {"r", 1}};

static struct leat_principal key(uint8_t number, enum leat_role role, const struct leat_str *queues,
                                 size_t count)
{
    return (struct leat_principal){
        .key = {{number}}, .role = role, .name = "k", .queues = queues, .queue_count = count};
}

static void tell_as(struct rig *rig, const struct leat_principal *who, unsigned peer,
                    const struct leat_msg *msg)
{
    struct leat_event event = {.kind = LEAT_EVENT_MESSAGE,
                               .link = LEAT_LINK_PEERS,
                               .peer = rig_peer(peer),
                               .msg = msg,
                               .who = who};
    rig_feed(rig, event);
}

static void forbid(struct rig *rig, const struct leat_msg *msg)
{
    struct leat_event event = {.kind = LEAT_EVENT_FORBIDDEN,
                               .link = LEAT_LINK_PEERS,
                               .peer = rig_peer(9),
                               .msg = msg,
                               .why = "key 'k' (worker) may not send it"};
    rig_feed(rig, event);
}

static void revoke(struct rig *rig, const struct leat_principal *who,
                   const struct leat_principal *instead)
{
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_REVOKED, .who = who, .instead = instead});
}

static void hello_as(struct rig *rig, const struct leat_principal *who, unsigned worker,
                     uint64_t round, unsigned peer)
{
    struct leat_item_name queue = {leat_str_of("q")};
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = rig_id('s', worker);
    msg.hello.round = round;
    msg.hello.name = leat_str_of("worker");
    msg.hello.queues.items = &queue;
    msg.hello.queues.count = 1;
    msg.hello.slots = 1;
    tell_as(rig, who, peer, &msg);
}

static void what_is_forbidden_is_answered_counted_and_not_done(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    struct leat_msg submit = {.type = LEAT_MSG_SUBMIT};
    submit.submit.producer = rig_id('p', 1);
    submit.submit.batch = 7;
    submit.submit.jobs.items = &job;
    submit.submit.jobs.count = 1;
    forbid(&rig, &submit);
    const struct leat_msg_rejected *rejected = &rig_sent(&rig, LEAT_MSG_REJECTED)->rejected;
    struct leat_id producer = rig_id('p', 1);
    assert_true(leat_id_equal(&rejected->producer, &producer));
    assert_int_equal(rejected->batch, 7);
    assert_int_equal(rejected->code, LEAT_ERR_FORBIDDEN);
    assert_true(rejected->text.size > 0);

    struct leat_msg control = {.type = LEAT_MSG_CONTROL};
    control.control.ref = 42;
    control.control.verb = leat_str_of("shutdown");
    forbid(&rig, &control);
    const struct leat_msg_error *error = &rig_sent(&rig, LEAT_MSG_ERROR)->error;
    assert_int_equal(error->code, LEAT_ERR_FORBIDDEN);
    assert_int_equal(error->type, LEAT_MSG_CONTROL);
    assert_int_equal(error->ref, 42);
    assert_true(rig_noted(&rig, LEAT_NOTE_MESSAGE_REFUSED));
    assert_false(rig_noted(&rig, LEAT_NOTE_DRAINING));
    assert_int_equal(rig_counts(&rig).forbidden_total, 2);
    assert_int_equal(rig_counts(&rig).malformed_total, 2);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    rig_close(&rig);
}

static void a_session_is_its_keys_own(void **state)
{
    (void)state;
    struct leat_principal owner = key(1, LEAT_ROLE_WORKER, NULL, 0);
    struct leat_principal thief = key(2, LEAT_ROLE_WORKER, NULL, 0);
    struct rig rig;
    rig_open(&rig);
    hello_as(&rig, &owner, 1, 1, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_WELCOME), 1);
    hello_as(&rig, &thief, 1, 2, 2);
    assert_int_equal(rig_count(&rig, LEAT_MSG_WELCOME), 0);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_FORBIDDEN);
    hello_as(&rig, NULL, 1, 2, 2);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_ERROR)->error.code, LEAT_ERR_FORBIDDEN);
    hello_as(&rig, &owner, 1, 2, 3); /* from another connection */
    assert_int_equal(rig_count(&rig, LEAT_MSG_WELCOME), 1);
    rig_close(&rig);
}

static void a_revoked_worker_gets_nothing_more_and_its_jobs_run_elsewhere(void **state)
{
    (void)state;
    struct leat_principal bad = key(1, LEAT_ROLE_WORKER, NULL, 0);
    struct leat_principal good = key(2, LEAT_ROLE_WORKER, NULL, 0);
    struct rig rig;
    rig_open(&rig);
    rig_pass_ms(&rig, 3000); /* the grace after a start */
    rig_submit(&rig, 1, 1, 1, 2);
    hello_as(&rig, &bad, 1, 1, 1);
    rig_credit(&rig, 1, 1, 1, 1);
    assert_int_equal(rig_counts(&rig).leased, 1);
    hello_as(&rig, &good, 2, 1, 2);

    revoke(&rig, &good, &good); /* nothing has changed for this one */
    assert_int_equal(rig_counts(&rig).sessions, 2);
    revoke(&rig, &bad, NULL);
    assert_int_equal(rig_counts(&rig).sessions, 1);
    assert_true(rig_noted(&rig, LEAT_NOTE_WORKER_LOST));
    assert_int_equal(rig_counts(&rig).leased, 0);
    rig_submit(&rig, 1, 2, 3, 1);
    assert_int_equal(rig_count(&rig, LEAT_MSG_JOBS), 0); /* the bad one had credit */
    rig_credit(&rig, 2, 1, 1, 3);
    assert_int_equal(rig_counts(&rig).leased, 3);
    rig_close(&rig);
}

static void rights_that_shrink_take_the_sessions_that_rest_on_them(void **state)
{
    (void)state;
    struct leat_principal wide = key(1, LEAT_ROLE_WORKER, NULL, 0);
    struct leat_principal wider = key(1, LEAT_ROLE_WORKER, queues_qr, 2);
    struct leat_principal other = key(1, LEAT_ROLE_WORKER, queues_qr + 1, 1);
    struct leat_principal producer = key(1, LEAT_ROLE_PRODUCER, NULL, 0);
    const struct leat_principal *const ends[] = {&other, &producer};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig);
        hello_as(&rig, &wide, 1, 1, 1);
        revoke(&rig, &wide, &wider); /* its queue is among them still */
        assert_int_equal(rig_counts(&rig).sessions, 1);
        revoke(&rig, &wider, ends[i]);
        assert_int_equal(rig_counts(&rig).sessions, 0);
        rig_close(&rig);
    }
}

static void a_job_of_another_queue_is_not_here(void **state)
{
    (void)state;
    struct leat_principal own = key(1, LEAT_ROLE_PRODUCER, queue_q, 1);
    struct leat_principal foreign = key(2, LEAT_ROLE_PRODUCER, queues_qr + 1, 1);
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    struct leat_msg msg = {.type = LEAT_MSG_LOOKUP};
    msg.lookup.id = rig_id('j', 1);
    tell_as(&rig, &own, 1, &msg);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOUND)->found.state, LEAT_STATE_READY);
    tell_as(&rig, &foreign, 2, &msg);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOUND)->found.state, LEAT_STATE_NONE);
    assert_int_equal(rig_sent(&rig, LEAT_MSG_FOUND)->found.queue.size, 0);
    rig_close(&rig);
}

static void keys_that_are_taken_away_do_not_count_against_the_job(void **state)
{
    (void)state;
    const struct leat_principal bad = key(1, LEAT_ROLE_WORKER, queue_q, 1);
    struct rig rig;
    rig_open(&rig); /* three deliveries */
    rig_pass_ms(&rig, 3000);
    rig_submit(&rig, 1, 1, 1, 1);
    for (unsigned worker = 1; worker <= 5; worker++) {
        struct leat_msg credit = {.type = LEAT_MSG_CREDIT};
        credit.credit.round = 1;
        credit.credit.number = 1;
        credit.credit.total = 1;
        hello_as(&rig, &bad, worker, 1, worker);
        tell_as(&rig, &bad, worker, &credit);
        assert_int_equal(rig_counts(&rig).leased, 1);
        assert_int_equal(rig_sent(&rig, LEAT_MSG_JOBS)->jobs.jobs.items[0].delivery, worker);
        revoke(&rig, &bad, NULL);
        assert_int_equal(rig_counts(&rig).ready, 1);
        assert_int_equal(rig_counts(&rig).ending, 0);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_forbidden_is_answered_counted_and_not_done),
        cmocka_unit_test(a_session_is_its_keys_own),
        cmocka_unit_test(a_revoked_worker_gets_nothing_more_and_its_jobs_run_elsewhere),
        cmocka_unit_test(rights_that_shrink_take_the_sessions_that_rest_on_them),
        cmocka_unit_test(a_job_of_another_queue_is_not_here),
        cmocka_unit_test(keys_that_are_taken_away_do_not_count_against_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
