/* Command line and environment, from one table per program.
 *
 * Each row is a long option (`--name value`, `--name=value`, `--flag`) and an environment variable:
 * LEAT_NAME, upper case, hyphens as underscores. The command line wins over the environment, the
 * environment over the default; an empty variable counts as not set. --help, --help-man (the manual
 * page), --help-table (for completion) and --version are understood by every program and made from
 * the table. Values are checked while parsing, so that what a program reads later is valid.
 *
 *   static const struct leat_option rows[] = {
 *       {.name = "listen", .kind = LEAT_OPTION_ENDPOINT, .initial = "tcp://127.0.0.1:5170",
 *        .help = "where producers and workers connect"},
 *       {.name = "lost-after", .kind = LEAT_OPTION_DURATION, .initial = "5s", .min = 100,
 *        .max = 3600000, .help = "silence after which a worker counts as lost"},
 *       LEAT_OPTIONS_COMMON, LEAT_OPTIONS_BIND, LEAT_OPTIONS_READY};
 *   static const struct leat_program program = {
 *       .name = "leat-ventilator", .summary = "...",
 *       .rows = rows, .row_count = LEAT_COUNT_OF(rows)};
 */
#ifndef LEAT_IO_OPTIONS_H
#define LEAT_IO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

#define LEAT_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define LEAT_OPTION_ROWS_MAX    96
#define LEAT_OPTION_REPEATS_MAX 256 /* values of one repeatable option */
#define LEAT_OPTION_ENV_BYTES   64

enum leat_option_kind {
    LEAT_OPTION_FLAG = 1, /* no value; in the environment 1, true, yes, on or 0, false, no, off */
    LEAT_OPTION_STRING,   /* any text */
    LEAT_OPTION_LIST,     /* text, repeatable; in the environment one value per line */
    LEAT_OPTION_COUNT,    /* a whole number */
    LEAT_OPTION_DURATION, /* "500ms", "30s", "5m", "2h", "1d"; kept in milliseconds */
    LEAT_OPTION_SIZE,     /* "64KiB", "1MB", "512"; kept in bytes */
    LEAT_OPTION_RATE,     /* "5/s", "100/m"; kept in thousandths per second */
    LEAT_OPTION_ENDPOINT, /* tcp://host:port, ipc://path, inproc://name */
};

struct leat_option {
    const char *name; /* without the hyphens */
    enum leat_option_kind kind;
    const char *initial; /* default as the user would write it; NULL: none (flag: off) */
    int64_t min, max;    /* inclusive, in the unit of the kind; both 0: any that is not negative */
    const char *value;   /* what --help calls the value; NULL: after the kind */
    const char *choices; /* STRING: allowed values, "error,warn,info"; NULL: any */
    const char *env;     /* the variable, when it is not LEAT_NAME; "": none */
    const char *help;    /* one line or more, without a full stop at the end */
    const char *group;   /* heading in --help; NULL: "Options" */
};

struct leat_program {
    const char *name;      /* "leat-worker", "leat submit": begins every line on stderr */
    const char *summary;   /* one line */
    const char *arguments; /* "[FILE...]" in the usage line; NULL: takes none */
    size_t arguments_min;  /* positional arguments: fewer or more are a usage error */
    size_t arguments_max;
    const struct leat_option *rows;
    size_t row_count; /* up to LEAT_OPTION_ROWS_MAX */
    const char *more; /* text after the options in --help; NULL: none */
    bool stop_early;  /* options end at the first positional argument (`leat COMMAND ...`) */
};

/* Rows that programs share. */
#define LEAT_OPTIONS_COMMON                                                                        \
    {                                                                                              \
        .name = "log", .kind = LEAT_OPTION_STRING, .initial = "info",                              \
        .choices = "error,warn,info,debug,trace", .value = "LEVEL", .group = "Common",             \
        .help = "least level that is logged"                                                       \
    }
#define LEAT_OPTIONS_BIND                                                                          \
    {                                                                                              \
        .name = "allow-unauthenticated-network", .kind = LEAT_OPTION_FLAG, .group = "Common",      \
        .help =                                                                                    \
            "bind to addresses that other hosts can reach, though nobody is authenticated there"   \
    }
#define LEAT_OPTIONS_OWN_KEY                                                                       \
    {                                                                                              \
        .name = "key", .kind = LEAT_OPTION_STRING, .value = "FILE", .group = "Keys",               \
        .help = "private key of this process (see leat keys); default: nothing is encrypted"       \
    }
