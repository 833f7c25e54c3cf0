#include "io/exit.h"
#include "io/log.h"
#include "io/runner_inside.h"

static void fail_store(struct leat_runner *runner, const char *why)
{
    leat_log_reason(LEAT_LOG_ERROR, "store_failed", "%s", why);
    runner->ended = true;
    runner->status = LEAT_EXIT_STORE;
}

static bool take_note(struct leat_runner *runner)
{
    struct leat_store *store = runner->config.store;
    uint64_t before = leat_store_durable(store);
    struct leat_why why = {.text = ""};
    if (leat_store_advance(store, &why) != LEAT_OK) {
        fail_store(runner, why.text);
        return false;
    }
    runner->counts.commits += leat_store_durable(store) - before;
    leat_runner_release(runner);
    return true;
}

bool leat_runner_has_space_to_tell(const struct leat_runner *runner)
{
    const struct leat_store *store = runner->config.store;
    return store != NULL && leat_store_has_room(store) == runner->store_full;
}

void leat_runner_advance_store(struct leat_runner *runner)
{
    if (runner->config.store == NULL || !take_note(runner)) {
        return;
    }
    if (leat_runner_has_space_to_tell(runner)) {
        bool full = !runner->store_full;
        runner->store_full = full;
        struct leat_event event = {.kind = LEAT_EVENT_SPACE, .store_full = full};
        leat_runner_step(runner, &event);
    }
}

/* What nobody waits for goes with what somebody waits for, if that comes soon: a flush less. */
static int64_t patient_until_us(struct leat_runner *runner)
{
    if (runner->urgent >= leat_store_filling(runner->config.store)) {
        runner->patient_since_us = 0;
        return 0;
    }
    if (runner->patient_since_us == 0) {
        runner->patient_since_us = runner->real_mono_us;
    }
    return runner->patient_since_us + runner->config.patience_us;
}

static bool is_held_back(struct leat_runner *runner)
{
    int64_t until_us = patient_until_us(runner);
    bool held = leat_store_filling_rows(runner->config.store) < runner->config.patience_rows &&
                runner->real_mono_us < until_us && !runner->exiting;
    runner->held_back_until_us = held ? until_us : 0;
    return held;
}

/* When all links were read empty, or none is read, there is nothing to do but to wait for the
 * commit: to hand a little to another thread and to take it back would cost as much as the flush
 * does. */
static void seal(struct leat_runner *runner)
{
    if (runner->more) {
        leat_store_seal(runner->config.store);
    } else {
        leat_store_seal_here(runner->config.store);
        (void)take_note(runner);
    }
}

/* A read that failed in a step has broken the store as a failed commit has. */
void leat_runner_seal_store(struct leat_runner *runner)
{
    struct leat_store *store = runner->config.store;
    if (store == NULL || runner->ended) {
        return;
    }
    if (leat_store_error(store)[0] != '\0') {
        fail_store(runner, leat_store_error(store));
        return;
    }
    if (leat_store_is_dirty(store) && !leat_store_is_committing(store) && !is_held_back(runner)) {
        runner->patient_since_us = 0;
        seal(runner);
    }
}
