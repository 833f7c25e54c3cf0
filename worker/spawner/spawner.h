/* The spawner: a small single-threaded process that runs handlers, so that nothing a handler does
 * can harm the process that talks ZeroMQ. It is forked before any thread or ZeroMQ context exists
 * and talks with the worker over one stream socket (spawner/frames.h):
 *
 *   worker -> spawner   RUN, KILL, RECALL
 *   spawner -> worker   RAN, RECALLED
 *
 * Each attempt that a RUN names has exactly one outcome in a RAN, or is named in exactly one
 * RECALLED. Every RECALL is answered by one RECALLED, also when it names nothing. When either end
 * of the socket closes, every handler and everything it started is killed within a second. Payloads
 * of plug-ins may go by shared memory instead (bodies.h); a RUN says so.
 *
 *      struct leat_spawner_config config = LEAT_SPAWNER_CONFIG;
 *      config.slots = 4;
 *      leat_spawner_add_exec(&config, "sha256=sha256sum", false, &why);
 *      leat_spawner_add_plugin(&config, "./handlers.so", &why);
 *      leat_spawner_start(&config, &spawner, &why);
 *      leat_frames_init(&frames, spawner.fd, ...);
 *      ...
 *      leat_spawner_stop(&spawner);
 *      leat_spawner_config_fini(&config);
 *
 * Failures that a RAN names: EXIT (code: exit status), SIGNAL (code: signal), TIMEOUT, TOO_LARGE
 * (plug-in), NO_HANDLER, HANDLER (plug-in said so; code: its code), SPAWN (could not be started),
 * KILLED (by KILL). `error` is one text for people: the reason, then the tail of standard error.
 */
#ifndef LEAT_WORKER_SPAWNER_SPAWNER_H
#define LEAT_WORKER_SPAWNER_SPAWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/limits.h"
#include "worker/spawner/bodies.h"

enum leat_spawner_kind {
    LEAT_SPAWNER_EXEC = 1,   /* a command per attempt */
    LEAT_SPAWNER_PLUGIN = 2, /* a function of a plug-in (include/leat/handler.h) */
};

struct leat_spawner_handler {
    char *type; /* owned; terminated */
    enum leat_spawner_kind kind;
    char **argv; /* owned; EXEC: NULL-terminated, argv[0] is a path or was found in PATH */
    char *path;  /* owned; EXEC: the file that is executed; PLUGIN: the shared object */
};

struct leat_spawner_config {
    size_t slots; /* attempts that run at one time, 1 to LEAT_SLOTS_MAX */

    struct leat_spawner_handler handlers[LEAT_HANDLERS_MAX]; /* by the add calls only */
    size_t handlers_count;
    char *plugins[LEAT_HANDLERS_MAX]; /* owned; absolute paths of the shared objects */
    size_t plugins_count;

    size_t result_bytes_max; /* output kept of an attempt; 0: LEAT_RESULT_BYTES_DEFAULT */
    size_t stderr_bytes_max; /* tail of standard error kept for the error; 0: 2048 */
    int64_t grace_ms; /* from SIGTERM to SIGKILL; < 0: LEAT_GRACE_MS_DEFAULT; 0: SIGKILL at once */
    size_t pipeline_jobs;      /* attempts sent ahead to one plug-in child; 0: LEAT_PIPELINE_JOBS */
    uint64_t recycle_jobs;     /* a plug-in child is replaced after so many attempts; 0: never */
    size_t held_bytes_max;     /* payloads held; above it the spawner stops reading from the worker
                                  until attempts have ended; 0: 64 MiB */
    uint64_t memory_bytes_max; /* RLIMIT_AS of a command or plug-in child; 0: as the worker's own */
    uint64_t cpu_s_max;        /* RLIMIT_CPU of a command; 0: as the worker's own */
    size_t processes_max; /* of one slot's handler at one time (process_limit.h); 0: no limit */

    uint32_t permanent_exits[8]; /* bit set of exit statuses that are not retried */

    struct leat_bodies bodies; /* by leat_spawner_start only */
};

/* No handlers, one slot, and 64, 65, 77, 78, 126, 127 as permanent exits. */
#define LEAT_SPAWNER_CONFIG                                                                        \
    {                                                                                              \
        .slots = 1, .grace_ms = -1, .permanent_exits = {                                           \
            0,                                                                                     \
            0,                                                                                     \
            3u << (64 - 64) | 3u << (77 - 64),                                                     \
            3u << (126 - 96),                                                                      \
            0,                                                                                     \
            0,                                                                                     \
            0,                                                                                     \
            0                                                                                      \
        }                                                                                          \
    }

/* Adds a command handler from the text of an option, "TYPE=command with 'quoted' args". The command
 * is split like a shell does it (spaces, '...', "...", backslash), but there is no shell and
 * nothing is expanded; with `shell`, it is given to /bin/sh -c as it stands. A command without '/'
 * is looked up in PATH now. LEAT_ERR_INVALID (no type, bad quoting, empty), LEAT_ERR_NOT_FOUND (no
 * such command), LEAT_ERR_EXISTS (type has a handler), LEAT_ERR_LIMIT, LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_spawner_add_exec(struct leat_spawner_config *config,
                                                  const char *text, bool shell,
                                                  struct leat_why *why);

/* Adds every handler of a plug-in. It is loaded in a child process that is thrown away, so that a
 * plug-in that crashes or hangs (10 s) while it is loaded is an error here and nothing worse.
 * Blocks until that is done; call it before there are threads. LEAT_ERR_NOT_FOUND (no such file, no
 * symbol leat_handlers), LEAT_ERR_VERSION (another LEAT_HANDLER_ABI), LEAT_ERR_INVALID (does not
 * load, bad type name), LEAT_ERR_EXISTS, LEAT_ERR_LIMIT, LEAT_ERR_MEMORY, LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_spawner_add_plugin(struct leat_spawner_config *config,
                                                    const char *path, struct leat_why *why);

/* Sets the permanent exits from "64,65,77" (1 to 255, comma between; empty: none).
 * LEAT_ERR_INVALID. */
LEAT_MUST_USE enum leat_err leat_spawner_set_permanent_exits(struct leat_spawner_config *config,
                                                             const char *text,
                                                             struct leat_why *why);

/* Frees what the add calls allocated. */
void leat_spawner_config_fini(struct leat_spawner_config *config);

struct leat_spawner {
    struct leat_bodies bodies; /* owned; none without plug-ins */
    int fd;    /* owned; stream socket to the spawner, non-blocking, close-on-exec; closed or at its
                  end    when the spawner is gone */
    pid_t pid; /* child of the caller */
};

/* Forks the spawner. Must be called while the process has one thread and no ZeroMQ context. The
 * config may be freed afterwards. LEAT_ERR_INVALID (names the setting), LEAT_ERR_IO,
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_spawner_start(const struct leat_spawner_config *config,
                                               struct leat_spawner *ret_spawner,
                                               struct leat_why *why);

/* Closes the socket, waits until the spawner has killed everything and has ended (at most about a
 * second, then SIGKILL), reaps it. Attempts that were running get no RAN. Accepts one that was
 * stopped. */
void leat_spawner_stop(struct leat_spawner *spawner);

#endif