/* For who connects. */
#define LEAT_OPTIONS_KEY                                                                           \
    LEAT_OPTIONS_OWN_KEY,                                                                          \
        {.name = "server-key",                                                                     \
         .kind = LEAT_OPTION_STRING,                                                               \
         .value = "FILE|KEY",                                                                      \
         .group = "Keys",                                                                          \
         .help = "public key of the ventilator and the sink; needed with --key"},                  \
    {                                                                                              \
        .name = "sink-key", .kind = LEAT_OPTION_STRING, .value = "FILE|KEY", .group = "Keys",      \
        .help = "public key of the sink, when it has another one than the ventilator"              \
    }
/* For who binds. */
#define LEAT_OPTIONS_KEYS                                                                          \
    LEAT_OPTIONS_OWN_KEY,                                                                          \
    {                                                                                              \
        .name = "keys", .kind = LEAT_OPTION_STRING, .value = "DIR", .group = "Keys",               \
        .help = "directory of the public keys (NAME.pub) that are known; nobody else gets in; "    \
                "changes count within seconds"                                                     \
    }
#define LEAT_OPTIONS_READY                                                                         \
    {.name = "ready-fd",                                                                           \
     .kind = LEAT_OPTION_COUNT,                                                                    \
     .max = 1 << 20,                                                                               \
     .value = "N",                                                                                 \
     .group = "Common",                                                                            \
     .help = "write one line with the real endpoints to this open descriptor "                     \
             "when ready, then close it"},                                                         \
    {                                                                                              \
        .name = "ready-file", .kind = LEAT_OPTION_STRING, .value = "PATH", .group = "Common",      \
        .help = "write one line with the real endpoints to this file when ready"                   \
    }

struct leat_options;

/* Parses. NULL: the program is to end with *ret_status: LEAT_EXIT_OK after --help and its like
 * (on stdout), LEAT_EXIT_USAGE after exactly one line on stderr. What it returns keeps pointers
 * into argv and the environment. Aborts on a table with mistakes (double names, bad defaults). */
struct leat_options *leat_options_parse(const struct leat_program *program, int argc,
                                        char *const argv[], int *ret_status);
void leat_options_destroy(struct leat_options **options);

/* Values by name; a name that is not in the table, or of another kind, is our bug and aborts. */

/* Whether the command line or the environment gave it. */
bool leat_options_given(const struct leat_options *options, const char *name);
/* FLAG */
bool leat_options_flag(const struct leat_options *options, const char *name);
/* STRING, ENDPOINT; NULL when neither given nor with a default. Valid until destroy. */
const char *leat_options_text(const struct leat_options *options, const char *name);
/* COUNT, DURATION (ms), SIZE (bytes), RATE (thousandths per second); 0 without either. */
int64_t leat_options_number(const struct leat_options *options, const char *name);
/* LIST: number of values and each of them. Environment and command line are not added up. */
size_t leat_options_list_count(const struct leat_options *options, const char *name);
const char *leat_options_list_at(const struct leat_options *options, const char *name,
                                 size_t index);
/* Positional arguments, in order. */
size_t leat_options_argument_count(const struct leat_options *options);
const char *leat_options_argument(const struct leat_options *options, size_t index);

/* The table that was parsed. */
const struct leat_program *leat_options_program(const struct leat_options *options);

/* One line on stderr, "NAME: text (see --help)"; returns LEAT_EXIT_USAGE. For checks between
 * options. */
int leat_options_refuse(const struct leat_program *program, const char *format, ...)
    LEAT_PRINTF(2, 3);

/* What --help prints. */
void leat_options_help(const struct leat_program *program, FILE *file);
/* What --help-man prints: the manual page of the program, section 1, in man(7)'s macros. */
void leat_options_man(const struct leat_program *program, FILE *file);
/* What --help-table prints: a line per option, "--name<TAB>kind<TAB>choices, value or -<TAB>help";
 * before them, where the program takes arguments, "-<TAB>arguments<TAB>[FILE...]<TAB>-". */
void leat_options_table(const struct leat_program *program, FILE *file);

/* Parts of a manual page, for what has no table of its own: head and NAME; text with troff's
 * characters escaped; EXIT STATUS and SEE ALSO. */
void leat_man_begin(const char *name, const char *summary, FILE *file);
void leat_man_text(const char *text, FILE *file);
void leat_man_end(FILE *file);

#endif
