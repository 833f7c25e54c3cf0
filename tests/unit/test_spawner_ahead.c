/* Commands that were given to a slot while another one ran there. Quick ones go before, so that
 * slots take many ahead; on a machine on which nothing is quick there is nothing ahead, and all of
 * this holds just the same. */
#include "spawner_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT 60000
#define QUICK   60

static char notes[] = "/tmp/leat-spawner-notes-XXXXXX"; /* a line for each "note" that ran */

static void start(struct rig *rig, size_t slots)
{
    memcpy(strrchr(notes, '-'), "-XXXXXX", 7);
    int fd = mkstemp(notes);
    assert_true(fd >= 0);
    close(fd);
    setenv("NOTES", notes, 1);
    rig_init(rig);
    rig->config.slots = slots;
    rig->config.result_bytes_max = 100000;
    rig_add_exec(rig, "true=true");
    rig_add_shell(rig, "wait=exec sleep $MARK");
    rig_add_shell(rig, "note=echo ran >>$NOTES");
    rig_add_shell(rig, "murder=kill -9 $PPID; exec sleep $MARK");
    rig_add_shell(rig, "nap=exec sleep 0.3");
    rig_add_shell(rig, "doze=exec sleep 0.05");
    rig_add_shell(rig, "zeros=exec head -c $LEAT_HEADER_SIZE /dev/zero");
    rig_start(rig);
    for (unsigned i = 1; i <= QUICK; i++) {
        const struct leat_item_attempt run = rig_run(i, "true", "", TIMEOUT);
        rig_give(rig, &run);
    }
    for (unsigned i = 1; i <= QUICK; i++) {
        assert_int_equal(rig_ran(rig)->failure, LEAT_FAILURE_NONE);
    }
}

static void finish(struct rig *rig, size_t expected_notes)
{
    rig_fini(rig);
    FILE *file = fopen(notes, "r");
    assert_non_null(file);
    size_t count = 0;
    for (int c = getc(file); c != EOF; c = getc(file)) {
        count += c == '\n';
    }
    fclose(file);
    unlink(notes);
    assert_int_equal(count, expected_notes);
}

/* One RUN: `first` as number 100, and `count` others behind it as 1, 2... */
static void give(struct rig *rig, const char *first, const char *others, unsigned count)
{
    struct leat_item_attempt runs[64];
    assert_true(count < 64);
    runs[0] = rig_run(100, first, "", TIMEOUT);
    for (unsigned i = 1; i <= count; i++) {
        runs[i] = rig_run(i, others, "", TIMEOUT);
    }
    rig_give_all(rig, runs, count + 1);
}

static unsigned number_of(const struct leat_item_outcome *ran)
{
    return rig_number(&ran->id);
}

static void end_the_wait(struct rig *rig)
{
    rig_kill(rig, 100);
    const struct leat_item_outcome *ran = rig_ran(rig);
    assert_int_equal(number_of(ran), 100);
    assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
}

/* What makes quick commands cheap. Where they take longer, each answer is told at once. */
static void answers_of_quick_commands_come_together(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 2);
    enum { COUNT = 60, ROUNDS = 4, QUICK_US = 1500 };
    unsigned rounds_quick = 0;
    unsigned messages = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        give(&rig, "true", "true", COUNT - 1);
        uint64_t run_us = 0;
        unsigned messages_before = messages;
        for (unsigned i = 0; i < COUNT; i++) {
            messages += rig.taken == rig.msg.ran.outcomes.count;
            run_us += rig_ran(&rig)->run_us;
        }
        const bool is_quick = run_us < (uint64_t)COUNT * QUICK_US;
        rounds_quick += is_quick;
        messages = is_quick ? messages : messages_before;
    }
    assert_in_range(messages, rounds_quick, rounds_quick * COUNT * 3 / 4);
    finish(&rig, 0);
}

static void what_stands_behind_a_slow_command_runs_in_another_slot(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 2);
    give(&rig, "wait", "note", 20);
    unsigned sum = 0;
    for (unsigned i = 1; i <= 20; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        sum += number_of(ran);
    }
    assert_int_equal(sum, 20 * 21 / 2);
    end_the_wait(&rig);
    finish(&rig, 20);
}

