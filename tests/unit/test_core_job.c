#include "core/job.h"

#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "core/name.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void assert_says(const struct leat_why *why, const char *says)
{
    if (strstr(why->text, says) == NULL) {
        fail_msg("'%s' does not say '%s'", why->text, says);
    }
}

static void names_have_a_length_and_an_alphabet(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'q', 65);
    longest[65] = '\0';
    const struct {
        const char *name;
        enum leat_err err;
        const char *says;
    } cases[] = {
        {"a", LEAT_OK, ""},
        {"Mail_2.high-prio", LEAT_OK, ""},
        {longest + 1, LEAT_OK, ""},
        {longest, LEAT_ERR_LIMIT, "queue is 65 bytes long, the limit is 64"},
        {"", LEAT_ERR_INVALID, "queue is empty"},
        {"a b", LEAT_ERR_INVALID, "queue has byte 0x20 after 'a'"},
        {"a/b", LEAT_ERR_INVALID, "queue has byte 0x2f ('/') after 'a'"},
        {"gr\xc3\xbc", LEAT_ERR_INVALID, "byte 0xc3 after 'gr'"},
        {"a\n", LEAT_ERR_INVALID, "allowed are A-Z a-z 0-9 _ . -"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_why why = {""};
        assert_int_equal(leat_name_check_queue(leat_str_of(cases[i].name), &why), cases[i].err);
        assert_says(&why, cases[i].says);
    }
    struct leat_why why;
    assert_int_equal(leat_name_check_type((struct leat_str){"a\0b", 3}, &why), LEAT_ERR_INVALID);
    assert_says(&why, "type has byte 0x00 after 'a'");
}

static void every_byte_is_allowed_or_not_as_the_alphabet_says(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    for (int byte = 0; byte < 256; byte++) {
        char name[1] = {(char)byte};
        bool allowed = leat_name_check("name", (struct leat_str){name, 1}, 1, NULL) == LEAT_OK;
        assert_int_equal(allowed, memchr(alphabet, byte, sizeof(alphabet) - 1) != NULL);
    }
}

static struct leat_item_submission good_submission(void)
{
    static const uint8_t body[4];
    return (struct leat_item_submission){
        .id = {{1}},
        .queue = leat_str_of("mail"),
        .type = leat_str_of("send"),
        .body = leat_bytes_of(body, sizeof(body)),
    };
}

static void a_submission_is_checked(void **state)
{
    (void)state;
    enum { PAYLOAD_MAX = 1000 };
    struct leat_why why = {""};
    struct leat_item_submission job = good_submission();
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_OK);

    job.id = (struct leat_id){{0}};
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_ERR_INVALID);
    assert_says(&why, "job id is all zero");

    job = good_submission();
    job.queue = leat_str_of("");
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_ERR_INVALID);
    assert_says(&why, "queue is empty");

    job = good_submission();
    job.type = leat_str_of("a,b");
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_ERR_INVALID);
    assert_says(&why, "type has byte 0x2c");

    job = good_submission();
    job.body.size = PAYLOAD_MAX + LEAT_BODY_OVERHEAD_BYTES;
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_OK);
    job.body.size++;
    assert_int_equal(leat_job_check_submission(&job, NULL, PAYLOAD_MAX, &why), LEAT_ERR_LIMIT);
    assert_says(&why, "body is 21481 bytes, the limit is 21480");
}

static void names_that_have_passed_are_looked_at_only_when_they_change(void **state)
{
    (void)state;
    static const struct {
        const char *queue;
        const char *type;
        enum leat_err err;
    } cases[] = {
        {"mail", "send", LEAT_OK},          {"mail", "sen,", LEAT_ERR_INVALID},
        {",ail", "send", LEAT_ERR_INVALID}, {"mai", "send", LEAT_OK},
        {"ma l", "send", LEAT_ERR_INVALID}, {"mail", "", LEAT_ERR_INVALID},
    };
    const struct leat_item_submission checked = good_submission();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_why why = {""};
        struct leat_item_submission job = good_submission();
        job.queue = leat_str_of(cases[i].queue);
        job.type = leat_str_of(cases[i].type);
        assert_int_equal(leat_job_check_submission(&job, &checked, 10, &why), cases[i].err);
    }
    /* The names of the other are believed, nothing else. */
    struct leat_why why = {""};
    struct leat_item_submission bad = good_submission();
    bad.type = leat_str_of("se,d");
    struct leat_item_submission job = bad;
    assert_int_equal(leat_job_check_submission(&job, &bad, 10, &why), LEAT_OK);
    job.not_before_ms = -1;
    assert_int_equal(leat_job_check_submission(&job, &bad, 10, &why), LEAT_ERR_INVALID);
}

