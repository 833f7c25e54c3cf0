/* libleat: submit jobs to a leat cluster from C.
 *
 *      struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
 *      struct leat_producer *producer = NULL;
 *      char error[LEAT_PRODUCER_ERROR_BYTES];
 *      if (leat_producer_connect(&options, &producer, error) != LEAT_PRODUCER_OK) ...
 *      struct leat_producer_job job = LEAT_PRODUCER_JOB;
 *      job.type = "mail";
 *      job.payload = text;
 *      job.payload_bytes = strlen(text);
 *      leat_producer_submit(producer, &job, -1, NULL);     kept in a bounded window
 *      leat_producer_flush(producer, 10000);               OK: every job is on the disk
 *      leat_producer_close(&producer);
 *
 * A job whose submit returned OK is held in memory and sent, and sent again, until the ventilator
 * acknowledges it; it never becomes two jobs. It is durable when leat_producer_flush() returns OK
 * or leat_producer_pending() is 0. There is no thread behind this: sending, receiving and repeating
 * happen inside the calls, so a program that submits seldom calls leat_producer_pump() now and
 * then.
 *
 * One producer belongs to one thread at a time; a program may have several. After fork() only the
 * parent may use it. Every call returns a number of enum leat_producer_result; `error`, where it is
 * taken, may be NULL and else gets one line that names the thing and the value.
 */
#ifndef LEAT_PRODUCER_H
#define LEAT_PRODUCER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default) /* what is declared here is all that libleat exports */
#endif

#define LEAT_PRODUCER_API           1
#define LEAT_PRODUCER_ID_TEXT_BYTES 37 /* a job id as text, with its terminating zero */
#define LEAT_PRODUCER_ERROR_BYTES   256

enum leat_producer_result {
    LEAT_PRODUCER_OK = 0,
    LEAT_PRODUCER_BUSY = 6, /* the window is full and waiting was not wanted */
    LEAT_PRODUCER_INVALID =
        12, /* the job or an option is not valid; the text names limit and value */
    LEAT_PRODUCER_TIMEOUT = 16,     /* the time was up; nothing is lost, call again */
    LEAT_PRODUCER_UNREACHABLE = 17, /* no answer from the ventilator or the sink */
    LEAT_PRODUCER_REFUSED = 20,     /* the ventilator can never accept a job, or the key may not do
                                       this; see     leat_producer_error() */
    LEAT_PRODUCER_MEMORY = 1,
    LEAT_PRODUCER_NOT_FOUND = 10, /* no result (yet) */
};

struct leat_producer;

struct leat_producer_options {
    const char *ventilator; /* endpoint; NULL: $LEAT_VENTILATOR, else tcp://127.0.0.1:5170 */
    const char *sink; /* endpoint; NULL: $LEAT_SINK, else tcp://127.0.0.1:5171; only for results */
    size_t window_jobs;       /* most jobs held unacknowledged; 0: 65536 */
    size_t window_bytes;      /* most bytes of payloads and headers held, but one job may always be;
                                 0: 16 MiB */
    size_t payload_bytes_max; /* larger payloads are refused; 0: 1 MiB; at most 64 MiB */
    const char *key;          /* path of the private key (leat keys new NAME --role producer); NULL:
                                 $LEAT_KEY, else nothing is encrypted */
    const char *server_key;   /* public key of ventilator and sink, path or text; needed with `key`;
                                 NULL: $LEAT_SERVER_KEY */
    const char *sink_key;     /* public key of the sink, when it has one of its own; NULL:
                                 $LEAT_SINK_KEY, else as server_key */
};
#define LEAT_PRODUCER_OPTIONS                                                                      \
    {                                                                                              \
        NULL, NULL, 0, 0, 0, NULL, NULL, NULL                                                      \
    }

struct leat_producer_header {
    const char *name;  /* [A-Za-z0-9_.-], at most 64 bytes */
    const char *value; /* at most 4096 bytes of UTF-8 */
};

