#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>

#include "io/clock.h"
#include "io/exit.h"
#include "io/log.h"
#include "io/random.h"
#include "io/serve.h"
#include "io/signals.h"
#include "io_capture.h"

static const struct leat_option rows[] = {LEAT_OPTIONS_COMMON, LEAT_OPTIONS_READY};
static const struct leat_program program = {
    .name = "leat-x", .summary = "Does things.", .rows = rows, .row_count = LEAT_COUNT_OF(rows)};

static const struct leat_serve_endpoint endpoints[] = {{"peers", "tcp://127.0.0.1:1"},
                                                       {"stats", "tcp://127.0.0.1:2"}};
static const char ready_line[] = "peers=tcp://127.0.0.1:1 stats=tcp://127.0.0.1:2\n";

static struct leat_options *start(const char *option, const char *value)
{
    char *argv[] = {(char *)(uintptr_t) "leat-x", (char *)(uintptr_t)option,
                    (char *)(uintptr_t)value};
    int status = -1;
    struct leat_options *options =
        leat_serve_start(&program, "tester", option == NULL ? 1 : 3, argv, &status);
    assert_non_null(options);
    return options;
}

static void the_level_of_the_log_comes_from_the_options(void **state)
{
    (void)state;
    struct leat_options *options = start("--log", "debug");
    assert_true(leat_log_enabled(LEAT_LOG_DEBUG));
    assert_false(leat_log_enabled(LEAT_LOG_TRACE));
    leat_options_destroy(&options);
    setenv("LEAT_LOG", "error", 1);
    options = start(NULL, NULL);
    assert_false(leat_log_enabled(LEAT_LOG_WARN));
    leat_options_destroy(&options);
    unsetenv("LEAT_LOG");
}

static void readiness_is_told_to_a_descriptor_which_is_then_closed(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    char number[16];
    snprintf(number, sizeof number, "%d", pipes[1]);
    struct leat_options *options = start("--ready-fd", number);
    struct io_capture capture;
    io_capture_start(&capture, STDERR_FILENO);
    enum leat_err err = leat_serve_ready(options, endpoints, 2, NULL);
    const char *text = io_capture_end(&capture);
    assert_int_equal(err, LEAT_OK);
    assert_non_null(strstr(text, "role=tester event=ready peers=tcp://127.0.0.1:1 "
                                 "stats=tcp://127.0.0.1:2 "));
    char line[256] = "";
    assert_int_equal(read(pipes[0], line, sizeof line), strlen(ready_line));
    assert_string_equal(line, ready_line);
    assert_int_equal(read(pipes[0], line, sizeof line), 0); /* closed */
    close(pipes[0]);
    leat_options_destroy(&options);
}

static void readiness_is_told_to_a_file(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/leat-test-ready-%ld", (long)getpid());
    struct leat_options *options = start("--ready-file", path);
    leat_log_start("tester", LEAT_LOG_ERROR);
    assert_int_equal(leat_serve_ready(options, endpoints, 2, NULL), LEAT_OK);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[256] = "";
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, ready_line);
    fclose(file);
    unlink(path);
    leat_options_destroy(&options);
}

static void a_program_without_endpoints_says_ready(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    char number[16];
    snprintf(number, sizeof number, "%d", pipes[1]);
    struct leat_options *options = start("--ready-fd", number);
    leat_log_start("tester", LEAT_LOG_ERROR);
    assert_int_equal(leat_serve_ready(options, NULL, 0, NULL), LEAT_OK);
    char line[256] = "";
    assert_int_equal(read(pipes[0], line, sizeof line), 6);
    assert_string_equal(line, "ready\n");
    close(pipes[0]);
    leat_options_destroy(&options);
}

