/* --check-store of the brokers: everything that is wrong with the store of one that does not run.
 */
#ifndef LEAT_BROKER_CHECK_STORE_H
#define LEAT_BROKER_CHECK_STORE_H

#include "broker/examine.h"
#include "io/options.h"
#include "store/lmdb.h"

/* The row of the option. */
#define LEAT_OPTIONS_CHECK_STORE                                                                   \
    {                                                                                              \
        .name = "check-store", .kind = LEAT_OPTION_FLAG, .env = "",                                \
        .help = "look at everything in --data instead of serving, say what is damaged, and end: "  \
                "with status 0 when nothing is"                                                    \
    }

/* Of a role: opens its store as a start does, and looks at all rows of an open store. */
typedef enum leat_err leat_check_open_fn(const char *directory,
                                         const struct leat_store_options *options,
                                         struct leat_store **ret_store, struct leat_why *why);
typedef enum leat_err leat_check_examine_fn(struct leat_store *store,
                                            struct leat_examination *examination);

/* Looks at the pages of the file, and if they are whole at what they hold. Prints a line for each
 * thing that is wrong, up to a hundred, and a last one that sums up. The exit status: 0,
 * LEAT_EXIT_STORE when something is wrong, as for a start when it cannot look. */
int leat_check_store(const struct leat_program *program, const char *directory,
                     const struct leat_store_options *options, leat_check_open_fn *open,
                     leat_check_examine_fn *examine);

#endif
