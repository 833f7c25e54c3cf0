/* What every client of the bench shares, whichever queue it drives: its settings, the times at
 * which jobs are due, the stamp that travels with a job, and how long the jobs took.
 *
 * Loads are open: job i is due at begin + i / rate, whether or not the queue keeps up, and its
 * latency counts from there. So a stall is counted in every job that it held up, not in one.
 *
 * Not thread-safe, but for the recorder, which may belong to a thread of its own. A client that
 * cannot go on says why on standard error and exits with status 1.
 */
#ifndef LEAT_BENCH_PEER_H
#define LEAT_BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_STAMP_BYTES   16
#define PEER_PAYLOAD_MAX   (64 << 20)
#define PEER_NS_PER_S      UINT64_C(1000000000)
#define PEER_EXTRA_SETTING 8

/* From arguments name=value. */
struct peer_settings {
    const char *role; /* "producer", "worker", "sink", ... */
    const char *at;   /* where the server is: the path of a Unix socket, or an endpoint */
    uint64_t jobs;
    uint64_t bytes;      /* of a payload, at least PEER_STAMP_BYTES */
    uint64_t batch;      /* most jobs that are sent, asked for or answered in one go */
    uint64_t rate_per_s; /* 0: as fast as the queue takes them */
    uint64_t skip;       /* the first jobs, whose latency is left out */
    uint64_t window;     /* most jobs sent and not acknowledged; 0: 2 batches, or 4096 at a rate */
    struct {             /* what one client alone understands */
        const char *name;
        const char *value;
    } extra[PEER_EXTRA_SETTING];
    size_t extra_count;
};

/* Defaults: 100,000 jobs of 128 bytes, batches of 64. `names`: further settings, NULL at the end.
 */
void peer_settings_read(struct peer_settings *settings, int argc, char **argv,
                        const char *const *names);
/* NULL when it was not given. */
const char *peer_setting(const struct peer_settings *settings, const char *name);

_Noreturn void peer_stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t peer_now_ns(void); /* CLOCK_MONOTONIC, the same for all processes of the machine */
/* Sets the timer slack of the calling thread to a microsecond: the kernel's 50 would be measured
 * otherwise. */
void peer_precise_timers(void);
void peer_sleep_until(uint64_t at_ns);

/* ---- producers ---- */

struct peer_schedule {
    uint64_t begin_ns;
    uint64_t jobs;
    uint64_t rate_per_s;
};

struct peer_schedule peer_schedule_begin(const struct peer_settings *settings);
/* How many jobs should have left by now. */
uint64_t peer_schedule_due(const struct peer_schedule *schedule, uint64_t now_ns);
/* When job `index` is due; now, when there is no rate. */
uint64_t peer_schedule_at_ns(const struct peer_schedule *schedule, uint64_t index, uint64_t now_ns);

/* The stamp: index and due time, at the beginning of payload and result. */
void peer_stamp(uint8_t *payload, uint64_t index, uint64_t due_ns);
void peer_unstamp(const void *payload, size_t size, uint64_t *ret_index, uint64_t *ret_due_ns);

/* Waits until the descriptor is readable (true) or the time has come; 0: does not wait. */
bool peer_wait_readable(int fd, uint64_t until_ns);
#define PEER_FOREVER UINT64_MAX

/* Prints {"begin_ns":..., "acked_ns":...}. */
void peer_print_producer(uint64_t begin_ns, uint64_t acked_ns);

/* ---- collectors of results ---- */

struct peer_recorder {
    uint64_t jobs;
    uint64_t skip;
    uint64_t count;     /* results seen */
    uint64_t kept;      /* latencies kept */
    uint64_t *spans_ns; /* owned */
    uint64_t first_ns;
    uint64_t last_ns;
};

void peer_recorder_init(struct peer_recorder *recorder, const struct peer_settings *settings);
void peer_recorder_fini(struct peer_recorder *recorder);
void peer_recorder_add(struct peer_recorder *recorder, uint64_t index, uint64_t due_ns,
                       uint64_t now_ns);
static inline bool peer_recorder_is_done(const struct peer_recorder *recorder)
{
    return recorder->count >= recorder->jobs;
}
/* Prints the fields of a JSON object, without its braces. */
void peer_recorder_print(struct peer_recorder *recorder);
/* The whole object, of a client that does nothing but collect. */
void peer_print_sink(struct peer_recorder *recorder);

#endif
