/* Plug-in handlers: what they see, what their answers mean, and that one attempt never harms
 * another. */
#include "spawner_rig.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/spawner/inside.h"

#define TIMEOUT 10000

static void start(struct rig *rig, size_t slots)
{
    rig->config.slots = slots;
    struct leat_why why = {""};
    if (leat_spawner_add_plugin(&rig->config, LEAT_TEST_PLUGIN, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    rig_start(rig);
}

static void init(struct rig *rig, size_t slots)
{
    rig_init(rig);
    start(rig, slots);
}

static void assert_id(const struct leat_item_outcome *ran, unsigned number)
{
    const struct leat_id id = rig_id(number);
    assert_true(leat_id_equal(&ran->id, &id));
}

static void send_run(struct rig *rig, unsigned number, const char *type, const char *payload)
{
    struct leat_item_attempt run = rig_run(number, type, payload, TIMEOUT);
    rig_give(rig, &run);
}

static void a_handler_gets_the_job_and_its_output_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    rig_assert_output(rig_once(&rig, "echo", "hello", TIMEOUT), "hello");
    assert_int_equal(rig_once(&rig, "echo", "", TIMEOUT)->output.size, 0);
    struct leat_item_header headers[] = {{leat_str_of("color"), leat_str_of("blue")}};
    struct leat_item_attempt run = rig_run(1, "describe", "the end", 5000);
    run.attempt = 3;
    run.headers.items = headers;
    run.headers.count = 1;
    rig_give(&rig, &run);
    const struct leat_id id = rig_id(1);
    char id_text[LEAT_ID_TEXT_BYTES];
    char expected[256];
    snprintf(expected, sizeof expected, "%s default describe 3 5000 blue - in time the end",
             leat_id_format(&id, id_text));
    rig_assert_output(rig_ran(&rig), expected);
    rig_fini(&rig);
}

static void errors_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        int code;
        bool permanent;
        const char *error;
    } cases[] = {
        {"plain", 42, false, "handler returned 42"},
        {"for a retry", 7, false, "it is for a retry"},
        {"permanent", 7, true, "it is permanent"},
    };
    struct rig rig;
    init(&rig, 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct leat_item_outcome *ran = rig_once(&rig, "fail", cases[i].payload, TIMEOUT);
        assert_int_equal(ran->failure, LEAT_FAILURE_HANDLER);
        assert_int_equal(ran->code, cases[i].code);
        assert_int_equal(ran->permanent, cases[i].permanent);
        rig_assert_text(ran->error, cases[i].error);
    }
    rig_fini(&rig);
}

static void too_large_a_result_is_a_failure_of_its_own(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.result_bytes_max = 109;
    start(&rig, 1);
    const struct leat_item_outcome *ran = rig_once(&rig, "large", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_TOO_LARGE);
    assert_true(ran->permanent);
    rig_assert_text(ran->error, "result is larger than the limit of 109 bytes");
    assert_int_equal(ran->output.size, 0);
    rig_assert_output(rig_once(&rig, "echo", "fits", TIMEOUT), "fits");
    rig_fini(&rig);
}

static void a_slot_runs_attempts_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    for (unsigned i = 1; i <= 500; i++) {
        send_run(&rig, i, "echo", "x");
    }
    for (unsigned i = 1; i <= 500; i++) {
        assert_id(rig_ran(&rig), i);
    }
    rig_fini(&rig);
}

static void a_crash_costs_the_attempt_that_ran_and_no_other(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    for (unsigned i = 1; i <= 60; i++) {
        send_run(&rig, i, i % 20 == 10 ? "crash" : "echo", "x");
    }
    for (unsigned i = 1; i <= 60; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_id(ran, i);
        if (i % 20 == 10) {
            assert_int_equal(ran->failure, LEAT_FAILURE_SIGNAL);
            assert_int_equal(ran->code, SIGSEGV);
            rig_assert_contains(ran->error, "killed by SIGSEGV");
        } else {
            assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        }
    }
    rig_fini(&rig);
}

static void leaving_the_process_is_an_error_of_the_handler(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    const struct leat_item_outcome *ran = rig_once(&rig, "leave", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_HANDLER);
    rig_assert_text(ran->error, "the handler called exit()");
    rig_assert_output(rig_once(&rig, "echo", "next", TIMEOUT), "next");
    rig_fini(&rig);
}

