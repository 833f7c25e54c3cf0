#include "store/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "store/journal_place.h"
#include "store/journal_tail.h"
#include "store/lmdb_store.h"

#define NEWS_KEEP_BYTES ((size_t)1 << 20)

struct leat_store_reader {
    struct leat_lmdb *lmdb;
    MDB_txn *txn; /* reset between calls */
    uint8_t *copy;
    size_t copy_capacity;
    /* What is in the journal and not in LMDB: everything between the two numbers. */
    struct leat_journal_tail *tail; /* NULL: there is no journal */
    const _Atomic uint64_t *durable;
    leat_table place_table;
    struct leat_hash_key key;
    struct leat_batch news; /* empty without a journal */
    uint64_t news_from, news_to;
};

static enum leat_err open_tail(struct leat_store_reader *reader, struct leat_why *why)
{
    struct leat_id id = leat_store_lmdb_id(&reader->lmdb->store);
    reader->key = leat_journal_key(&id);
    return leat_journal_tail_open(reader->lmdb->path, &id, &reader->tail, why);
}

enum leat_err leat_store_reader_open(struct leat_store *store,
                                     struct leat_store_reader **ret_reader, struct leat_why *why)
{
    struct leat_readable readable = store->backend->readable(store);
    struct leat_lmdb *lmdb = readable.lmdb;
    struct leat_store_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    reader->lmdb = lmdb;
    reader->durable = readable.durable;
    reader->place_table = readable.place_table;
    leat_batch_init(&reader->news, NEWS_KEEP_BYTES);
    pthread_rwlock_rdlock(&lmdb->map_lock);
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc == 0) {
        mdb_txn_reset(reader->txn);
    }
    pthread_rwlock_unlock(&lmdb->map_lock);
    enum leat_err err = LEAT_OK;
    if (rc != 0) {
        err = leat_fail(why, LEAT_ERR_IO, "cannot open a reader of store %s: %s", lmdb->path,
                        mdb_strerror(rc));
    } else if (reader->durable != NULL) {
        err = open_tail(reader, why);
    }
    if (err != LEAT_OK) {
        leat_store_reader_close(&reader);
        return err;
    }
    *ret_reader = reader;
    return LEAT_OK;
}

void leat_store_reader_close(struct leat_store_reader **reader)
{
    if (*reader != NULL) {
        if ((*reader)->txn != NULL) {
            mdb_txn_abort((*reader)->txn);
        }
        leat_journal_tail_close(&(*reader)->tail);
        leat_batch_fini(&(*reader)->news);
        free((*reader)->copy);
        free(*reader);
        *reader = NULL;
    }
}

/* ---- one state: LMDB's snapshot, and the news over it ---- */

static enum leat_err begin_snapshot(struct leat_store_reader *reader)
{
    pthread_rwlock_rdlock(&reader->lmdb->map_lock);
    int rc = mdb_txn_renew(reader->txn);
    while (rc == 0 && !leat_lmdb_is_settled(reader->lmdb, reader->txn)) {
        mdb_txn_reset(reader->txn);
        rc = mdb_txn_renew(reader->txn);
    }
    if (rc != 0) {
        pthread_rwlock_unlock(&reader->lmdb->map_lock);
        return LEAT_ERR_IO;
    }
    return LEAT_OK;
}

static void end(struct leat_store_reader *reader)
{
    mdb_txn_reset(reader->txn);
    pthread_rwlock_unlock(&reader->lmdb->map_lock);
}

/* Up to which record of the journal the snapshot has everything. */
static enum leat_err read_place(struct leat_store_reader *reader, uint64_t *ret_place)
{
    MDB_val key = leat_lmdb_val(leat_journal_place_key());
    MDB_val value;
    int rc = mdb_get(reader->txn, reader->lmdb->tables[reader->place_table], &key, &value);
    return rc == 0 && leat_journal_place_read(leat_lmdb_bytes(&value), reader->key, ret_place) ==
                          LEAT_OK
               ? LEAT_OK
               : LEAT_ERR_IO;
}

