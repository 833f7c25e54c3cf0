/* Sources of jobs: what each makes of its input, and what it says of bad input. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "producer/source.h"

#define NOW ((struct leat_now){1000, {INT64_C(1700000000000000)}})

static char directory[] = "/tmp/leat-sources.XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

static const char *write_file(const char *name, const void *bytes, size_t size)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

static struct leat_source_job next_job(struct leat_source *source)
{
    struct leat_source_job job;
    struct leat_why why;
    assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_OK);
    return job;
}

static void expect_payload(struct leat_source *source, const char *payload)
{
    struct leat_source_job job = next_job(source);
    assert_int_equal(job.job.payload_bytes, strlen(payload));
    assert_memory_equal(job.job.payload, payload, strlen(payload));
}

static void expect_end(struct leat_source *source)
{
    struct leat_source_job job;
    struct leat_why why;
    assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_ERR_NOT_FOUND);
}

static void each_line_is_a_job_the_last_one_without_newline_too(void **state)
{
    (void)state;
    struct leat_producer_job template = {.type = "t"};
    struct leat_source *source = NULL;
    struct leat_why why;
    const char *path = write_file("lines", "one\n\nthree", 10);
    assert_int_equal(leat_source_open_lines(path, '\n', &template, &source, &why), LEAT_OK);
    expect_payload(source, "one");
    expect_payload(source, "");
    expect_payload(source, "three");
    expect_end(source);
    leat_source_close(&source);
    assert_null(source);
}

static void a_line_longer_than_any_read_comes_whole(void **state)
{
    (void)state;
    size_t size = 300000;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    text[size] = '\n';
    struct leat_producer_job template = {.type = "t"};
    struct leat_source *source = NULL;
    struct leat_why why;
    const char *path = write_file("long", text, size + 1);
    assert_int_equal(leat_source_open_lines(path, '\n', &template, &source, &why), LEAT_OK);
    assert_int_equal(next_job(source).job.payload_bytes, size);
    expect_end(source);
    leat_source_close(&source);
    free(text);
}

static void a_pipe_that_has_nothing_yet_does_not_block(void **state)
{
    (void)state;
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    struct leat_producer_job template = {.type = "t"};
    struct leat_source *source = NULL;
    struct leat_source_job job;
    struct leat_why why;
    assert_int_equal(leat_source_open_lines(path, '\n', &template, &source, &why), LEAT_OK);
    assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_ERR_BUSY);
    assert_int_equal(write(ends[1], "ha", 2), 2);
    assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_ERR_BUSY);
    assert_int_equal(write(ends[1], "lf\n", 3), 3);
    expect_payload(source, "half");
    close(ends[1]);
    expect_end(source);
    leat_source_close(&source);
    close(ends[0]);
}

static void json_lines_set_every_field(void **state)
{
    (void)state;
    const char *text =
        "{\"id\": \"0190b0b0-0000-7000-8000-000000000001\", \"queue\": \"q\", \"type\": \"t\","
        " \"payload_base64\": \"AAEC\", \"timeout\": \"30s\", \"attempts\": 7, \"backoff_base\": "
        "250,"
        " \"backoff_factor\": 1.5, \"backoff_cap\": \"2m\", \"jitter\": false, \"delay\": \"1s\","
        " \"expires_in\": \"1h\", \"headers\": {\"a\": \"b\"}}\n";
    struct leat_producer_job template = {.type = "other"};
    struct leat_source *source = NULL;
    struct leat_why why;
    assert_int_equal(
        leat_source_open_json(write_file("json", text, strlen(text)), &template, &source, &why),
        LEAT_OK);
    struct leat_producer_job job = next_job(source).job;
    assert_string_equal(job.id, "0190b0b0-0000-7000-8000-000000000001");
    assert_string_equal(job.queue, "q");
    assert_string_equal(job.type, "t");
    assert_int_equal(job.payload_bytes, 3);
    assert_memory_equal(job.payload, "\0\1\2", 3);
    assert_int_equal(job.timeout_ms, 30000);
    assert_int_equal(job.attempts_max, 7);
    assert_int_equal(job.backoff_base_ms, 250);
    assert_true(job.backoff_factor > 1.49 && job.backoff_factor < 1.51);
    assert_int_equal(job.backoff_cap_ms, 120000);
    assert_true(job.backoff_no_jitter);
    assert_int_equal(job.not_before_ms, INT64_C(1700000001000));
    assert_int_equal(job.expires_at_ms, INT64_C(1700003600000));
    assert_int_equal(job.headers_count, 1);
    assert_string_equal(job.headers[0].name, "a");
    assert_string_equal(job.headers[0].value, "b");
    expect_end(source);
    leat_source_close(&source);
}

static void a_bad_json_line_is_named_and_the_next_one_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *error;
    } cases[] = {
        {"nonsense", "line 1 is no JSON object"},
        {"[1]", "line 1 is no JSON object"},
        {"{\"type\": 3}", "line 1: type must be a text"},
        {"{\"tipe\": \"t\"}", "line 1: unknown key \"tipe\""},
        {"{\"timeout\": \"soon\"}", "line 1: timeout must be a duration"},
        {"{\"attempts\": -1}", "line 1: attempts must be a whole number"},
        {"{\"payload\": \"a\", \"payload_base64\": \"AA==\"}",
         "line 1: payload_base64 must be left out"},
        {"{\"payload_base64\": \"!\"}", "line 1: payload_base64 must be a text in base64"},
        {"{\"headers\": {\"a\": 1}}", "line 1: headers must be an object"},
        {"{\"headers\": {\"a\": \"x\\u0000y\"}}",
         "line 1: headers must be an object of texts without zero bytes"},
        {"{\"expires_in\": 9223372036854775807}",
         "line 1: expires_in must be 253402300799999 ms at most"},
        {"{\"delay\": 253402300800000}", "line 1: delay must be 253402300799999 ms at most"},
        {"{\"timeout\": 0}", "line 1: timeout must be more than 0"},
        {"{\"attempts\": 0}", "line 1: attempts must be more than 0"},
        {"{\"backoff_base\": \"0\"}", "line 1: backoff_base must be more than 0"},
        {"{\"backoff_factor\": 0}", "line 1: backoff_factor must be a number of at least 1"},
        {"{\"backoff_factor\": \"2\"}", "line 1: backoff_factor must be a number of at least 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s\n{\"payload\": \"good\"}\n", cases[i].line);
        struct leat_producer_job template = {.type = "t"};
        struct leat_source *source = NULL;
        struct leat_source_job job;
        struct leat_why why;
        assert_int_equal(
            leat_source_open_json(write_file("bad", text, strlen(text)), &template, &source, &why),
            LEAT_OK);
        assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_ERR_INVALID);
        if (strncmp(why.text, cases[i].error, strlen(cases[i].error)) != 0) {
            fail_msg("\"%s\" gave \"%s\"", cases[i].line, why.text);
        }
        expect_payload(source, "good");
        leat_source_close(&source);
    }
}

static void each_regular_file_is_a_job_in_the_order_of_names(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof(path), "%s/tree", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("tree/b", "content of b", 12);
    write_file("tree/a", "A", 1);
    snprintf(path, sizeof(path), "%s/tree/link", directory);
    assert_int_equal(symlink("a", path), 0);
    snprintf(path, sizeof(path), "%s/tree", directory);
    struct leat_producer_job template = {.type = "t"};
    struct leat_source *source = NULL;
    struct leat_why why;
    assert_int_equal(leat_source_open_files(path, true, 12, &template, &source, &why), LEAT_OK);
    struct leat_source_job job = next_job(source);
    assert_int_equal(job.job.payload_bytes, 1);
    assert_string_equal(job.job.headers[0].name, "path");
    assert_string_equal(job.job.headers[0].value + strlen(path), "/a");
    expect_payload(source, "content of b");
    expect_end(source);
    leat_source_close(&source);

    assert_int_equal(leat_source_open_files(path, true, 11, &template, &source, &why), LEAT_OK);
    (void)next_job(source);
    assert_int_equal(leat_source_next(source, NOW, &job, &why), LEAT_ERR_INVALID);
    assert_non_null(strstr(why.text, "the limit is 11"));
    leat_source_close(&source);
    assert_int_equal(leat_source_open_files("/nowhere", true, 1, &template, &source, &why),
                     LEAT_ERR_IO);
}

static void late_ticks_do_not_move_the_grid(void **state)
{
    (void)state;
    struct leat_producer_job template = {.type = "t"};
    struct leat_source *source = NULL;
    struct leat_source_job job;
    struct leat_why why;
    assert_int_equal(leat_source_open_ticker(1000, 3, 2, &template, &source, &why), LEAT_OK);
    assert_int_equal(leat_source_total(source), 6);
    struct leat_now now = {500, {0}};
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_ERR_BUSY);
    assert_int_equal(leat_source_due_us(source), 1500);
    now.mono_us = 1900; /* 400 late */
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_string_equal(job.label, "tick 2");
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_int_equal(leat_source_due_us(source), 2500);
    now.mono_us = 2500;
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_OK);
    assert_int_equal(leat_source_next(source, now, &job, &why), LEAT_ERR_NOT_FOUND);
    leat_source_close(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_job_the_last_one_without_newline_too),
        cmocka_unit_test(a_line_longer_than_any_read_comes_whole),
        cmocka_unit_test(a_pipe_that_has_nothing_yet_does_not_block),
        cmocka_unit_test(json_lines_set_every_field),
        cmocka_unit_test(a_bad_json_line_is_named_and_the_next_one_is_read),
        cmocka_unit_test(each_regular_file_is_a_job_in_the_order_of_names),
        cmocka_unit_test(late_ticks_do_not_move_the_grid),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
