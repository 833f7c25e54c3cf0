/* Lines: at each queue the sessions that would take a job of it wait in line, and the queues that
 * have ready jobs take turns. So a push finds its two sides without a look at anybody else, however
 * many sessions are connected and idle.
 *
 * Who is first in line, but may take none of the ready jobs (limits of types), goes to its end,
 * just before whoever takes one. So it comes behind those that stood behind the taker, also for
 * jobs that it may take, but never behind the taker; and after a walk in which nobody takes, the
 * line is as it was. Left in place it would be looked at again for each job that passes it. */
#include "broker/ventilator/inside.h"

void leat_queue_set_ready(struct leat_ventilator *v, struct leat_queue *queue, uint64_t ready)
{
    bool had_work = queue->ready > 0;
    queue->ready = ready;
    if (had_work && ready == 0) {
        leat_list_remove(&v->work, &queue->work_link);
    } else if (!had_work && ready > 0) {
        leat_list_push_back(&v->work, &queue->work_link);
    }
}

void leat_session_line_up(struct leat_session *session)
{
    if (session->in_line || !leat_session_is_hungry(session)) {
        return;
    }
    session->in_line = true;
    for (size_t i = 0; i < session->queue_count; i++) {
        struct leat_session_queue *served = &session->queues[i];
        if (served->queue != NULL) {
            leat_list_push_back(&served->queue->line, &served->line_link);
        }
    }
}

void leat_session_leave_lines(struct leat_session *session)
{
    for (size_t i = 0; session->in_line && i < session->queue_count; i++) {
        struct leat_session_queue *served = &session->queues[i];
        if (served->queue != NULL) {
            leat_list_remove(&served->queue->line, &served->line_link);
        }
    }
    session->in_line = false;
}

void leat_session_go_last(struct leat_session *session)
{
    for (size_t i = 0; i < session->queue_count; i++) {
        struct leat_session_queue *served = &session->queues[i];
        if (served->queue != NULL && leat_list_last(&served->queue->line) != &served->line_link) {
            leat_list_move_to_back(&served->queue->line, &served->line_link);
        }
    }
}

void leat_session_learn_queue(struct leat_session *session, struct leat_session_queue *served,
                              struct leat_queue *queue)
{
    if (session->in_line && served->queue != NULL) {
        leat_list_remove(&served->queue->line, &served->line_link);
    }
    served->queue = queue;
    if (session->in_line && queue != NULL) {
        leat_list_push_back(&queue->line, &served->line_link);
    }
}