struct leat_producer_job {
    const char *id;      /* NULL: a new one; else UUID text: the same id never becomes two jobs */
    const char *queue;   /* NULL: "default" */
    const char *type;    /* name of the handler; required */
    const void *payload; /* any bytes */
    size_t payload_bytes;
    uint64_t timeout_ms;      /* of one attempt; 0: 60000 */
    uint64_t attempts_max;    /* 0: 3 */
    uint64_t backoff_base_ms; /* 0: 1000 */
    double backoff_factor;    /* 1 to 100; 0: 2.0 */
    uint64_t backoff_cap_ms;  /* 0: 300000 */
    int backoff_no_jitter;    /* not 0: wait the whole bound instead of a random part of it */
    int64_t not_before_ms;    /* Unix time; 0: at once */
    int64_t expires_at_ms;    /* Unix time; 0: never */
    const struct leat_producer_header *headers;
    size_t headers_count;
};
#define LEAT_PRODUCER_JOB                                                                          \
    {                                                                                              \
        0                                                                                          \
    }

struct leat_producer_outcome {
    char id[LEAT_PRODUCER_ID_TEXT_BYTES];
    int succeeded;       /* not 0: the job succeeded */
    const char *status;  /* "succeeded", "failed", "expired", "cancelled" */
    const char *failure; /* kind: "none", "exit", "timeout", ...; see docs/PROTOCOL.md */
    const char *error;   /* for people; "" when it succeeded */
    uint64_t attempts;
    const void *output; /* what the handler returned */
    size_t output_bytes;
    int truncated; /* not 0: output was cut at the worker's limit */
};

/* Connecting never blocks and needs nobody at the other end: jobs wait in the window. INVALID names
 * the option, MEMORY. The caller owns the producer and closes it. `error`:
 * LEAT_PRODUCER_ERROR_BYTES or NULL. */
int leat_producer_connect(const struct leat_producer_options *options,
                          struct leat_producer **ret_producer, char *error);

/* Takes a copy of the job; `ret_id` (may be NULL) gets its id. Waits up to wait_ms for room in the
 * window: 0 returns BUSY at once, -1 waits as long as it takes; after BUSY the memory that the job
 * would have taken is kept for the next try, until another job is taken or refused, or a flush.
 * INVALID: see leat_producer_error(). */
int leat_producer_submit(struct leat_producer *producer, const struct leat_producer_job *job,
                         int64_t wait_ms, char ret_id[LEAT_PRODUCER_ID_TEXT_BYTES]);

/* Sends and receives what is due; waits at most wait_ms for something to happen. OK. */
int leat_producer_pump(struct leat_producer *producer, int64_t wait_ms);

/* Waits until every submitted job is acknowledged as on disk; timeout_ms -1: as long as it takes.
 * OK; TIMEOUT (jobs are still held and sent again by later calls); REFUSED when a job since the
 * last flush was rejected for good: all others are on disk. */
int leat_producer_flush(struct leat_producer *producer, int64_t timeout_ms);

/* Jobs submitted and not yet acknowledged. */
size_t leat_producer_pending(const struct leat_producer *producer);

/* Waits until the job has its final result. OK: `ret_outcome` is filled; what it points to is valid
 * until the next call. TIMEOUT: no result in time; UNREACHABLE: the sink does not answer; REFUSED:
 * the key may not ask; INVALID: no id. */
int leat_producer_wait(struct leat_producer *producer, const char *id, int64_t timeout_ms,
                       struct leat_producer_outcome *ret_outcome);

/* Asks the sink once, for up to 1024 ids: `visit` is called for each that has its final result
 * (without its output), with its index. OK (also when none has), TIMEOUT, UNREACHABLE, REFUSED,
 * INVALID. */
typedef void leat_producer_visit_fn(size_t index, const struct leat_producer_outcome *outcome,
                                    void *context);
int leat_producer_poll_results(struct leat_producer *producer, const char *const *ids, size_t count,
                               int64_t timeout_ms, leat_producer_visit_fn *visit, void *context);

/* What went wrong last, in one line; "" when nothing did. Valid until the next call. */
const char *leat_producer_error(const struct leat_producer *producer);

/* Gives up what is not acknowledged (flush first), frees all, sets the pointer to NULL. Accepts
 * NULL. */
void leat_producer_close(struct leat_producer **producer);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