static void a_hanging_handler_is_gone_with_all_it_started_and_the_rest_goes_on(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    send_run(&rig, 1, "echo", "x");
    assert_id(rig_ran(&rig), 1);
    struct leat_item_attempt run = rig_run(2, "hang", "", 100);
    rig_give(&rig, &run);
    for (unsigned i = 3; i <= 10; i++) {
        send_run(&rig, i, "echo", "x");
    }
    const struct leat_item_outcome *ran = rig_ran(&rig);
    assert_id(ran, 2);
    assert_int_equal(ran->failure, LEAT_FAILURE_TIMEOUT);
    rig_assert_text(ran->error, "timeout after 100 ms");
    assert_true(ran->run_us >= 300000); /* SIGTERM was ignored, so the grace is part of it */
    assert_true(ran->run_us < 2000000);
    assert_int_equal(rig_count_processes(rig.mark), 0);
    for (unsigned i = 3; i <= 10; i++) {
        ran = rig_ran(&rig);
        assert_id(ran, i);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
    }
    rig_fini(&rig);
}

static void success_after_the_timeout_is_a_timeout(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    const struct leat_item_outcome *ran = rig_once(&rig, "late", "", 50);
    assert_int_equal(ran->failure, LEAT_FAILURE_TIMEOUT);
    assert_int_equal(ran->output.size, 0);
    rig_assert_output(rig_once(&rig, "echo", "next", TIMEOUT), "next");
    rig_fini(&rig);
}

static void the_timeout_of_an_attempt_starts_when_it_is_begun(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    for (unsigned i = 1; i <= 10; i++) {
        struct leat_item_attempt run = rig_run(i, "nap", "60", 400);
        rig_give(&rig, &run);
    }
    const struct leat_id other = rig_id(100);
    unsigned others = 0;
    for (unsigned i = 1; i <= 10 || others < 20;) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        if (leat_id_equal(&ran->id, &other)) {
            others++;
            continue;
        }
        assert_id(ran, i++);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        /* Makes the spawner look at the clock while the next one runs. */
        send_run(&rig, 100, "no-such-type", "");
        send_run(&rig, 100, "no-such-type", "");
    }
    rig_fini(&rig);
}

static void what_expires_behind_a_slow_attempt_does_not_run(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    struct leat_item_attempt runs[] = {rig_run(1, "nap", "300", TIMEOUT),
                                       rig_run(2, "echo", "late", TIMEOUT),
                                       rig_run(3, "echo", "in time", TIMEOUT)};
    runs[1].expires_at_ms = rig_wall_ms() + 200;
    runs[2].expires_at_ms = rig_wall_ms() + TIMEOUT;
    rig_give_all(&rig, runs, 3);
    assert_id(rig_ran(&rig), 1);
    const struct leat_item_outcome *ran = rig_ran(&rig);
    assert_id(ran, 2);
    assert_int_equal(ran->failure, LEAT_FAILURE_EXPIRED);
    rig_assert_output(ran, "");
    rig_assert_output(rig_ran(&rig), "in time");
    rig_fini(&rig);
}

/* So that slots take many ahead. */
static void run_quick_ones(struct rig *rig)
{
    for (unsigned i = 1; i <= 60; i++) {
        send_run(rig, i, "echo", "x");
    }
    for (unsigned i = 1; i <= 60; i++) {
        assert_int_equal(rig_ran(rig)->failure, LEAT_FAILURE_NONE);
    }
}

static void what_stands_behind_a_slow_attempt_runs_in_another_slot(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 2);
    run_quick_ones(&rig);
    struct leat_item_attempt run = rig_run(100, "nap", "60000", 60000);
    rig_give(&rig, &run);
    for (unsigned i = 1; i <= 40; i++) {
        send_run(&rig, i, "nap", "1");
    }
    unsigned sum = 0;
    for (unsigned i = 1; i <= 40; i++) {
        sum += rig_ran(&rig)->id.bytes[12];
    }
    assert_int_equal(sum, 40 * 41 / 2);
    rig_kill(&rig, 100);
    assert_int_equal(rig_ran(&rig)->failure, LEAT_FAILURE_KILLED);
    rig_fini(&rig);
}

/* Of a pace at which none is slow, but all that one slot was given would take more than a second.
 */