static void text_is_equal_when_every_byte_is(void **state)
{
    (void)state;
    enum { SIZE_MAX_TRIED = 40 };
    char one[SIZE_MAX_TRIED];
    char other[SIZE_MAX_TRIED];
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
        memset(one, 'a', sizeof(one));
        memset(other, 'a', sizeof(other));
        const struct leat_str a = {one, size};
        const struct leat_str b = {other, size};
        assert_true(leat_str_equal(a, b));
        for (size_t i = 0; i < sizeof(other); i++) {
            other[i] = 'b';
            assert_int_equal(leat_str_equal(a, b), i >= size);
            other[i] = 'a';
        }
        assert_false(leat_str_equal(a, (struct leat_str){other, size + 1}));
    }
    assert_true(leat_str_equal((struct leat_str){0}, (struct leat_str){one, 0}));
}

static void times_of_a_submission_are_checked(void **state)
{
    (void)state;
    static const struct {
        int64_t not_before_ms;
        int64_t expires_at_ms;
        enum leat_err err;
        const char *says;
    } cases[] = {
        {0, 0, LEAT_OK, ""},
        {5, 0, LEAT_OK, ""},
        {0, 5, LEAT_OK, ""},
        {5, 6, LEAT_OK, ""},
        {LEAT_WALL_MS_MAX, 0, LEAT_OK, ""},
        {5, 5, LEAT_ERR_INVALID, "expires at is 5 ms, it must be after not before, which is 5 ms"},
        {6, 5, LEAT_ERR_INVALID, "expires at"},
        {-1, 0, LEAT_ERR_INVALID, "not before is -1 ms"},
        {0, -1, LEAT_ERR_INVALID, "expires at is -1 ms"},
        {INT64_MIN, INT64_MAX, LEAT_ERR_INVALID, "not before"},
        {0, INT64_MAX, LEAT_ERR_LIMIT, "the limit is 253402300799999"},
        {LEAT_WALL_MS_MAX + 1, 0, LEAT_ERR_LIMIT, "the limit is"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_why why = {""};
        struct leat_item_submission job = good_submission();
        job.not_before_ms = cases[i].not_before_ms;
        job.expires_at_ms = cases[i].expires_at_ms;
        assert_int_equal(leat_job_check_submission(&job, NULL, 10, &why), cases[i].err);
        assert_says(&why, cases[i].says);
    }
}

static void the_defaults_are_valid_and_those_of_the_limits(void **state)
{
    (void)state;
    struct leat_item_body body;
    leat_job_body_defaults(&body);
    assert_int_equal(leat_job_check_body(&body, 0, NULL), LEAT_OK);
    assert_int_equal(body.timeout_ms, 60000);
    assert_int_equal(body.attempts_max, 3);
    assert_int_equal(body.backoff_base_ms, 1000);
    assert_int_equal(body.backoff_factor_milli, 2000);
    assert_int_equal(body.backoff_cap_ms, 300000);
    assert_true(body.backoff_jitter);
    assert_int_equal(body.headers.count, 0);
    assert_int_equal(body.payload.size, 0);
}

#define OFFSET(field) offsetof(struct leat_item_body, field)

static void the_numbers_of_a_body_have_ranges(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        uint64_t value;
        enum leat_err err;
        const char *says;
    } cases[] = {
        {OFFSET(timeout_ms), 0, LEAT_ERR_LIMIT, "timeout is 0 ms, allowed are 1 to 604800000 ms"},
        {OFFSET(timeout_ms), 1, LEAT_OK, ""},
        {OFFSET(timeout_ms), LEAT_TIMEOUT_MS_MAX, LEAT_OK, ""},
        {OFFSET(timeout_ms), LEAT_TIMEOUT_MS_MAX + 1, LEAT_ERR_LIMIT, "timeout is 604800001 ms"},
        {OFFSET(attempts_max), 0, LEAT_ERR_LIMIT, "max attempts is 0, allowed are 1 to 1000"},
        {OFFSET(attempts_max), 1000, LEAT_OK, ""},
        {OFFSET(attempts_max), 1001, LEAT_ERR_LIMIT, "max attempts is 1001"},
        {OFFSET(backoff_base_ms), 0, LEAT_OK, ""},
        {OFFSET(backoff_base_ms), UINT64_MAX, LEAT_ERR_LIMIT, "backoff base is 184467440737095"},
        {OFFSET(backoff_factor_milli), 999, LEAT_ERR_LIMIT, "allowed are 1000 to 100000"},
        {OFFSET(backoff_factor_milli), 100001, LEAT_ERR_LIMIT, "backoff factor is 100001"},
        {OFFSET(backoff_factor_milli), 100000, LEAT_OK, ""},
        {OFFSET(backoff_cap_ms), 0, LEAT_OK, ""},
        {OFFSET(backoff_cap_ms), LEAT_BACKOFF_MS_MAX + 1, LEAT_ERR_LIMIT, "backoff cap is"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_why why = {""};
        struct leat_item_body body;
        leat_job_body_defaults(&body);
        memcpy((uint8_t *)&body + cases[i].field, &cases[i].value, sizeof(uint64_t));
        assert_int_equal(leat_job_check_body(&body, 10, &why), cases[i].err);
        assert_says(&why, cases[i].says);
    }
}

static void the_payload_has_the_configured_limit(void **state)
{
    (void)state;
    struct leat_why why = {""};
    struct leat_item_body body;
    leat_job_body_defaults(&body);
    body.payload = leat_bytes_of("0123456789", 10);
    assert_int_equal(leat_job_check_body(&body, 10, &why), LEAT_OK);
    assert_int_equal(leat_job_check_body(&body, 9, &why), LEAT_ERR_LIMIT);
    assert_says(&why, "payload is 10 bytes, the limit is 9");
}

static enum leat_err check_headers(struct leat_item_header *headers, size_t count,
                                   struct leat_why *why)
{
    struct leat_item_body body;
    leat_job_body_defaults(&body);
    body.headers.items = headers;
    body.headers.count = count;
    return leat_job_check_body(&body, 10, why);
}

static void headers_are_checked_one_by_one(void **state)
{
    (void)state;
    static char large[LEAT_HEADER_VALUE_BYTES_MAX + 1];
    memset(large, 'v', sizeof(large));
    const struct {
        struct leat_item_header header;
        enum leat_err err;
        const char *says;
    } cases[] = {
        {{leat_str_of("Trace-Id_1.x"), leat_str_of("any \n text")}, LEAT_OK, ""},
        {{leat_str_of("a"), {NULL, 0}}, LEAT_OK, ""},
        {{leat_str_of("a"), {large, LEAT_HEADER_VALUE_BYTES_MAX}}, LEAT_OK, ""},
        {{leat_str_of("a"), {large, LEAT_HEADER_VALUE_BYTES_MAX + 1}},
         LEAT_ERR_LIMIT,
         "header a is 4097 bytes, the limit is 4096"},
        {{leat_str_of(""), leat_str_of("v")}, LEAT_ERR_INVALID, "header name is empty"},
        {{leat_str_of("a=b"), leat_str_of("v")}, LEAT_ERR_INVALID, "header name has byte 0x3d"},
        {{{large, 65}, leat_str_of("v")}, LEAT_ERR_LIMIT, "header name is 65 bytes"},
        {{leat_str_of("a"), {"x\0y", 3}}, LEAT_ERR_INVALID, "header a holds a zero byte"},
        {{leat_str_of("a"), leat_str_of("caf\xe9")}, LEAT_ERR_INVALID, "header a is not UTF-8"},
        {{leat_str_of("a"), leat_str_of("caf\xc3\xa9\n")}, LEAT_OK, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_why why = {""};
        struct leat_item_header header = cases[i].header;
        assert_int_equal(check_headers(&header, 1, &why), cases[i].err);
        assert_says(&why, cases[i].says);
    }
}

static void headers_are_checked_together(void **state)
{
    (void)state;
    static char value[2000];
    static char names[LEAT_HEADERS_MAX + 1][4];
    struct leat_item_header headers[LEAT_HEADERS_MAX + 1];
    struct leat_why why = {""};
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < COUNT(headers); i++) {
        snprintf(names[i], sizeof(names[i]), "h%02zu", i);
        headers[i].name = leat_str_of(names[i]);
        headers[i].value = (struct leat_str){value, 509};
    }
    /* 32 * (3 + 509) bytes are exactly the limit. */
    assert_int_equal(check_headers(headers, LEAT_HEADERS_MAX, &why), LEAT_OK);
    assert_int_equal(check_headers(headers, LEAT_HEADERS_MAX + 1, &why), LEAT_ERR_LIMIT);
    assert_says(&why, "33 headers, the limit is 32");
    headers[7].value.size = 510;
    assert_int_equal(check_headers(headers, LEAT_HEADERS_MAX, &why), LEAT_ERR_LIMIT);
    assert_says(&why, "headers are 16385 bytes in all, the limit is 16384");
    headers[7].value.size = 1;
    headers[31].name = headers[3].name;
    assert_int_equal(check_headers(headers, LEAT_HEADERS_MAX, &why), LEAT_ERR_INVALID);
    assert_says(&why, "header h03 is there twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_a_length_and_an_alphabet),
        cmocka_unit_test(every_byte_is_allowed_or_not_as_the_alphabet_says),
        cmocka_unit_test(a_submission_is_checked),
        cmocka_unit_test(names_that_have_passed_are_looked_at_only_when_they_change),
        cmocka_unit_test(text_is_equal_when_every_byte_is),
        cmocka_unit_test(times_of_a_submission_are_checked),
        cmocka_unit_test(the_defaults_are_valid_and_those_of_the_limits),
        cmocka_unit_test(the_numbers_of_a_body_have_ranges),
        cmocka_unit_test(the_payload_has_the_configured_limit),
        cmocka_unit_test(headers_are_checked_one_by_one),
        cmocka_unit_test(headers_are_checked_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
