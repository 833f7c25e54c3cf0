/* What LMDB alone can do on this disk: put each job, and later delete it, so many per commit, each
 * commit flushed.
 *
 *   bench_lmdb at=DIRECTORY jobs=N bytes=B batch=C      prints {"begin_ns":..., "acked_ns":...}
 *
 * Keys ascend, so puts are appends; half of the jobs stand in the tree while they are exchanged. */
#include <endian.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer.h"

static void check(int rc, const char *what)
{
    if (rc != 0) {
        peer_stop("lmdb: %s: %s", what, mdb_strerror(rc));
    }
}

struct lmdb {
    MDB_env *env;
    MDB_dbi table;
};

enum work {
    PUT,
    DELETE,
};

static void commit(const struct lmdb *lmdb, const struct peer_settings *settings, enum work work,
                   uint64_t first)
{
    static uint8_t value[PEER_PAYLOAD_MAX];
    MDB_txn *txn;
    check(mdb_txn_begin(lmdb->env, NULL, 0, &txn), "begin");
    for (uint64_t i = first; i < first + settings->batch && i < settings->jobs; i++) {
        uint64_t id[2] = {htobe64(i), i * UINT64_C(0x9e3779b97f4a7c15)};
        MDB_val key = {sizeof id, id};
        MDB_val data = {settings->bytes, value};
        if (work == PUT) {
            check(mdb_put(txn, lmdb->table, &key, &data, MDB_APPEND), "put");
        } else {
            check(mdb_del(txn, lmdb->table, &key, NULL), "delete");
        }
    }
    check(mdb_txn_commit(txn), "commit");
}

int main(int argc, char **argv)
{
    struct peer_settings settings;
    peer_settings_read(&settings, argc, argv, NULL);
    struct lmdb lmdb;
    MDB_txn *txn;
    check(mdb_env_create(&lmdb.env), "create");
    check(mdb_env_set_mapsize(lmdb.env, (size_t)8 << 30), "map size");
    check(mdb_env_open(lmdb.env, settings.at, 0, 0600), settings.at);
    check(mdb_txn_begin(lmdb.env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &lmdb.table), "table");
    check(mdb_txn_commit(txn), "commit");
    /* Deletes follow the puts at a distance of half the jobs, in whole commits. */
    uint64_t lag = settings.jobs / settings.batch / 2 * settings.batch;
    uint64_t begin_ns = peer_now_ns();
    for (uint64_t first = 0; first < settings.jobs + lag; first += settings.batch) {
        if (first < settings.jobs) {
            commit(&lmdb, &settings, PUT, first);
        }
        if (first >= lag && first - lag < settings.jobs) {
            commit(&lmdb, &settings, DELETE, first - lag);
        }
    }
    peer_print_producer(begin_ns, peer_now_ns());
    mdb_env_close(lmdb.env);
    return 0;
}
