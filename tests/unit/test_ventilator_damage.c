/* What a start takes for true, and what becomes of rows that are gone, come under another key or
 * are there twice: nothing is served that is damaged, no count stays wrong, and nothing is
 * asserted. */
#include <stdio.h>

#include "broker/examine.h"
#include "broker/ventilator/record.h"
#include "tests/unit/ventilator_rig.h"

/* Where job 1, 2, ... of the first lane is that was accepted. */
static struct leat_ventilator_place place_in(enum leat_ventilator_where where, unsigned job)
{
    return (struct leat_ventilator_place){.where = where, .lane = 0, .seq = job - 1};
}

static leat_table table_of(const struct leat_ventilator_place *place)
{
    return place->where == LEAT_VENTILATOR_READY       ? LEAT_VENTILATOR_TABLE_READY
           : place->where == LEAT_VENTILATOR_SCHEDULED ? LEAT_VENTILATOR_TABLE_SCHEDULED
                                                       : LEAT_VENTILATOR_TABLE_RETRYING;
}

static void delete_row(struct rig *rig, unsigned job, struct leat_ventilator_place place)
{
    struct leat_id id = rig_id('j', job);
    struct leat_ventilator_key key = leat_ventilator_key_job(&id, &place);
    struct leat_bytes value;
    assert_int_equal(
        leat_store_get(rig->store, table_of(&place), leat_ventilator_key_view(&key), &value),
        LEAT_OK);
    leat_store_del(rig->store, table_of(&place), leat_ventilator_key_view(&key));
    rig_commit(rig);
}

/* The row comes also under the key of another place. */
static void copy_row(struct rig *rig, unsigned job, struct leat_ventilator_place from,
                     unsigned as_job, struct leat_ventilator_place to)
{
    struct leat_id id = rig_id('j', job), as_id = rig_id('j', as_job);
    struct leat_ventilator_key key = leat_ventilator_key_job(&id, &from);
    struct leat_ventilator_key as_key = leat_ventilator_key_job(&as_id, &to);
    struct leat_bytes value;
    assert_int_equal(
        leat_store_get(rig->store, table_of(&from), leat_ventilator_key_view(&key), &value),
        LEAT_OK);
    leat_store_put(rig->store, table_of(&to), leat_ventilator_key_view(&as_key), value);
    rig_commit(rig);
}

/* A bit flips in the key: the row is under the new key only. */
static void move_row(struct rig *rig, unsigned job, struct leat_ventilator_place from,
                     unsigned as_job, struct leat_ventilator_place to)
{
    copy_row(rig, job, from, as_job, to);
    delete_row(rig, job, from);
}

static void assert_told(const struct rig *rig, const char *note, bool told)
{
    char text[64];
    snprintf(text, sizeof text, "* %s", note);
    if ((strstr(rig->trace, text) != NULL) != told) {
        fail_msg("%s is %s told:\n%s", note, told ? "not" : "", rig->trace);
    }
}

static void restart(struct rig *rig)
{
    rig_restart(rig);
    rig_pass_ms(rig, 2000);
}

static void work(struct rig *rig, uint64_t credit)
{
    rig_hello(rig, 1, 1, "q", NULL, 0);
    rig_credit(rig, 1, 1, 1, credit);
    rig_pass_ms(rig, 0);
}

/* ---- the start ---- */

static void a_start_takes_the_counts_of_every_place_and_reads_no_job(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[5];
    for (unsigned i = 0; i < 5; i++) {
        jobs[i] = rig_job(i + 1, i < 4 ? "q" : "other", "t");
    }
    jobs[3].not_before_ms = rig.now.wall.us / LEAT_US_PER_MS + 60000;
    rig_submit_jobs(&rig, 1, 1, jobs, 5);
    work(&rig, 2);
    rig_retry(&rig, 1, 1, 2, 1, 1, 60000);
    rig_settled(&rig, 1, 1, 2, 1);
    struct leat_ventilator_counts before = rig_counts(&rig);
    assert_int_equal(before.ready + before.leased, 2);

    /* A damaged record would be told of if it were read. */
    struct leat_id id = rig_id('j', 5);
    struct leat_ventilator_place place = {.where = LEAT_VENTILATOR_READY, .lane = 1, .seq = 4};
    struct leat_ventilator_key key = leat_ventilator_key_job(&id, &place);
    leat_store_put(rig.store, LEAT_VENTILATOR_TABLE_READY, leat_ventilator_key_view(&key),
                   leat_bytes_of("damaged", 7));
    rig_commit(&rig);
    rig_restart(&rig);
    assert_told(&rig, "record_damaged", false);
    assert_told(&rig, "record_mended", false);
    struct leat_ventilator_counts after = rig_counts(&rig);
    assert_int_equal(after.jobs, before.jobs);
    assert_int_equal(after.ready, 2);
    assert_int_equal(after.scheduled, 1);
    assert_int_equal(after.retrying, 1);
    assert_int_equal(after.bytes, before.bytes);
    assert_int_equal(after.remembered, 1);
    rig_close(&rig);
}

