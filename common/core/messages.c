#include "core/messages.h"

#include <stddef.h>

struct state_row {
    unsigned number;
    const char *name;
    unsigned next; /* set of bits, 1 << number of each state that may follow */
};

static const struct state_row states[] = {
#define TO(state)                       (1u << LEAT_STATE_##state)
#define STATE(NAME, number, text, next) {number, text, next},
#include "core/state.def"
#undef STATE
#undef TO
};

struct failure_row {
    enum leat_failure failure;
    const char *name;
    bool is_retried;
};

static const struct failure_row failures[] = {
#define FAILURE(NAME, number, text, retried) {LEAT_FAILURE_##NAME, text, retried},
#include "core/failure.def"
#undef FAILURE
};

static const struct state_row *state_row_of(uint64_t state)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (states[i].number == state) {
            return &states[i];
        }
    }
    return NULL;
}

static const struct failure_row *failure_row_of(uint64_t failure)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if ((uint64_t)failures[i].failure == failure) {
            return &failures[i];
        }
    }
    return NULL;
}

const char *leat_state_name(uint64_t state)
{
    const struct state_row *row = state_row_of(state);
    return row == NULL ? "unknown" : row->name;
}

bool leat_state_may_follow(enum leat_state from, enum leat_state to)
{
    const struct state_row *row = state_row_of(from);
    return row != NULL && state_row_of(to) != NULL && (row->next >> to & 1u) != 0;
}

const char *leat_failure_name(uint64_t failure)
{
    const struct failure_row *row = failure_row_of(failure);
    return row == NULL ? "unknown" : row->name;
}

enum leat_err leat_failure_parse(struct leat_str name, enum leat_failure *ret_failure)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (leat_str_equal(name, leat_str_of(failures[i].name))) {
            *ret_failure = failures[i].failure;
            return LEAT_OK;
        }
    }
    return LEAT_ERR_NOT_FOUND;
}

bool leat_failure_is_retried(enum leat_failure failure)
{
    const struct failure_row *row = failure_row_of(failure);
    return row != NULL && row->is_retried;
}
