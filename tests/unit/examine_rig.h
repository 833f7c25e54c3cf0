/* Every row of a store is damaged in turn, and what --check-store says is looked at: for the tests
 * of both brokers' examinations. */
#ifndef LEAT_TESTS_UNIT_EXAMINE_RIG_H
#define LEAT_TESTS_UNIT_EXAMINE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/examine.h"

#define EXAMINE_ROWS_MAX 200

struct examine_row {
    uint8_t key[LEAT_STORE_KEY_BYTES_MAX];
    size_t key_bytes;
    uint8_t value[8192];
    size_t value_bytes;
};

struct examine_rig {
    struct leat_store *store;
    struct leat_examination examination;
    char said[4096]; /* each finding on a line */
    struct examine_row rows[EXAMINE_ROWS_MAX];
    size_t count;
};

static inline bool examine_note(void *context, const char *what)
{
    struct examine_rig *rig = context;
    size_t size = strlen(rig->said);
    snprintf(rig->said + size, sizeof rig->said - size, "%s\n", what);
    return true;
}

static inline void examine_begin(struct examine_rig *rig)
{
    rig->said[0] = '\0';
    rig->examination = (struct leat_examination){.found = examine_note, .context = rig};
}

static inline bool examine_keep(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct examine_rig *rig = context;
    struct examine_row *row = &rig->rows[rig->count++];
    assert_true(rig->count <= EXAMINE_ROWS_MAX && value.size <= sizeof row->value);
    memcpy(row->key, key.data, key.size);
    row->key_bytes = key.size;
    memcpy(row->value, value.data, value.size);
    row->value_bytes = value.size;
    return true;
}

/* The rows of one table, kept in `rows`. */
static inline void examine_read(struct examine_rig *rig, leat_table table)
{
    rig->count = 0;
    assert_int_equal(leat_store_scan(rig->store, table, (struct leat_bytes){0}, examine_keep, rig),
                     LEAT_OK);
}

static inline struct leat_bytes examine_key(const struct examine_row *row)
{
    return leat_bytes_of(row->key, row->key_bytes);
}

static inline void examine_put(struct examine_rig *rig, leat_table table,
                               const struct examine_row *row)
{
    leat_store_put(rig->store, table, examine_key(row),
                   leat_bytes_of(row->value, row->value_bytes));
}

static inline void examine_expect(const struct examine_rig *rig, leat_table table,
                                  const char *words)
{
    char expected[100];
    snprintf(expected, sizeof expected, "table %s: the row of ", rig->examination.tables[table]);
    if (strstr(rig->said, expected) == NULL || strstr(rig->said, words) == NULL) {
        fail_msg("not \"%s...%s\" but \"%s\"", expected, words, rig->said);
    }
}

/* `examine` runs the examination of the store at hand. Each row: a byte of its value changes, one
 * of its key does. */
static inline void examine_each_row(struct examine_rig *rig, leat_table table,
                                    void (*examine)(struct examine_rig *rig))
{
    examine_read(rig, table);
    assert_true(rig->count > 0);
    for (size_t i = 0; i < rig->count; i++) {
        struct examine_row changed = rig->rows[i];
        changed.value[i % changed.value_bytes] ^= 0x20;
        examine_put(rig, table, &changed);
        examine(rig);
        examine_expect(rig, table, " is damaged\n");
        examine_put(rig, table, &rig->rows[i]);

        changed = rig->rows[i];
        changed.key[i % changed.key_bytes] ^= 0x04;
        leat_store_del(rig->store, table, examine_key(&rig->rows[i]));
        examine_put(rig, table, &changed);
        examine(rig);
        examine_expect(rig, table, " is damaged\n");
        leat_store_del(rig->store, table, examine_key(&changed));
        examine_put(rig, table, &rig->rows[i]);
    }
    examine(rig);
    assert_string_equal(rig->said, "");
}

#endif