static void what_stands_in_too_long_a_flight_is_shared_with_the_other_slot(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 2);
    run_quick_ones(&rig);
    enum { COUNT = 800 };
    static struct leat_item_attempt runs[COUNT];
    for (unsigned i = 0; i < COUNT; i++) { /* every second one, so all in one slot */
        runs[i] = rig_run(i, i % 2 == 0 ? "nap_whoami" : "echo", "3", TIMEOUT);
    }
    rig_give_all(&rig, runs, COUNT);
    int first = 0;
    unsigned others = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        if (rig_number(&ran->id) % 2 == 0) {
            char text[16];
            snprintf(text, sizeof text, "%.*s", (int)ran->output.size, ran->output.data);
            const int pid = atoi(text);
            first = first == 0 ? pid : first;
            others += pid != first;
        }
    }
    assert_in_range(others, COUNT / 16, COUNT / 2);
    rig_fini(&rig);
}

static void large_and_small_answers_come_in_the_order_of_their_attempts(void **state)
{
    (void)state;
    static char payload[100 << 10];
    memset(payload, 'y', sizeof payload - 1);
    struct rig rig;
    rig_init(&rig);
    rig.config.result_bytes_max = sizeof payload;
    start(&rig, 1);
    for (unsigned i = 1; i <= 200; i++) { /* so that many are sent ahead */
        send_run(&rig, i, "echo", i % 7 == 0 ? payload : "x");
    }
    for (unsigned i = 1; i <= 200; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_id(ran, i);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        assert_int_equal(ran->output.size, i % 7 == 0 ? sizeof payload - 1 : 1);
    }
    rig_fini(&rig);
}

/* More than the ring holds, and nobody reads. */
static void answers_wait_for_a_spawner_that_waits_for_the_worker(void **state)
{
    (void)state;
    static char payload[32 << 10];
    memset(payload, 'y', sizeof payload - 1);
    struct rig rig;
    init(&rig, 2);
    for (unsigned i = 1; i <= 200; i++) {
        send_run(&rig, i, "echo", payload);
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 1; i <= 200; i++) {
            assert_int_equal(rig_ran(&rig)->output.size, sizeof payload - 1);
            send_run(&rig, i, "echo", payload);
        }
    }
    for (unsigned i = 1; i <= 200; i++) {
        assert_int_equal(rig_ran(&rig)->output.size, sizeof payload - 1);
    }
    rig_fini(&rig);
}

static void a_quick_answer_does_not_wait_for_a_slow_attempt_behind_it(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    run_quick_ones(&rig);
    for (unsigned i = 1; i <= 5; i++) {
        send_run(&rig, i, "echo", "x");
    }
    send_run(&rig, 100, "nap", "60000");
    for (unsigned i = 1; i <= 5; i++) {
        assert_id(rig_ran(&rig), i);
    }
    rig_kill(&rig, 100);
    assert_int_equal(rig_ran(&rig)->failure, LEAT_FAILURE_KILLED);
    rig_fini(&rig);
}

static void kill_and_recall_take_back_what_was_sent_ahead(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    for (unsigned i = 1; i <= 40; i++) {
        send_run(&rig, i, "echo", "x");
        (void)rig_ran(&rig);
    }
    send_run(&rig, 50, "nap", "60000");
    for (unsigned i = 51; i <= 55; i++) {
        send_run(&rig, i, "echo", "x");
    }
    rig_kill(&rig, 53);
    const struct leat_item_outcome *ran = rig_ran(&rig);
    assert_id(ran, 53);
    assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
    rig_recall(&rig);
    const struct leat_msg *msg = rig_receive(&rig);
    assert_int_equal(msg->type, LEAT_MSG_RECALLED);
    /* The nap itself may not have been begun yet. */
    assert_in_range(msg->recalled.jobs.count, 4, 5);
    const size_t count = msg->recalled.jobs.count;
    const struct leat_id last = rig_id(55);
    assert_true(leat_id_equal(&msg->recalled.jobs.items[count - 1].id, &last));
    if (count == 4) {
        rig_kill(&rig, 50);
        ran = rig_ran(&rig);
        assert_id(ran, 50);
        assert_int_equal(ran->failure, LEAT_FAILURE_KILLED);
    }
    rig_assert_output(rig_once(&rig, "echo", "still here", TIMEOUT), "still here");
    rig_fini(&rig);
}

