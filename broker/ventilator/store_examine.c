/* The typed store: looking at all of it for --check-store. */
#include <stdlib.h>
#include <string.h>

#include "broker/examine.h"
#include "broker/ventilator/store_inside.h"
#include "core/check.h"

#define CHUNK_ROWS 512

/* What is looked up elsewhere, once the scan has let go of the store: a job's row, or an id's. */
struct row {
    struct leat_id id;
    struct leat_ventilator_place place;
    uint64_t body_bytes;
};

struct examiner {
    struct leat_ventilator_store *store;
    struct leat_examination *examination;
    leat_table table;
    uint8_t after[LEAT_STORE_KEY_BYTES_MAX]; /* the last key that was seen */
    size_t after_bytes;
    struct row rows[CHUNK_ROWS];
    size_t count;
    bool has_ended;
    bool lanes[LEAT_LANES_MAX];
    struct leat_ventilator_lane_counts counts[LEAT_LANES_MAX]; /* of rows that are there */
    struct leat_id *settled;                                   /* owned; ids in SETTLED, sorted */
    size_t settled_count, settled_capacity;
    bool misses_settled; /* some of them cannot be read */
};

static bool is_table_of_jobs(leat_table table)
{
    return table == LEAT_VENTILATOR_TABLE_READY || table == LEAT_VENTILATOR_TABLE_SCHEDULED ||
           table == LEAT_VENTILATOR_TABLE_RETRYING;
}

/* Where the id is in the keys of a table; -1: nowhere. */
static int id_at(leat_table table)
{
    switch (table) {
    case LEAT_VENTILATOR_TABLE_READY:
        return 12;
    case LEAT_VENTILATOR_TABLE_SCHEDULED:
    case LEAT_VENTILATOR_TABLE_RETRYING:
        return 20;
    case LEAT_VENTILATOR_TABLE_EXPIRY:
        return 8;
    case LEAT_VENTILATOR_TABLE_IDS:
    case LEAT_VENTILATOR_TABLE_ENDING:
    case LEAT_VENTILATOR_TABLE_BODIES:
        return 0;
    default:
        return -1;
    }
}

/* ---- one row ---- */

static void keep_job(struct examiner *examiner, struct leat_bytes key, struct leat_bytes value)
{
    const enum leat_ventilator_where where =
        examiner->table == LEAT_VENTILATOR_TABLE_READY       ? LEAT_VENTILATOR_READY
        : examiner->table == LEAT_VENTILATOR_TABLE_SCHEDULED ? LEAT_VENTILATOR_SCHEDULED
                                                             : LEAT_VENTILATOR_RETRYING;
    struct leat_item_held_job held;
    struct row *row = &examiner->rows[examiner->count];
    leat_arena_clear(&examiner->store->scratch);
    if (leat_ventilator_key_read_job(where, key, &row->id, &row->place) == LEAT_OK &&
        leat_wire_unseal_item_held_job(value, leat_ventilator_at(examiner->table, key),
                                       &examiner->store->scratch, &held, NULL) == LEAT_OK) {
        row->body_bytes = held.body_bytes;
        examiner->count++;
    }
}

static void keep_id(struct examiner *examiner, struct leat_bytes key, struct leat_bytes value)
{
    struct leat_item_held_place held;
    struct row *row = &examiner->rows[examiner->count];
    leat_arena_clear(&examiner->store->scratch);
    if (key.size == LEAT_ID_BYTES &&
        leat_wire_unseal_item_held_place(value, leat_ventilator_at(examiner->table, key),
                                         &examiner->store->scratch, &held, NULL) == LEAT_OK) {
        memcpy(row->id.bytes, key.data, LEAT_ID_BYTES);
        row->place = (struct leat_ventilator_place){
            .where = (enum leat_ventilator_where)held.where,
            .lane = (uint32_t)held.lane,
            .seq = held.seq,
            .due_ms = held.due_ms,
        };
        examiner->count++;
    }
}

/* Damaged or not: the key says where it is. */
static void count_job(struct examiner *examiner, struct leat_bytes key)
{
    struct leat_id id;
    struct leat_ventilator_place place;
    const bool is_ready = examiner->table == LEAT_VENTILATOR_TABLE_READY;
    const enum leat_ventilator_where where =
        is_ready ? LEAT_VENTILATOR_READY : LEAT_VENTILATOR_SCHEDULED; /* or RETRYING: alike */
    if (leat_ventilator_key_read_job(where, key, &id, &place) == LEAT_OK &&
        place.lane < LEAT_LANES_MAX) {
        struct leat_ventilator_lane_counts *counts = &examiner->counts[place.lane];
        *(is_ready                                             ? &counts->ready
          : examiner->table == LEAT_VENTILATOR_TABLE_SCHEDULED ? &counts->scheduled
                                                               : &counts->retrying) += 1;
    }
}

