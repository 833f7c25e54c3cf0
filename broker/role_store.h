/* The store of a broker, as its options say: opened by a start, and what --check-store and
 * --copy-store do instead of one. */
#ifndef LEAT_BROKER_ROLE_STORE_H
#define LEAT_BROKER_ROLE_STORE_H

#include "broker/check_store.h"
#include "broker/copy_store.h"

struct leat_role_store {
    const struct leat_program *program;
    struct leat_store_options store; /* all but what options say */
    leat_check_examine_fn *examine;
};

/* Of --data, as a start does and --check-store. Errors as of leat_store_open_journaled. */
LEAT_MUST_USE enum leat_err leat_role_store_open(const struct leat_role_store *role,
                                                 const struct leat_options *options,
                                                 struct leat_store **ret_store,
                                                 struct leat_why *why);

/* Whether the options want something else than serving; then it is done, and this is its status. */
bool leat_role_store_did(const struct leat_role_store *role, const struct leat_options *options,
                         int *ret_status);

#endif
