#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/exit.h"
#include "io/options.h"
#include "io_capture.h"

static const struct leat_option rows[] = {
    {.name = "listen",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5170",
     .help = "where to listen"},
    {.name = "slots",
     .kind = LEAT_OPTION_COUNT,
     .initial = "4",
     .min = 1,
     .max = 1024,
     .help = "jobs that run at one time",
     .group = "Work"},
    {.name = "lost-after",
     .kind = LEAT_OPTION_DURATION,
     .initial = "5s",
     .min = 100,
     .max = 3600000,
     .help = "silence after which a worker counts as lost"},
    {.name = "max-bytes",
     .kind = LEAT_OPTION_SIZE,
     .initial = "64GiB",
     .min = 1024,
     .help = "room for jobs"},
    {.name = "rate", .kind = LEAT_OPTION_RATE, .help = "starts", .group = "Work"},
    {.name = "name", .kind = LEAT_OPTION_STRING, .help = "for people"},
    {.name = "exec",
     .kind = LEAT_OPTION_LIST,
     .value = "TYPE=COMMAND",
     .help = "a handler",
     .group = "Work"},
    {.name = "json", .kind = LEAT_OPTION_FLAG, .help = "for programs"},
    LEAT_OPTIONS_COMMON,
    LEAT_OPTIONS_BIND,
    LEAT_OPTIONS_READY,
};

static const struct leat_program program = {
    .name = "leat-x",
    .summary = "Does things.",
    .arguments = "[FILE...]",
    .arguments_max = 3,
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
};

static struct leat_options *parse(const char *const *words, int *ret_status)
{
    char *argv[16] = {(char *)(uintptr_t) "leat-x"};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    }
    return leat_options_parse(&program, argc, argv, ret_status);
}

#define PARSE(status, ...) parse((const char *const[]){__VA_ARGS__, NULL}, status)

static struct leat_options *parse_none(void)
{
    int status = -1;
    const char *const none[] = {NULL};
    struct leat_options *options = parse(none, &status);
    assert_non_null(options);
    return options;
}

static void defaults_hold_when_nothing_is_given(void **state)
{
    (void)state;
    struct leat_options *options = parse_none();
    assert_string_equal(leat_options_text(options, "listen"), "tcp://127.0.0.1:5170");
    assert_int_equal(leat_options_number(options, "slots"), 4);
    assert_int_equal(leat_options_number(options, "lost-after"), 5000);
    assert_true(leat_options_number(options, "max-bytes") == INT64_C(64) << 30);
    assert_int_equal(leat_options_number(options, "rate"), 0);
    assert_null(leat_options_text(options, "name"));
    assert_int_equal(leat_options_list_count(options, "exec"), 0);
    assert_false(leat_options_flag(options, "json"));
    assert_false(leat_options_given(options, "slots"));
    leat_options_destroy(&options);
    assert_null(options);
}

static void both_ways_of_writing_a_value_work(void **state)
{
    (void)state;
    int status = -1;
    struct leat_options *options = PARSE(&status, "--slots", "8", "--lost-after=1.5s", "--json",
                                         "--max-bytes=64MiB", "--rate", "5/s", "--name=");
    assert_non_null(options);
    assert_int_equal(leat_options_number(options, "slots"), 8);
    assert_int_equal(leat_options_number(options, "lost-after"), 1500);
    assert_int_equal(leat_options_number(options, "max-bytes"), 64 << 20);
    assert_int_equal(leat_options_number(options, "rate"), 5000);
    assert_string_equal(leat_options_text(options, "name"), "");
    assert_true(leat_options_flag(options, "json"));
    assert_true(leat_options_given(options, "slots"));
    leat_options_destroy(&options);
}

static void repeated_options_keep_their_order(void **state)
{
    (void)state;
    int status = -1;
    struct leat_options *options =
        PARSE(&status, "--exec", "a=cat", "--exec=b=wc -l", "--exec", "c=--x");
    assert_non_null(options);
    assert_int_equal(leat_options_list_count(options, "exec"), 3);
    assert_string_equal(leat_options_list_at(options, "exec", 0), "a=cat");
    assert_string_equal(leat_options_list_at(options, "exec", 1), "b=wc -l");
    assert_string_equal(leat_options_list_at(options, "exec", 2), "c=--x");
    leat_options_destroy(&options);
}

static void the_last_of_several_single_values_wins(void **state)
{
    (void)state;
    int status = -1;
    struct leat_options *options = PARSE(&status, "--slots", "8", "--slots=9");
    assert_int_equal(leat_options_number(options, "slots"), 9);
    leat_options_destroy(&options);
}

