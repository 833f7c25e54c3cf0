/* What store.h promises, over each kind of store. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/memory.h"
#include "store_directory.h"
#include "store_model.h"

struct fixture {
    struct store_directory *directory; /* NULL for the memory store */
    struct leat_store *store;
};

static int setup_memory(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->store = leat_store_open_memory();
    *state = fixture;
    return 0;
}

static int setup_lmdb(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    void *directory;
    if (store_directory_setup(&directory) != 0) {
        free(fixture);
        return -1;
    }
    fixture->directory = directory;
    fixture->store = store_directory_open(directory);
    *state = fixture;
    return 0;
}

static int setup_journaled(void **state)
{
    store_directory_has_journal = true;
    return setup_lmdb(state);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    leat_store_close(&fixture->store);
    store_directory_has_journal = false;
    void *directory = fixture->directory;
    free(fixture);
    return directory == NULL ? 0 : store_directory_teardown(&directory);
}

static struct leat_bytes text(const char *text)
{
    return leat_bytes_of(text, strlen(text));
}

static void assert_value(struct leat_store *store, leat_table table, const char *key,
                         const char *value)
{
    struct leat_bytes found;
    assert_int_equal(leat_store_get(store, table, text(key), &found), LEAT_OK);
    assert_int_equal(found.size, strlen(value));
    assert_memory_equal(found.data, value, found.size);
}

static void assert_absent(struct leat_store *store, leat_table table, const char *key)
{
    struct leat_bytes found;
    assert_int_equal(leat_store_get(store, table, text(key), &found), LEAT_ERR_NOT_FOUND);
}

static void sync_store(struct leat_store *store)
{
    struct leat_why why = {""};
    if (leat_store_sync(store, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
}

/* Waits for the batch on its way, without touching the one being filled. */
static void finish_commit(struct fixture *fixture)
{
    while (leat_store_is_committing(fixture->store)) {
        if (fixture->directory == NULL) {
            leat_store_memory_complete(fixture->store);
        } else {
            struct pollfd item = {.fd = leat_store_fd(fixture->store), .events = POLLIN};
            assert_int_equal(poll(&item, 1, 60000), 1);
        }
        assert_int_equal(leat_store_advance(fixture->store, NULL), LEAT_OK);
    }
}

static void reads_see_writes_of_both_batches_and_of_the_disk(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    leat_store_put(store, 0, text("disk"), text("1"));
    leat_store_put(store, 0, text("over"), text("1"));
    sync_store(store);
    leat_store_put(store, 0, text("over"), text("2"));
    leat_store_put(store, 0, text("way"), text("2"));
    leat_store_seal(store);
    leat_store_put(store, 0, text("fill"), text("3"));
    leat_store_put(store, 0, text("over"), text("3"));
    for (int i = 0; i < 2; i++) {
        assert_value(store, 0, "disk", "1");
        assert_value(store, 0, "way", "2");
        assert_value(store, 0, "fill", "3");
        assert_value(store, 0, "over", "3");
        assert_absent(store, 1, "disk");
        assert_int_equal(leat_store_count(store, 0), 4);
        finish_commit(fixture);
    }
}

static void a_del_hides_what_lies_below(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    leat_store_put(store, 0, text("disk"), text("1"));
    sync_store(store);
    leat_store_put(store, 0, text("way"), text("2"));
    leat_store_seal(store);
    leat_store_del(store, 0, text("disk"));
    leat_store_del(store, 0, text("way"));
    leat_store_del(store, 0, text("never"));
    assert_absent(store, 0, "disk");
    assert_absent(store, 0, "way");
    assert_int_equal(leat_store_count(store, 0), 0);
    leat_store_put(store, 0, text("way"), text("again"));
    assert_value(store, 0, "way", "again");
    finish_commit(fixture);
    sync_store(store);
    assert_absent(store, 0, "disk");
    assert_value(store, 0, "way", "again");
    assert_int_equal(leat_store_count(store, 0), 1);
}

struct listing {
    char text[256];
    int left;
};

static bool list(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct listing *listing = context;
    size_t used = strlen(listing->text);
    snprintf(listing->text + used, sizeof listing->text - used, "%.*s=%.*s ", (int)key.size,
             (const char *)key.data, (int)value.size, (const char *)value.data);
    listing->left--;
    return listing->left != 0;
}

static void a_scan_merges_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    static const char *const disk[] = {"a", "d", "f", "h"};
    for (size_t i = 0; i < 4; i++) {
        leat_store_put(store, 2, text(disk[i]), text("1"));
    }
    sync_store(store);
    leat_store_put(store, 2, text("b"), text("2"));
    leat_store_put(store, 2, text("d"), text("2"));
    leat_store_del(store, 2, text("h"));
    leat_store_seal(store);
    leat_store_put(store, 2, text("c"), text("3"));
    leat_store_put(store, 2, text("b"), text("3"));
    leat_store_del(store, 2, text("f"));
    static const struct {
        const char *from;
        int visits;
        const char *expected;
    } cases[] = {
        {"", 0, "a=1 b=3 c=3 d=2 "},
        {"b", 0, "b=3 c=3 d=2 "},
        {"bb", 2, "c=3 d=2 "},
        {"a", 1, "a=1 "},
        {"e", 0, ""},
    };
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct listing listing = {"", cases[i].visits};
            assert_int_equal(leat_store_scan(store, 2, text(cases[i].from), list, &listing),
                             LEAT_OK);
            assert_string_equal(listing.text, cases[i].expected);
        }
        if (round == 0) {
            finish_commit(fixture);
        } else {
            sync_store(store);
        }
    }
}

