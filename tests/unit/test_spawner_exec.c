/* Commands: what they get, what is kept of them, and what their end means. */
#include "spawner_rig.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT 10000

static void a_command_gets_the_payload_and_its_output_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "cat=cat");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "cat", "some input\n", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
    assert_false(ran->permanent);
    assert_int_equal(ran->code, 0);
    assert_false(ran->truncated);
    assert_int_equal(ran->error.size, 0);
    assert_true(ran->run_us > 0);
    rig_assert_output(ran, "some input\n");
    ran = rig_once(&rig, "cat", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
    assert_int_equal(ran->output.size, 0);
    rig_fini(&rig);
}

static void a_payload_larger_than_any_pipe_arrives_whole(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "count=wc -c");
    rig_start(&rig);
    const size_t size = 5u << 20;
    char *payload = malloc(size);
    assert_non_null(payload);
    memset(payload, 'x', size);
    struct leat_item_attempt run = rig_run(1, "count", "", TIMEOUT);
    run.payload = leat_bytes_of(payload, size);
    rig_give(&rig, &run);
    rig_assert_output(rig_ran(&rig), "5242880\n");
    free(payload);
    rig_fini(&rig);
}

static void a_command_that_does_not_read_its_input_succeeds(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "true=true");
    rig_start(&rig);
    const size_t size = 1u << 20;
    char *payload = calloc(1, size);
    assert_non_null(payload);
    struct leat_item_attempt run = rig_run(1, "true", "", TIMEOUT);
    run.payload = leat_bytes_of(payload, size);
    rig_give(&rig, &run);
    assert_int_equal(rig_ran(&rig)->failure, LEAT_FAILURE_NONE);
    free(payload);
    rig_fini(&rig);
}

static void exit_statuses_are_classed_by_the_table(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool permanent;
    } cases[] = {{1, false},   {2, false},  {63, false}, {64, true},   {65, true},
                 {66, false},  {75, false}, {77, true},  {78, true},   {79, false},
                 {125, false}, {126, true}, {127, true}, {128, false}, {255, false}};
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "exit=read status; echo partly; exit $status");
    rig_start(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char payload[16];
        char expected[64];
        snprintf(payload, sizeof payload, "%d\n", cases[i].status);
        snprintf(expected, sizeof expected, "exit status %d", cases[i].status);
        const struct leat_item_outcome *ran = rig_once(&rig, "exit", payload, TIMEOUT);
        assert_int_equal(ran->failure, LEAT_FAILURE_EXIT);
        assert_int_equal(ran->code, cases[i].status);
        assert_int_equal(ran->permanent, cases[i].permanent);
        rig_assert_text(ran->error, expected);
        rig_assert_output(ran, "partly\n");
    }
    rig_fini(&rig);
}

static void permanent_exits_can_be_configured(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct leat_why why;
    assert_int_equal(leat_spawner_set_permanent_exits(&rig.config, "3,200", &why), LEAT_OK);
    rig_add_shell(&rig, "exit=read status; exit $status");
    rig_start(&rig);
    assert_true(rig_once(&rig, "exit", "3\n", TIMEOUT)->permanent);
    assert_true(rig_once(&rig, "exit", "200\n", TIMEOUT)->permanent);
    assert_false(rig_once(&rig, "exit", "64\n", TIMEOUT)->permanent);
    rig_fini(&rig);
}

static void the_tail_of_standard_error_is_in_the_error(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.stderr_bytes_max = 40;
    rig_add_shell(&rig, "short=echo 'no such thing' >&2; exit 4");
    rig_add_shell(&rig,
                  "long=seq 1 100000 >&2; printf 'bad \\377 byte, then the end\\n' >&2; exit 4");
    rig_start(&rig);
    rig_assert_text(rig_once(&rig, "short", "", TIMEOUT)->error, "exit status 4: no such thing");
    const struct leat_item_outcome *ran = rig_once(&rig, "long", "", TIMEOUT);
    rig_assert_contains(ran->error, "exit status 4: ");
    rig_assert_contains(ran->error, "100000\nbad ? byte, then the end");
    assert_true(ran->error.size <= strlen("exit status 4: ") + 40);
    rig_fini(&rig);
}

static void attempt_and_headers_are_in_the_environment(void **state)
{
    (void)state;
    setenv("LEAT_JOB_STALE", "1", 1);
    setenv("LEAT_HEADER_STALE", "1", 1);
    setenv("KEPT_FROM_THE_WORKER", "yes", 1);
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "env=env | grep -E '^(LEAT_|KEPT)' | sort");
    rig_start(&rig);
    struct leat_item_header headers[] = {
        {leat_str_of("trace-id"), leat_str_of("abc = 1")},
        {leat_str_of("a.b"), leat_str_of("")},
    };
    struct leat_item_attempt run = rig_run(1, "env", "", TIMEOUT);
    run.attempt = 7;
    run.headers.items = headers;
    run.headers.count = 2;
    rig_give(&rig, &run);
    const struct leat_id id = rig_id(1);
    char id_text[LEAT_ID_TEXT_BYTES];
    char expected[512];
    snprintf(expected, sizeof expected,
             "KEPT_FROM_THE_WORKER=yes\nLEAT_HEADER_A_B=\nLEAT_HEADER_TRACE_ID=abc = 1\n"
             "LEAT_JOB_ATTEMPT=7\nLEAT_JOB_ID=%s\nLEAT_JOB_QUEUE=default\n"
             "LEAT_JOB_TIMEOUT_MS=10000\nLEAT_JOB_TYPE=env\n",
             leat_id_format(&id, id_text));
    rig_assert_output(rig_ran(&rig), expected);
    rig_fini(&rig);
    unsetenv("LEAT_JOB_STALE");
    unsetenv("LEAT_HEADER_STALE");
}

