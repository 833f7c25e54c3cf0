/* Nothing outlives its attempt: timeouts, kills, daemons, and the ends of spawner, keeper and
 * worker. */
#include "spawner_rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/spawner/inside.h"

#define TIMEOUT 10000
/* Leaves every kind of relative: in the background, in a session of its own, a daemon twice forked,
 * and one that ignores SIGTERM; each is known by the mark. */
#define LITTER                                                                                     \
    "sleep $MARK & "                                                                               \
    "setsid sleep $MARK & "                                                                        \
    "setsid sh -c 'setsid sh -c \"trap \\\"\\\" TERM HUP; sleep $MARK; sleep $MARK\" & exit 0' & " \
    "(trap '' TERM; setsid sh -c 'sleep $MARK & wait' & exec sleep $MARK) & "

static void a_timeout_is_named_and_ends_the_command_with_sigterm(void **state)
{
    (void)state;
    static const struct {
        uint64_t timeout_ms;
        const char *error;
    } cases[] = {
        {50, "timeout after 50 ms: going down"},
        {1000, "timeout after 1 s: going down"},
        {1100, "timeout after 1.1 s: going down"},
    };
    struct rig rig;
    rig_init(&rig);
    rig.config.grace_ms = 60000;
    rig_add_shell(&rig, "hang=trap 'echo going down >&2; exit 0' TERM; sleep $MARK & wait");
    rig_start(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct leat_item_outcome *ran = rig_once(&rig, "hang", "", cases[i].timeout_ms);
        assert_int_equal(ran->failure, LEAT_FAILURE_TIMEOUT);
        assert_false(ran->permanent);
        rig_assert_text(ran->error, cases[i].error);
        assert_true(ran->run_us >= cases[i].timeout_ms * 1000);
        assert_true(ran->run_us < cases[i].timeout_ms * 1000 + 5000000);
        assert_int_equal(rig_count_processes(rig.mark), 0);
    }
    rig_fini(&rig);
}

static void sigterm_reaches_the_whole_group(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.grace_ms = 60000;
    rig_add_shell(&rig, "hang=trap : TERM; "
                        "(trap 'echo child >&2; exit' TERM; sleep $MARK & wait) & wait; wait");
    rig_start(&rig);
    rig_assert_text(rig_once(&rig, "hang", "", 300)->error, "timeout after 300 ms: child");
    rig_fini(&rig);
}

static void what_ignores_sigterm_and_forks_and_makes_sessions_is_gone_after_the_grace(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.slots = 2;
    rig_add_shell(&rig, "litter=trap '' TERM; " LITTER "while :; do sleep $MARK; done");
    rig_add_shell(&rig, "other=exec sleep $MARK.5");
    rig_start(&rig);
    struct leat_item_attempt run = rig_run(2, "other", "", 60000);
    rig_give(&rig, &run);
    const struct leat_item_outcome *ran = rig_once(&rig, "litter", "", 400);
    assert_int_equal(ran->failure, LEAT_FAILURE_TIMEOUT);
    assert_true(ran->run_us >= 600000); /* the whole grace, as nothing ended before */
    /* Only the other slot's command is left, at once. */
    char other[80];
    snprintf(other, sizeof other, "%s.5", rig.mark);
    assert_int_equal(rig_count_processes(other), 1);
    assert_int_equal(rig_count_processes(rig.mark), 1);
    rig_fini(&rig);
}

static void what_a_command_leaves_behind_is_killed_when_it_succeeds(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "litter=" LITTER "sleep 0.1; echo done");
    rig_start(&rig);
    for (int i = 0; i < 5; i++) {
        const struct leat_item_outcome *ran = rig_once(&rig, "litter", "", TIMEOUT);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        rig_assert_output(ran, "done\n");
        assert_int_equal(rig_count_processes(rig.mark), 0);
    }
    assert_int_equal(rig_count_zombies(rig.spawner.pid), 0);
    rig_fini(&rig);
}

