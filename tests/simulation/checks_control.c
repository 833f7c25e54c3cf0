/* Pause and resume: nothing of a paused queue is pushed, and DONE outlives a restart. Between a
 * CONTROL and its DONE nobody knows what a restart will find. */
#include "tests/simulation/checks_inside.h"

static struct sim_word *word_of(struct sim_checks *checks, struct leat_str queue)
{
    for (int i = 0; i < SIM_QUEUES; i++) {
        if (leat_str_equal(sim_queue_name(i), queue)) {
            return &checks->words[i];
        }
    }
    return NULL;
}

void sim_control_said(struct sim_checks *checks, const struct leat_msg_control *control)
{
    struct sim_word *word = word_of(checks, control->argument);
    bool is_pause = leat_str_equal(control->verb, leat_str_of("pause"));
    if (word == NULL || (!is_pause && !leat_str_equal(control->verb, leat_str_of("resume")))) {
        return;
    }
    bool is_same = word->is_known && word->is_paused == is_pause;
    *word = (struct sim_word){
        .is_known = true, .is_paused = is_pause, .is_done = is_same && word->is_done};
}

/* "paused QUEUE" or "resumed QUEUE" */
void sim_control_done(struct sim_checks *checks, const struct leat_msg_done *done)
{
    for (int i = 0; i < SIM_QUEUES; i++) {
        struct sim_word *word = &checks->words[i];
        struct leat_str name = sim_queue_name(i);
        struct leat_str verb = leat_str_of(word->is_paused ? "paused " : "resumed ");
        if (word->is_known && done->text.size == verb.size + name.size &&
            memcmp(done->text.data, verb.data, verb.size) == 0 &&
            memcmp(done->text.data + verb.size, name.data, name.size) == 0) {
            word->is_done = true;
        }
    }
}

void sim_control_restarts(struct sim_checks *checks)
{
    for (int i = 0; i < SIM_QUEUES; i++) {
        struct sim_word *word = &checks->words[i];
        word->is_known = word->is_known && word->is_done && !checks->ledger->disk_replaced;
    }
}

void sim_check_queue(struct sim_checks *checks, const struct leat_item_delivery *item)
{
    const struct sim_word *word = word_of(checks, item->queue);
    if (word != NULL && word->is_known && word->is_paused) {
        sim_break(checks->ledger, "a job of a paused queue was pushed", "job %zu",
                  sim_job_index(&item->id));
    }
}
