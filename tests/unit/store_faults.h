/* A disk that fails on request: the calls with which LMDB and the store write are replaced in the
 * test's executable, do the real thing, or fail with an errno. For any thread. */
#ifndef LEAT_TESTS_STORE_FAULTS_H
#define LEAT_TESTS_STORE_FAULTS_H

#include <stdbool.h>

enum store_fault {
    STORE_FAULT_FLUSH = 0,    /* fdatasync */
    STORE_FAULT_WRITE = 1,    /* pwrite, pwritev, writev */
    STORE_FAULT_ALLOCATE = 2, /* fallocate */
    STORE_FAULT_MAP_FULL = 3, /* mdb_txn_commit says MDB_MAP_FULL, `error` times */
    STORE_FAULT_GROW = 4,     /* pwrite, of what ends behind the end of the file */
    STORE_FAULT_DATA = 5,     /* pwrite, writev of LMDB's file */
    STORE_FAULT_SLOW = 6,     /* a record of the journal is written this many ms late */
    STORE_FAULT_SHORT = 7,    /* pwritev writes at most so many bytes */
    STORE_FAULT_JOURNAL = 8,  /* pwrite, pwritev of a file of a journal */
    STORE_FAULT_LATE = 9,     /* mdb_txn_id says `error` commits less, then one less than that, and
                                 so on: first thread */
    STORE_FAULT_COPY = 10,    /* mdb_env_copyfd2 copies STORE_FAULTS_COPY instead, `error` times */
    STORE_FAULT_INSTANT = 11, /* fdatasync is counted, does nothing, and succeeds at once */
    STORE_FAULT_COUNT
};

/* A file beside LMDB's. */
#define STORE_FAULTS_COPY "instead.mdb"

/* From now on, until it is set to 0. */
void store_faults_set(enum store_fault fault, int error);
void store_faults_clear(void);
/* How often a call was made to fail since the last clear. */
int store_faults_hits(enum store_fault fault);
/* The same of calls of the process' first thread alone, which is the test's. */
int store_faults_own_hits(enum store_fault fault);
/* How often a file of a journal was flushed since the last clear. */
int store_faults_journal_flushes(void);
/* The same by the process' first thread alone. */
int store_faults_own_flushes(void);

/* While this is wanted, commits of LMDB stand still just before they write anything. */
void store_faults_hold_commits(bool is_wanted);
/* Until one does. */
void store_faults_await_commit(void);

#endif