static void counts_that_are_gone_damaged_or_wrong_are_made_again_from_the_jobs(void **state)
{
    (void)state;
    static const char *const cases[] = {"gone", "damaged", "wrong", "no meta"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig rig;
        rig_open(&rig);
        rig_submit(&rig, 1, 1, 1, 5);
        uint64_t bytes = rig_counts(&rig).bytes;
        struct leat_ventilator_key key = leat_ventilator_key_lane(0);
        struct leat_ventilator_lane_counts wrong = {.ready = 4, .scheduled = 1};
        if (i == 0) {
            leat_store_del(rig.store, LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key));
        } else if (i == 1) {
            leat_store_put(rig.store, LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key),
                           leat_bytes_of("damaged", 7));
        } else if (i == 2) {
            leat_ventilator_store_put_counts(rig.typed, 0, &wrong);
        } else {
            leat_store_del(rig.store, LEAT_VENTILATOR_TABLE_META, leat_bytes_of("state", 5));
        }
        rig_commit(&rig);
        rig_restart(&rig);
        assert_told(&rig, "record_mended", true);
        assert_int_equal(rig_counts(&rig).ready, 5);
        assert_int_equal(rig_counts(&rig).bytes, bytes);
        rig_pass_ms(&rig, 2000);
        rig_submit(&rig, 1, 2, 6, 1); /* no number is given twice */
        work(&rig, 9);
        assert_int_equal(rig_counts(&rig).leased, 6);
        rig_close(&rig);
    }
}

static void a_ready_job_in_a_lane_without_a_name_refuses_the_store(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    struct leat_ventilator_place other = place_in(LEAT_VENTILATOR_READY, 2);
    other.lane = 64;
    move_row(&rig, 2, place_in(LEAT_VENTILATOR_READY, 2), 2, other);
    struct leat_ventilator_store *typed = leat_ventilator_store_new(rig.store);
    struct leat_ventilator *second = leat_ventilator_new(&rig.config, typed);
    struct leat_why why = {""};
    leat_out_clear(&rig.out);
    assert_int_equal(leat_ventilator_recover(second, rig.now, &rig.out, &why), LEAT_ERR_CORRUPT);
    assert_string_equal(why.text, "a job is in lane 64, which is not in table lanes");
    leat_ventilator_destroy(&second);
    leat_ventilator_store_destroy(&typed);
    rig_close(&rig);
}

static void the_last_number_of_what_is_remembered_is_found_however_many_there_are(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    uint64_t last = 0;
    assert_int_equal(leat_ventilator_store_last_settled(rig.typed, &last), LEAT_ERR_NOT_FOUND);
    rig_submit(&rig, 1, 1, 1, 9);
    for (unsigned i = 1; i <= 9; i++) {
        rig_settled(&rig, 1, i, i, 1);
        assert_int_equal(leat_ventilator_store_last_settled(rig.typed, &last), LEAT_OK);
        assert_int_equal(last, i);
    }
    restart(&rig);
    rig_submit(&rig, 1, 2, 10, 1);
    rig_settled(&rig, 1, 10, 10, 1);
    assert_int_equal(leat_ventilator_store_last_settled(rig.typed, &last), LEAT_OK);
    assert_int_equal(last, 10);
    assert_int_equal(rig_counts(&rig).remembered, 10);
    rig_close(&rig);
}

/* ---- rows that are gone ---- */

