/* Stories: what a whole cluster does when one thing goes wrong, as text for people. Everything
 * takes the same time in each run, so a story is equal to the letter until the behaviour changes.
 *
 *     12.345 s  worker a   ──▶ sink        RESULTS batch 1: j1 succeeded
 *
 * A message stands where it leaves, which is after the disk has what it speaks of. j1 is the first
 * job, j1/2 the lease of its second delivery. PING, PONG, gauges and repeated FOLLOWs are left out.
 */
#ifndef LEAT_SIMULATION_STORY_H
#define LEAT_SIMULATION_STORY_H

#include "tests/simulation/cluster_inside.h"

#define STORY_WORKERS_MAX 3
#define STORY_LIVES_MAX   16

struct story {
    struct sim_world world;
    struct sim_ledger ledger;
    struct sim_checks *checks;
    struct sim_node *sink, *ventilator, *producer, *operator;
    struct sim_node *workers[STORY_WORKERS_MAX];
    struct {
        struct leat_id session;
        const struct sim_node *worker;
    } lives[STORY_LIVES_MAX]; /* of workers, oldest first */
    int life_count, worker_count;
    bool is_quiet;
    bool shows_credit;
    uint64_t followed; /* last number that was told of */
    char *text;        /* owned */
    size_t size, capacity;
    bool line_is_open;
};

/* The settings of the cluster before it is opened: attempts take 100 ms, slots 3. */
void story_open(struct story *story, const char *title, const char *words, int workers);
/* Boots everything, and lets it find itself; told only if `told`. */
void story_boot(struct story *story, bool told);
/* Ends the story: what became of each job; checks that no rule was broken. Then the text is whole.
 */
void story_end(struct story *story);
void story_close(struct story *story);

/* What people do or see, between the lines. */
__attribute__((format(printf, 2, 3))) void story_say(struct story *story, const char *format, ...);
void story_run(struct story *story, int64_t ms);
/* Until something has happened; fails the test when it does not within `ms`. */
void story_run_until(struct story *story, bool (*is_so)(const struct story *story), int64_t ms);

/* story_words.c */
const char *story_name(const struct story *story, const struct sim_node *node);
/* Text of a message, "" when it is not worth a line. `to`: at least 1024 bytes. */
void story_words(struct story *story, const struct leat_msg *msg, char *to);
void story_note_words(const struct story *story, const struct leat_note *note, char *to);

#endif