static void a_child_is_replaced_after_its_number_of_attempts(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.config.recycle_jobs = 10;
    start(&rig, 1);
    char last[32] = "";
    unsigned changes = 0;
    for (unsigned i = 1; i <= 100; i++) {
        send_run(&rig, i, "whoami", "");
    }
    for (unsigned i = 1; i <= 100; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_id(ran, i);
        char now[32];
        snprintf(now, sizeof now, "%.*s", (int)ran->output.size, (const char *)ran->output.data);
        changes += strcmp(now, last) != 0;
        memcpy(last, now, sizeof last);
    }
    assert_in_range(changes, 9, 12);
    rig_fini(&rig);
}

static void a_child_that_writes_nonsense_is_replaced(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    const struct leat_item_outcome *ran = rig_once(&rig, "scribble", "", TIMEOUT);
    assert_int_equal(ran->failure, LEAT_FAILURE_HANDLER);
    rig_assert_text(ran->error, "the plug-in child's answer cannot be read");
    rig_assert_output(rig_once(&rig, "echo", "next", TIMEOUT), "next");
    rig_fini(&rig);
}

/* The timeout, and as long as a child may take to load: then nothing that it says counts. */
static void a_handler_that_writes_over_shared_memory_ends_all_the_same(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 1);
    rig_assert_output(rig_once(&rig, "echo", "first", TIMEOUT), "first");
    const struct leat_item_outcome *ran = rig_once(&rig, "erase", "", 100);
    assert_int_equal(ran->failure, LEAT_FAILURE_HANDLER); /* its answers are nonsense now */
    rig_assert_output(rig_once(&rig, "echo", "next", TIMEOUT), "next");
    ran = rig_once(&rig, "erase", "the gate", 100); /* it never began, says the gate */
    assert_int_equal(ran->failure, LEAT_FAILURE_TIMEOUT);
    rig_assert_output(rig_once(&rig, "echo", "last", TIMEOUT), "last");
    rig_fini(&rig);
}

static void a_child_that_always_dies_while_loading_fails_its_attempts(void **state)
{
    (void)state;
    char path[] = "/tmp/leat-spawner-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    setenv("LEAT_TEST_CRASH_FILE", path, 1);
    struct rig rig;
    init(&rig, 1);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    for (unsigned i = 1; i <= 2; i++) {
        send_run(&rig, i, "echo", "x");
    }
    for (unsigned i = 1; i <= 2; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_id(ran, i);
        assert_int_equal(ran->failure, LEAT_FAILURE_SPAWN);
        assert_false(ran->permanent);
    }
    unlink(path);
    rig_assert_output(rig_once(&rig, "echo", "well again", TIMEOUT), "well again");
    unsetenv("LEAT_TEST_CRASH_FILE");
    rig_fini(&rig);
}

static void commands_and_plug_ins_share_the_slots(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_add_exec(&rig, "cat=cat");
    start(&rig, 2);
    for (unsigned i = 1; i <= 200; i++) {
        send_run(&rig, i, i % 3 == 0 ? "cat" : "echo", "both");
    }
    unsigned sum = 0;
    for (unsigned i = 1; i <= 200; i++) {
        const struct leat_item_outcome *ran = rig_ran(&rig);
        assert_int_equal(ran->failure, LEAT_FAILURE_NONE);
        rig_assert_output(ran, "both");
        sum += ran->id.bytes[12];
    }
    assert_int_equal(sum, 200 * 201 / 2);
    rig_fini(&rig);
}

static void everything_is_gone_when_the_spawner_is_killed(void **state)
{
    (void)state;
    struct rig rig;
    init(&rig, 2);
    struct leat_item_attempt run = rig_run(1, "hang", "", 60000);
    rig_give(&rig, &run);
    run = rig_run(2, "hang", "", 60000);
    rig_give(&rig, &run);
    assert_true(rig_wait_processes(rig.mark, 2)); /* the daemons: sleep MARK */
    kill(rig.spawner.pid, SIGKILL);
    assert_true(rig_wait_processes(rig.mark, 0));
    rig_fini(&rig);
}