static void batches_are_numbered_and_become_durable_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    assert_int_equal(leat_store_filling(store), 1);
    assert_int_equal(leat_store_durable(store), 0);
    assert_false(leat_store_is_dirty(store));
    for (uint64_t batch = 1; batch <= 3; batch++) {
        leat_store_put(store, 0, text("k"), text("v"));
        assert_true(leat_store_is_dirty(store));
        assert_true(leat_store_filling_bytes(store) > 0);
        leat_store_seal(store);
        assert_true(leat_store_is_committing(store));
        assert_false(leat_store_is_dirty(store));
        assert_int_equal(leat_store_filling(store), batch + 1);
        assert_int_equal(leat_store_durable(store), batch - 1);
        finish_commit(fixture);
        assert_int_equal(leat_store_durable(store), batch);
    }
    sync_store(store);
    assert_int_equal(leat_store_durable(store), 3);
    assert_true(leat_store_used_bytes(store) > 0);
    assert_true(leat_store_has_room(store));
    assert_string_equal(leat_store_error(store), "");
}

static void big_values_come_back_whole(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    const size_t size = (size_t)64 << 20;
    uint8_t *body = malloc(size);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++) {
        body[i] = (uint8_t)(i * 2654435761U >> 13);
    }
    for (int round = 0; round < 3; round++) {
        struct leat_bytes value;
        leat_store_put(store, 1, text("big"), leat_bytes_of(body, size));
        assert_int_equal(leat_store_get(store, 1, text("big"), &value), LEAT_OK);
        assert_int_equal(value.size, size);
        sync_store(store);
        assert_int_equal(leat_store_get(store, 1, text("big"), &value), LEAT_OK);
        assert_int_equal(value.size, size);
        assert_memory_equal(value.data, body, size);
        leat_store_del(store, 1, text("big"));
        sync_store(store);
    }
    free(body);
}

/* Any order of writes, reads, seals and ends of commits reads as the naive model does. */
static void reads_agree_with_a_model_whatever_is_on_its_way(void **state)
{
    struct fixture *fixture = *state;
    struct leat_store *store = fixture->store;
    struct store_model model = {.last_version = 0};
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    for (int i = 0; i < 40000; i++) {
        uint64_t choice = leat_rng_below(&rng, 1000);
        if (choice < 600) {
            store_model_write(&model, store, &rng);
        } else if (choice < 970) {
            store_model_read(&model, store, &rng);
        } else if (choice < 980) {
            if (leat_store_is_dirty(store) && !leat_store_is_committing(store)) {
                (leat_rng_below(&rng, 2) == 0 ? leat_store_seal_here : leat_store_seal)(store);
            }
        } else if (choice < 998) {
            if (fixture->directory == NULL && leat_rng_below(&rng, 2) == 0) {
                leat_store_memory_complete(store);
            }
            assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
        } else {
            finish_commit(fixture);
        }
    }
    store_model_compare(&model, store);
    sync_store(store);
    store_model_compare(&model, store);
    if (fixture->directory != NULL) {
        leat_store_close(&fixture->store);
        fixture->store = store_directory_open(fixture->directory);
        store_model_compare(&model, fixture->store);
    }
}

