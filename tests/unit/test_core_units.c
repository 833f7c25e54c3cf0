#include "core/units.h"

#include <string.h>

#include "cmocka_all.h"
#include "core/instant.h"
#include "seed.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"0", 0},
        {"0s", 0},
        {"500us", 500},
        {"250ms", 250000},
        {"30s", 30000000},
        {"1.5s", 1500000},
        {"0.000001s", 1},
        {"1.0000019s", 1000001},
        {"5m", 300000000},
        {"2h", INT64_C(7200000000)},
        {"7d", INT64_C(604800000000)},
        {"007d", INT64_C(604800000000)},
        {"0.5d", INT64_C(43200000000)},
        {"4611686018427387904us", INT64_C(1) << 62},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t us = -1;
        assert_int_equal(leat_units_parse_duration(leat_str_of(cases[i].text), &us, NULL), LEAT_OK);
        assert_int_equal(us, cases[i].us);
    }
}

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"4096B", 4096},
        {"64KiB", 65536},
        {"1MiB", 1048576},
        {"1.5MiB", 1572864},
        {"10MB", 10000000},
        {"1kB", 1000},
        {"1KB", 1000},
        {"16GiB", UINT64_C(17179869184)},
        {"2TiB", UINT64_C(2199023255552)},
        {"3TB", UINT64_C(3000000000000)},
        {"4194304TiB", UINT64_C(1) << 62},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t bytes = 1;
        assert_int_equal(leat_units_parse_size(leat_str_of(cases[i].text), &bytes, NULL), LEAT_OK);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void counts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t count;
    } cases[] = {{"0", 0}, {"4", 4}, {"100k", 100000}, {"1.5M", 1500000}, {"2G", 2000000000}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t count = 1;
        assert_int_equal(leat_units_parse_count(leat_str_of(cases[i].text), &count, NULL), LEAT_OK);
        assert_int_equal(count, cases[i].count);
    }
}

static void rates_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct leat_rate rate;
        const char *again;
    } cases[] = {
        {"5/s", {1, 200000}, "5/s"},
        {"30/m", {1, 2000000}, "30/m"},
        {"60/m", {1, 1000000}, "1/s"},
        {"1000/h", {1, 3600000}, "1000/h"},
        {"0.5/s", {1, 2000000}, "30/m"},
        {"0.001/d", {1, LEAT_RATE_PER_US_MAX}, "0.001/d"},
        {"1.25/d", {1, UINT64_C(69120000000)}, "1.25/d"},
        {"7/d", {7, UINT64_C(86400000000)}, "7/d"},
        {"1000000000/s", {1000, 1}, "1000000000/s"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leat_rate rate = {0, 0};
        char text[LEAT_UNITS_TEXT_BYTES];
        assert_int_equal(leat_units_parse_rate(leat_str_of(cases[i].text), &rate, NULL), LEAT_OK);
        assert_int_equal(rate.tokens, cases[i].rate.tokens);
        assert_int_equal(rate.per_us, cases[i].rate.per_us);
        assert_string_equal(leat_units_format_rate(rate, text), cases[i].again);
    }
}

static void every_rate_that_is_read_suits_a_bucket(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("every_rate_that_is_read_suits_a_bucket");
    for (int i = 0; i < 5000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%llu.%03u/%c",
                 (unsigned long long)(leat_rng_next(&rng) >> (20 + leat_rng_below(&rng, 44))),
                 (unsigned)leat_rng_below(&rng, 1000), "smhd"[leat_rng_below(&rng, 4)]);
        struct leat_rate rate;
        if (leat_units_parse_rate(leat_str_of(text), &rate, NULL) == LEAT_OK) {
            struct leat_bucket bucket;
            leat_bucket_init(&bucket, rate, LEAT_BURST_MAX, 0);
            struct leat_rate again;
            char formatted[LEAT_UNITS_TEXT_BYTES];
            leat_units_format_rate(rate, formatted);
            assert_int_equal(leat_units_parse_rate(leat_str_of(formatted), &again, NULL), LEAT_OK);
            assert_int_equal(again.tokens, rate.tokens);
            assert_int_equal(again.per_us, rate.per_us);
        }
    }
}

typedef enum leat_err parse(struct leat_str text, void *ret, struct leat_why *why);

static enum leat_err duration(struct leat_str text, void *ret, struct leat_why *why)
{
    return leat_units_parse_duration(text, ret, why);
}

static enum leat_err size(struct leat_str text, void *ret, struct leat_why *why)
{
    return leat_units_parse_size(text, ret, why);
}