static void arguments_may_stand_anywhere_and_two_hyphens_end_the_options(void **state)
{
    (void)state;
    int status = -1;
    struct leat_options *options = PARSE(&status, "one", "--slots", "8", "-", "--", "--json");
    assert_non_null(options);
    assert_int_equal(leat_options_argument_count(options), 3);
    assert_string_equal(leat_options_argument(options, 0), "one");
    assert_string_equal(leat_options_argument(options, 1), "-");
    assert_string_equal(leat_options_argument(options, 2), "--json");
    assert_false(leat_options_flag(options, "json"));
    leat_options_destroy(&options);
}

static void a_program_with_commands_leaves_their_options_alone(void **state)
{
    (void)state;
    struct leat_program commands = program;
    commands.stop_early = true;
    commands.arguments_max = 100;
    char *argv[] = {(char *)(uintptr_t) "leat", (char *)(uintptr_t) "--json",
                    (char *)(uintptr_t) "stats", (char *)(uintptr_t) "--watch"};
    int status = -1;
    struct leat_options *options = leat_options_parse(&commands, 4, argv, &status);
    assert_non_null(options);
    assert_true(leat_options_flag(options, "json"));
    assert_int_equal(leat_options_argument_count(options), 2);
    assert_string_equal(leat_options_argument(options, 1), "--watch");
    leat_options_destroy(&options);
}

static void the_environment_gives_values_and_the_command_line_wins(void **state)
{
    (void)state;
    setenv("LEAT_SLOTS", "16", 1);
    setenv("LEAT_LOST_AFTER", "2m", 1);
    setenv("LEAT_JSON", "yes", 1);
    setenv("LEAT_EXEC", "a=cat\n\nb=wc -l\n", 1);
    setenv("LEAT_NAME", "", 1);
    int status = -1;
    struct leat_options *options = PARSE(&status, "--slots=3");
    assert_non_null(options);
    assert_int_equal(leat_options_number(options, "slots"), 3);
    assert_int_equal(leat_options_number(options, "lost-after"), 120000);
    assert_true(leat_options_flag(options, "json"));
    assert_int_equal(leat_options_list_count(options, "exec"), 2);
    assert_string_equal(leat_options_list_at(options, "exec", 1), "b=wc -l");
    assert_null(leat_options_text(options, "name"));
    leat_options_destroy(&options);
    options = PARSE(&status, "--json=no", "--exec", "c=true");
    assert_false(leat_options_flag(options, "json"));
    assert_int_equal(leat_options_list_count(options, "exec"), 1);
    leat_options_destroy(&options);
    unsetenv("LEAT_SLOTS");
    unsetenv("LEAT_LOST_AFTER");
    unsetenv("LEAT_JSON");
    unsetenv("LEAT_EXEC");
    unsetenv("LEAT_NAME");
}

struct refusal {
    const char *words[4];
    const char *line;
};

static const struct refusal refusals[] = {
    {{"--foo"}, "leat-x: unknown option --foo (see --help)\n"},
    {{"--foo=1"}, "leat-x: unknown option --foo (see --help)\n"},
    {{"--slot", "1"}, "leat-x: unknown option --slot (see --help)\n"},
    {{"-x"}, "leat-x: unknown option -x (see --help)\n"},
    {{"--slots"}, "leat-x: option --slots needs a value (see --help)\n"},
    {{"--slots", "0"}, "leat-x: option --slots: '0' is not within 1 and 1024 (see --help)\n"},
    {{"--slots=1025"}, "leat-x: option --slots: '1025' is not within 1 and 1024 (see --help)\n"},
    {{"--slots=-1"}, NULL},
    {{"--slots=many"}, NULL},
    {{"--slots="}, NULL},
    {{"--lost-after", "5"}, NULL},
    {{"--lost-after", "50ms"},
     "leat-x: option --lost-after: '50ms' is not within 100ms and 1h (see --help)\n"},
    {{"--lost-after", "100500us"},
     "leat-x: option --lost-after: '100500us' is not whole milliseconds (see --help)\n"},
    {{"--max-bytes", "1000"},
     "leat-x: option --max-bytes: '1000' is less than 1KiB (see --help)\n"},
    {{"--max-bytes=1XB"}, NULL},
    {{"--rate=5"}, NULL},
    {{"--log=loud"},
     "leat-x: option --log: 'loud' is none of error,warn,info,debug,trace (see --help)\n"},
    {{"--log=info,warn"}, NULL},
    {{"--json=perhaps"}, "leat-x: option --json: 'perhaps' is neither yes nor no (see --help)\n"},
    {{"--listen=udp://1.2.3.4:5"}, NULL},
    {{"--listen=tcp://nowhere"}, NULL},
    {{"a", "b", "c", "d"}, "leat-x: unexpected argument 'd' (see --help)\n"},
    {{"--na\nme"}, "leat-x: unknown option --na?me (see --help)\n"},
};

