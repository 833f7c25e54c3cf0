/* One harness for every core: bytes of the fuzzer become events, time, commits and restarts; after
 * each step what the core sent can be encoded, and its invariants hold. A target says how its core
 * is made, stepped and checked (struct fuzz_core), and what only it has.
 *
 *      struct fuzz_world *world = fuzz_world_open(data, size);
 *      ... read options from world->in, make the core ...
 *      fuzz_world_run(world, &core, &rig);
 *
 * There is one world per program. Its memory is kept from one execution to the next: making it anew
 * would cost more than most executions do.
 */
#ifndef LEAT_TESTS_FUZZ_CORE_HARNESS_H
#define LEAT_TESTS_FUZZ_CORE_HARNESS_H

#include "core/step.h"
#include "store/memory.h"
#include "tests/fuzz/fuzz.h"

/* ---- operations: what the bytes of a history are ---- */

enum fuzz_op {
    FUZZ_OP_MESSAGE = 0, /* and 1 to 7: peer = op % 4, link = op & 4 */
    FUZZ_OP_FRAME = 8,   /* raw bytes from a peer */
    FUZZ_OP_PASS = 9,    /* time */
    FUZZ_OP_WALL = 10,   /* the wall clock jumps */
    FUZZ_OP_COMMIT = 11, /* of a core with a store, as are the next two; see `act` below */
    FUZZ_OP_RESTART = 12,
    FUZZ_OP_SPACE = 13,
    FUZZ_OP_UNREACHABLE = 14,
    FUZZ_OP_STOP = 15,
    FUZZ_OPS = 16,
};

struct leat_peer fuzz_peer(unsigned number); /* 0 to FUZZ_PEERS - 1 */

/* ---- cores ---- */

struct fuzz_core {
    enum leat_link links[2]; /* what the link bit of an operation means */
    void (*step)(void *rig, const struct leat_event *event, struct leat_out *out);
    int64_t (*deadline_us)(const void *rig);
    bool (*is_ended)(const void *rig); /* NULL: it never ends */
    /* After each step: calls fuzz_fail when an invariant does not hold; may teach world->words. */
    void (*check)(void *rig);
    /* A core with a store: made from world->store, which may be new, and dropped. COMMIT, RESTART
     * and SPACE are then what they say. */
    enum leat_err (*boot)(void *rig, struct leat_why *why);
    void (*shut)(void *rig);
    /* A core without: what COMMIT, RESTART and SPACE do. */
    void (*act)(void *rig, enum fuzz_op op);
};

/* One core's surroundings: time, and what it said in its last step. */
struct fuzz_world {
    const struct fuzz_core *core;
    void *rig;
    struct fuzz_input in;
    struct fuzz_words words;
    struct leat_now now;
    struct leat_out out;
    struct leat_arena arena;
    struct leat_wire_buffer buffer;
    struct leat_msg msg;
    struct leat_why why;
    struct leat_store *store; /* of a core that boots */
    bool keys_in_use;         /* each peer has a key, with a role and perhaps queues */
};

/* The world at its beginning, with these bytes to read. */
struct fuzz_world *fuzz_world_open(const uint8_t *data, size_t size);

/* Lives through the operations up to the end of the bytes. A core with a store is booted before and
 * shut after, and again when it has ended; another is the caller's, and its end is the end. */
void fuzz_world_run(struct fuzz_world *world, const struct fuzz_core *core, void *rig);

/* Gives the core an event of now, and checks what comes of it. */
void fuzz_world_feed(struct fuzz_world *world, struct leat_event event);

/* Everything that a core sends must be a message that the codec takes. Also learns from it what the
 * words are. */
void fuzz_check_out(struct fuzz_world *world);

#endif
