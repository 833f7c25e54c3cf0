/* A ventilator over a memory store, its clock, and a readable trace of what it sent, for its tests.
 *
 * Every step is followed by leat_ventilator_check and, unless `hold` is set, by a commit. Names in
 * traces: j1 job, s1 session, p1 producer, t1 stream; w1 peer 1. */
#ifndef LEAT_TESTS_UNIT_VENTILATOR_RIG_H
#define LEAT_TESTS_UNIT_VENTILATOR_RIG_H

#include "tests/unit/cmocka_all.h"

#include "broker/ventilator/ventilator.h"
#include "store/memory.h"

#define RIG_TRACE_BYTES (64 << 10)

struct rig {
    struct leat_store *store;
    struct leat_ventilator_store *typed;
    struct leat_ventilator *ventilator;
    struct leat_ventilator_config config;
    struct leat_out out; /* of the last step */
    struct leat_now now;
    bool hold;      /* do not commit */
    bool unchecked; /* the store was damaged: invariants do not hold until that is found */
    char trace[RIG_TRACE_BYTES];
    size_t trace_size;
    uint64_t followed; /* last FOLLOW in the trace; the same again is left out */
};

struct leat_id rig_id(char kind, unsigned number); /* kind j, s, p, t, v */
struct leat_peer rig_peer(unsigned number);

/* Lost after 3 s, ping 1 s, grace 2 s, 3 deliveries, else defaults. rig_begin lets the caller
 * change rig->config before rig_boot. */
void rig_begin(struct rig *rig);
void rig_boot(struct rig *rig);
void rig_open(struct rig *rig); /* both */
void rig_close(struct rig *rig);
/* kill -9 and a new start at once; what was not committed is lost. */
void rig_restart(struct rig *rig);

void rig_feed(struct rig *rig, struct leat_event event);
void rig_tell(struct rig *rig, unsigned peer, const struct leat_msg *msg);
void rig_tell_from_sink(struct rig *rig, const struct leat_msg *msg);
/* Lets time pass, with a TICK at each deadline. */
void rig_pass_ms(struct rig *rig, int64_t ms);
void rig_check(struct rig *rig);
void rig_commit(struct rig *rig);

/* Jobs j<first>.. of queue and type, body "b<number>". */
struct leat_item_submission rig_job(unsigned number, const char *queue, const char *type);
void rig_submit_jobs(struct rig *rig, unsigned producer, uint64_t batch,
                     struct leat_item_submission *jobs, size_t count);
void rig_submit(struct rig *rig, unsigned producer, uint64_t batch, unsigned first,
                unsigned count); /* queue "q", type "t" */
struct leat_item_lease rig_lease(unsigned job, uint64_t delivery);
/* Worker n is session s<n> on peer n. queues: names separated by commas. */
void rig_hello(struct rig *rig, unsigned worker, uint64_t round, const char *queues,
               const struct leat_item_lease *leases, size_t count);
void rig_credit(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, uint64_t total);
/* The same in round 1, of which only `of_type` may be of one type. */
void rig_credit_limited(struct rig *rig, unsigned worker, uint64_t number, uint64_t total,
                        const char *type, uint64_t of_type);
void rig_ping(struct rig *rig, unsigned worker, uint64_t round, uint64_t number);
void rig_retry(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, unsigned job,
               uint64_t delivery, uint64_t delay_ms);
void rig_return(struct rig *rig, unsigned worker, uint64_t round, uint64_t number, unsigned job,
                uint64_t delivery);
void rig_goodbye(struct rig *rig, unsigned worker, uint64_t round, uint64_t number);
/* The sink's stream t<stream> settles jobs first_job.. as numbers first.. */
void rig_settled(struct rig *rig, unsigned stream, uint64_t first, unsigned first_job,
                 unsigned count);
void rig_control(struct rig *rig, const char *verb, const char *argument);

/* The message of this type in the last step's out; fails when there is none. */
const struct leat_msg *rig_sent(const struct rig *rig, enum leat_msg_type type);
size_t rig_count(const struct rig *rig, enum leat_msg_type type); /* messages of the type */
bool rig_noted(const struct rig *rig, enum leat_note_id note);
struct leat_ventilator_counts rig_counts(const struct rig *rig);

/* Writes a line of the test's own into the trace. */
void rig_say(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Compares and forgets the trace. */
void rig_expect_trace(struct rig *rig, const char *expected);

#endif
