/* The typed store: looking at all of it for --check-store. */
#include "broker/examine.h"
#include "broker/sink/sink_store_inside.h"

struct examiner {
    struct leat_examination *examination;
    leat_table table;
};

static bool visit(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct examiner *examiner = context;
    const int id_at = examiner->table == LEAT_SINK_TABLE_RESULTS    ? 0
                      : examiner->table == LEAT_SINK_TABLE_FAILURES ? 8
                                                                    : -1;
    (void)leat_examine_row(examiner->examination, examiner->table, key, value, id_at);
    return !examiner->examination->is_stopped;
}

/* What follows from one table for another can only be seen when all rows are whole. */
static void examine_tables(struct leat_sink_store *store, struct leat_examination *examination)
{
    struct leat_sink_meta meta;
    struct leat_why why = {""};
    enum leat_err err = leat_sink_store_load(store, &meta, &why);
    if (err == LEAT_ERR_NOT_FOUND && examination->rows == 0) {
        return; /* fresh */
    }
    if (err == LEAT_OK) {
        err = leat_sink_store_check(store, &meta, &why);
    }
    if (err != LEAT_OK) {
        leat_examine_say(examination, "%s", why.text);
    }
}

enum leat_err leat_sink_store_examine(struct leat_sink_store *store,
                                      struct leat_examination *examination)
{
    struct examiner examiner = {.examination = examination};
    enum leat_err err = LEAT_OK;
    examination->tables = leat_sink_table_names;
    for (leat_table table = 0; table < LEAT_SINK_TABLES && err == LEAT_OK; table++) {
        examiner.table = table;
        err = leat_store_scan(store->store, table, (struct leat_bytes){0}, visit, &examiner);
    }
    if (err == LEAT_OK && examination->wrong == 0) {
        examine_tables(store, examination);
    }
    return err;
}
