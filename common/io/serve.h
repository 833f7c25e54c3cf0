/* What the mains have in common, so that each main is: table, start, open, run, close.
 *
 *   int main(int argc, char **argv)
 *   {
 *       int status;
 *       struct leat_options *options = leat_serve_start(&program, "sink", argc, argv, &status);
 *       if (options == NULL) {
 *           return status;
 *       }
 *       ... open store and sockets; on failure:
 *           return leat_serve_cannot_start(&program, err, &why);
 *       ... leat_serve_ready(options, endpoints, count);
 *       status = leat_runner_run(runner);
 *   }
 */
#ifndef LEAT_IO_SERVE_H
#define LEAT_IO_SERVE_H

#include "core/err.h"
#include "io/options.h"

/* Standard streams that are closed get a stand-in that can be neither read nor written. Signals
 * (io/signals.h), options, log level and role, the supervisor's variables (io/notify.h). NULL: end
 * with *ret_status. Creates no ZeroMQ context, so that a spawner can be forked after it. `role` is
 * borrowed for ever. */
struct leat_options *leat_serve_start(const struct leat_program *program, const char *role,
                                      int argc, char *const argv[], int *ret_status);

/* One line on stderr, "leat-sink: cannot start: why"; returns the exit status for `err`. */
int leat_serve_cannot_start(const struct leat_program *program, enum leat_err err,
                            const struct leat_why *why);

struct leat_serve_endpoint {
    const char *name; /* "peers", "stats", "events" */
    const char *endpoint;
};

/* Logs event=ready with the endpoints, tells the supervisor, and --ready-fd and --ready-file, where
 * the program has these options: one line, "peers=tcp://127.0.0.1:5171
 * stats=tcp://127.0.0.1:5172\n" ("ready\n" when there are none). The file appears whole or not at
 * all. LEAT_ERR_IO and its name. */
LEAT_MUST_USE enum leat_err leat_serve_ready(const struct leat_options *options,
                                             const struct leat_serve_endpoint *endpoints,
                                             size_t count, struct leat_why *why);

#endif
