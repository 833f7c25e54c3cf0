#include "broker/copy_store.h"

#include <stdio.h>

#include "core/limits.h"
#include "io/exit.h"
#include "io/signals.h"
#include "store/copy.h"

int leat_copy_store(const struct leat_program *program, const char *directory, const char *role,
                    const char *to)
{
    leat_signals_reset(); /* nobody waits for them: it ends as any command does */
    struct leat_why why = {""};
    enum leat_err err = leat_store_copy(directory, role, to, LEAT_COPY_PATIENCE_MS, &why);
    if (err == LEAT_OK) {
        return LEAT_EXIT_OK;
    }
    fprintf(stderr, "%s: cannot copy: %s\n", program->name, why.text);
    /* EXISTS, STATE: something else must be named or done, which is not for later */
    return err == LEAT_ERR_EXISTS || err == LEAT_ERR_STATE ? LEAT_EXIT_USAGE
                                                           : (int)leat_exit_for(err);
}
