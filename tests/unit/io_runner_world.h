/* A small core, a memory store, a runner and clients, for tests of io/runner.h.
 *
 * The core answers CONTROL with DONE of the same ref. The verb decides what it does first:
 *
 *   put    writes ref into table 0
 *   keep   as put, but there is no DONE
 *   ping   nothing
 *   note   a NOTE before the DONE
 *   to     sends the DONE to a peer that does not exist
 *   drop   a FINISHED on the METRICS link before the DONE
 *   event  a FINISHED of queue "mail" on the EVENTS link before the DONE
 *   exit   an EXIT with status 9 behind the DONE
 */
#ifndef TESTS_UNIT_IO_RUNNER_WORLD_H
#define TESTS_UNIT_IO_RUNNER_WORLD_H

#include "io/runner.h"
#include "store/memory.h"

#define WORLD_EVENTS_MAX 4096

struct world_event {
    enum leat_event_kind kind;
    enum leat_link link;
    struct leat_now now;
    uint64_t ref;
    enum leat_err error;
    uint64_t msg_type;
    bool store_full;
};

struct world {
    struct leat_store *store; /* what the core writes to; NULL: nothing */
    int64_t deadline_us;
    struct world_event events[WORLD_EVENTS_MAX];
    size_t event_count;
    size_t write_bytes; /* size of what a put writes */

    zsock_t *router;
    char endpoint[LEAT_ENDPOINT_BYTES_MAX];
    struct leat_runner_link links[LEAT_RUNNER_LINKS_MAX];
    struct leat_runner_config config;
    struct leat_runner *runner;
    int status; /* -1 while the loop goes on */
};

/* A router link, a memory store when `with_store`; change world->config before world_start. */
void world_init(struct world *world, bool with_store);
void world_start(struct world *world);
void world_fini(struct world *world);

/* One turn that does not wait for more than 20 ms. */
void world_turn(struct world *world);
/* Turns until the core has seen so many messages; fails after 5 s. */
void world_turn_until_messages(struct world *world, size_t count);
/* Turns until so many events of the kind; the last of them. */
const struct world_event *world_turn_until(struct world *world, enum leat_event_kind kind,
                                           size_t count);
size_t world_count(const struct world *world, enum leat_event_kind kind);

/* A connected DEALER. */
zsock_t *world_client(struct world *world);
void world_say(zsock_t *client, const char *verb, uint64_t ref);
/* The next answer; false when none came within wait_ms. DONE: its ref. ERROR: its code in
 * *ret_code, which is else 0. */
bool world_hear(zsock_t *client, int wait_ms, uint64_t *ret_ref, uint64_t *ret_code);
/* The next answer is the DONE of this ref, within 5 s. */
void world_expect_answer(zsock_t *client, uint64_t ref);

#endif
