/* A spawner with real processes, driven as the worker drives it. */
#ifndef LEAT_TESTS_SPAWNER_RIG_H
#define LEAT_TESTS_SPAWNER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/arena.h"
#include "worker/spawner/frames.h"
#include "worker/spawner/spawner.h"

struct rig {
    struct leat_spawner_config config;
    struct leat_spawner spawner;
    struct leat_frames frames;
    struct leat_arena arena;
    struct leat_msg msg; /* the last that came; valid until the next */
    size_t taken;        /* of its outcomes, if it is a RAN */
    char mark[64];       /* in the environment of all handlers, as MARK, and of nothing else; also a
                            number of seconds to sleep */
};

/* An empty configuration with a grace of 200 ms. */
void rig_init(struct rig *rig);
void rig_add_exec(struct rig *rig, const char *text);
void rig_add_shell(struct rig *rig, const char *text);
void rig_start(struct rig *rig);
/* Stops the spawner, checks that nothing with the mark is left, frees all. */
void rig_fini(struct rig *rig);

struct leat_id rig_id(unsigned number);
/* Of what rig_id has made. */
unsigned rig_number(const struct leat_id *id);
struct leat_item_attempt rig_run(unsigned number, const char *type, const char *payload,
                                 uint64_t timeout_ms);
/* Wall time, milliseconds. */
int64_t rig_wall_ms(void);
void rig_send(struct rig *rig, const struct leat_msg *msg);
/* One RUN of all of them. */
void rig_give_all(struct rig *rig, struct leat_item_attempt *attempts, size_t count);
/* A RUN of one attempt. */
void rig_give(struct rig *rig, const struct leat_item_attempt *attempt);
void rig_kill(struct rig *rig, unsigned number);
void rig_recall(struct rig *rig);
/* The next message, which must come within 10 s; what the one before held must have been taken. */
const struct leat_msg *rig_receive(struct rig *rig);
/* The next outcome; the next message, if one is needed, must be a RAN. */
const struct leat_item_outcome *rig_ran(struct rig *rig);
/* Sends RUN number 1 and gives its RAN. */
const struct leat_item_outcome *rig_once(struct rig *rig, const char *type, const char *payload,
                                         uint64_t timeout_ms);

/* Processes that were started with `text` somewhere in their command line or environment. */
size_t rig_count_processes(const char *text);
/* Waits until there are so many; false: not within a second. */
bool rig_wait_processes(const char *text, size_t count);
/* Waits until the file exists; false: not within 5 seconds. */
bool rig_wait_file(const char *path);
/* Below the spawner: zombies. */
size_t rig_count_zombies(pid_t session);
/* Open descriptors of a process. */
size_t rig_count_files(pid_t pid);

void rig_assert_text(struct leat_str text, const char *expected);
void rig_assert_contains(struct leat_str text, const char *expected);
void rig_assert_output(const struct leat_item_outcome *ran, const char *expected);

#endif
