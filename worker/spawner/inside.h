/* What the files of the spawner share. The processes, from the top:
 *
 *   worker ── spawner ──┬── keeper of an exec slot ── command ── whatever it starts
 *                       └── keeper of a plug-in slot ── plug-in child ── whatever it starts
 *
 * Between spawner and each slot there are two sockets:
 *   jobs     stream of frames: orders to the slot (slot_bytes.h). Its far end is the keeper of an
 *            exec slot, or the plug-in child itself. Answers come back by the ring of their shared
 *            memory; over the socket come those that do not fit there, and empty frames that say
 *            that there is something in the ring.
 *   control  struct leat_control packets, to the keeper and back. When its far end closes, the
 *            keeper kills everything below it and ends; so it is what holds a slot's life.
 */
#ifndef LEAT_WORKER_SPAWNER_INSIDE_H
#define LEAT_WORKER_SPAWNER_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "core/instant.h"
#include "core/messages.h"
#include "worker/spawner/frames.h"
#include "worker/spawner/ring.h"
#include "worker/spawner/spawner.h"

enum leat_control_kind {
    LEAT_CONTROL_TERM = 1,   /* to keepers: SIGTERM now, SIGKILL after the grace */
    LEAT_CONTROL_KILL = 2,   /* to plug-in keepers: SIGKILL now */
    LEAT_CONTROL_STATUS = 3, /* from plug-in keepers: the child has ended, nothing is left of it */
};

struct leat_control {
    uint32_t kind;
    int32_t status; /* STATUS: of waitpid */
    uint64_t seq;   /* TERM to an exec slot: only if it runs this attempt */
};

/* `begun` is the last attempt that was begun, or taken back by the spawner: whoever moves it
 * decides. The slot process begins attempt n by moving it from n - 1 to n; the spawner takes back
 * everything behind the running one by moving it from there to the last that it sent. So both
 * always know the same about what was begun, also after one of them died. */
struct leat_gate {
    _Atomic uint64_t begun;
    _Atomic int64_t
        started_us; /* monotonic; when the attempt `begun` was begun; stored before it */
};

/* The slot process begins the attempt. False: the spawner has taken it back. */
static inline bool leat_gate_begin(struct leat_gate *gate, uint64_t seq, int64_t now_us)
{
    uint64_t before = seq - 1;
    if (atomic_load(&gate->begun) != before) {
        return false;
    }
    atomic_store(&gate->started_us, now_us);
    return atomic_compare_exchange_strong(&gate->begun, &before, seq);
}

/* Memory that the spawner shares with the process at the far end of `jobs`. */
struct leat_slot_shared {
    struct leat_gate gate;
    struct leat_ring ring; /* answers */
};

struct leat_slot_setup {
    const struct leat_spawner_config *config; /* with all defaults filled in */
    int jobs_fd;
    int control_fd;
    struct leat_slot_shared *shared;
    uint64_t files_max; /* RLIMIT_NOFILE as the worker had it */
};

/* The main functions of the slot processes; called after fork. */
noreturn void leat_exec_keeper(const struct leat_slot_setup *setup);
noreturn void leat_plugin_keeper(const struct leat_slot_setup *setup);
/* The plug-in child (plugin_child.c), below its keeper. */
noreturn void leat_plugin_child(const struct leat_slot_setup *setup);

/* A child's first steps: dies with its parent, closes all files but 0 to 2 and `keep`; and takes a
 * name for ps. */
void leat_slot_detach(pid_t parent, const int *keep, size_t keep_count, const char *name);
/* Blocks all signals that can be blocked and gives the descriptor of a signalfd for SIGCHLD (and
 * for `also`, when not 0); -1 on failure. */
int leat_slot_signals(int also);
/* Unblocks all signals. Safe in a vfork child. */
void leat_slot_restore_signals(void);
/* Empties a signalfd. */
void leat_slot_drain_signals(int fd);
/* memory, cpu and open files as configured. Safe in a vfork child. */
void leat_slot_limits(const struct leat_slot_setup *setup);
/* So much memory beyond the limit that is set, for what is mapped and shared. */
void leat_slot_allow_memory(size_t bytes);

/* The loop of the spawner process. */
noreturn void leat_spawner_main(const struct leat_spawner_config *config, int worker_fd,
                                pid_t worker);

/* Reads CLOCK_MONOTONIC, microseconds. */
int64_t leat_spawner_now_us(void);
/* Whether the attempt must not be started any more. Asked by whoever starts it: before, it may have
 * waited behind others for any time. */
bool leat_slot_is_expired(const struct leat_item_attempt *run);
/* How long an attempt may run, microseconds: its timeout, held at LEAT_TIMEOUT_MS_MAX. */
int64_t leat_slot_limit_us(uint64_t timeout_ms);
/* Milliseconds for poll until `deadline_us`, rounded up; -1: never. */
int leat_spawner_wait_ms(int64_t deadline_us, int64_t now_us);

/* Of the config. */
enum leat_err leat_spawner_split(const char *text, char ***ret_argv, struct leat_why *why);
struct leat_spawner_handler *leat_spawner_find(const struct leat_spawner_config *config,
                                               struct leat_str type);
/* Adds a handler of that type with nothing but its type. */
LEAT_MUST_USE enum leat_err leat_spawner_add(struct leat_spawner_config *config,
                                             struct leat_str type,
                                             struct leat_spawner_handler **ret_handler,
                                             struct leat_why *why);
/* Takes back the handlers after the first `count`. */
void leat_spawner_cut(struct leat_spawner_config *config, size_t count);

#endif