static void each_usage_error_is_one_line_and_status_2(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEAT_COUNT_OF(refusals); i++) {
        const char *words[5] = {0};
        memcpy(words, refusals[i].words, sizeof refusals[i].words);
        int status = -1;
        struct io_capture capture;
        io_capture_start(&capture, STDERR_FILENO);
        struct leat_options *options = parse(words, &status);
        const char *text = io_capture_end(&capture);
        if (options != NULL) {
            fail_msg("%s was accepted", words[0]);
        }
        assert_int_equal(status, LEAT_EXIT_USAGE);
        assert_int_equal(io_capture_lines(text), 1);
        assert_memory_equal(text, "leat-x: ", 8);
        assert_non_null(strstr(text, " (see --help)\n"));
        if (refusals[i].line != NULL) {
            assert_string_equal(text, refusals[i].line);
        }
    }
}

static void a_bad_variable_is_refused_by_its_name(void **state)
{
    (void)state;
    setenv("LEAT_SLOTS", "none", 1);
    struct io_capture capture;
    int status = -1;
    const char *const none[] = {NULL};
    io_capture_start(&capture, STDERR_FILENO);
    assert_null(parse(none, &status));
    const char *text = io_capture_end(&capture);
    unsetenv("LEAT_SLOTS");
    assert_int_equal(status, LEAT_EXIT_USAGE);
    assert_memory_equal(text, "leat-x: LEAT_SLOTS: ", 20);
    assert_int_equal(io_capture_lines(text), 1);
}

static void a_missing_argument_is_named(void **state)
{
    (void)state;
    struct leat_program strict = program;
    strict.arguments = "ID...";
    strict.arguments_min = 1;
    char *argv[] = {(char *)(uintptr_t) "leat-x"};
    struct io_capture capture;
    int status = -1;
    io_capture_start(&capture, STDERR_FILENO);
    assert_null(leat_options_parse(&strict, 1, argv, &status));
    const char *text = io_capture_end(&capture);
    assert_string_equal(text, "leat-x: missing argument: ID... (see --help)\n");
    assert_int_equal(status, LEAT_EXIT_USAGE);
}

static void help_shows_every_row_with_default_units_and_variable(void **state)
{
    (void)state;
    struct io_capture capture;
    int status = -1;
    io_capture_start(&capture, STDOUT_FILENO);
    struct leat_options *options = PARSE(&status, "--help");
    const char *text = io_capture_end(&capture);
    assert_null(options);
    assert_int_equal(status, LEAT_EXIT_OK);
    assert_non_null(strstr(text, "Usage: leat-x [OPTION...] [FILE...]\n"));
    for (size_t i = 0; i < LEAT_COUNT_OF(rows); i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "--%s", rows[i].name);
        assert_non_null(strstr(text, wanted));
    }
    assert_non_null(strstr(text, "[default: 5s] [env: LEAT_LOST_AFTER]"));
    assert_non_null(strstr(text, "--exec TYPE=COMMAND ..."));
    assert_non_null(strstr(text, "\nWork:\n"));
    assert_non_null(strstr(text, "TIME is a number with"));
    assert_non_null(strstr(text, "LEAT_ALLOW_UNAUTHENTICATED_NETWORK"));
    assert_ptr_equal(strstr(strstr(text, "\nWork:\n") + 1, "\nWork:\n"), NULL);
}

static void version_names_program_and_version(void **state)
{
    (void)state;
    struct io_capture capture;
    int status = -1;
    io_capture_start(&capture, STDOUT_FILENO);
    struct leat_options *options = PARSE(&status, "--version");
    const char *text = io_capture_end(&capture);
    assert_null(options);
    assert_int_equal(status, LEAT_EXIT_OK);
    assert_string_equal(text, "leat-x " LEAT_VERSION "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_when_nothing_is_given),
        cmocka_unit_test(both_ways_of_writing_a_value_work),
        cmocka_unit_test(repeated_options_keep_their_order),
        cmocka_unit_test(the_last_of_several_single_values_wins),
        cmocka_unit_test(arguments_may_stand_anywhere_and_two_hyphens_end_the_options),
        cmocka_unit_test(a_program_with_commands_leaves_their_options_alone),
        cmocka_unit_test(the_environment_gives_values_and_the_command_line_wins),
        cmocka_unit_test(each_usage_error_is_one_line_and_status_2),
        cmocka_unit_test(a_bad_variable_is_refused_by_its_name),
        cmocka_unit_test(a_missing_argument_is_named),
        cmocka_unit_test(help_shows_every_row_with_default_units_and_variable),
        cmocka_unit_test(version_names_program_and_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