static enum leat_err count(struct leat_str text, void *ret, struct leat_why *why)
{
    return leat_units_parse_count(text, ret, why);
}

static enum leat_err rate(struct leat_str text, void *ret, struct leat_why *why)
{
    return leat_units_parse_rate(text, ret, why);
}

static const struct {
    parse *parse;
    const char *text;
    enum leat_err err;
    const char *says;
} refusals[] = {
    {duration, "", LEAT_ERR_INVALID, "'' is not a duration: expected a number with a unit"},
    {duration, "30", LEAT_ERR_INVALID, "'30' is not a duration"},
    {duration, "-5s", LEAT_ERR_INVALID, "250ms"},
    {duration, "5 s", LEAT_ERR_INVALID, "'5 s' is not"},
    {duration, "5S", LEAT_ERR_INVALID, "not a duration"},
    {duration, ".5s", LEAT_ERR_INVALID, "not a duration"},
    {duration, "5.s", LEAT_ERR_INVALID, "not a duration"},
    {duration, "1e3s", LEAT_ERR_INVALID, "not a duration"},
    {duration, "1.0000000001s", LEAT_ERR_INVALID, "not a duration"},
    {duration, "5s5", LEAT_ERR_INVALID, "not a duration"},
    {duration, "s", LEAT_ERR_INVALID, "not a duration"},
    {duration, "0.4us", LEAT_ERR_INVALID, "'0.4us' is too small for a duration: the least is 1us"},
    {duration, "4611686018427387905us", LEAT_ERR_LIMIT, "too large for a duration"},
    {duration, "99999999999999999999999d", LEAT_ERR_LIMIT, "too large"},
    {duration, "18446744073709551616us", LEAT_ERR_LIMIT, "too large"},
    {size, "10Mb", LEAT_ERR_INVALID, "'10Mb' is not a size"},
    {size, "64 KiB", LEAT_ERR_INVALID, "64KiB"},
    {size, "0x10", LEAT_ERR_INVALID, "not a size"},
    {size, "0.5", LEAT_ERR_INVALID, "too small"},
    {size, "5000000TiB", LEAT_ERR_LIMIT, "too large for a size"},
    {count, "four", LEAT_ERR_INVALID, "'four' is not a count: expected a whole number"},
    {count, "4s", LEAT_ERR_INVALID, "not a count"},
    {count, "-1", LEAT_ERR_INVALID, "not a count"},
    {count, "1.5", LEAT_ERR_INVALID, "'1.5' is not a count: expected a whole number"},
    {count, "0.0005k", LEAT_ERR_INVALID, "not a count"},
    {count, "9999999999G", LEAT_ERR_LIMIT, "too large for a count"},
    {rate, "5", LEAT_ERR_INVALID, "'5' is not a rate: expected"},
    {rate, "0/s", LEAT_ERR_INVALID, "above 0"},
    {rate, "0.0/s", LEAT_ERR_INVALID, "above 0"},
    {rate, "0.0001/s", LEAT_ERR_INVALID, "thousandths"},
    {rate, "5/w", LEAT_ERR_INVALID, "30/m"},
    {rate, "/s", LEAT_ERR_INVALID, "not a rate"},
    {rate, "1000000001/s", LEAT_ERR_LIMIT, "too large for a rate"},
    {rate, "999999999999.999/d", LEAT_ERR_LIMIT, "too large for a rate"},
    {rate, "99999999999999999999/s", LEAT_ERR_LIMIT, "too large for a rate"},
};