static void examine_counts(struct examiner *examiner, struct leat_bytes key,
                           struct leat_bytes value)
{
    uint32_t lane;
    struct leat_item_held_counts held;
    leat_arena_clear(&examiner->store->scratch);
    if (leat_ventilator_key_read_lane(key, &lane) != LEAT_OK || lane >= LEAT_LANES_MAX ||
        leat_wire_unseal_item_held_counts(value, leat_ventilator_at(examiner->table, key),
                                          &examiner->store->scratch, &held, NULL) != LEAT_OK) {
        return;
    }
    const struct leat_ventilator_lane_counts *counts = &examiner->counts[lane];
    if (held.ready != counts->ready || held.scheduled != counts->scheduled ||
        held.retrying != counts->retrying) {
        leat_examine_say(
            examiner->examination,
            "table counts: lane %u has %llu, %llu and %llu jobs in ready, scheduled and "
            "retrying, there are %llu, %llu and %llu",
            lane, (unsigned long long)held.ready, (unsigned long long)held.scheduled,
            (unsigned long long)held.retrying, (unsigned long long)counts->ready,
            (unsigned long long)counts->scheduled, (unsigned long long)counts->retrying);
    }
}

static bool visit(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct examiner *examiner = context;
    uint32_t lane;
    if (key.size == examiner->after_bytes && memcmp(key.data, examiner->after, key.size) == 0) {
        return true;
    }
    LEAT_ASSERT(key.size <= sizeof examiner->after); /* the check of pages saw to it */
    examiner->after_bytes = key.size;
    memcpy(examiner->after, key.data, key.size);
    examiner->has_ended = false;
    if (is_table_of_jobs(examiner->table)) {
        count_job(examiner, key);
    }
    if (!leat_examine_row(examiner->examination, examiner->table, key, value,
                          id_at(examiner->table))) {
        return !examiner->examination->is_stopped;
    }
    if (is_table_of_jobs(examiner->table)) {
        keep_job(examiner, key, value);
    } else if (examiner->table == LEAT_VENTILATOR_TABLE_IDS) {
        keep_id(examiner, key, value);
    } else if (examiner->table == LEAT_VENTILATOR_TABLE_LANES &&
               leat_ventilator_key_read_lane(key, &lane) == LEAT_OK && lane < LEAT_LANES_MAX) {
        examiner->lanes[lane] = true;
    } else if (examiner->table == LEAT_VENTILATOR_TABLE_COUNTS) {
        examine_counts(examiner, key, value);
    }
    return examiner->count < CHUNK_ROWS;
}

/* ---- what it must be like elsewhere ---- */

static void say(struct examiner *examiner, const struct row *row, const char *what)
{
    char text[LEAT_ID_TEXT_BYTES];
    leat_examine_say(examiner->examination, "table %s: job %s %s",
                     examiner->examination->tables[examiner->table], leat_id_format(&row->id, text),
                     what);
}

static enum leat_err examine_job(struct examiner *examiner, const struct row *row)
{
    struct leat_ventilator_place place = {0};
    enum leat_err err = leat_ventilator_store_find(examiner->store, &row->id, &place);
    if (err == LEAT_ERR_IO) {
        return err;
    }
    if (err == LEAT_ERR_NOT_FOUND) {
        say(examiner, row, "is not in table ids");
    } else if (err == LEAT_OK &&
               (place.where != row->place.where || place.lane != row->place.lane ||
                place.seq != row->place.seq || place.due_ms != row->place.due_ms)) {
        say(examiner, row, "is elsewhere, as table ids says");
    }
    if (row->place.lane >= LEAT_LANES_MAX || !examiner->lanes[row->place.lane]) {
        say(examiner, row, "is in a lane that is not in table lanes");
    }
    struct leat_bytes body = {0};
    if (row->body_bytes <= LEAT_VENTILATOR_INLINE_BYTES) {
        return LEAT_OK;
    }
    err = leat_ventilator_store_large_body(examiner->store, &row->id, &body);
    if (err == LEAT_ERR_NOT_FOUND || (err == LEAT_OK && body.size != row->body_bytes)) {
        say(examiner, row, "has no body of its size in table bodies");
    }
    return err == LEAT_ERR_IO ? err : LEAT_OK;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, LEAT_ID_BYTES);
}

/* A job that was settled in READY keeps that place, and SETTLED remembers it. */
static bool is_settled(const struct examiner *examiner, const struct row *row)
{
    return row->place.where == LEAT_VENTILATOR_READY &&
           (examiner->misses_settled ||
            (examiner->settled_count > 0 &&
             bsearch(&row->id, examiner->settled, examiner->settled_count, sizeof row->id,
                     compare_ids) != NULL));
}