static void kill_ends_the_attempt_that_it_names(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "hang=" LITTER "sleep $MARK");
    rig_start(&rig);
    struct leat_item_attempt run = rig_run(1, "hang", "", 60000);
    rig_give(&rig, &run);
    run = rig_run(2, "hang", "", 60000);
    rig_give(&rig, &run);
    rig_kill(&rig, 2); /* has not begun */
    const struct leat_item_outcome *ran = rig_ran(&rig);
    struct leat_id id = rig_id(2);
    assert_true(leat_id_equal(&ran->id, &id));
    assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
    rig_kill(&rig, 9); /* nobody knows it: nothing happens */
    rig_kill(&rig, 1);
    ran = rig_ran(&rig);
    id = rig_id(1);
    assert_true(leat_id_equal(&ran->id, &id));
    assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
    rig_assert_text(ran->error, "killed by the worker");
    assert_int_equal(rig_count_processes(rig.mark), 0);
    rig_fini(&rig);
}

static void kill_right_behind_its_run_is_not_lost(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "hang=exec sleep $MARK");
    rig_start(&rig);
    for (unsigned i = 1; i <= 50; i++) {
        struct leat_item_attempt run = rig_run(i, "hang", "", 60000);
        rig_give(&rig, &run);
        rig_kill(&rig, i);
        assert_int_equal(rig_ran(&rig)->failure, LEAT_FAILURE_KILLED);
    }
    rig_fini(&rig);
}

static void kill_of_all_answers_for_each(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.slots = 2;
    rig_add_shell(&rig, "hang=exec sleep $MARK");
    rig_start(&rig);
    for (unsigned i = 1; i <= 6; i++) {
        struct leat_item_attempt run = rig_run(i, "hang", "", 60000);
        rig_give(&rig, &run);
    }
    rig_kill(&rig, 0);
    unsigned seen = 0;
    for (unsigned i = 1; i <= 6; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
        seen |= 1u << ran->id.bytes[12];
    }
    assert_int_equal(seen, 0x7e);
    rig_fini(&rig);
}

static void recall_gives_back_what_has_not_begun(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "hang=exec sleep $MARK");
    rig_start(&rig);
    for (unsigned i = 1; i <= 4; i++) {
        struct leat_item_attempt run = rig_run(i, "hang", "", 60000);
        rig_give(&rig, &run);
    }
    assert_true(rig_wait_processes(rig.mark, 1));
    rig_recall(&rig);
    const struct leat_msg *msg = rig_receive(&rig);
    assert_int_equal(msg->type, LEAT_MSG_RECALLED);
    assert_int_equal(msg->recalled.jobs.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct leat_id id = rig_id(i + 2);
        assert_true(leat_id_equal(&msg->recalled.jobs.items[i].id, &id));
        assert_int_equal(msg->recalled.jobs.items[i].delivery, 1);
    }
    rig_recall(&rig);
    msg = rig_receive(&rig);
    assert_int_equal(msg->type, LEAT_MSG_RECALLED);
    assert_int_equal(msg->recalled.jobs.count, 0);
    rig_fini(&rig);
}

static void litter_in_all_slots(struct rig *rig)
{
    rig_init(rig);
    rig->config.slots = 3;
    rig_add_shell(rig, "litter=trap '' TERM; " LITTER "sleep $MARK; sleep $MARK");
    rig_start(rig);
    for (unsigned i = 1; i <= 3; i++) {
        struct leat_item_attempt run = rig_run(i, "litter", "", 60000);
        rig_give(rig, &run);
    }
    /* Per slot: six sleeps, and shells that wait for them. */
    for (int i = 0; rig_count_processes(rig->mark) < 3 * 9; i++) {
        assert_true(i < 1000);
        poll(NULL, 0, 5);
    }
}

static void everything_is_gone_within_a_second_when_the_spawner_is_killed(void **state)
{
    (void)state;
    struct rig rig;
    litter_in_all_slots(&rig);
    kill(rig.spawner.pid, SIGKILL);
    assert_true(rig_wait_processes(rig.mark, 0));
    rig_fini(&rig);
}

