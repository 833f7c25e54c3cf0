/* Every bound of leat, in one place, with the relations between them checked by the compiler. */
#ifndef LEAT_CORE_LIMITS_H
#define LEAT_CORE_LIMITS_H

/* A test of what other versions do builds programs that have them. */
#ifndef LEAT_PROTOCOL_VERSION
#define LEAT_PROTOCOL_VERSION 1
#endif
#define LEAT_RECORD_VERSION 1
/* Of seals, keys and tables. 1: seals did not cover the place; 2: the sink had no log; 3: the
 * ventilator had no counts of its lanes and no journal. */
#ifndef LEAT_STORE_VERSION
#define LEAT_STORE_VERSION 4
#endif
/* Of a directory, while something may be in a journal alone: programs from before there were any
 * refuse it. So the next version is 6. */
#define LEAT_STORE_JOURNAL_VERSION (LEAT_STORE_VERSION + 1)

/* a job */
#define LEAT_QUEUE_BYTES_MAX        64 /* [A-Za-z0-9_.-], not empty */
#define LEAT_TYPE_BYTES_MAX         64 /* the same characters */
#define LEAT_PAYLOAD_BYTES_DEFAULT  (1 << 20)
#define LEAT_PAYLOAD_BYTES_CEILING  (64 << 20)
#define LEAT_HEADERS_MAX            32
#define LEAT_HEADER_NAME_BYTES_MAX  64
#define LEAT_HEADER_VALUE_BYTES_MAX 4096
#define LEAT_HEADERS_BYTES_MAX      (16 << 10) /* all names and values of one job */
#define LEAT_TIMEOUT_MS_MIN         1
#define LEAT_TIMEOUT_MS_MAX         (7 * 24 * 3600 * 1000LL)
#define LEAT_TIMEOUT_MS_DEFAULT     60000
#define LEAT_ATTEMPTS_MAX           1000
#define LEAT_ATTEMPTS_DEFAULT       3
#define LEAT_BACKOFF_MS_MAX         (7 * 24 * 3600 * 1000LL)
#define LEAT_BACKOFF_FACTOR_MIN     1000   /* thousandths: a delay never shrinks */
#define LEAT_BACKOFF_FACTOR_MAX     100000 /* thousandths */
#define LEAT_BACKOFF_BASE_MS        1000
#define LEAT_BACKOFF_FACTOR_MILLI   2000 /* thousandths */
#define LEAT_BACKOFF_CAP_MS         300000
#define LEAT_WALL_MS_MAX            253402300799999LL /* end of 9999; in us it fits 63 bits */
#define LEAT_BODY_OVERHEAD_BYTES    (LEAT_HEADERS_BYTES_MAX + 4096) /* of a body over its payload */

/* a result */
#define LEAT_RESULT_BYTES_DEFAULT (64 << 10)
#define LEAT_RESULT_BYTES_CEILING (16 << 20)
#define LEAT_ERROR_BYTES_MAX      4096 /* text of a failure, tail of stderr included */

/* rates: tokens per time, for example "1000/h" */
#define LEAT_RATE_TOKENS_MAX 1000000000000LL
#define LEAT_RATE_PER_S_MAX  1000000000LL
#define LEAT_RATE_PER_US_MAX (1000 * 24 * 3600 * 1000000LL) /* "0.001/d" */
#define LEAT_BURST_MAX       100000

/* messages */
#define LEAT_BATCH_ITEMS_MAX    4096
#define LEAT_BATCH_BYTES_TARGET (256 << 10) /* closes a batch; one big item may exceed it */
#define LEAT_BATCH_FEW_ITEMS    16
#define LEAT_BATCH_FEW_BYTES    (1 << 20)  /* the same, of fewer items than that */
#define LEAT_MESSAGE_BYTES_MAX  (96 << 20) /* what a socket accepts at all */
#define LEAT_TEXT_BYTES_MAX     4096       /* of a text field without a closer bound */
#define LEAT_NESTING_MAX        8
#define LEAT_OUT_BYTES_MAX      (2 * LEAT_MESSAGE_BYTES_MAX) /* what waiting actions may borrow */
#define LEAT_PEER_BYTES_MAX     8 /* routing ids that libzmq makes are 5 bytes */

