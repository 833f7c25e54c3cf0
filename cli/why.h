/* Why a job waits (cli/why.def). */
#ifndef LEAT_CLI_WHY_H
#define LEAT_CLI_WHY_H

#include <jansson.h>

enum leat_cli_why {
#define WHY(NAME, name, text) LEAT_CLI_WHY_##NAME,
#include "cli/why.def"
#undef WHY
};

const char *leat_cli_why_name(enum leat_cli_why why);
const char *leat_cli_why_text(enum leat_cli_why why);

/* Why a ready job of this queue is not with a worker, from the sink's replies to `queues` and
 * `workers` (borrowed). They may be a second old. */
enum leat_cli_why leat_cli_why_ready(const json_t *queues, const json_t *workers,
                                     const char *queue);

#endif
