/* One subcommand of leat: its options, and what it does. */
#ifndef LEAT_CLI_COMMAND_H
#define LEAT_CLI_COMMAND_H

#include <jansson.h>

#include "core/messages.h"
#include "io/options.h"

/* How long a process that does not answer is waited for. People are told within 3 s: what was sent
 * and not taken may hold a closed socket for another half second. */
#define LEAT_CLI_PATIENCE_MS 2300

struct leat_command {
    const struct leat_program *program; /* name is "leat NAME" */
    /* The exit status. The options are the caller's. */
    int (*run)(const struct leat_options *options);
    bool connects; /* its options have LEAT_OPTIONS_KEY */
};

extern const struct leat_command leat_command_submit, leat_command_stats, leat_command_queues,
    leat_command_workers, leat_command_result, leat_command_failures, leat_command_retry,
    leat_command_ping, leat_command_shutdown, leat_command_pause, leat_command_resume,
    leat_command_keys;

/* Rows that several commands share. */
#define LEAT_CLI_VENTILATOR                                                                        \
    {                                                                                              \
        .name = "ventilator", .kind = LEAT_OPTION_ENDPOINT, .initial = "tcp://127.0.0.1:5170",     \
        .help = "the ventilator"                                                                   \
    }
#define LEAT_CLI_SINK                                                                              \
    {                                                                                              \
        .name = "sink", .kind = LEAT_OPTION_ENDPOINT, .initial = "tcp://127.0.0.1:5171",           \
        .help = "the sink's results socket"                                                        \
    }
#define LEAT_CLI_STATS                                                                             \
    {                                                                                              \
        .name = "stats", .kind = LEAT_OPTION_ENDPOINT, .initial = "tcp://127.0.0.1:5172",          \
        .help = "the sink's stats socket"                                                          \
    }
#define LEAT_CLI_JSON                                                                              \
    {                                                                                              \
        .name = "json", .kind = LEAT_OPTION_FLAG, .help = "JSON instead of a table"                \
    }

/* ---- asking (ask.c) ---- */

/* The keys for what is asked from now on; the options have LEAT_OPTIONS_KEY. */
LEAT_MUST_USE enum leat_err leat_cli_use_keys(const struct leat_options *options,
                                              struct leat_why *why);

/* What to add to "cannot be reached": a question about keys when they are in use, else "". */
const char *leat_cli_key_hint(void);

/* Sends the request (stolen) to the sink's stats socket; its reply, or NULL after a line on stderr
 * (no answer, or an error reply). An error reply "NOT_FOUND" gives NULL without a line when
 * `absent_ok`. */
json_t *leat_cli_ask(const char *stats_endpoint, json_t *request, bool absent_ok);

/* Whether a stats socket answers at all within `patience_ms`; silent. */
bool leat_cli_answers(const char *stats_endpoint, int patience_ms);

/* A message to a ROUTER and its answer of type `expected`. LEAT_OK: *ret_text is the DONE's text or
 * NULL, and *ret_found is filled for FOUND (its texts are cut). Else a line on stderr unless
 * `silent`. */
struct leat_cli_answer {
    char text[256];
    uint64_t state, attempt, deliveries;
    int64_t due_ms;
    char queue[LEAT_QUEUE_BYTES_MAX + 1], type[LEAT_TYPE_BYTES_MAX + 1], worker[256];
};
LEAT_MUST_USE enum leat_err leat_cli_request(const char *who, const char *endpoint,
                                             struct leat_msg *msg, int patience_ms, bool silent,
                                             struct leat_cli_answer *ret_answer);

/* For a job without a result: asks the ventilator and says where it is and why it waits (options of
 * `leat result`). The exit status. */
int leat_cli_look_up(const struct leat_options *options, const struct leat_id *id,
                     const char *text);

/* ---- showing (table.c) ---- */

/* Prints rows of columns, the first row being the headings; numbers and durations are the caller's
 * to format. Control characters are shown as '?'. `right` marks columns that are aligned to the
 * right. Cells are borrowed. */
struct leat_table {
    size_t columns, count, capacity;
    const char *right; /* one character per column: 'r' or 'l' */
    char **cells;      /* owned copies, row by row */
};
void leat_table_init(struct leat_table *table, const char *alignment);
void leat_table_row(struct leat_table *table, ...); /* as many const char * as columns */
void leat_table_print(const struct leat_table *table, FILE *file);
void leat_table_fini(struct leat_table *table);

/* Replaces what a terminal would obey (escape sequences from a handler's stderr, say) by '?', in
 * place. New lines and tabs stay unless it is to be one line. */
void leat_cli_tame(char *text, bool one_line);

/* Wall time for people, local; "-" when there is none. */
void leat_cli_time(int64_t us, char text[32]);

/* Prints the tree as JSON and a newline. */
void leat_cli_print_json(const json_t *tree);
/* The value of a key for people: numbers and texts as they are, "-" when missing. Static storage of
 * the caller's buffer. */
const char *leat_cli_text(const json_t *object, const char *key, char buffer[64]);
int64_t leat_cli_number(const json_t *object, const char *key);

#endif
