/* The invariants of a worker, as README.md tells them. Linear in what is held. */
#include "worker/inside.h"

static size_t check_list(const struct leat_list *list, enum leat_worker_place place)
{
    size_t count = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(list, node, after)
    {
        LEAT_ASSERT(leat_worker_job_of(node)->place == place);
        count++;
    }
    LEAT_ASSERT(count == list->count);
    return count;
}

static void check_lanes(const struct leat_worker *w)
{
    size_t queued = 0;
    for (size_t i = 0; i < w->lane_count; i++) {
        const struct leat_worker_lane *lane = &w->lanes[i];
        queued += check_list(&lane->queue, LEAT_WORKER_QUEUED);
        uint64_t before = 0;
        struct leat_list_node *node;
        struct leat_list_node *after;
        LEAT_LIST_FOR_EACH(&lane->queue, node, after)
        {
            const struct leat_worker_job *job = leat_worker_job_of(node);
            LEAT_ASSERT(job->lane == i);
            LEAT_ASSERT(job->sequence > before);
            LEAT_ASSERT(!job->refused);
            before = job->sequence;
        }
    }
    LEAT_ASSERT(queued == w->table.counts[LEAT_WORKER_QUEUED]);
    LEAT_ASSERT(!w->ending.draining || queued == 0);
}

static void check_started(const struct leat_worker *w)
{
    size_t by_kind[LEAT_WORKER_PLUGIN + 1] = {0};
    size_t bytes = 0;
    size_t started = check_list(&w->started, LEAT_WORKER_STARTED);
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&w->started, node, after)
    {
        const struct leat_worker_job *job = leat_worker_job_of(node);
        LEAT_ASSERT(!job->refused || job->killed);
        by_kind[w->lanes[job->lane].kind]++;
        bytes += job->bytes_size;
    }
    LEAT_ASSERT(started == w->table.counts[LEAT_WORKER_STARTED]);
    LEAT_ASSERT(by_kind[LEAT_WORKER_EXEC] == w->started_by_kind[LEAT_WORKER_EXEC]);
    LEAT_ASSERT(by_kind[LEAT_WORKER_PLUGIN] == w->started_by_kind[LEAT_WORKER_PLUGIN]);
    LEAT_ASSERT(by_kind[LEAT_WORKER_EXEC] <= w->slots * LEAT_PIPELINE_COMMANDS);
    LEAT_ASSERT(by_kind[LEAT_WORKER_PLUGIN] <= w->slots * LEAT_PIPELINE_JOBS);
    LEAT_ASSERT(!w->limiter.is_set || started <= w->slots);
    LEAT_ASSERT(bytes == w->started_bytes);
    LEAT_ASSERT(started <= 1 || bytes <= (size_t)LEAT_STARTED_BYTES_MAX);
}

static void check_repeating(const struct leat_worker *w)
{
    size_t repeating = check_list(&w->repeat_new, LEAT_WORKER_REPEATING) +
                       check_list(&w->repeat_said, LEAT_WORKER_REPEATING);
    LEAT_ASSERT(repeating == w->table.counts[LEAT_WORKER_REPEATING]);
    LEAT_ASSERT(!w->session.open || w->repeat_new.count == 0 || w->ending.ended);
    LEAT_ASSERT(check_list(&w->returning, LEAT_WORKER_RETURNING) ==
                w->table.counts[LEAT_WORKER_RETURNING]);
    LEAT_ASSERT(!w->session.open || w->returning.count == 0);
    uint64_t before = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&w->repeat_said, node, after)
    {
        const struct leat_worker_job *job = leat_worker_job_of(node);
        LEAT_ASSERT(job->pings_before >= before && job->pings_before <= w->session.pings);
        LEAT_ASSERT(job->pings_before >= w->session.pongs);
        before = job->pings_before;
    }
}

static void check_outbox(const struct leat_worker *w)
{
    size_t finished = check_list(&w->outbox.waiting, LEAT_WORKER_FINISHED);
    for (size_t i = 0; i < LEAT_OUTBOX_BATCHES; i++) {
        const struct leat_worker_batch *batch = &w->outbox.batches[i];
        size_t count = check_list(&batch->results, LEAT_WORKER_FINISHED);
        LEAT_ASSERT((batch->number == 0) == (count == 0));
        LEAT_ASSERT(batch->number <= w->outbox.last_number);
        finished += count;
    }
    LEAT_ASSERT(finished == w->table.counts[LEAT_WORKER_FINISHED]);
    LEAT_ASSERT(finished + leat_worker_active(w) <= w->results_max);
    size_t bytes = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&w->table.held, node, after)
    {
        const struct leat_worker_job *job = leat_worker_held_of(node);
        bytes += job->place == LEAT_WORKER_FINISHED ? leat_worker_job_bytes(job) : 0;
    }
    LEAT_ASSERT(bytes == w->outbox.bytes);
    LEAT_ASSERT(w->outbox.apart <= w->outbox.waiting.count);
}

/* A search finds each job that is held, and so none twice: of two with the same lease it would find
 * one. */
static void check_leases(const struct leat_worker *w)
{
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&w->table.held, node, after)
    {
        const struct leat_worker_job *job = leat_worker_held_of(node);
        LEAT_ASSERT(leat_worker_job_find(&w->table, &job->id, job->delivery) == job);
    }
}

static void check_session(const struct leat_worker *w)
{
    const struct leat_worker_session *s = &w->session;
    LEAT_ASSERT(s->pongs <= s->pings);
    LEAT_ASSERT(s->pings <= s->sent_number);
    LEAT_ASSERT(!s->open || s->round > 0);
    uint64_t of_lanes = 0;
    for (size_t i = 0; i < w->lane_count; i++) {
        of_lanes += w->lanes[i].received;
    }
    LEAT_ASSERT(of_lanes <= s->received);
    LEAT_ASSERT(!s->open || !w->ending.draining || s->granted <= s->received);
}

void leat_worker_check(const struct leat_worker *w)
{
    size_t in_places = 0;
    for (size_t i = 0; i < LEAT_WORKER_LIMBO; i++) {
        in_places += w->table.counts[i];
    }
    LEAT_ASSERT(in_places == leat_worker_table_held(&w->table));
    LEAT_ASSERT(check_list(&w->table.limbo, LEAT_WORKER_LIMBO) ==
                w->table.counts[LEAT_WORKER_LIMBO]);
    LEAT_ASSERT(leat_worker_active(w) <= w->slots + w->ahead.most);
    check_lanes(w);
    check_started(w);
    check_repeating(w);
    check_outbox(w);
    check_leases(w);
    check_session(w);
}