/* Whether there is a row where the id says. */
static enum leat_err examine_id(struct examiner *examiner, const struct row *row)
{
    const enum leat_ventilator_where where = row->place.where;
    struct leat_ventilator_key key;
    struct leat_bytes value;
    struct leat_bytes name = leat_ventilator_id_key(&row->id);
    leat_table table = LEAT_VENTILATOR_TABLE_ENDING;
    if (where == LEAT_VENTILATOR_SETTLED) {
        return LEAT_OK; /* nothing else is kept of it */
    }
    if (where != LEAT_VENTILATOR_ENDING) {
        table = leat_ventilator_table_of(where);
        key = leat_ventilator_key_job(&row->id, &row->place);
        name = leat_ventilator_key_view(&key);
    }
    enum leat_err err = leat_store_get(examiner->store->store, table, name, &value);
    if (err == LEAT_ERR_NOT_FOUND && is_settled(examiner, row)) {
        return LEAT_OK;
    }
    if (err == LEAT_ERR_NOT_FOUND) {
        char text[LEAT_ID_TEXT_BYTES];
        leat_examine_say(examiner->examination, "table %s: job %s is missing, table ids names it",
                         examiner->examination->tables[table], leat_id_format(&row->id, text));
        return LEAT_OK;
    }
    return err;
}

static enum leat_err examine_rows(struct examiner *examiner)
{
    enum leat_err err = LEAT_OK;
    for (size_t i = 0; i < examiner->count && err == LEAT_OK; i++) {
        const struct row *row = &examiner->rows[i];
        bool is_known = row->place.where >= LEAT_VENTILATOR_READY &&
                        row->place.where <= LEAT_VENTILATOR_SETTLED;
        if (examiner->examination->is_stopped) {
            break;
        }
        if (!is_known) {
            say(examiner, row, "is at no place that there is");
        } else if (is_table_of_jobs(examiner->table)) {
            err = examine_job(examiner, row);
        } else {
            err = examine_id(examiner, row);
        }
    }
    return err;
}

static enum leat_err examine_table(struct examiner *examiner, leat_table table)
{
    enum leat_err err;
    examiner->table = table;
    examiner->after_bytes = 0;
    do {
        examiner->count = 0;
        examiner->has_ended = true;
        uint8_t from[LEAT_STORE_KEY_BYTES_MAX];
        memcpy(from, examiner->after, sizeof from);
        err = leat_store_scan(examiner->store->store, table,
                              leat_bytes_of(from, examiner->after_bytes), visit, examiner);
        if (err == LEAT_OK) {
            err = examine_rows(examiner);
        }
    } while (err == LEAT_OK && !examiner->has_ended && !examiner->examination->is_stopped);
    return err;
}

static bool visit_settled(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct examiner *examiner = context;
    struct leat_item_held_settled held;
    leat_arena_clear(&examiner->store->scratch);
    if (leat_wire_unseal_item_held_settled(value,
                                           leat_ventilator_at(LEAT_VENTILATOR_TABLE_SETTLED, key),
                                           &examiner->store->scratch, &held, NULL) != LEAT_OK) {
        examiner->misses_settled = true;
        return true;
    }
    while (examiner->settled_capacity < examiner->settled_count + held.ids.count) {
        examiner->settled_capacity = 2 * examiner->settled_capacity + LEAT_BATCH_ITEMS_MAX;
        examiner->settled =
            realloc(examiner->settled, examiner->settled_capacity * sizeof *examiner->settled);
        LEAT_ASSERT(examiner->settled != NULL);
    }
    for (size_t i = 0; i < held.ids.count; i++) {
        examiner->settled[examiner->settled_count++] = held.ids.items[i].id;
    }
    return true;
}

/* Which ids are remembered, all in memory: 16 bytes for each of some millions. */
static enum leat_err read_settled(struct examiner *examiner)
{
    enum leat_err err = leat_store_scan(examiner->store->store, LEAT_VENTILATOR_TABLE_SETTLED,
                                        (struct leat_bytes){0}, visit_settled, examiner);
    if (examiner->settled_count > 0) {
        qsort(examiner->settled, examiner->settled_count, sizeof *examiner->settled, compare_ids);
    }
    return err;
}

enum leat_err leat_ventilator_store_examine(struct leat_ventilator_store *store,
                                            struct leat_examination *examination)
{
    struct examiner *examiner = calloc(1, sizeof *examiner);
    LEAT_ASSERT(examiner != NULL);
    examiner->store = store;
    examiner->examination = examination;
    examination->tables = leat_ventilator_table_names;
    enum leat_err err = read_settled(examiner);
    for (leat_table table = 0; table < LEAT_VENTILATOR_TABLES && err == LEAT_OK; table++) {
        err = examine_table(examiner, table);
    }
    free(examiner->settled);
    free(examiner);
    return err;
}