static void a_ready_row_that_vanishes_is_counted_out_when_its_lane_runs_dry(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 3);
    restart(&rig); /* nothing is known of single jobs */
    delete_row(&rig, 2, place_in(LEAT_VENTILATOR_READY, 2));
    rig.unchecked = true;
    work(&rig, 9);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    assert_told(&rig, "count_mended", true);
    assert_int_equal(rig_counts(&rig).leased, 2);
    assert_int_equal(rig_counts(&rig).ready, 0);
    restart(&rig);
    assert_told(&rig, "record_mended",
                true); /* whoever has found damage looks at everything next */
    rig.trace_size = 0;
    restart(&rig);
    assert_told(&rig, "record_mended", false);
    rig_close(&rig);
}

static void a_ready_row_that_vanished_before_the_start_harms_nobody(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[4];
    for (unsigned i = 0; i < 4; i++) {
        jobs[i] = rig_job(i + 1, "q", "t");
    }
    jobs[1].expires_at_ms = rig.now.wall.us / LEAT_US_PER_MS + 5000;
    rig_submit_jobs(&rig, 1, 1, jobs, 4);
    delete_row(&rig, 2, place_in(LEAT_VENTILATOR_READY, 2)); /* expires */
    delete_row(&rig, 3, place_in(LEAT_VENTILATOR_READY, 3)); /* is settled */
    rig.unchecked = true;
    restart(&rig);
    assert_told(&rig, "record_mended", true);
    assert_int_equal(rig_counts(&rig).ready, 2);
    rig_settled(&rig, 1, 1, 3, 1);
    rig_pass_ms(&rig, 5000);
    assert_int_equal(rig_counts(&rig).jobs, 2);
    work(&rig, 9);
    assert_int_equal(rig_counts(&rig).leased, 2);
    rig_settled(&rig, 1, 2, 1, 2);
    rig_settled(&rig, 1, 4, 4, 1);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    restart(&rig);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    rig_close(&rig);
}

static void a_scheduled_row_that_vanishes_is_counted_out_when_none_is_left(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission jobs[2] = {rig_job(1, "q", "t"), rig_job(2, "q", "t")};
    jobs[0].not_before_ms = rig.now.wall.us / LEAT_US_PER_MS + 1000;
    jobs[1].not_before_ms = jobs[0].not_before_ms;
    rig_submit_jobs(&rig, 1, 1, jobs, 2);
    struct leat_ventilator_place place = place_in(LEAT_VENTILATOR_SCHEDULED, 2);
    place.due_ms = jobs[1].not_before_ms;
    delete_row(&rig, 2, place);
    rig.unchecked = true;
    rig_pass_ms(&rig, 1000);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    assert_told(&rig, "count_mended", true);
    assert_int_equal(rig_counts(&rig).ready, 1);
    assert_int_equal(rig_counts(&rig).scheduled, 0);
    rig_close(&rig);
}

struct told {
    char text[512];
};

static bool on_found(void *context, const char *what)
{
    struct told *told = context;
    size_t size = strlen(told->text);
    snprintf(told->text + size, sizeof told->text - size, "%s\n", what);
    return true;
}

/* Whoever looks at all of the store tells a job that is missing from one that is settled. */
static void an_examination_names_what_vanished_and_no_job_that_is_settled(void **state)
{
    (void)state;
    struct rig rig;
    struct told told = {""};
    struct leat_examination examination = {.found = on_found, .context = &told};
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 4);
    rig_settled(&rig, 1, 1, 1, 1);
    assert_int_equal(leat_ventilator_store_examine(rig.typed, &examination), LEAT_OK);
    assert_string_equal(told.text, "");
    delete_row(&rig, 3, place_in(LEAT_VENTILATOR_READY, 3));
    assert_int_equal(leat_ventilator_store_examine(rig.typed, &examination), LEAT_OK);
    char id[LEAT_ID_TEXT_BYTES], expected[512];
    const struct leat_id missing = rig_id('j', 3);
    snprintf(expected, sizeof expected,
             "table ready: job %s is missing, table ids names it\n"
             "table counts: lane 0 has 3, 0 and 0 jobs in ready, scheduled and retrying, there are "
             "2, 0 and 0\n",
             leat_id_format(&missing, id));
    assert_string_equal(told.text, expected);
    rig_close(&rig);
}

/* ---- rows under another key ---- */