/* ventilator */
#define LEAT_SESSIONS_MAX 4096 /* workers at one time */
#ifndef LEAT_LANES_MAX         /* fewer for the fuzzer, which is to reach the bound */
#define LEAT_LANES_MAX 4096    /* pairs of queue and type that hold or held jobs */
#endif
#define LEAT_SESSION_QUEUES_MAX  64
#define LEAT_SESSION_LIMITS_MAX  64    /* types with a rate in one CREDIT */
#define LEAT_SESSION_LEASES_MAX  65536 /* jobs that one worker may hold */
#define LEAT_LEASES_MAX          (1 << 20)
#define LEAT_WINDOW_JOBS         8192 /* ready jobs of a lane that are known in memory */
#define LEAT_PRODUCERS_MAX       100000
#define LEAT_DELIVERIES_DEFAULT  5
#define LEAT_LOST_AFTER_MS       5000
#define LEAT_PING_MS             1000
#define LEAT_RECOVERY_GRACE_MS   2000
#define LEAT_AUDIT_MS            60000 /* who has a lease of this age is asked what it holds */
#define LEAT_JOBS_DEFAULT        20000000LL
#define LEAT_STORE_BYTES_DEFAULT (64LL << 30)
#define LEAT_STORE_RESERVE_BYTES (32LL << 20) /* kept free so that settling always goes on */
/* A start looks at the pages of a store, if it has no more in trees (256 MiB). */
#define LEAT_STORE_CHECK_PAGES_MAX 65536
/* --copy-store waits so long for a broker that brings nothing to LMDB. */
#define LEAT_COPY_PATIENCE_MS  60000
#define LEAT_DEDUPE_MS         3600000LL /* how long a settled id is remembered */
#define LEAT_BUSY_RETRY_MS     500
#define LEAT_DEDUPE_IDS_MAX    5000000      /* settled ids remembered at most */
#define LEAT_FILLING_BYTES_MAX (64LL << 20) /* writes that wait for a slow disk; then: BUSY */

/* worker */
#define LEAT_SLOTS_MAX          1024
#define LEAT_HANDLERS_MAX       128
#define LEAT_PIPELINE_JOBS      1024 /* jobs sent ahead to one plug-in child */
#define LEAT_PIPELINE_COMMANDS  16   /* quick commands in one slot, the running one included */
#define LEAT_GRACE_MS_DEFAULT   5000
#define LEAT_DRAIN_MS_DEFAULT   30000
#define LEAT_STARTED_BYTES_MAX  (64LL << 20) /* bodies with the spawner, or one big job */
#define LEAT_OUTBOX_RESULTS_MAX 16384
#define LEAT_OUTBOX_BYTES_MAX   (64LL << 20)
#define LEAT_PREFETCH_MAX       (LEAT_OUTBOX_RESULTS_MAX - LEAT_SLOTS_MAX)
#define LEAT_OUTBOX_BATCHES     4    /* batches of results on their way at one time */
#define LEAT_RESEND_MS          1000 /* first wait for an answer to HELLO or RESULTS */
#define LEAT_RESEND_MS_MAX      5000 /* the waits grow up to this */
#define LEAT_FAREWELL_MS        2000 /* an ending worker tries this long to be heard */

/* sink */
#define LEAT_SETTLED_WINDOW       65536 /* ids sent to the ventilator and not yet confirmed */
#define LEAT_RESULTS_KEPT_DEFAULT 1000000LL
#define LEAT_RESULT_KEEP_MS       (24LL * 3600 * 1000)
#define LEAT_FAILURE_KEEP_MS      (30LL * 24 * 3600 * 1000)
#define LEAT_QUERY_IDS_MAX        1024
#define LEAT_PAGE_MAX             1000 /* failures in one answer */
#define LEAT_REQUEST_BYTES_MAX    (64 << 10)
#define LEAT_EVENT_JOBS_MAX       32 /* finished jobs of one queue in one event */

/* producer */
#define LEAT_PRODUCER_WINDOW_JOBS  65536
#define LEAT_PRODUCER_WINDOW_BYTES (16LL << 20)

_Static_assert(LEAT_PAYLOAD_BYTES_CEILING + LEAT_BODY_OVERHEAD_BYTES + LEAT_RESULT_BYTES_CEILING <
                   LEAT_MESSAGE_BYTES_MAX,
               "one message must hold the largest job or the largest failed result");
_Static_assert(LEAT_RATE_PER_US_MAX <= (long long)(~0ULL >> 1) / LEAT_BURST_MAX,
               "a full bucket fits 63 bits");
_Static_assert(LEAT_BATCH_ITEMS_MAX <= LEAT_SESSION_LEASES_MAX, "a batch fits a session");
_Static_assert(LEAT_SESSION_LEASES_MAX <= LEAT_LEASES_MAX, "a session fits the lease table");
_Static_assert(LEAT_SLOTS_MAX + LEAT_PREFETCH_MAX <= LEAT_OUTBOX_RESULTS_MAX,
               "the outbox has room for the result of every job that a worker holds");
_Static_assert(2 * LEAT_OUTBOX_RESULTS_MAX <= LEAT_SESSION_LEASES_MAX,
               "what a worker may hold fits into one HELLO");
_Static_assert(3 * LEAT_PING_MS < LEAT_LOST_AFTER_MS,
               "three pings may be lost before a worker that holds jobs is");

#endif
