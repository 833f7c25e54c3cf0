/* Loading plug-ins (include/leat/handler.h). Only in processes that may crash: the throw-away child
 * of leat_spawner_add_plugin and plug-in children. */
#ifndef LEAT_WORKER_SPAWNER_PLUGIN_H
#define LEAT_WORKER_SPAWNER_PLUGIN_H

#include "core/err.h"
#include "include/leat/handler.h"

/* Loads the shared object for the rest of the process' life and checks what it exports. Errors as
 * leat_spawner_add_plugin. */
LEAT_MUST_USE enum leat_err
leat_plugin_load(const char *path, const struct leat_handlers **ret_handlers, struct leat_why *why);

#endif
