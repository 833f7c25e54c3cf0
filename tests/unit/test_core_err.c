#include "core/err.h"

#include <string.h>

#include "cmocka_all.h"

static const struct {
    unsigned number;
    const char *name;
} golden[] = {
    {0, "OK"},           {1, "MEMORY"},       {2, "MALFORMED"},
    {3, "VERSION"},      {4, "UNKNOWN_TYPE"}, {5, "LIMIT"},
    {6, "BUSY"},         {7, "STATE"},        {8, "UNKNOWN_SESSION"},
    {9, "OUT_OF_ORDER"}, {10, "NOT_FOUND"},   {11, "EXISTS"},
    {12, "INVALID"},     {13, "CORRUPT"},     {14, "IO"},
    {15, "NO_SPACE"},    {16, "TIMEOUT"},     {17, "UNREACHABLE"},
    {18, "CLOSED"},      {19, "LOCKED"},      {20, "REFUSED"},
    {21, "FORBIDDEN"},
};

static void numbers_on_the_wire_never_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        assert_string_equal(leat_err_name(golden[i].number), golden[i].name);
        assert_true(strlen(leat_err_text(golden[i].number)) > 0);
    }
}

static void numbers_from_outside_have_a_name_and_a_text(void **state)
{
    (void)state;
    assert_string_equal(leat_err_name(4711), "UNKNOWN");
    assert_string_equal(leat_err_text(~0u), "unknown error");
}

static void a_reason_is_formatted_and_the_error_returned(void **state)
{
    (void)state;
    struct leat_why why;
    assert_int_equal(leat_fail(&why, LEAT_ERR_LIMIT, "%s is %d", "size", 7), LEAT_ERR_LIMIT);
    assert_string_equal(why.text, "size is 7");
    assert_int_equal(leat_fail(NULL, LEAT_ERR_IO, "nobody asks"), LEAT_ERR_IO);
}

static void a_reason_stays_on_one_line(void **state)
{
    (void)state;
    struct leat_why why;
    (void)leat_fail(&why, LEAT_ERR_INVALID, "queue '%s'", "a\nlevel=error\x1b[31m\x7f");
    assert_string_equal(why.text, "queue 'a?level=error?[31m?'");
}

static void a_long_reason_is_cut_and_terminated(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct leat_why why;
    (void)leat_fail(&why, LEAT_ERR_INVALID, "%s", text);
    assert_int_equal(strlen(why.text), LEAT_WHY_BYTES - 1);
}

static void a_long_reason_is_not_cut_inside_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x8c\x8a"};
    for (size_t i = 0; i < 3; i++) {
        size_t size = strlen(characters[i]);
        for (size_t before = 0; before < size; before++) {
            char text[1000] = {0};
            memset(text, 'x', before);
            for (size_t at = before; at + size < sizeof(text); at += size) {
                memcpy(text + at, characters[i], size);
            }
            struct leat_why why;
            (void)leat_fail(&why, LEAT_ERR_INVALID, "%s", text);
            size_t length = strlen(why.text);
            assert_int_equal((length - before) % size, 0);
            assert_true(length + size > LEAT_WHY_BYTES - 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_on_the_wire_never_change),
        cmocka_unit_test(numbers_from_outside_have_a_name_and_a_text),
        cmocka_unit_test(a_reason_is_formatted_and_the_error_returned),
        cmocka_unit_test(a_reason_stays_on_one_line),
        cmocka_unit_test(a_long_reason_is_cut_and_terminated),
        cmocka_unit_test(a_long_reason_is_not_cut_inside_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