static void output_is_cut_at_the_limit_and_flagged(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.result_bytes_max = 10;
    rig_add_exec(&rig, "cat=cat");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "cat", "0123456789", TIMEOUT);
    rig_assert_output(ran, "0123456789");
    assert_false(ran->truncated);
    ran = rig_once(&rig, "cat", "0123456789a", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
    rig_assert_output(ran, "0123456789");
    assert_true(ran->truncated);
    rig_fini(&rig);
}

static void a_flood_on_both_outputs_does_not_block_the_command(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "flood=head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2; exit 3");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "flood", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_EXIT);
    assert_int_equal(ran->output.size, LEAT_RESULT_BYTES_DEFAULT);
    assert_true(ran->truncated);
    rig_fini(&rig);
}

static void a_signal_is_named(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "signal=read name; kill -$name $$");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "signal", "SEGV\n", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_SIGNAL);
    assert_int_equal(ran->code, SIGSEGV);
    assert_false(ran->permanent);
    rig_assert_contains(ran->error, "killed by SIGSEGV");
    rig_assert_contains(rig_once(&rig, "signal", "KILL\n", TIMEOUT)->error, "killed by SIGKILL");
    rig_assert_contains(rig_once(&rig, "signal", "PIPE\n", TIMEOUT)->error, "killed by SIGPIPE");
    rig_fini(&rig);
}

static void a_command_has_default_signals_no_privileges_to_gain_and_only_three_files(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_shell(&rig, "look=ls /proc/self/fd | wc -l; "
                        "grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/self/status");
    signal(SIGHUP, SIG_IGN);
    rig_start(&rig);
    rig_assert_output(rig_once(&rig, "look", "x", TIMEOUT),
                      "4\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nNoNewPrivs:\t1\n");
    signal(SIGHUP, SIG_DFL);
    rig_fini(&rig);
}

static void a_type_without_handler_is_refused_by_name(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "cat=cat");
    rig_start(&rig);
    const struct leat_item_outcome *ran = rig_once(&rig, "dog", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_NO_HANDLER);
    assert_false(ran->permanent);
    rig_assert_text(ran->error, "no handler for type dog on this worker");
    rig_fini(&rig);
}

static void a_command_that_vanished_is_a_permanent_spawn_failure(void **state)
{
    (void)state;
    char path[] = "/tmp/leat-spawner-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(dprintf(fd, "#!/bin/sh\necho here\n"), 20);
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
    struct rig rig;
    rig_init(&rig);
    char text[64];
    snprintf(text, sizeof text, "script=%s", path);
    rig_add_exec(&rig, text);
    rig_start(&rig);
    rig_assert_output(rig_once(&rig, "script", "", TIMEOUT), "here\n");
    unlink(path);
    for (int i = 0; i < 3; i++) {
        const struct leat_item_outcome *ran = rig_once(&rig, "script", "some payload", TIMEOUT);
        assert_int_equal(ran->failure, LEAT_FAILURE_SPAWN);
        assert_true(ran->permanent);
        rig_assert_contains(ran->error, "No such file or directory");
    }
    rig_fini(&rig);
}

static void slots_run_at_the_same_time_and_no_more_than_there_are(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.slots = 3;
    rig_add_shell(&rig, "wait=exec sleep $MARK");
    rig_start(&rig);
    for (unsigned i = 1; i <= 5; i++) {
        struct leat_item_attempt run = rig_run(i, "wait", "", TIMEOUT);
        rig_give(&rig, &run);
    }
    assert_true(rig_wait_processes(rig.mark, 3));
    rig_kill(&rig, 2);
    const struct leat_item_outcome *ran = rig_ran(&rig);
    struct leat_id id = rig_id(2);
    assert_true(leat_id_equal(&ran->id, &id));
    assert_true(rig_wait_processes(rig.mark, 3));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_gets_the_payload_and_its_output_comes_back),
        cmocka_unit_test(a_payload_larger_than_any_pipe_arrives_whole),
        cmocka_unit_test(a_command_that_does_not_read_its_input_succeeds),
        cmocka_unit_test(exit_statuses_are_classed_by_the_table),
        cmocka_unit_test(permanent_exits_can_be_configured),
        cmocka_unit_test(the_tail_of_standard_error_is_in_the_error),
        cmocka_unit_test(attempt_and_headers_are_in_the_environment),
        cmocka_unit_test(output_is_cut_at_the_limit_and_flagged),
        cmocka_unit_test(a_flood_on_both_outputs_does_not_block_the_command),
        cmocka_unit_test(a_signal_is_named),
        cmocka_unit_test(a_command_has_default_signals_no_privileges_to_gain_and_only_three_files),
        cmocka_unit_test(a_type_without_handler_is_refused_by_name),
        cmocka_unit_test(a_command_that_vanished_is_a_permanent_spawn_failure),
        cmocka_unit_test(slots_run_at_the_same_time_and_no_more_than_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
