/* Results on their way to the sink. A batch is made of what is there when the one before has left;
 * it is sent again, unchanged and under its number, until STORED names it. */
#include "worker/inside.h"

/* Of a result's numbers and ids in a message. */
#define RESULT_BYTES 96

/* Cache lines of a job that its leaving looks at. */
#define FETCH_STORED 2
/* And that its result is made of, with a small output. */
#define FETCH_SENT 7

void leat_worker_outbox_init(struct leat_worker_outbox *outbox)
{
    *outbox = (struct leat_worker_outbox){0};
    leat_list_init(&outbox->waiting);
    for (size_t i = 0; i < LEAT_OUTBOX_BATCHES; i++) {
        leat_list_init(&outbox->batches[i].results);
    }
}

void leat_worker_outbox_add(struct leat_worker *w, struct leat_worker_job *job)
{
    leat_worker_job_move(&w->table, job, LEAT_WORKER_FINISHED);
    leat_list_push_back(&w->outbox.waiting, &job->link);
    leat_worker_trail_add(&w->finished_trail, job);
    job->counted_bytes = leat_worker_job_bytes(job);
    w->outbox.bytes += job->counted_bytes;
}

static struct leat_worker_batch *find_batch(struct leat_worker_outbox *outbox, uint64_t number)
{
    for (size_t i = 0; i < LEAT_OUTBOX_BATCHES; i++) {
        if (number != 0 && outbox->batches[i].number == number) {
            return &outbox->batches[i];
        }
    }
    return NULL;
}

void leat_worker_outbox_stored(struct leat_worker *w, uint64_t number)
{
    struct leat_worker_batch *batch = find_batch(&w->outbox, number);
    if (batch == NULL) {
        return;
    }
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_first(&batch->results))) != NULL) {
        leat_worker_job_fetch_later(job, FETCH_STORED);
        leat_list_remove(&batch->results, &job->link);
        w->outbox.bytes -= job->counted_bytes;
        leat_worker_job_drop(&w->table, job);
    }
    batch->number = 0;
    w->outbox.hold_us = 0;
}

/* Whether sending the same again can help. */
static bool is_for_good(uint64_t code)
{
    return code == LEAT_ERR_INVALID || code == LEAT_ERR_LIMIT || code == LEAT_ERR_MALFORMED ||
           code == LEAT_ERR_FORBIDDEN;
}

void leat_worker_outbox_refused(struct leat_worker *w, const struct leat_msg_error *error,
                                struct leat_out *out)
{
    struct leat_worker_outbox *outbox = &w->outbox;
    struct leat_worker_batch *batch = find_batch(outbox, error->ref);
    if (batch == NULL || !is_for_good(error->code)) {
        return;
    }
    size_t count = batch->results.count;
    struct leat_list_node *node;
    while (count > 1 && (node = leat_list_last(&batch->results)) != NULL) {
        leat_list_remove(&batch->results, node);
        leat_list_push_front(&outbox->waiting, node);
        outbox->apart++;
    }
    if (count == 1) {
        struct leat_worker_job *job = leat_worker_job_of(leat_list_pop_front(&batch->results));
        leat_out_note(out, LEAT_NOTE_RESULT_REFUSED, &job->id, error->text, (int64_t)error->code);
        outbox->bytes -= job->counted_bytes;
        leat_worker_job_drop(&w->table, job);
    }
    batch->number = 0;
}

void leat_worker_outbox_busy(struct leat_worker *w, uint64_t number, uint64_t retry_after_ms,
                             int64_t now_us)
{
    struct leat_worker_batch *batch = find_batch(&w->outbox, number);
    if (batch == NULL) {
        return;
    }
    int64_t wait_ms =
        retry_after_ms < LEAT_RESEND_MS_MAX ? (int64_t)retry_after_ms : LEAT_RESEND_MS_MAX;
    batch->again_us = now_us + (wait_ms > 0 ? wait_ms : 1) * LEAT_US_PER_MS;
    w->outbox.hold_us = batch->again_us;
}

static void write_result(const struct leat_worker *w, const struct leat_worker_job *job,
                         struct leat_item_result *result)
{
    const struct leat_worker_outcome *outcome = &job->outcome;
    result->id = job->id;
    result->queue = job->queue;
    result->type = job->type;
    result->status = outcome->status;
    result->failure = outcome->failure;
    result->code = outcome->code;
    result->attempts = outcome->attempts;
    result->delivery = job->delivery;
    result->error = (struct leat_str){job->error, job->error_size};
    result->output = leat_bytes_of(job->output, job->output_size);
    result->truncated = outcome->truncated;
    result->accepted_us = job->accepted_us;
    result->finished_us = outcome->finished_us;
    result->wait_us = outcome->wait_us;
    result->run_us = outcome->run_us;
    result->worker = w->name;
    result->headers.items = job->body.headers.items;
    result->headers.count = job->body.headers.count;
    result->body = outcome->status == LEAT_STATE_SUCCEEDED
                       ? (struct leat_bytes){0}
                       : leat_bytes_of(job->bytes, job->bytes_size);
}