/* What came later is slow, too, and stood behind the others in the second slot; some of it may have
 * been begun before the first slot was seen to be slow. */
static void what_stands_behind_a_slow_command_runs_before_what_came_later(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 2);
    struct leat_item_attempt runs[1 + 15 + 16];
    runs[0] = rig_run(100, "wait", "", TIMEOUT);
    for (unsigned i = 1; i <= 31; i++) {
        runs[i] = rig_run(i, i <= 15 ? "note" : "doze", "", TIMEOUT);
    }
    rig_give_all(&rig, runs, 32);
    unsigned later = 0;
    for (unsigned i = 1, noted = 0; i <= 31; i++) {
        const bool is_note = number_of(rig_ran(&rig)) <= 15;
        noted += is_note;
        later += !is_note && noted < 15;
    }
    assert_in_range(later, 0, 6); /* of the eight that stand in the second slot */
    end_the_wait(&rig);
    finish(&rig, 15);
}

/* `count` quick ones as 1, 2..., `last` behind them as number 100. */
static void give_behind(struct rig *rig, unsigned count, const char *last)
{
    struct leat_item_attempt runs[8];
    assert_true(count < 8);
    for (unsigned i = 0; i < count; i++) {
        runs[i] = rig_run(i + 1, "true", "", TIMEOUT);
    }
    runs[count] = rig_run(100, last, "", TIMEOUT);
    rig_give_all(rig, runs, count + 1);
}

static void a_quick_command_s_answer_does_not_wait_for_a_slow_one_behind_it(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    for (unsigned round = 0; round < 5; round++) {
        give_behind(&rig, 3, "wait");
        for (unsigned i = 1; i <= 3; i++) {
            assert_int_equal(number_of(rig_ran(&rig)), i);
        }
        end_the_wait(&rig);
        for (unsigned i = 1; i <= QUICK; i++) { /* it is quick again */
            assert_int_equal(rig_once(&rig, "true", "", TIMEOUT)->failure, LEAT_FAILURE_NONE);
        }
    }
    finish(&rig, 0);
}

static void kill_and_recall_take_back_commands_that_were_sent_ahead(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    give(&rig, "wait", "note", 5);
    assert_true(rig_wait_processes(rig.mark, 1));
    rig_kill(&rig, 3);
    const struct leat_item_outcome *ran = rig_ran(&rig);
    assert_int_equal(number_of(ran), 3);
    assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
    rig_recall(&rig);
    const struct leat_msg *msg = rig_receive(&rig);
    assert_int_equal(msg->type, LEAT_MSG_RECALLED);
    assert_int_equal(msg->recalled.jobs.count, 4);
    static const unsigned left[] = {1, 2, 4, 5};
    for (size_t i = 0; i < 4; i++) {
        const struct leat_id id = rig_id(left[i]);
        assert_true(leat_id_equal(&msg->recalled.jobs.items[i].id, &id));
    }
    end_the_wait(&rig);
    /* Numbers that were taken back do not confuse what comes after them. */
    assert_int_equal(rig_once(&rig, "note", "", TIMEOUT)->failure, LEAT_FAILURE_NONE);
    finish(&rig, 1);
}

/* Whether it has not been begun yet, or runs, and whether those before it are known to have ended.
 */
static void kill_ends_the_command_that_stands_behind_others(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    for (unsigned round = 0; round < 40; round++) {
        give_behind(&rig, 3, "wait");
        usleep(round * 200); /* so that KILL comes at another moment each time */
        rig_kill(&rig, 100);
        unsigned sum = 0;
        for (unsigned i = 0; i < 4; i++) {
            const struct leat_item_outcome *ran = rig_ran(&rig);
            sum += number_of(ran);
            assert_int_equal(ran->failure,
                             number_of(ran) == 100 ? LEAT_FAILURE_KILLED : LEAT_FAILURE_NONE);
        }
        assert_int_equal(sum, 1 + 2 + 3 + 100);
        for (unsigned i = 1; i <= 3; i++) {
            assert_int_equal(rig_once(&rig, "true", "", TIMEOUT)->failure, LEAT_FAILURE_NONE);
        }
    }
    finish(&rig, 0);
}

