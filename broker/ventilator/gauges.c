/* GAUGES: the ventilator's own numbers for the metrics actor, once a second while the sink is
 * heard. */
#include "broker/ventilator/inside.h"

#define GAUGES_US      (1 * LEAT_US_PER_S)
#define SINK_SILENT_US (5 * LEAT_US_PER_S)
/* Room that the queues of one worker take in its line. */
#define QUEUES_TEXT_BYTES 256

/* How long the oldest ready job of the queue waits. Reads one record per lane. */
static uint64_t oldest_ready_ms(struct leat_ventilator *v, const struct leat_queue *queue)
{
    int64_t oldest_us = v->now.wall.us;
    for (size_t i = 0; i < queue->lane_count; i++) {
        struct leat_lane *lane = queue->lanes[i];
        const struct leat_window_job *head = lane->ready == 0 ? NULL : leat_lane_head(v, lane);
        if (head == NULL) {
            continue;
        }
        struct leat_ventilator_place place = {
            .where = LEAT_VENTILATOR_READY, .lane = lane->number, .seq = head->seq};
        struct leat_ventilator_job job;
        enum leat_err err =
            leat_ventilator_store_read(v->store, &head->id, &place, &job, NULL, NULL);
        if (!leat_ventilator_broke(v, err) && err == LEAT_OK && job.ready_us < oldest_us) {
            oldest_us = job.ready_us;
        }
    }
    return (uint64_t)((v->now.wall.us - oldest_us) / LEAT_US_PER_MS);
}

static void fill_queue(struct leat_ventilator *v, const struct leat_queue *queue,
                       struct leat_item_queue_gauge *gauge)
{
    *gauge = (struct leat_item_queue_gauge){
        .queue = leat_queue_name(queue),
        .ready = queue->ready,
        .oldest_ready_ms = oldest_ready_ms(v, queue),
        .paused = queue->paused,
    };
    for (size_t i = 0; i < queue->lane_count; i++) {
        const struct leat_lane *lane = queue->lanes[i];
        gauge->scheduled += lane->scheduled + lane->retrying;
        gauge->leased += lane->leased;
    }
}

size_t leat_ventilator_queue_count(const struct leat_ventilator *v)
{
    return v->queue_count;
}

struct leat_item_queue_gauge leat_ventilator_queue(struct leat_ventilator *v, size_t number)
{
    struct leat_item_queue_gauge gauge;
    fill_queue(v, v->queues[number], &gauge);
    return gauge;
}

static struct leat_str join_queues(const struct leat_session *session, struct leat_arena *arena)
{
    char *text = leat_arena_take(arena, QUEUES_TEXT_BYTES);
    size_t size = 0;
    for (size_t i = 0; text != NULL && i < session->queue_count; i++) {
        const struct leat_session_queue *queue = &session->queues[i];
        if (size + 1 + queue->name_size + 4 > QUEUES_TEXT_BYTES) {
            memcpy(text + size, ",...", 4);
            size += 4;
            break;
        }
        if (i > 0) {
            text[size++] = ',';
        }
        memcpy(text + size, queue->name, queue->name_size);
        size += queue->name_size;
    }
    return (struct leat_str){text, text == NULL ? 0 : size};
}

static void fill_worker(const struct leat_ventilator *v, const struct leat_session *session,
                        struct leat_arena *arena, struct leat_item_worker_gauge *gauge)
{
    *gauge = (struct leat_item_worker_gauge){
        .session = session->id,
        .name = leat_arena_copy_str(arena, (struct leat_str){session->name, session->name_size}),
        .queues = join_queues(session, arena),
        .slots = session->slots,
        .busy = session->busy,
        .leased = session->leases.count,
        .outbox = session->outbox,
        .silent_ms = (uint64_t)((v->now.mono_us - session->heard_us) / LEAT_US_PER_MS),
    };
    if (gauge->name.data == NULL) {
        gauge->name.size = 0;
    }
}

static void fill_counts(const struct leat_ventilator *v, struct leat_msg_gauges *gauges)
{
    const struct leat_ventilator_counts *counts = &v->counts;
    gauges->jobs = leat_ventilator_jobs(v);
    gauges->store_bytes = counts->bytes;
    gauges->accepted_total = counts->accepted_total;
    gauges->known_total = counts->known_total;
    gauges->busy_total = counts->busy_total;
    gauges->retried_total = counts->retried_total;
    gauges->lost_total = counts->lost_total;
    gauges->redelivered_total = counts->redelivered_total;
    gauges->malformed_total = counts->malformed_total;
    gauges->forbidden_total = counts->forbidden_total;
}

/* Texts are copied, since what `out` holds may outlive a queue or a session. */
static void send_gauges(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_arena *arena = &out->arena;
    size_t queue_count = v->queue_count;
    size_t worker_count = v->sessions.count;
    struct leat_item_queue_gauge *queues = leat_arena_take(arena, queue_count * sizeof *queues);
    struct leat_item_worker_gauge *workers = leat_arena_take(arena, worker_count * sizeof *workers);
    if (queues == NULL || workers == NULL) {
        return; /* they may be dropped */
    }
    for (size_t i = 0; i < queue_count; i++) {
        fill_queue(v, v->queues[i], &queues[i]);
        queues[i].queue = leat_arena_copy_str(arena, queues[i].queue);
        if (queues[i].queue.data == NULL) {
            return;
        }
    }
    size_t filled = 0;
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->sessions, node, after)
    {
        fill_worker(v, LEAT_CONTAINER_OF(node, struct leat_session, all_link), arena,
                    &workers[filled++]);
    }
    struct leat_msg *msg =
        leat_out_send(out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_GAUGES);
    msg->gauges.queues.items = queues;
    msg->gauges.queues.count = queue_count;
    msg->gauges.workers.items = workers;
    msg->gauges.workers.count = worker_count;
    fill_counts(v, &msg->gauges);
}

void leat_ventilator_tend_gauges(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->now.mono_us < v->gauges_at_us) {
        return;
    }
    v->gauges_at_us = v->now.mono_us + GAUGES_US;
    if (v->sink_heard_us != LEAT_NEVER_US && v->now.mono_us - v->sink_heard_us <= SINK_SILENT_US) {
        send_gauges(v, out);
    }
}
