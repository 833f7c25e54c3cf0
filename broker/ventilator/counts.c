/* How many jobs are where, and that the store knows it too: a start must not read every job to
 * count them. What has changed in a step is written at its end, one row for each lane, so that it
 * is durable together with the jobs.
 *
 * Damage on disk can make a count wrong: a row is gone, or has come under another key. A count that
 * is too high is found when a lane runs dry, one that is too low at the next start; neither is
 * trusted so far that a job would be served twice or a number fall below zero. */
#include "broker/ventilator/inside.h"

uint64_t leat_ventilator_jobs(const struct leat_ventilator *v)
{
    const struct leat_ventilator_counts *counts = &v->counts;
    return counts->ready + counts->scheduled + counts->retrying + counts->leased + counts->ending;
}

void leat_lane_touch(struct leat_ventilator *v, struct leat_lane *lane)
{
    if (!leat_list_is_linked(&lane->changed_link)) {
        leat_list_push_back(&v->changed, &lane->changed_link);
    }
}

void leat_lane_add_waiting(struct leat_ventilator *v, struct leat_lane *lane,
                           enum leat_ventilator_where where)
{
    bool scheduled = where == LEAT_VENTILATOR_SCHEDULED;
    *(scheduled ? &lane->scheduled : &lane->retrying) += 1;
    *(scheduled ? &v->counts.scheduled : &v->counts.retrying) += 1;
    leat_lane_touch(v, lane);
}

void leat_lane_remove_waiting(struct leat_ventilator *v, struct leat_lane *lane,
                              enum leat_ventilator_where where)
{
    bool scheduled = where == LEAT_VENTILATOR_SCHEDULED;
    uint64_t *of_lane = scheduled ? &lane->scheduled : &lane->retrying;
    if (*of_lane > 0) { /* else it was miscounted */
        *of_lane -= 1;
        *(scheduled ? &v->counts.scheduled : &v->counts.retrying) -= 1;
        leat_lane_touch(v, lane);
    }
}

void leat_lane_mend_ready(struct leat_ventilator *v, struct leat_lane *lane, uint64_t ready)
{
    uint64_t wrong = ready < lane->ready ? lane->ready - ready : ready - lane->ready;
    v->counts.ready = v->counts.ready - lane->ready + ready;
    leat_queue_set_ready(v, lane->queue, lane->queue->ready - lane->ready + ready);
    lane->ready = ready;
    v->counts.damaged_total += wrong;
    v->mended += wrong;
    leat_lane_touch(v, lane);
}

void leat_lanes_mend_waiting(struct leat_ventilator *v, enum leat_ventilator_where where)
{
    bool scheduled = where == LEAT_VENTILATOR_SCHEDULED;
    bool is_right = (scheduled ? v->counts.scheduled : v->counts.retrying) == 0;
    for (size_t i = 0; !is_right && i < LEAT_LANES_MAX; i++) {
        struct leat_lane *lane = v->lanes[i];
        while (lane != NULL && (scheduled ? lane->scheduled : lane->retrying) > 0) {
            leat_lane_remove_waiting(v, lane, where);
            v->counts.damaged_total++;
            v->mended++;
        }
    }
}

static void save_lane(struct leat_ventilator *v, struct leat_lane *lane)
{
    struct leat_ventilator_lane_counts counts = {
        .ready = lane->ready + lane->leased,
        .scheduled = lane->scheduled,
        .retrying = lane->retrying,
    };
    const struct leat_ventilator_lane_counts *stored = &lane->stored;
    if (!lane->is_stored || counts.ready != stored->ready ||
        counts.scheduled != stored->scheduled || counts.retrying != stored->retrying) {
        leat_ventilator_store_put_counts(v->store, lane->number, &counts);
        lane->stored = counts;
        lane->is_stored = true;
    }
}

void leat_ventilator_save_counts(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_list_node *node;
    while ((node = leat_list_pop_front(&v->changed)) != NULL) {
        save_lane(v, LEAT_CONTAINER_OF(node, struct leat_lane, changed_link));
    }
    bool found_damage = v->counts.damaged_total > 0 && !v->meta.damaged;
    if (found_damage || v->counts.bytes != v->meta.bytes || v->next_seq != v->meta.next_seq) {
        v->meta.damaged = v->meta.damaged || found_damage;
        leat_ventilator_save_meta(v);
    }
    if (v->mended > 0) {
        leat_out_note(out, LEAT_NOTE_COUNT_MENDED, NULL, leat_str_of("jobs"), (int64_t)v->mended);
        v->mended = 0;
    }
}
