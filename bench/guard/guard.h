/* What a job costs in each stage, counted in instructions: the cores with their codec and their
 * typed store over the store in memory, driven in one process without sockets, clock or disk, so
 * that the same program gives the same count everywhere.
 *
 * A stage is run once for warmth and once to be counted. Only what happens inside guard_step() and
 * guard_work() is counted (valgrind --tool=callgrind --toggle-collect); making up what the peers of
 * a core would say is not. What a step of a core counts is what its process does for a message but
 * for the sockets: decode, step, encode what is to be sent.
 */
#ifndef LEAT_BENCH_GUARD_GUARD_H
#define LEAT_BENCH_GUARD_GUARD_H

#include "core/step.h"
#include "store/store.h"
#include "wire/codec.h"

#define GUARD_BATCH         256 /* jobs in a message */
#define GUARD_PAYLOAD_BYTES 128

struct guard_stage {
    const char *name;
    const char *what;
    void *(*begin)(void);
    /* Batches first, first + 1, ... of GUARD_BATCH jobs each, from accepted to forgotten. */
    void (*run)(void *stage, uint64_t first, uint64_t batches);
    void (*end)(void *stage);
};

extern const struct guard_stage guard_submitter;
extern const struct guard_stage guard_ventilator;
extern const struct guard_stage guard_worker;
extern const struct guard_stage guard_sink;
extern const struct guard_stage guard_codec;
extern const struct guard_stage guard_lmdb;
extern const struct guard_stage guard_journal;

/* From now on guard_step and guard_work are counted. */
void guard_count(void);

_Noreturn void guard_stop(const char *what, const char *why);
static inline void guard_check(enum leat_err err, const char *what)
{
    if (err != LEAT_OK) {
        guard_stop(what, leat_err_text(err));
    }
}

/* ---- driving a core ---- */

struct guard_core {
    void *core;
    void (*step)(void *core, const struct leat_event *event, struct leat_out *out);
    struct leat_store *store; /* NULL: none */
    struct leat_now now;
    struct leat_out out;
    struct leat_arena arena;
    struct leat_wire_buffer in;
    struct leat_wire_buffer encoded;
    /* What the peers of the core would do; called for each message after the step. */
    void (*on_send)(void *context, const struct leat_action *action);
    void *context;
};

void guard_core_init(struct guard_core *core);
void guard_core_fini(struct guard_core *core);
/* A message as a frame, one step, its answers as frames; then everything is made durable. */
void guard_tell(struct guard_core *core, enum leat_link link, struct leat_peer peer,
                const struct leat_msg *msg);
void guard_tick(struct guard_core *core);

/* Counted work that is no step of a core. */
void guard_work(void (*work)(void *context), void *context);

/* ---- what jobs look like ---- */

struct leat_id guard_id(uint8_t kind, uint64_t number);
uint64_t guard_number(const struct leat_id *id);
struct leat_peer guard_peer(uint8_t number);
/* An encoded body with GUARD_PAYLOAD_BYTES of payload; lives as long as the program. */
struct leat_bytes guard_body(void);
/* Jobs number first * GUARD_BATCH and following, in storage that the next call takes over. */
struct leat_item_submission *guard_submissions(uint64_t batch);
struct leat_item_delivery *guard_deliveries(uint64_t batch, struct leat_now now);
struct leat_item_result *guard_results(uint64_t batch, struct leat_now now);
struct leat_item_job_id *guard_job_ids(uint64_t batch);

#endif