static void send_batch(struct leat_worker *w, struct leat_worker_batch *batch, int64_t now_us,
                       struct leat_out *out)
{
    size_t count = batch->results.count;
    struct leat_item_result *items =
        leat_worker_must(leat_arena_take_unset(&out->arena, count * sizeof(*items)));
    struct leat_list_node *node = leat_list_first(&batch->results);
    for (size_t i = 0; i < count; i++) {
        write_result(w, leat_worker_job_of(node), &items[i]);
        node = leat_list_next(&batch->results, node);
    }
    struct leat_msg_results *results =
        &leat_out_send(out, LEAT_LINK_SINK, (struct leat_peer){0}, LEAT_MSG_RESULTS)->results;
    results->sender = w->session_id;
    results->batch = batch->number;
    results->results.items = items;
    results->results.count = count;
    batch->again_us = now_us + batch->wait_us;
    batch->wait_us = leat_min_us(2 * batch->wait_us, LEAT_RESEND_MS_MAX * LEAT_US_PER_MS);
}

/* About what the result takes in a message. */
static size_t message_bytes(const struct leat_worker *w, const struct leat_worker_job *job)
{
    return RESULT_BYTES + w->name.size + job->queue.size + job->type.size + job->error_size +
           job->output_size + job->bytes_size;
}

/* Fills the batch from what waits: up to leat_batch_bytes(), but at least one result. */
static void fill_batch(struct leat_worker *w, struct leat_worker_batch *batch)
{
    struct leat_worker_outbox *outbox = &w->outbox;
    batch->number = ++outbox->last_number;
    batch->wait_us = LEAT_RESEND_MS * LEAT_US_PER_MS;
    size_t bytes = 0;
    const size_t most = outbox->apart > 0 ? 1 : LEAT_BATCH_ITEMS_MAX;
    outbox->apart -= outbox->apart > 0 ? 1 : 0;
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_first(&outbox->waiting))) != NULL &&
           batch->results.count < most) {
        leat_worker_job_fetch_later(job, FETCH_SENT);
        bytes += message_bytes(w, job);
        if (batch->results.count > 0 && bytes > leat_batch_bytes(batch->results.count)) {
            return;
        }
        leat_list_remove(&outbox->waiting, &job->link);
        leat_list_push_back(&batch->results, &job->link);
    }
}

void leat_worker_outbox_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    struct leat_worker_outbox *outbox = &w->outbox;
    for (size_t i = 0; i < LEAT_OUTBOX_BATCHES; i++) {
        struct leat_worker_batch *batch = &outbox->batches[i];
        if (batch->number != 0 && now_us >= batch->again_us) {
            send_batch(w, batch, now_us, out);
        } else if (batch->number == 0 && !leat_list_is_empty(&outbox->waiting) &&
                   now_us >= outbox->hold_us) {
            fill_batch(w, batch);
            send_batch(w, batch, now_us, out);
        }
    }
}

int64_t leat_worker_outbox_deadline_us(const struct leat_worker *w)
{
    const struct leat_worker_outbox *outbox = &w->outbox;
    int64_t deadline_us = LEAT_NEVER_US;
    for (size_t i = 0; i < LEAT_OUTBOX_BATCHES; i++) {
        const struct leat_worker_batch *batch = &outbox->batches[i];
        if (batch->number != 0) {
            deadline_us = leat_min_us(deadline_us, batch->again_us);
        } else if (!leat_list_is_empty(&outbox->waiting)) {
            deadline_us = leat_min_us(deadline_us, outbox->hold_us);
        }
    }
    return deadline_us;
}

/* Full: no result more would fit beside those of the jobs that are held, and that is because of
 * what the sink has not taken. Open again when a quarter is left, so that it does not flutter. */
void leat_worker_outbox_judge(struct leat_worker *w, struct leat_out *out)
{
    struct leat_worker_outbox *outbox = &w->outbox;
    size_t results = leat_worker_unstored(w);
    if (!outbox->full) {
        size_t many = w->results_max / 2 > 0 ? w->results_max / 2 : 1;
        outbox->full = outbox->bytes >= w->bytes_max ||
                       (results >= many && results + leat_worker_active(w) >= w->results_max);
        if (outbox->full) {
            leat_out_note(out, LEAT_NOTE_OUTBOX_FULL, NULL, leat_str_of(""), (int64_t)results);
        }
    } else if (outbox->bytes <= w->bytes_max / 4 && results <= w->results_max / 4) {
        outbox->full = false;
        leat_out_note(out, LEAT_NOTE_OUTBOX_OPEN, NULL, leat_str_of(""), (int64_t)results);
    }
}
