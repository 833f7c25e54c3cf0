/* Shared by options.c, options_value.c, options_help.c and options_man.c only. */
#ifndef LEAT_IO_OPTIONS_INSIDE_H
#define LEAT_IO_OPTIONS_INSIDE_H

#include "io/options.h"

/* What one row got. Texts are borrowed from argv, the environment, the table or `lines`. */
struct leat_option_value {
    bool given;
    bool flag;
    int64_t number;
    const char *text;
    const char **list; /* owned array */
    size_t list_count;
    char *lines; /* owned: a LIST from the environment, cut into lines */
};

struct leat_options {
    const struct leat_program *program;
    struct leat_option_value values[LEAT_OPTION_ROWS_MAX];
    const char **arguments; /* owned array */
    size_t argument_count;
};

/* "LEAT_LOST_AFTER", or "" when the row has no variable. */
void leat_option_env_name(const struct leat_option *row, char ret_name[LEAT_OPTION_ENV_BYTES]);

/* Reads `text` into *value as the row's kind asks. `why` says what is wrong with it, without the
 * option's name. */
LEAT_MUST_USE enum leat_err leat_option_value_read(const struct leat_option *row, const char *text,
                                                   struct leat_option_value *value,
                                                   struct leat_why *why);
void leat_option_value_fini(struct leat_option_value *value);

/* How --help and the manual page call the row's value; "" for a flag. */
const char *leat_option_value_name(const struct leat_option *row);
/* Heading of the row's group. */
const char *leat_option_group(const struct leat_option *row);
/* Whether an earlier row has the group of the row at `index`, so that it was printed already. */
bool leat_option_group_was_printed(const struct leat_program *program, size_t index);

/* What is said about how values are written: lines 0 to LEAT_OPTION_UNITS_MAX - 1; NULL when no row
 * needs that line. */
#define LEAT_OPTION_UNITS_MAX 6
const char *leat_option_unit_line(const struct leat_program *program, size_t index);

#endif
