/* What --check-store says of a ventilator's store. */
#include "broker/ventilator/record.h"
#include "tests/unit/examine_rig.h"
#include "tests/unit/ventilator_rig.h"

static struct rig rig;
static struct examine_rig examined;

static void examine(struct examine_rig *to)
{
    examine_begin(to);
    assert_int_equal(leat_ventilator_store_examine(rig.typed, &to->examination), LEAT_OK);
}

/* Something in every table: ready jobs, small and large, one that is scheduled, one to be retried,
 * one that ended here, some that are settled, a paused queue. */
static int fill(void **state)
{
    (void)state;
    static uint8_t large[3000];
    rig_open(&rig);
    rig_pass_ms(&rig, 2000);
    struct leat_item_submission jobs[8];
    for (unsigned i = 0; i < 8; i++) {
        jobs[i] = rig_job(i + 1, i < 6 ? "q" : "other", "t");
    }
    int64_t now_ms = rig.now.wall.us / LEAT_US_PER_MS;
    jobs[3].body = leat_bytes_of(large, sizeof large);
    jobs[4].not_before_ms = now_ms + 60000;
    jobs[5].expires_at_ms = now_ms + 60000;
    jobs[6].expires_at_ms = now_ms + 100;
    rig_submit_jobs(&rig, 1, 1, jobs, 8);
    rig_hello(&rig, 1, 1, "q", NULL, 0);
    rig_credit(&rig, 1, 1, 1, 2);
    rig_retry(&rig, 1, 1, 2, 1, 1, 60000);
    rig_settled(&rig, 1, 1, 2, 1);
    rig_pass_ms(&rig, 200);
    rig_control(&rig, "pause", "other");
    rig_commit(&rig);
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
    assert_int_equal(examined.examination.wrong, 0);
    uint64_t rows = 0;
    for (leat_table table = 0; table < LEAT_VENTILATOR_TABLES; table++) {
        rows += leat_store_count(rig.store, table);
    }
    assert_int_equal(examined.examination.rows, rows);
}

static void a_byte_of_any_row_or_key_is_found(void **state)
{
    (void)state;
    for (leat_table table = 0; table < LEAT_VENTILATOR_TABLES; table++) {
        examine_each_row(&examined, table, examine);
    }
}

static void assert_said(const char *words)
{
    examine(&examined);
    if (strstr(examined.said, words) == NULL) {
        fail_msg("not \"%s\" but \"%s\"", words, examined.said);
    }
}

/* Deletes the first row of a table and looks. */
static void assert_missed(leat_table table, const char *words)
{
    examine_read(&examined, table);
    assert_true(examined.count > 0);
    leat_store_del(rig.store, table, examine_key(&examined.rows[0]));
    assert_said(words);
    examine_put(&examined, table, &examined.rows[0]);
}

static void a_row_that_is_missing_is_named_by_those_that_need_it(void **state)
{
    (void)state;
    assert_missed(LEAT_VENTILATOR_TABLE_LANES, "is in a lane that is not in table lanes\n");
    assert_missed(LEAT_VENTILATOR_TABLE_IDS, " is not in table ids\n");
    assert_missed(LEAT_VENTILATOR_TABLE_READY, " is missing, table ids names it\n");
    assert_missed(LEAT_VENTILATOR_TABLE_SCHEDULED, " is missing, table ids names it\n");
    assert_missed(LEAT_VENTILATOR_TABLE_RETRYING, " is missing, table ids names it\n");
    assert_missed(LEAT_VENTILATOR_TABLE_ENDING, " is missing, table ids names it\n");
    assert_missed(LEAT_VENTILATOR_TABLE_BODIES, " has no body of its size in table bodies\n");
    examine(&examined);
    assert_string_equal(examined.said, "");
}

static void a_job_that_ids_has_elsewhere_is_named(void **state)
{
    (void)state;
    struct leat_id id = rig_id('j', 3);
    struct leat_ventilator_place place, other;
    assert_int_equal(leat_ventilator_store_find(rig.typed, &id, &place), LEAT_OK);
    assert_int_equal(place.where, LEAT_VENTILATOR_READY);
    other = place;
    other.seq = 1000;
    struct leat_ventilator_job job;
    assert_int_equal(leat_ventilator_store_read(rig.typed, &id, &place, &job, NULL, NULL), LEAT_OK);
    assert_int_equal(leat_ventilator_store_move(rig.typed, &id, &place, &other, &job), LEAT_OK);
    examine(&examined);
    assert_string_equal(examined.said, "");
    /* And the row as it was, too: there are two of it, each with its seal. */
    examine_read(&examined, LEAT_VENTILATOR_TABLE_READY);
    assert_int_equal(leat_ventilator_store_move(rig.typed, &id, &other, &place, &job), LEAT_OK);
    for (size_t i = 0; i < examined.count; i++) {
        examine_put(&examined, LEAT_VENTILATOR_TABLE_READY, &examined.rows[i]);
    }
    assert_said(" is elsewhere, as table ids says\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fill, drop)
        TEST(a_store_that_nothing_has_damaged_is_in_order),
        TEST(a_byte_of_any_row_or_key_is_found),
        TEST(a_row_that_is_missing_is_named_by_those_that_need_it),
        TEST(a_job_that_ids_has_elsewhere_is_named),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