static void add_news(const struct leat_journal_write *write, void *context)
{
    struct leat_store_reader *reader = context;
    struct leat_sorted *table = &reader->news.tables[write->table];
    if (write->is_del) {
        leat_sorted_put_tombstone(table, write->key);
    } else {
        leat_sorted_put(table, write->key, write->value);
    }
}

/* Makes the news all that lies behind `place` and is durable, as far as it has not been written
 * over since: then it is applied, and LMDB is further than `place`. */
static enum leat_err gather_news(struct leat_store_reader *reader, uint64_t place)
{
    if (place != reader->news_from) {
        leat_batch_clear(&reader->news);
        leat_journal_tail_from(reader->tail, place);
        reader->news_from = place;
    }
    return leat_journal_tail_read(reader->tail, atomic_load(reader->durable), add_news, reader,
                                  &reader->news_to);
}

/* The journal is read with no snapshot held: the owner might wait for it. The news begin where a
 * snapshot ended that was no later; they must end no earlier than this one, nor than what was
 * durable at first. */
static enum leat_err begin(struct leat_store_reader *reader, leat_table table)
{
    assert(table < reader->lmdb->table_count);
    if (reader->tail == NULL) {
        return begin_snapshot(reader);
    }
    uint64_t durable = atomic_load(reader->durable);
    for (bool is_short = false;; is_short = reader->news_to < durable) {
        uint64_t place;
        enum leat_err err = begin_snapshot(reader);
        if (err != LEAT_OK) {
            return err;
        }
        err = read_place(reader, &place);
        if (err == LEAT_OK && place <= reader->news_to && reader->news_to >= durable) {
            return LEAT_OK;
        }
        end(reader);
        if (err == LEAT_OK && is_short && place == reader->news_from) {
            err = LEAT_ERR_IO; /* records are gone that are not applied: damage */
        }
        if (err == LEAT_OK) {
            err = gather_news(reader, place);
        }
        if (err != LEAT_OK) {
            return err;
        }
    }
}

/* Whether the news say something of a key. */
static bool find_news(const struct leat_store_reader *reader, leat_table table,
                      struct leat_bytes key, struct leat_sorted_entry *ret_entry)
{
    return reader->tail != NULL && leat_sorted_find(&reader->news.tables[table], key, ret_entry);
}

/* ---- reading ---- */

static enum leat_err keep_copy(struct leat_store_reader *reader, struct leat_bytes value,
                               struct leat_bytes *ret_value)
{
    if (value.size > reader->copy_capacity) {
        uint8_t *grown = realloc(reader->copy, value.size);
        if (grown == NULL) {
            return LEAT_ERR_MEMORY;
        }
        reader->copy = grown;
        reader->copy_capacity = value.size;
    }
    if (value.size > 0) {
        memcpy(reader->copy, value.data, value.size);
    }
    *ret_value = leat_bytes_of(reader->copy, value.size);
    return LEAT_OK;
}

static enum leat_err get_stored(struct leat_store_reader *reader, leat_table table,
                                struct leat_bytes key, struct leat_bytes *ret_value)
{
    MDB_val sought = leat_lmdb_val(key);
    MDB_val value;
    int rc = mdb_get(reader->txn, reader->lmdb->tables[table], &sought, &value);
    if (rc == 0) {
        *ret_value = leat_lmdb_bytes(&value);
    }
    return rc == 0 ? LEAT_OK : rc == MDB_NOTFOUND ? LEAT_ERR_NOT_FOUND : LEAT_ERR_IO;
}

