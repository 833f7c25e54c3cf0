/* What --check-store says of a sink's store, and what refuses a start. */
#include "tests/unit/examine_rig.h"
#include "tests/unit/sink_rig.h"

static struct rig rig;
static struct examine_rig examined;

static void examine(struct examine_rig *to)
{
    examine_begin(to);
    assert_int_equal(leat_sink_store_examine(rig.typed, &to->examination), LEAT_OK);
}

static int fill(void **state)
{
    (void)state;
    rig_open(&rig);
    for (unsigned i = 0; i < 12; i += 4) {
        struct leat_item_result items[] = {rig_success(i), rig_failure(i + 1), rig_success(i + 2),
                                           rig_success(i)};
        rig_results(&rig, 1 + i / 4, items, 4);
    }
    assert_int_equal(leat_store_sync(rig.store, NULL), LEAT_OK);
    examined.store = rig.store;
    return 0;
}

static int drop(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void a_store_that_nothing_has_damaged_is_in_order(void **state)
{
    (void)state;
    examine(&examined);
    assert_string_equal(examined.said, "");
    assert_true(examined.examination.rows > 12);
}

static void a_fresh_store_is_in_order(void **state)
{
    (void)state;
    struct leat_store *store = leat_store_open_memory();
    struct leat_sink_store *typed = leat_sink_store_new(store);
    examine_begin(&examined);
    assert_int_equal(leat_sink_store_examine(typed, &examined.examination), LEAT_OK);
    assert_string_equal(examined.said, "");
    assert_int_equal(examined.examination.rows, 0);
    leat_sink_store_destroy(&typed);
    leat_store_close(&store);
}

static void a_byte_of_any_row_or_key_is_found(void **state)
{
    (void)state;
    static const leat_table tables[] = {LEAT_SINK_TABLE_META, LEAT_SINK_TABLE_RESULTS,
                                        LEAT_SINK_TABLE_LOG, LEAT_SINK_TABLE_FAILURES};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        examine_each_row(&examined, tables[i], examine);
    }
}

static void a_row_that_is_missing_is_told(void **state)
{
    (void)state;
    static const struct {
        leat_table table;
        const char *words;
    } cases[] = {
        {LEAT_SINK_TABLE_META, "the store is fresh"},
        {LEAT_SINK_TABLE_RESULTS, "8 results, counted 6 and 3"},
        {LEAT_SINK_TABLE_LOG, "the log holds 1 to "},
        {LEAT_SINK_TABLE_FAILURES, "2 rows of failures, counted 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        examine_read(&examined, cases[i].table);
        leat_store_del(rig.store, cases[i].table, examine_key(&examined.rows[0]));
        examine(&examined);
        if (strstr(examined.said, cases[i].words) == NULL) {
            fail_msg("not \"%s\" but \"%s\"", cases[i].words, examined.said);
        }
        examine_put(&examined, cases[i].table, &examined.rows[0]);
    }
    examine(&examined);
    assert_string_equal(examined.said, "");
}

/* Its seal is right, its numbers are not: nobody can make so long a log anew. */
static void a_state_with_more_numbers_than_any_sink_has_refuses_the_start(void **state)
{
    (void)state;
    struct leat_sink_meta meta;
    struct leat_why why = {""};
    assert_int_equal(leat_sink_store_load(rig.typed, &meta, NULL), LEAT_OK);
    meta.last = UINT64_MAX - 1;
    leat_sink_store_save(rig.typed, &meta);
    assert_int_equal(leat_store_sync(rig.store, NULL), LEAT_OK);
    rig_shut(&rig);
    rig.typed = leat_sink_store_new(rig.store);
    rig.sink = leat_sink_new(&rig.config, rig.typed);
    assert_int_equal(leat_sink_recover(rig.sink, rig.now, &rig.out, &why), LEAT_ERR_CORRUPT);
    assert_string_equal(why.text, "the log cannot be read, or made anew: numbers 1 to "
                                  "18446744073709551614");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fill, drop)
        TEST(a_store_that_nothing_has_damaged_is_in_order),
        TEST(a_fresh_store_is_in_order),
        TEST(a_byte_of_any_row_or_key_is_found),
        TEST(a_row_that_is_missing_is_told),
        TEST(a_state_with_more_numbers_than_any_sink_has_refuses_the_start),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