static void readiness_that_cannot_be_told_is_an_error(void **state)
{
    (void)state;
    leat_log_start("tester", LEAT_LOG_ERROR);
    struct leat_why why = {.text = ""};
    struct leat_options *options = start("--ready-file", "/nowhere/at/all");
    leat_log_start("tester", LEAT_LOG_ERROR);
    assert_int_equal(leat_serve_ready(options, endpoints, 2, &why), LEAT_ERR_IO);
    assert_non_null(strstr(why.text, "/nowhere/at/all"));
    leat_options_destroy(&options);
    options = start("--ready-fd", "999");
    leat_log_start("tester", LEAT_LOG_ERROR);
    assert_int_equal(leat_serve_ready(options, endpoints, 2, &why), LEAT_ERR_IO);
    assert_non_null(strstr(why.text, "--ready-fd 999"));
    leat_options_destroy(&options);
}

static void a_start_that_fails_is_one_line_and_a_status_that_says_why(void **state)
{
    (void)state;
    static const struct {
        enum leat_err err;
        int status;
    } cases[] = {
        {LEAT_ERR_LOCKED, 75}, {LEAT_ERR_UNREACHABLE, 75}, {LEAT_ERR_NO_SPACE, 75},
        {LEAT_ERR_REFUSED, 2}, {LEAT_ERR_INVALID, 2},      {LEAT_ERR_CORRUPT, 74},
        {LEAT_ERR_IO, 74},     {LEAT_ERR_STATE, 70},
    };
    for (size_t i = 0; i < LEAT_COUNT_OF(cases); i++) {
        struct leat_why why = {.text = "tcp://127.0.0.1:1: address in use"};
        struct io_capture capture;
        io_capture_start(&capture, STDERR_FILENO);
        int status = leat_serve_cannot_start(&program, cases[i].err, &why);
        const char *text = io_capture_end(&capture);
        assert_int_equal(status, cases[i].status);
        assert_string_equal(text, "leat-x: cannot start: tcp://127.0.0.1:1: address in use\n");
    }
}

static void signals_are_blocked_and_a_child_can_have_them_back(void **state)
{
    (void)state;
    sigset_t set;
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &set), 0);
    assert_true(sigismember(&set, SIGTERM) && sigismember(&set, SIGINT));
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    assert_ptr_equal(action.sa_handler, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        leat_signals_reset();
        kill(getpid(), SIGTERM);
        _exit(3);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* In a child: 0 when all three standard streams are taken, and refuse what they are for. */
static int start_without_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        close(fd);
    }
    struct leat_options *options = start(NULL, NULL);
    int next = dup(STDIN_FILENO);
    char byte = 'x';
    bool safe =
        next > 2 && read(0, &byte, 1) < 0 && write(1, &byte, 1) < 0 && write(2, &byte, 1) < 0;
    leat_options_destroy(&options);
    return safe ? 0 : 1;
}

static void a_closed_standard_stream_is_never_given_to_another_file(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(start_without_standard_streams());
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void seeds_differ_and_the_clock_goes_forward(void **state)
{
    (void)state;
    assert_true(leat_random_seed() != leat_random_seed());
    struct leat_now first;
    struct leat_now second;
    leat_clock_now(&first);
    leat_clock_now(&second);
    assert_true(second.mono_us >= first.mono_us);
    assert_true(first.wall.us > INT64_C(1600000000) * LEAT_US_PER_S);
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_level_of_the_log_comes_from_the_options),
        cmocka_unit_test(readiness_is_told_to_a_descriptor_which_is_then_closed),
        cmocka_unit_test(readiness_is_told_to_a_file),
        cmocka_unit_test(a_program_without_endpoints_says_ready),
        cmocka_unit_test(readiness_that_cannot_be_told_is_an_error),
        cmocka_unit_test(a_start_that_fails_is_one_line_and_a_status_that_says_why),
        cmocka_unit_test(signals_are_blocked_and_a_child_can_have_them_back),
        cmocka_unit_test(a_closed_standard_stream_is_never_given_to_another_file),
        cmocka_unit_test(seeds_differ_and_the_clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
