/* What slot processes answer. */
#include "worker/spawner/loop.h"
#include "worker/spawner/slot_bytes.h"

static void break_slot(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process)
{
    process->broken = true; /* a handler has written to memory or files that are not its own */
    leat_spawner_break_slot(loop, slot, process);
}

/* The first of the flight has ended, so that the next one is the first. */
static void note_end(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process,
                     uint64_t run_us)
{
    process->answered++;
    loop->slots[slot].crashes = 0;
    if (run_us < (uint64_t)leat_spawner_slow_us(process->kind)) {
        leat_plan_note_quick(&loop->plan, slot, run_us);
        if (leat_plan_is_too_long(&loop->plan, slot)) {
            leat_spawner_take_back(loop, slot);
        }
    }
    /* A plug-in attempt that was to be killed once it is the first. */
    struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    if (head != NULL && head->cause == LEAT_FAILURE_KILLED && !process->ending) {
        head->cause = LEAT_FAILURE_NONE;
        (void)leat_spawner_end_head(loop, slot, LEAT_FAILURE_KILLED);
    }
}

static void take_answer(struct leat_spawner_loop *loop, size_t slot, struct leat_slot *process,
                        struct leat_bytes bytes)
{
    struct leat_item_outcome outcome;
    struct leat_attempt *head = leat_plan_head(&loop->plan, slot);
    uint64_t seq = 0;
    if (leat_slot_answer_read(bytes, &seq, &outcome) != LEAT_OK || head == NULL ||
        head->kind != process->kind || seq != head->seq || !leat_slot_has_begun(process, head)) {
        break_slot(loop, slot, process);
        return;
    }
    if (process->ending && head->cause != LEAT_FAILURE_NONE) {
        return; /* too late: it ends as what it was ended for */
    }
    outcome.id = head->id;
    outcome.delivery = head->delivery;
    leat_spawner_tell(loop, &outcome);
    leat_plan_drop(&loop->plan, slot, head);
    note_end(loop, slot, process, outcome.run_us);
}

void leat_spawner_take_answers(struct leat_spawner_loop *loop, size_t slot,
                               struct leat_slot *process)
{
    while (!process->broken) {
        struct leat_bytes answer;
        enum leat_err err = leat_slot_next_answer(process, &loop->piece, &answer);
        if (err == LEAT_ERR_NOT_FOUND) {
            return;
        }
        if (err != LEAT_OK) {
            break_slot(loop, slot, process);
            return;
        }
        take_answer(loop, slot, process, answer);
    }
}

enum leat_err leat_spawner_read_slot(struct leat_spawner_loop *loop, size_t slot,
                                     struct leat_slot *process)
{
    enum leat_err err = leat_frames_fill(&process->frames);
    leat_spawner_take_answers(loop, slot, process);
    return err;
}