static void everything_is_gone_within_a_second_when_the_worker_closes(void **state)
{
    (void)state;
    struct rig rig;
    litter_in_all_slots(&rig);
    const int64_t start_us = leat_spawner_now_us();
    leat_spawner_stop(&rig.spawner);
    assert_true(leat_spawner_now_us() - start_us < LEAT_US_PER_S);
    assert_int_equal(rig_count_processes(rig.mark), 0);
    rig_fini(&rig);
}

static void everything_is_gone_within_a_second_when_the_worker_is_killed(void **state)
{
    (void)state;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t worker = fork();
    if (worker == 0) {
        struct rig rig;
        litter_in_all_slots(&rig);
        if (write(ready[1], rig.mark, sizeof rig.mark) < 0) {
            _exit(1);
        }
        pause();
        _exit(1);
    }
    char mark[64];
    assert_int_equal(read(ready[0], mark, sizeof mark), (ssize_t)sizeof mark);
    kill(worker, SIGKILL);
    assert_int_equal(waitpid(worker, NULL, 0), worker);
    assert_true(rig_wait_processes(mark, 0));
    close(ready[0]);
    close(ready[1]);
}

static void a_killed_keeper_costs_one_attempt_and_leaves_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "hang=" LITTER "sleep 0.1; kill -9 $PPID; sleep $MARK");
    rig_add_exec(&rig, "cat=cat");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "hang", "", 60000);
    assert_int_equal(ran->failure, LEAT_FAILURE_SPAWN);
    assert_true(rig_wait_processes(rig.mark, 0));
    rig_assert_output(rig_once(&rig, "cat", "on it goes", TIMEOUT), "on it goes");
    rig_fini(&rig);
}

static size_t files_below(const struct rig *rig)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)rig->spawner.pid,
             (int)rig->spawner.pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t count = rig_count_files(rig->spawner.pid);
    int pid;
    while (fscanf(file, "%d", &pid) == 1) {
        count += rig_count_files((pid_t)pid);
    }
    fclose(file);
    return count;
}

static void files_stay_the_same_and_no_zombies_are_left_after_a_thousand_attempts(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "true=true");
    rig_add_exec(&rig, "cat=cat");
    rig_start(&rig);
    (void)rig_once(&rig, "true", "", TIMEOUT);
    const size_t before = files_below(&rig);
    for (unsigned i = 0; i < 1000; i++) {
        (void)rig_once(&rig, i % 2 == 0 ? "true" : "cat", "payload", TIMEOUT);
    }
    assert_int_equal(files_below(&rig), before);
    assert_int_equal(rig_count_zombies(rig.spawner.pid), 0);
    rig_fini(&rig);
}

int main(void)
{
    /* Where what escapes would end up: here, and seen by the tests, instead of below init. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timeout_is_named_and_ends_the_command_with_sigterm),
        cmocka_unit_test(sigterm_reaches_the_whole_group),
        cmocka_unit_test(what_ignores_sigterm_and_forks_and_makes_sessions_is_gone_after_the_grace),
        cmocka_unit_test(what_a_command_leaves_behind_is_killed_when_it_succeeds),
        cmocka_unit_test(kill_ends_the_attempt_that_it_names),
        cmocka_unit_test(kill_right_behind_its_run_is_not_lost),
        cmocka_unit_test(kill_of_all_answers_for_each),
        cmocka_unit_test(recall_gives_back_what_has_not_begun),
        cmocka_unit_test(everything_is_gone_within_a_second_when_the_spawner_is_killed),
        cmocka_unit_test(everything_is_gone_within_a_second_when_the_worker_closes),
        cmocka_unit_test(everything_is_gone_within_a_second_when_the_worker_is_killed),
        cmocka_unit_test(a_killed_keeper_costs_one_attempt_and_leaves_nothing),
        cmocka_unit_test(files_stay_the_same_and_no_zombies_are_left_after_a_thousand_attempts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