static void what_expires_behind_a_slow_command_does_not_run(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    struct leat_item_attempt runs[21];
    runs[0] = rig_run(100, "nap", "", TIMEOUT);
    for (unsigned i = 1; i <= 20; i++) {
        runs[i] = rig_run(i, "note", "", TIMEOUT);
        runs[i].expires_at_ms = rig_wall_ms() + (i % 2 == 0 ? TIMEOUT : 200);
    }
    rig_give_all(&rig, runs, 21);
    assert_int_equal(number_of(rig_ran(&rig)), 100);
    for (unsigned i = 1; i <= 20; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(number_of(ran), i);
        assert_int_equal(ran->failure, i % 2 == 0 ? LEAT_FAILURE_NONE : LEAT_FAILURE_EXPIRED);
    }
    finish(&rig, 10);
}

static void what_was_sent_ahead_to_a_keeper_that_is_killed_runs_once(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    give(&rig, "murder", "note", 5);
    const struct leat_item_outcome *ran = rig_ran(&rig);
    assert_int_equal(number_of(ran), 100);
    assert_int_equal(ran->failure, LEAT_FAILURE_SPAWN);
    rig_assert_text(ran->error, "the slot's process has ended");
    for (unsigned i = 1; i <= 5; i++) {
        ran = rig_ran(&rig);
        assert_int_equal(number_of(ran), i);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
    }
    finish(&rig, 5);
}

static void large_and_small_outputs_come_in_the_order_of_their_commands(void **state)
{
    (void)state;
    struct rig rig;
    start(&rig, 1);
    struct leat_item_attempt runs[60];
    struct leat_item_header headers[2] = {{leat_str_of("size"), leat_str_of("100000")},
                                          {leat_str_of("size"), leat_str_of("1")}};
    for (unsigned i = 0; i < 60; i++) {
        runs[i] = rig_run(i, "zeros", "", TIMEOUT);
        runs[i].headers.items = &headers[i % 3 == 0 ? 0 : 1];
        runs[i].headers.count = 1;
    }
    rig_give_all(&rig, runs, 60);
    for (unsigned i = 0; i < 60; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(number_of(ran), i);
        assert_int_equal(ran->output.size, i % 3 == 0 ? 100000 : 1);
    }
    finish(&rig, 0);
}

static void nothing_of_a_command_is_left_when_the_one_behind_it_begins(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "litter=sleep $MARK & setsid sleep $MARK &");
    rig_add_shell(&rig, "look=all=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'); "
                        "echo \"$all\" | grep -c -x -F \"$MARK\"; true");
    rig_start(&rig);
    struct leat_item_attempt runs[40];
    for (unsigned i = 0; i < 40; i++) {
        runs[i] = rig_run(i, i % 8 == 7 ? "look" : "litter", "", TIMEOUT);
    }
    rig_give_all(&rig, runs, 40);
    for (unsigned i = 0; i < 40; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        rig_assert_output(ran, i % 8 == 7 ? "0\n" : "");
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_of_quick_commands_come_together),
        cmocka_unit_test(what_stands_behind_a_slow_command_runs_in_another_slot),
        cmocka_unit_test(what_stands_behind_a_slow_command_runs_before_what_came_later),
        cmocka_unit_test(a_quick_command_s_answer_does_not_wait_for_a_slow_one_behind_it),
        cmocka_unit_test(kill_and_recall_take_back_commands_that_were_sent_ahead),
        cmocka_unit_test(kill_ends_the_command_that_stands_behind_others),
        cmocka_unit_test(what_expires_behind_a_slow_command_does_not_run),
        cmocka_unit_test(what_was_sent_ahead_to_a_keeper_that_is_killed_runs_once),
        cmocka_unit_test(large_and_small_outputs_come_in_the_order_of_their_commands),
        cmocka_unit_test(nothing_of_a_command_is_left_when_the_one_behind_it_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