static void a_row_that_is_there_twice_is_served_once_and_the_copy_is_dropped(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    copy_row(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), 1, place_in(LEAT_VENTILATOR_READY, 9));
    copy_row(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), 7, place_in(LEAT_VENTILATOR_READY, 10));
    rig.unchecked = true;
    restart(&rig);
    assert_told(&rig, "record_mended", true);
    work(&rig, 9);
    rig_pass_ms(&rig, 1);
    rig_settled(&rig, 1, 1, 1, 2);
    rig_ping(&rig, 1, 1, 2);
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).pushed_total, 2);
    assert_int_equal(rig_counts(&rig).ending, 0); /* nobody has asked for job 7 */
    assert_int_equal(rig_counts(&rig).jobs, 0);
    rig.unchecked = false;
    rig_restart(&rig);
    rig_check(&rig);
    rig_close(&rig);
}

static struct leat_id changed(struct leat_id id, size_t byte)
{
    id.bytes[byte] ^= 0x10;
    return id;
}

/* As move_row, but of the id only a byte changes. */
static void change_id(struct rig *rig, unsigned job, struct leat_ventilator_place place,
                      size_t byte)
{
    struct leat_id other = changed(rig_id('j', job), byte);
    struct leat_id id = rig_id('j', job);
    struct leat_ventilator_key key = leat_ventilator_key_job(&id, &place);
    struct leat_ventilator_key other_key = leat_ventilator_key_job(&other, &place);
    struct leat_bytes value;
    assert_int_equal(
        leat_store_get(rig->store, table_of(&place), leat_ventilator_key_view(&key), &value),
        LEAT_OK);
    leat_store_put(rig->store, table_of(&place), leat_ventilator_key_view(&other_key), value);
    delete_row(rig, job, place);
}

static void a_job_whose_id_was_damaged_in_the_key_of_its_row_is_served_as_itself(void **state)
{
    (void)state;
    for (size_t byte = 0; byte < LEAT_ID_BYTES; byte++) {
        struct rig rig;
        rig_open(&rig);
        struct leat_item_submission jobs[3] = {rig_job(1, "q", "t"), rig_job(2, "q", "t"),
                                               rig_job(3, "q", "t")};
        jobs[1].not_before_ms = rig.now.wall.us / LEAT_US_PER_MS + 2500;
        rig_submit_jobs(&rig, 1, 1, jobs, 3);
        struct leat_ventilator_place later = place_in(LEAT_VENTILATOR_SCHEDULED, 2);
        later.due_ms = jobs[1].not_before_ms;
        change_id(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), byte);
        change_id(&rig, 2, later, byte);
        rig.unchecked = true;
        restart(&rig);
        work(&rig, 9);
        rig_pass_ms(&rig, 500);
        rig.unchecked = false;
        rig_pass_ms(&rig, 1);
        assert_told(&rig, "record_mended", true);
        assert_told(&rig, "record_damaged", false);
        assert_int_equal(rig_counts(&rig).pushed_total, 3);
        assert_int_equal(rig_counts(&rig).leased, 3);
        rig_settled(&rig, 1, 1, 1, 3); /* under their own ids */
        assert_int_equal(rig_counts(&rig).jobs, 0);
        rig_close(&rig);
    }
}

static void a_row_of_nobody_is_not_given_to_the_job_that_it_looks_like(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 1);
    change_id(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), 3);
    struct leat_id other = changed(rig_id('j', 1), 3);
    struct leat_ventilator_place place = place_in(LEAT_VENTILATOR_READY, 1);
    struct leat_ventilator_key key = leat_ventilator_key_job(&other, &place);
    leat_store_put(rig.store, LEAT_VENTILATOR_TABLE_READY, leat_ventilator_key_view(&key),
                   leat_bytes_of("damaged as well", 15));
    rig_commit(&rig);
    rig.unchecked = true;
    restart(&rig);
    work(&rig, 9);
    rig_pass_ms(&rig, 1);
    assert_told(&rig, "record_damaged", true);
    assert_int_equal(rig_counts(&rig).pushed_total, 0);
    assert_int_equal(rig_counts(&rig).ready, 0);
    rig_close(&rig);
}

static void a_row_with_a_damaged_key_ends_its_job_as_failed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 2);
    move_row(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), 1, place_in(LEAT_VENTILATOR_READY, 9));
    rig.unchecked = true;
    restart(&rig);
    work(&rig, 9);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).leased, 1);
    assert_int_equal(rig_counts(&rig).ending, 1);
    assert_told(&rig, "record_damaged", true);
    rig_close(&rig);
}

