/* What the command line says, as the settings of spawner and core. */
#ifndef LEAT_WORKER_SETTINGS_H
#define LEAT_WORKER_SETTINGS_H

#include "io/options.h"
#include "worker/spawner/spawner.h"
#include "worker/worker.h"

#define LEAT_WORKER_NAME_BYTES 256

/* Views in `core` borrow from here and from the options. Not to be moved. */
struct leat_worker_settings {
    struct leat_spawner_config spawner;
    struct leat_worker_config core;
    struct leat_str queues[LEAT_SESSION_QUEUES_MAX];
    struct leat_worker_handler handlers[LEAT_HANDLERS_MAX];
    struct leat_worker_rate rates[LEAT_SESSION_LIMITS_MAX + 1];
    char name[LEAT_WORKER_NAME_BYTES];
};

extern const struct leat_program leat_worker_program;

/* Reads and checks everything, loads plug-ins for a look (leat_spawner_add_plugin blocks until that
 * is done). Session and seed are drawn. LEAT_ERR_INVALID, LEAT_ERR_LIMIT, LEAT_ERR_NOT_FOUND and
 * what the spawner's calls return, with the option and the value in `why`. */
LEAT_MUST_USE enum leat_err leat_worker_settings_read(const struct leat_options *options,
                                                      struct leat_worker_settings *settings,
                                                      struct leat_why *why);
void leat_worker_settings_fini(struct leat_worker_settings *settings);

#endif
