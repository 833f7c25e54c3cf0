#include "store/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "store/lmdb_store.h"

struct leat_store_reader {
    struct leat_lmdb *lmdb;
    MDB_txn *txn; /* reset between calls */
    uint8_t *copy;
    size_t copy_capacity;
};

enum leat_err leat_store_reader_open(struct leat_store *store,
                                     struct leat_store_reader **ret_reader, struct leat_why *why)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    struct leat_store_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    reader->lmdb = lmdb;
    pthread_rwlock_rdlock(&lmdb->map_lock);
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc == 0) {
        mdb_txn_reset(reader->txn);
    }
    pthread_rwlock_unlock(&lmdb->map_lock);
    if (rc != 0) {
        free(reader);
        return leat_fail(why, LEAT_ERR_IO, "cannot open a reader of store %s: %s", lmdb->path,
                         mdb_strerror(rc));
    }
    *ret_reader = reader;
    return LEAT_OK;
}

void leat_store_reader_close(struct leat_store_reader **reader)
{
    if (*reader != NULL) {
        mdb_txn_abort((*reader)->txn);
        free((*reader)->copy);
        free(*reader);
        *reader = NULL;
    }
}

static int begin(struct leat_store_reader *reader, leat_table table)
{
    assert(table < reader->lmdb->table_count);
    pthread_rwlock_rdlock(&reader->lmdb->map_lock);
    int rc = mdb_txn_renew(reader->txn);
    if (rc != 0) {
        pthread_rwlock_unlock(&reader->lmdb->map_lock);
    }
    return rc;
}

static void end(struct leat_store_reader *reader)
{
    mdb_txn_reset(reader->txn);
    pthread_rwlock_unlock(&reader->lmdb->map_lock);
}

static enum leat_err keep_copy(struct leat_store_reader *reader, const MDB_val *value,
                               struct leat_bytes *ret_value)
{
    if (value->mv_size > reader->copy_capacity) {
        uint8_t *grown = realloc(reader->copy, value->mv_size);
        if (grown == NULL) {
            return LEAT_ERR_MEMORY;
        }
        reader->copy = grown;
        reader->copy_capacity = value->mv_size;
    }
    if (value->mv_size > 0) {
        memcpy(reader->copy, value->mv_data, value->mv_size);
    }
    *ret_value = leat_bytes_of(reader->copy, value->mv_size);
    return LEAT_OK;
}

enum leat_err leat_store_reader_get(struct leat_store_reader *reader, leat_table table,
                                    struct leat_bytes key, struct leat_bytes *ret_value)
{
    if (begin(reader, table) != 0) {
        return LEAT_ERR_IO;
    }
    MDB_val sought = leat_lmdb_val(key);
    MDB_val value;
    int rc = mdb_get(reader->txn, reader->lmdb->tables[table], &sought, &value);
    enum leat_err err = rc == 0              ? keep_copy(reader, &value, ret_value)
                        : rc == MDB_NOTFOUND ? LEAT_ERR_NOT_FOUND
                                             : LEAT_ERR_IO;
    end(reader);
    return err;
}

enum leat_err leat_store_reader_scan(struct leat_store_reader *reader, leat_table table,
                                     struct leat_bytes from, leat_store_visit_fn *visit,
                                     void *context)
{
    if (begin(reader, table) != 0) {
        return LEAT_ERR_IO;
    }
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(reader->txn, reader->lmdb->tables[table], &cursor);
    if (rc == 0) {
        MDB_val key = leat_lmdb_val(from);
        MDB_val value;
        rc = mdb_cursor_get(cursor, &key, &value, from.size == 0 ? MDB_FIRST : MDB_SET_RANGE);
        while (rc == 0 && visit(leat_lmdb_bytes(&key), leat_lmdb_bytes(&value), context)) {
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    end(reader);
    return rc == 0 || rc == MDB_NOTFOUND ? LEAT_OK : LEAT_ERR_IO;
}

enum leat_err leat_store_reader_count(struct leat_store_reader *reader, leat_table table,
                                      uint64_t *ret_count)
{
    if (begin(reader, table) != 0) {
        return LEAT_ERR_IO;
    }
    MDB_stat status;
    int rc = mdb_stat(reader->txn, reader->lmdb->tables[table], &status);
    end(reader);
    if (rc != 0) {
        return LEAT_ERR_IO;
    }
    *ret_count = status.ms_entries;
    return LEAT_OK;
}