static void a_plug_in_that_cannot_be_used_is_found_before_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum leat_err err;
        const char *words;
    } cases[] = {
        {"/nowhere/handlers.so", LEAT_ERR_NOT_FOUND, "/nowhere/handlers.so: No such file"},
        {"/etc/passwd", LEAT_ERR_INVALID, "cannot load plug-in"},
        {LEAT_TEST_PLUGIN_OLD_ABI, LEAT_ERR_VERSION, "was built for version 2"},
        {LEAT_TEST_PLUGIN_NO_SYMBOL, LEAT_ERR_NOT_FOUND, "no symbol leat_handlers"},
        {LEAT_TEST_PLUGIN_CRASH_IN_LOAD, LEAT_ERR_INVALID, "while loading: killed by SIGSEGV"},
    };
    struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct leat_why why = {""};
        assert_int_equal(leat_spawner_add_plugin(&config, cases[i].path, &why), cases[i].err);
        rig_assert_contains(leat_str_of(why.text), cases[i].words);
        assert_int_equal(config.handlers_count, 0);
        assert_int_equal(config.plugins_count, 0);
    }
    struct leat_why why = {""};
    assert_int_equal(leat_spawner_add_exec(&config, "nap=true", false, &why), LEAT_OK);
    assert_int_equal(leat_spawner_add_plugin(&config, LEAT_TEST_PLUGIN, &why), LEAT_ERR_EXISTS);
    rig_assert_contains(leat_str_of(why.text), "nap");
    assert_int_equal(config.handlers_count, 1);
    leat_spawner_config_fini(&config);
}

static void the_example_plug_in_does_what_it_says(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct leat_why why = {""};
    assert_int_equal(leat_spawner_add_plugin(&rig.config, LEAT_EXAMPLE_PLUGIN, &why), LEAT_OK);
    rig_start(&rig);
    rig_assert_output(rig_once(&rig, "echo", "same", TIMEOUT), "same");
    rig_assert_output(rig_once(&rig, "upper", "loud", TIMEOUT), "LOUD");
    rig_assert_output(rig_once(&rig, "words", " three small words ", TIMEOUT), "3\n");
    const struct leat_item_outcome *ran = rig_once(&rig, "words", "  ", TIMEOUT);
    assert_true(ran->permanent);
    rig_assert_text(ran->error, "no words in 2 bytes");
    for (unsigned attempt = 1; attempt <= 3; attempt++) {
        struct leat_item_attempt run = rig_run(1, "flaky", "", TIMEOUT);
        run.attempt = attempt;
        rig_give(&rig, &run);
        assert_int_equal(rig_ran(&rig)->failure,
                         attempt < 3 ? LEAT_FAILURE_HANDLER : LEAT_FAILURE_NONE);
    }
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_gets_the_job_and_its_output_comes_back),
        cmocka_unit_test(errors_are_told_apart),
        cmocka_unit_test(too_large_a_result_is_a_failure_of_its_own),
        cmocka_unit_test(a_slot_runs_attempts_in_the_order_in_which_they_came),
        cmocka_unit_test(a_crash_costs_the_attempt_that_ran_and_no_other),
        cmocka_unit_test(leaving_the_process_is_an_error_of_the_handler),
        cmocka_unit_test(a_hanging_handler_is_gone_with_all_it_started_and_the_rest_goes_on),
        cmocka_unit_test(success_after_the_timeout_is_a_timeout),
        cmocka_unit_test(the_timeout_of_an_attempt_starts_when_it_is_begun),
        cmocka_unit_test(what_expires_behind_a_slow_attempt_does_not_run),
        cmocka_unit_test(what_stands_behind_a_slow_attempt_runs_in_another_slot),
        cmocka_unit_test(what_stands_in_too_long_a_flight_is_shared_with_the_other_slot),
        cmocka_unit_test(large_and_small_answers_come_in_the_order_of_their_attempts),
        cmocka_unit_test(answers_wait_for_a_spawner_that_waits_for_the_worker),
        cmocka_unit_test(a_quick_answer_does_not_wait_for_a_slow_attempt_behind_it),
        cmocka_unit_test(kill_and_recall_take_back_what_was_sent_ahead),
        cmocka_unit_test(a_child_is_replaced_after_its_number_of_attempts),
        cmocka_unit_test(a_child_that_writes_nonsense_is_replaced),
        cmocka_unit_test(a_handler_that_writes_over_shared_memory_ends_all_the_same),
        cmocka_unit_test(a_child_that_always_dies_while_loading_fails_its_attempts),
        cmocka_unit_test(commands_and_plug_ins_share_the_slots),
        cmocka_unit_test(everything_is_gone_when_the_spawner_is_killed),
        cmocka_unit_test(a_plug_in_that_cannot_be_used_is_found_before_the_start),
        cmocka_unit_test(the_example_plug_in_does_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
