/* What --key, --keys, --server-key and --sink-key mean, for every program (rows: io/options.h). */
#ifndef LEAT_IO_KEYS_H
#define LEAT_IO_KEYS_H

#include "io/curve.h"
#include "io/guard.h"
#include "io/options.h"

/* For who connects (LEAT_OPTIONS_KEY): the ends of its sockets to the ventilator and to the sink;
 * both off when no key is given. Each of them may be NULL. Errors as of leat_curve_read_client. */
LEAT_MUST_USE enum leat_err leat_keys_read_client(const struct leat_options *options,
                                                  struct leat_curve *ret_ventilator,
                                                  struct leat_curve *ret_sink,
                                                  struct leat_why *why);

/* For brokers (LEAT_OPTIONS_KEYS): starts the guard, with keys or without. To be called before the
 * first socket is bound. `ret_own` gets the broker's pair, off without keys.
 *   LEAT_ERR_INVALID   one of --keys and --key without the other
 *   else as of leat_curve_read_server and leat_guard_start */
LEAT_MUST_USE enum leat_err leat_keys_start_guard(const struct leat_options *options, size_t doors,
                                                  struct leat_curve *ret_own,
                                                  struct leat_guard **ret_guard,
                                                  struct leat_why *why);

#endif