static void other_texts_are_refused_with_text_and_expectation(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        uint64_t ret[2] = {77, 78};
        struct leat_why why = {""};
        enum leat_err err = refusals[i].parse(leat_str_of(refusals[i].text), ret, &why);
        if (err != refusals[i].err) {
            fail_msg("'%s' gives %s", refusals[i].text, leat_err_name(err));
        }
        if (strstr(why.text, refusals[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", why.text, refusals[i].says);
        }
        assert_int_equal(ret[0], 77);
        assert_int_equal(ret[1], 78);
        assert_int_equal(refusals[i].parse(leat_str_of(refusals[i].text), ret, NULL),
                         refusals[i].err);
    }
}

static void a_text_without_terminating_zero_is_read_to_its_end_only(void **state)
{
    (void)state;
    int64_t us;
    static const char text[] = "5ms";
    assert_int_equal(leat_units_parse_duration((struct leat_str){text, 2}, &us, NULL), LEAT_OK);
    assert_int_equal(us, 300000000);
    assert_int_equal(leat_units_parse_duration((struct leat_str){NULL, 0}, &us, NULL),
                     LEAT_ERR_INVALID);
}

static void what_is_formatted_reads_back_the_same(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("what_is_formatted_reads_back_the_same");
    static const uint64_t multiples[] = {1, 1000, 1024, 60000000, 1048576, UINT64_C(86400000000)};
    for (int i = 0; i < 20000; i++) {
        uint64_t value = leat_rng_next(&rng) >> (2 + leat_rng_below(&rng, 62));
        uint64_t multiple = multiples[leat_rng_below(&rng, COUNT(multiples))];
        if (value <= (UINT64_C(1) << 62) / multiple) {
            value *= multiple;
        }
        char text[LEAT_UNITS_TEXT_BYTES];
        int64_t us = -1;
        uint64_t bytes = 1;
        leat_units_format_duration((int64_t)value, text);
        assert_int_equal(leat_units_parse_duration(leat_str_of(text), &us, NULL), LEAT_OK);
        assert_int_equal(us, value);
        leat_units_format_size(value, text);
        assert_int_equal(leat_units_parse_size(leat_str_of(text), &bytes, NULL), LEAT_OK);
        assert_int_equal(bytes, value);
    }
}

static void the_largest_unit_without_fraction_is_chosen(void **state)
{
    (void)state;
    char text[LEAT_UNITS_TEXT_BYTES];
    assert_string_equal(leat_units_format_duration(0, text), "0");
    assert_string_equal(leat_units_format_duration(1500000, text), "1500ms");
    assert_string_equal(leat_units_format_duration(90000000, text), "90s");
    assert_string_equal(leat_units_format_duration(INT64_C(7200000000), text), "2h");
    assert_string_equal(leat_units_format_duration(-5000, text), "-5ms");
    assert_string_equal(leat_units_format_duration(INT64_MIN, text), "-9223372036854775808us");
    assert_string_equal(leat_units_format_size(0, text), "0");
    assert_string_equal(leat_units_format_size(123, text), "123");
    assert_string_equal(leat_units_format_size(64 << 20, text), "64MiB");
    assert_string_equal(leat_units_format_size(10000000, text), "10MB");
    assert_string_equal(leat_units_format_rate((struct leat_rate){1, 7}, text), "142857.142/s");
}

static void tables_for_people_show_about_three_digits(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } durations[] = {
        {0, "0us"},
        {850, "850us"},
        {1234, "1.23ms"},
        {45678, "45.6ms"},
        {999999, "999ms"},
        {1000000, "1.00s"},
        {59999999, "59.9s"},
        {60000000, "1m00s"},
        {252000000, "4m12s"},
        {INT64_C(11100000000), "3h05m"},
        {INT64_C(190000000000), "2d04h"},
        {-1234, "-1.23ms"},
    };
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {
        {0, "0B"},
        {1023, "1023B"},
        {1024, "1.00KiB"},
        {3672332042, "3.42GiB"},
        {UINT64_C(1) << 52, "4096TiB"},
        {UINT64_MAX, "16777215TiB"},
    };
    char text[LEAT_UNITS_TEXT_BYTES];
    for (size_t i = 0; i < COUNT(durations); i++) {
        assert_string_equal(leat_units_about_duration(durations[i].us, text), durations[i].text);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_string_equal(leat_units_about_size(sizes[i].bytes, text), sizes[i].text);
    }
}

static void what_is_negative_or_longer_than_can_be_said_is_for_ever(void **state)
{
    (void)state;
    assert_int_equal(leat_us_of_ms(0), 0);
    assert_int_equal(leat_us_of_ms(7), 7000);
    assert_int_equal(leat_us_of_ms(INT64_MAX / 1000), INT64_MAX / 1000 * 1000);
    assert_int_equal(leat_us_of_ms(INT64_MAX / 1000 + 1), LEAT_NEVER_US);
    assert_int_equal(leat_us_of_ms(INT64_MAX), LEAT_NEVER_US);
    assert_int_equal(leat_us_of_ms(-1), LEAT_NEVER_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(counts_are_read),
        cmocka_unit_test(rates_are_read_exactly),
        cmocka_unit_test(every_rate_that_is_read_suits_a_bucket),
        cmocka_unit_test(other_texts_are_refused_with_text_and_expectation),
        cmocka_unit_test(a_text_without_terminating_zero_is_read_to_its_end_only),
        cmocka_unit_test(what_is_formatted_reads_back_the_same),
        cmocka_unit_test(the_largest_unit_without_fraction_is_chosen),
        cmocka_unit_test(tables_for_people_show_about_three_digits),
        cmocka_unit_test(what_is_negative_or_longer_than_can_be_said_is_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
