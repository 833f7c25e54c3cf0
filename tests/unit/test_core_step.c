#include "core/step.h"

#include <string.h>

#include "cmocka_all.h"

static void actions_come_out_in_order(void **state)
{
    (void)state;
    struct leat_out out;
    leat_out_init(&out);
    struct leat_peer peer = {3, {1, 2, 3}};
    struct leat_id subject = {{7}};
    char name[] = "mail";
    struct leat_msg *msg = leat_out_send(&out, LEAT_LINK_PEERS, peer, LEAT_MSG_PONG);
    msg->pong.round = 9;
    leat_out_note(&out, LEAT_NOTE_WORKER_LOST, &subject, leat_str_of(name), 42);
    memset(name, 'x', 4);
    leat_out_exit(&out, 3);

    assert_int_equal(out.count, 3);
    assert_int_equal(out.actions[0].kind, LEAT_ACTION_SEND);
    assert_int_equal(out.actions[0].link, LEAT_LINK_PEERS);
    assert_true(leat_peer_equal(out.actions[0].peer, peer));
    assert_int_equal(out.actions[0].msg.type, LEAT_MSG_PONG);
    assert_int_equal(out.actions[0].msg.pong.round, 9);
    assert_int_equal(out.actions[1].kind, LEAT_ACTION_NOTE);
    assert_int_equal(out.actions[1].note.id, LEAT_NOTE_WORKER_LOST);
    assert_true(leat_id_equal(&out.actions[1].note.subject, &subject));
    assert_true(leat_str_equal(out.actions[1].note.name, leat_str_of("mail")));
    assert_int_equal(out.actions[1].note.value, 42);
    assert_int_equal(out.actions[2].kind, LEAT_ACTION_EXIT);
    assert_int_equal(out.actions[2].exit_status, 3);
    leat_out_fini(&out);
}

static void a_message_is_zeroed_also_after_use(void **state)
{
    (void)state;
    static const struct leat_msg_result_zero {
        uint8_t bytes[sizeof(struct leat_msg)];
    } zero;
    struct leat_out out;
    leat_out_init(&out);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++) {
            struct leat_msg *msg =
                leat_out_send(&out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_RESULTS);
            msg->type = (enum leat_msg_type)0;
            assert_memory_equal(msg, &zero, sizeof(*msg));
            memset(msg, 0xee, sizeof(*msg));
        }
        assert_int_equal(out.count, 200);
        leat_out_clear(&out);
        assert_int_equal(out.count, 0);
    }
    leat_out_fini(&out);
}

static void a_burst_does_not_hold_its_memory(void **state)
{
    (void)state;
    struct leat_out out;
    leat_out_init(&out);
    for (int i = 0; i < 20000; i++) {
        leat_out_exit(&out, i);
    }
    assert_int_equal(out.actions[19999].exit_status, 19999);
    leat_out_clear(&out);
    assert_int_equal(out.capacity, 0);
    leat_out_exit(&out, 1);
    assert_int_equal(out.actions[0].exit_status, 1);
    leat_out_fini(&out);
}

static void a_note_may_have_no_subject_and_no_name(void **state)
{
    (void)state;
    struct leat_out out;
    leat_out_init(&out);
    leat_out_note(&out, LEAT_NOTE_DRAINING, NULL, (struct leat_str){0}, -1);
    assert_true(leat_id_is_zero(&out.actions[0].note.subject));
    assert_int_equal(out.actions[0].note.name.size, 0);
    assert_int_equal(out.actions[0].note.value, -1);
    leat_out_fini(&out);
}

static void notes_have_stable_names(void **state)
{
    (void)state;
    assert_string_equal(leat_note_name(LEAT_NOTE_WORKER_LOST), "worker_lost");
    assert_string_equal(leat_note_level(LEAT_NOTE_WORKER_LOST), "warn");
    assert_string_equal(leat_note_name((enum leat_note_id)9999), "unknown");
    assert_string_equal(leat_note_level((enum leat_note_id)9999), "info");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_come_out_in_order),
        cmocka_unit_test(a_message_is_zeroed_also_after_use),
        cmocka_unit_test(a_burst_does_not_hold_its_memory),
        cmocka_unit_test(a_note_may_have_no_subject_and_no_name),
        cmocka_unit_test(notes_have_stable_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