/* ---- long runs of deletes ---- */

#define ROWS 9000

struct rows {
    bool is_there[ROWS];
    size_t next; /* that a scan has not come to yet */
};

static struct leat_bytes row_key(size_t row, uint8_t bytes[2])
{
    bytes[0] = (uint8_t)(row >> 8);
    bytes[1] = (uint8_t)row;
    return leat_bytes_of(bytes, 2);
}

/* Small ones, some of a quarter of a page, a few of more than one. */
static size_t row_bytes(size_t row)
{
    return row % 100 == 0 ? 5000 : row % 11 == 0 ? 1000 : row % 200;
}

static void put_row(struct leat_store *store, struct rows *rows, size_t row)
{
    static const uint8_t value[5000];
    uint8_t key[2];
    leat_store_put(store, 0, row_key(row, key), leat_bytes_of(value, row_bytes(row)));
    rows->is_there[row] = true;
}

static bool visit_row(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct rows *rows = context;
    size_t row = (size_t)key.data[0] << 8 | key.data[1];
    while (rows->next < row) {
        assert_false(rows->is_there[rows->next++]);
    }
    assert_true(rows->is_there[rows->next++]);
    assert_int_equal(value.size, row_bytes(row));
    return true;
}

static void assert_rows(struct leat_store *store, struct rows *rows)
{
    rows->next = 0;
    assert_int_equal(leat_store_scan(store, 0, text(""), visit_row, rows), LEAT_OK);
    while (rows->next < ROWS) {
        assert_false(rows->is_there[rows->next++]);
    }
}

/* Each batch deletes all from a row to another but every so many, also such as are not there, and
 * puts some back. */
static void a_long_run_of_deletes_takes_what_it_names_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct rows rows = {.next = 0};
    static const struct {
        size_t from, to, stays, comes_back;
    } batches[] = {
        {0, 1, ROWS, ROWS},    {1, 3, ROWS, ROWS},    {10, 1500, ROWS, ROWS}, {0, 3000, 700, ROWS},
        {2500, 6500, 9, 1300}, {2000, 7000, 4, 50},   {0, 8000, ROWS, 2500},  {8200, 8990, 2, 10},
        {7000, ROWS, ROWS, 3}, {0, ROWS, ROWS, ROWS}, {0, ROWS, ROWS, ROWS},
    };
    for (size_t row = 0; row < ROWS; row++) {
        put_row(fixture->store, &rows, row);
    }
    sync_store(fixture->store);
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        for (size_t row = batches[i].from; row < batches[i].to; row++) {
            uint8_t key[2];
            if (row % batches[i].comes_back == 1) {
                put_row(fixture->store, &rows, row);
            } else if (row % batches[i].stays != batches[i].stays - 1) {
                leat_store_del(fixture->store, 0, row_key(row, key));
                rows.is_there[row] = false;
            }
        }
        assert_rows(fixture->store, &rows);
        sync_store(fixture->store);
        assert_rows(fixture->store, &rows);
        if (fixture->directory != NULL) { /* with a journal, too, all is in LMDB then */
            leat_store_close(&fixture->store);
            fixture->store = store_directory_open(fixture->directory);
            assert_rows(fixture->store, &rows);
        }
    }
}

static void closing_nothing_is_allowed(void **state)
{
    (void)state;
    struct leat_store *none = NULL;
    leat_store_close(&none);
    assert_null(none);
}

#define OVER(kind, test)                                                                           \
    {                                                                                              \
#kind ": " #test, test, setup_##kind, teardown, NULL                                       \
    }
#define OVER_ALL(test) OVER(memory, test), OVER(lmdb, test), OVER(journaled, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(reads_see_writes_of_both_batches_and_of_the_disk),
        OVER_ALL(a_del_hides_what_lies_below),
        OVER_ALL(a_scan_merges_in_order),
        OVER_ALL(batches_are_numbered_and_become_durable_in_order),
        OVER_ALL(big_values_come_back_whole),
        OVER_ALL(reads_agree_with_a_model_whatever_is_on_its_way),
        OVER_ALL(a_long_run_of_deletes_takes_what_it_names_and_nothing_else),
        cmocka_unit_test(closing_nothing_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
