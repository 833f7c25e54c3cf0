/* --copy-store of the brokers: a backup while one runs. */
#ifndef LEAT_BROKER_COPY_STORE_H
#define LEAT_BROKER_COPY_STORE_H

#include "io/options.h"

/* The row of the option. */
#define LEAT_OPTIONS_COPY_STORE                                                                    \
    {                                                                                              \
        .name = "copy-store", .kind = LEAT_OPTION_STRING, .value = "DIR", .env = "",               \
        .help = "copy the store in --data to DIR instead of serving, for a backup, while the "     \
                "broker on it runs, and end; the ventilator's goes first, then the sink's"         \
    }

/* Copies the store of this role. The exit status: 0, or as of a start that fails; then one line
 * says why. */
int leat_copy_store(const struct leat_program *program, const char *directory, const char *role,
                    const char *to);

#endif