static void two_rows_with_one_number_are_both_brought_to_an_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    rig_submit(&rig, 1, 1, 1, 3);
    move_row(&rig, 1, place_in(LEAT_VENTILATOR_READY, 1), 1, place_in(LEAT_VENTILATOR_READY, 2));
    rig.unchecked = true;
    restart(&rig);
    work(&rig, 9);
    rig_pass_ms(&rig, 10);
    rig_ping(&rig, 1, 1, 2);
    rig_pass_ms(&rig, 10);
    assert_int_equal(rig_counts(&rig).ending, 1);
    assert_int_equal(rig_counts(&rig).leased, 2);
    assert_int_equal(rig_counts(&rig).ready, 0);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    rig_close(&rig);
}

static void a_waiting_row_in_a_lane_without_a_name_ends_as_failed_when_it_is_due(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.not_before_ms = rig.now.wall.us / LEAT_US_PER_MS + 5000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    struct leat_ventilator_place place = place_in(LEAT_VENTILATOR_SCHEDULED, 1), other;
    place.due_ms = job.not_before_ms;
    other = place;
    other.lane = 64;
    move_row(&rig, 1, place, 1, other);
    rig.unchecked = true;
    restart(&rig);
    rig_pass_ms(&rig, 5000);
    assert_told(&rig, "record_damaged", true);
    assert_int_equal(rig_counts(&rig).ending, 1);
    rig_settled(&rig, 1, 1, 1, 1);
    rig.unchecked = false;
    rig_restart(&rig);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    rig_close(&rig);
}

static void a_job_ends_over_a_row_that_already_lies_where_its_result_goes(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig);
    struct leat_item_submission job = rig_job(1, "q", "t");
    job.expires_at_ms = rig.now.wall.us / LEAT_US_PER_MS + 5000;
    rig_submit_jobs(&rig, 1, 1, &job, 1);
    struct leat_id id = rig_id('j', 1);
    leat_store_put(rig.store, LEAT_VENTILATOR_TABLE_ENDING,
                   leat_bytes_of(id.bytes, sizeof id.bytes), leat_bytes_of("stray", 5));
    rig_commit(&rig);
    rig.unchecked = true;
    rig_pass_ms(&rig, 5000);
    work(&rig, 9);
    assert_int_equal(rig_counts(&rig).ending, 1);
    rig_settled(&rig, 1, 1, 1, 1);
    rig.unchecked = false;
    rig_pass_ms(&rig, 1);
    assert_int_equal(rig_counts(&rig).jobs, 0);
    assert_int_equal(leat_store_count(rig.store, LEAT_VENTILATOR_TABLE_ENDING), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_takes_the_counts_of_every_place_and_reads_no_job),
        cmocka_unit_test(counts_that_are_gone_damaged_or_wrong_are_made_again_from_the_jobs),
        cmocka_unit_test(a_ready_job_in_a_lane_without_a_name_refuses_the_store),
        cmocka_unit_test(the_last_number_of_what_is_remembered_is_found_however_many_there_are),
        cmocka_unit_test(a_ready_row_that_vanishes_is_counted_out_when_its_lane_runs_dry),
        cmocka_unit_test(a_ready_row_that_vanished_before_the_start_harms_nobody),
        cmocka_unit_test(a_scheduled_row_that_vanishes_is_counted_out_when_none_is_left),
        cmocka_unit_test(an_examination_names_what_vanished_and_no_job_that_is_settled),
        cmocka_unit_test(a_row_that_is_there_twice_is_served_once_and_the_copy_is_dropped),
        cmocka_unit_test(a_job_whose_id_was_damaged_in_the_key_of_its_row_is_served_as_itself),
        cmocka_unit_test(a_row_of_nobody_is_not_given_to_the_job_that_it_looks_like),
        cmocka_unit_test(a_row_with_a_damaged_key_ends_its_job_as_failed),
        cmocka_unit_test(two_rows_with_one_number_are_both_brought_to_an_end),
        cmocka_unit_test(a_waiting_row_in_a_lane_without_a_name_ends_as_failed_when_it_is_due),
        cmocka_unit_test(a_job_ends_over_a_row_that_already_lies_where_its_result_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
