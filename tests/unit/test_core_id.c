#include "core/id.h"

#include <string.h>

#include "cmocka_all.h"
#include "seed.h"

static struct leat_wall wall_ms(int64_t ms)
{
    return (struct leat_wall){ms * LEAT_US_PER_MS};
}

static uint64_t time_of(const struct leat_id *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id->bytes[i];
    }
    return ms;
}

static void assert_is_uuid7(const struct leat_id *id)
{
    assert_int_equal(id->bytes[6] >> 4, 7);
    assert_int_equal(id->bytes[8] >> 6, 2);
}

static void an_id_carries_its_time(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("an_id_carries_its_time");
    struct leat_id_generator generator;
    leat_id_generator_init(&generator, &rng);
    struct leat_id id = leat_id_next(&generator, wall_ms(0x017f22e279b0));
    assert_is_uuid7(&id);
    assert_int_equal(time_of(&id), 0x017f22e279b0);
}

static void ids_increase_whatever_the_clock_does(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("ids_increase_whatever_the_clock_does");
    struct leat_id_generator generator;
    leat_id_generator_init(&generator, &rng);
    struct leat_id last = {{0}};
    int64_t ms = 1700000000000;
    for (int i = 0; i < 100000; i++) {
        switch (leat_rng_below(&rng, 4000)) {
        case 0:
            ms += (int64_t)leat_rng_below(&rng, 100000);
            break;
        case 1:
            ms -= (int64_t)leat_rng_below(&rng, 100000);
            break;
        case 2:
            ms++;
            break;
        default:
            break;
        }
        struct leat_id id = leat_id_next(&generator, wall_ms(ms));
        assert_is_uuid7(&id);
        assert_true(memcmp(last.bytes, id.bytes, LEAT_ID_BYTES) < 0);
        last = id;
    }
}

static void more_than_4096_ids_in_a_millisecond_run_ahead(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("more_than_4096_ids");
    struct leat_id_generator generator;
    leat_id_generator_init(&generator, &rng);
    struct leat_id id = {{0}};
    for (int i = 0; i < 4097; i++) {
        id = leat_id_next(&generator, wall_ms(5000));
    }
    assert_int_equal(time_of(&id), 5001);
}

static void times_outside_48_bits_do_no_harm(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("times_outside_48_bits");
    struct leat_id_generator generator;
    leat_id_generator_init(&generator, &rng);
    struct leat_id first = leat_id_next(&generator, (struct leat_wall){INT64_MIN});
    struct leat_id second = leat_id_next(&generator, (struct leat_wall){INT64_MAX});
    struct leat_id third = leat_id_next(&generator, wall_ms(77));
    assert_is_uuid7(&second);
    assert_true(memcmp(first.bytes, second.bytes, LEAT_ID_BYTES) < 0);
    assert_true(memcmp(second.bytes, third.bytes, LEAT_ID_BYTES) < 0);
    assert_int_equal(time_of(&third), 77);
}

static void text_and_id_are_one_to_one(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("text_and_id_are_one_to_one");
    for (int i = 0; i < 1000; i++) {
        struct leat_id id;
        for (size_t b = 0; b < LEAT_ID_BYTES; b++) {
            id.bytes[b] = (uint8_t)leat_rng_next(&rng);
        }
        char text[LEAT_ID_TEXT_BYTES];
        assert_ptr_equal(leat_id_format(&id, text), text);
        assert_int_equal(strlen(text), 36);
        struct leat_id again;
        assert_int_equal(leat_id_parse(leat_str_of(text), &again, NULL), LEAT_OK);
        assert_true(leat_id_equal(&id, &again));
    }
}

static void an_id_is_written_as_rfc_9562_does(void **state)
{
    (void)state;
    /* RFC 9562 appendix A.6. */
    static const struct leat_id id = {{0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4,
                                       0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}};
    char text[LEAT_ID_TEXT_BYTES];
    assert_string_equal(leat_id_format(&id, text), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    struct leat_id upper;
    assert_int_equal(
        leat_id_parse(leat_str_of("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &upper, NULL), LEAT_OK);
    assert_true(leat_id_equal(&id, &upper));
}

static void other_texts_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "017f22e2",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4+dc0c0c07398f",
        "017f22e-279b0-7cc3-98c4-dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct leat_id untouched = {{9}};
        struct leat_why why = {""};
        assert_int_equal(leat_id_parse(leat_str_of(texts[i]), &untouched, &why), LEAT_ERR_INVALID);
        assert_non_null(strstr(why.text, texts[i]));
        assert_int_equal(untouched.bytes[0], 9);
    }
}

static void a_rerun_is_the_same_everywhere_and_another_id(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("a_rerun");
    struct leat_id_generator generator;
    leat_id_generator_init(&generator, &rng);
    for (int i = 0; i < 1000; i++) {
        struct leat_id id = leat_id_next(&generator, wall_ms(1700000000000 + i));
        struct leat_id once = leat_id_rerun(&id);
        struct leat_id twice = leat_id_rerun(&once);
        struct leat_id again = leat_id_rerun(&id);
        assert_true(leat_id_equal(&once, &again));
        assert_false(leat_id_equal(&once, &id));
        assert_false(leat_id_equal(&once, &twice));
        assert_is_uuid7(&once);
        assert_int_equal(time_of(&once), time_of(&id));
    }
}

static void the_rerun_of_a_known_id_never_changes(void **state)
{
    (void)state;
    struct leat_id id;
    char text[LEAT_ID_TEXT_BYTES];
    assert_int_equal(leat_id_parse(leat_str_of("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id, NULL),
                     LEAT_OK);
    id = leat_id_rerun(&id);
    assert_string_equal(leat_id_format(&id, text), "017f22e2-79b0-78a7-a257-c6210a0504ed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_carries_its_time),
        cmocka_unit_test(ids_increase_whatever_the_clock_does),
        cmocka_unit_test(more_than_4096_ids_in_a_millisecond_run_ahead),
        cmocka_unit_test(times_outside_48_bits_do_no_harm),
        cmocka_unit_test(text_and_id_are_one_to_one),
        cmocka_unit_test(an_id_is_written_as_rfc_9562_does),
        cmocka_unit_test(other_texts_are_refused_by_name),
        cmocka_unit_test(a_rerun_is_the_same_everywhere_and_another_id),
        cmocka_unit_test(the_rerun_of_a_known_id_never_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