enum leat_err leat_store_reader_get(struct leat_store_reader *reader, leat_table table,
                                    struct leat_bytes key, struct leat_bytes *ret_value)
{
    enum leat_err err = begin(reader, table);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_sorted_entry news;
    struct leat_bytes value;
    if (!find_news(reader, table, key, &news)) {
        err = get_stored(reader, table, key, &value);
    } else if (news.is_tombstone) {
        err = LEAT_ERR_NOT_FOUND;
    } else {
        value = news.value;
    }
    if (err == LEAT_OK) {
        err = keep_copy(reader, value, ret_value);
    }
    end(reader);
    return err;
}

struct walk {
    MDB_cursor *cursor;
    int rc; /* of the cursor; MDB_NOTFOUND at the end */
    MDB_val key, value;
    struct leat_sorted_cursor news;
};

/* The next entry in the order of keys, the news before what is stored. False: none is left. */
static bool take_next(struct walk *walk, struct leat_sorted_entry *ret_entry)
{
    struct leat_sorted_entry news;
    bool has_news = leat_sorted_at(&walk->news, &news);
    int order = walk->rc != 0 ? 1
                : has_news    ? leat_sorted_compare(leat_lmdb_bytes(&walk->key), news.key)
                              : -1;
    if (walk->rc != 0 && (walk->rc != MDB_NOTFOUND || !has_news)) {
        return false;
    }
    if (order < 0) {
        *ret_entry = (struct leat_sorted_entry){.key = leat_lmdb_bytes(&walk->key),
                                                .value = leat_lmdb_bytes(&walk->value)};
    } else {
        *ret_entry = news;
        leat_sorted_next(&walk->news);
    }
    if (order <= 0) {
        walk->rc = mdb_cursor_get(walk->cursor, &walk->key, &walk->value, MDB_NEXT);
    }
    return true;
}

enum leat_err leat_store_reader_scan(struct leat_store_reader *reader, leat_table table,
                                     struct leat_bytes from, leat_store_visit_fn *visit,
                                     void *context)
{
    enum leat_err err = begin(reader, table);
    if (err != LEAT_OK) {
        return err;
    }
    struct walk walk = {.key = leat_lmdb_val(from),
                        .news = leat_sorted_seek(&reader->news.tables[table], from)};
    walk.rc = mdb_cursor_open(reader->txn, reader->lmdb->tables[table], &walk.cursor);
    if (walk.rc == 0) {
        walk.rc = mdb_cursor_get(walk.cursor, &walk.key, &walk.value,
                                 from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
        struct leat_sorted_entry entry;
        bool goes_on = true;
        while (goes_on && take_next(&walk, &entry)) {
            goes_on = entry.is_tombstone || visit(entry.key, entry.value, context);
        }
        mdb_cursor_close(walk.cursor);
    }
    end(reader);
    return walk.rc == 0 || walk.rc == MDB_NOTFOUND ? LEAT_OK : LEAT_ERR_IO;
}

static uint64_t add_count_of_news(struct leat_store_reader *reader, leat_table table,
                                  uint64_t count)
{
    struct leat_sorted_cursor cursor =
        leat_sorted_seek(&reader->news.tables[table], (struct leat_bytes){NULL, 0});
    struct leat_sorted_entry entry;
    for (; leat_sorted_at(&cursor, &entry); leat_sorted_next(&cursor)) {
        struct leat_bytes value;
        bool is_stored = get_stored(reader, table, entry.key, &value) == LEAT_OK;
        count += (uint64_t)!entry.is_tombstone - (uint64_t)is_stored;
    }
    return count;
}

enum leat_err leat_store_reader_count(struct leat_store_reader *reader, leat_table table,
                                      uint64_t *ret_count)
{
    enum leat_err err = begin(reader, table);
    if (err != LEAT_OK) {
        return err;
    }
    MDB_stat status;
    int rc = mdb_stat(reader->txn, reader->lmdb->tables[table], &status);
    if (rc == 0) {
        *ret_count = add_count_of_news(reader, table, status.ms_entries);
    }
    end(reader);
    return rc == 0 ? LEAT_OK : LEAT_ERR_IO;
}
