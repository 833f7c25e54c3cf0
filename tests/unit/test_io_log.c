#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "io/log.h"
#include "io/options.h"
#include "io_capture.h"

static struct io_capture capture;

static int start(void **state)
{
    (void)state;
    leat_log_start("tester", LEAT_LOG_INFO);
    io_capture_start(&capture, STDERR_FILENO);
    return 0;
}

/* The text after "ts=... ", which is checked. */
static const char *end_after_stamp(void)
{
    const char *text = io_capture_end(&capture);
    const char *space = strchr(text, ' ');
    assert_non_null(space);
    assert_int_equal(space - text, strlen("ts=2026-01-01T00:00:00.000Z"));
    assert_memory_equal(text, "ts=20", 5);
    assert_int_equal(text[strlen("ts=2026-01-01T00:00:00.000")], 'Z');
    return space + 1;
}

static void a_line_has_time_level_role_and_event_first(void **state)
{
    (void)state;
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_WARN, "worker_lost");
    leat_log_text(&line, "worker", "host:12");
    leat_log_number(&line, "leases", -3);
    leat_log_end(&line);
    assert_string_equal(end_after_stamp(),
                        "level=warn role=tester event=worker_lost worker=host:12 leases=-3\n");
}

static void values_are_quoted_and_escaped_so_that_one_event_stays_one_line(void **state)
{
    (void)state;
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, "odd");
    leat_log_text(&line, "a", "two words");
    leat_log_text(&line, "b", "");
    leat_log_text(&line, "c", "say \"x\\y\"");
    leat_log_text(&line, "d", "one\ntwo\r\t\x1b[31m");
    leat_log_text(&line, "e", "k=v");
    leat_log_text(&line, "f", NULL);
    leat_log_end(&line);
    assert_string_equal(
        end_after_stamp(),
        "level=info role=tester event=odd a=\"two words\" b=\"\" "
        "c=\"say \\\"x\\\\y\\\"\" d=\"one\\ntwo\\r\\t\\x1b[31m\" e=\"k=v\" f=\"\"\n");
}

static void long_values_are_shortened_and_long_lines_marked_as_cut(void **state)
{
    (void)state;
    static char big[4 * LEAT_LOG_VALUE_BYTES_MAX];
    memset(big, '\n', sizeof big - 1);
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_INFO, "long");
    for (int i = 0; i < 5; i++) {
        leat_log_text(&line, "v", big);
    }
    leat_log_end(&line);
    const char *text = io_capture_end(&capture);
    assert_int_equal(io_capture_lines(text), 1);
    assert_true(strlen(text) <= LEAT_LOG_LINE_BYTES_MAX);
    assert_non_null(strstr(text, "...\" v="));
    assert_non_null(strstr(text, "\" cut=true\n"));
}

static void levels_above_the_chosen_one_are_silent(void **state)
{
    (void)state;
    struct leat_log line;
    leat_log_begin(&line, LEAT_LOG_DEBUG, "quiet");
    leat_log_end(&line);
    leat_log_start("tester", LEAT_LOG_ERROR);
    leat_log_reason(LEAT_LOG_WARN, "quiet", "x");
    leat_log_reason(LEAT_LOG_ERROR, "loud", "x %d", 1);
    const char *text = end_after_stamp();
    assert_string_equal(text, "level=error role=tester event=loud reason=\"x 1\"\n");
}

static void level_names_are_read_and_others_refused(void **state)
{
    (void)state;
    io_capture_end(&capture);
    enum leat_log_level level = LEAT_LOG_WARN;
    assert_int_equal(leat_log_level_parse("trace", &level), LEAT_OK);
    assert_int_equal(level, LEAT_LOG_TRACE);
    assert_int_equal(leat_log_level_parse("TRACE", &level), LEAT_ERR_INVALID);
    assert_int_equal(leat_log_level_parse("", &level), LEAT_ERR_INVALID);
    assert_int_equal(level, LEAT_LOG_TRACE);
}

static void a_note_shows_what_it_has(void **state)
{
    (void)state;
    struct leat_note note = {.id = LEAT_NOTE_WORKER_LOST, .name = leat_str_of("w 1"), .value = 2};
    memset(note.subject.bytes, 0xab, sizeof note.subject.bytes);
    leat_log_note(&note);
    assert_string_equal(end_after_stamp(),
                        "level=warn role=tester event=worker_lost "
                        "subject=abababab-abab-abab-abab-abababababab name=\"w 1\" value=2\n");
}

static void floods_of_one_event_are_cut_off_and_counted(void **state)
{
    (void)state;
    /* more than fits one second, and in one second or at most three: the test is not a slow one */
    int total = 5 * LEAT_LOG_LINES_PER_S;
    int devnull_lines = 0;
    io_capture_end(&capture);
    for (int i = 0; i < total; i++) {
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_ERROR, "flood");
        devnull_lines += line.on;
    }
    assert_true(devnull_lines >= LEAT_LOG_LINES_PER_S);
    assert_true(devnull_lines <= 3 * LEAT_LOG_LINES_PER_S);
    struct leat_log other;
    leat_log_begin(&other, LEAT_LOG_ERROR, "not_flood");
    assert_true(other.on);
    /* the next second tells how many were left out */
    for (;;) {
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_ERROR, "flood");
        if (line.on) {
            line.bytes[line.size] = '\0';
            assert_non_null(strstr(line.bytes, "suppressed="));
            break;
        }
    }
}

static void payloads_do_not_appear_in_the_trace(void **state)
{
    (void)state;
    leat_log_start("tester", LEAT_LOG_TRACE);
    struct leat_item_submission job = {.queue = leat_str_of("mail"),
                                       .type = leat_str_of("send"),
                                       .body = {(const uint8_t *)"topsecret", 9}};
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.batch = 7;
    msg.submit.jobs.items = &job;
    msg.submit.jobs.count = 1;
    struct leat_peer peer = {.size = 2, .bytes = {0, 0xff}};
    leat_log_message("in", LEAT_LINK_PEERS, &peer, &msg);
    const char *text = end_after_stamp();
    assert_non_null(
        strstr(text, "event=message direction=in link=peers peer=00ff message=\"SUBMIT"));
    assert_non_null(strstr(text, "batch=7"));
    assert_null(strstr(text, "topsecret"));
}

static void *log_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20; i++) {
        struct leat_log line;
        leat_log_begin(&line, LEAT_LOG_INFO, "threads");
        leat_log_text(&line, "v", "0123456789 0123456789");
        leat_log_end(&line);
    }
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    char *text = (char *)(uintptr_t)io_capture_end(&capture);
    size_t lines = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        assert_memory_equal(line, "ts=", 3);
        const char *tail = "event=threads v=\"0123456789 0123456789\"";
        assert_string_equal(line + strlen(line) - strlen(tail), tail);
        lines++;
    }
    assert_int_equal(lines, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_has_time_level_role_and_event_first, start),
        cmocka_unit_test_setup(values_are_quoted_and_escaped_so_that_one_event_stays_one_line,
                               start),
        cmocka_unit_test_setup(long_values_are_shortened_and_long_lines_marked_as_cut, start),
        cmocka_unit_test_setup(levels_above_the_chosen_one_are_silent, start),
        cmocka_unit_test_setup(level_names_are_read_and_others_refused, start),
        cmocka_unit_test_setup(a_note_shows_what_it_has, start),
        cmocka_unit_test_setup(floods_of_one_event_are_cut_off_and_counted, start),
        cmocka_unit_test_setup(payloads_do_not_appear_in_the_trace, start),
        cmocka_unit_test_setup(lines_of_several_threads_do_not_mix, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
