#include "broker/role_store.h"

#include "store/journaled.h"

/* By a start and by --check-store alike. */
static leat_check_open_fn *const open_stored = leat_store_open_journaled;

static struct leat_store_options store_options(const struct leat_role_store *role,
                                               const struct leat_options *options)
{
    struct leat_store_options store = role->store;
    store.max_bytes = (uint64_t)leat_options_number(options, "store-bytes");
    return store;
}

enum leat_err leat_role_store_open(const struct leat_role_store *role,
                                   const struct leat_options *options,
                                   struct leat_store **ret_store, struct leat_why *why)
{
    const struct leat_store_options store = store_options(role, options);
    return open_stored(leat_options_text(options, "data"), &store, ret_store, why);
}

bool leat_role_store_did(const struct leat_role_store *role, const struct leat_options *options,
                         int *ret_status)
{
    const char *directory = leat_options_text(options, "data");
    const char *to = leat_options_text(options, "copy-store");
    if (leat_options_flag(options, "check-store")) {
        const struct leat_store_options store = store_options(role, options);
        *ret_status =
            leat_check_store(role->program, directory, &store, open_stored, role->examine);
        return true;
    }
    if (to != NULL) {
        *ret_status = leat_copy_store(role->program, directory, role->store.role, to);
        return true;
    }
    return false;
}
