#include "producer/submitter.h"

#include <assert.h>
#include <stdlib.h>

#include "core/job.h"

/* Batches sent and not yet acknowledged: enough to keep the wire and the disk busy at one time. */
#define IN_FLIGHT_MAX     8
#define REPEAT_GROWTH_MAX 8
_Static_assert(LEAT_PRODUCER_WINDOW_BYTES >= (IN_FLIGHT_MAX + 1) * LEAT_BATCH_FEW_BYTES,
               "the next batch can form while all others are in flight, but of a few larger jobs");

/* One job, with the texts and a body that was copied behind it in the same allocation. */
struct job {
    struct job *next;
    struct leat_item_submission submission;
    uint8_t *adopted; /* owned: a body that was not copied; else NULL */
};

struct jobs {
    struct job *first;
    struct job *last;
    size_t count;
    size_t bytes; /* of bodies */
};

struct batch {
    uint64_t number;
    struct jobs jobs;
    bool sent_before;
};

struct leat_submitter {
    struct leat_submitter_config config;
    struct leat_rng rng;
    struct leat_id_generator ids;
    struct leat_id producer;
    uint64_t next_number; /* of the next batch to be formed */

    struct jobs queue;
    struct batch in_flight[IN_FLIGHT_MAX]; /* oldest first */
    size_t in_flight_count;
    size_t unsent; /* how many batches at the end of in_flight are still to be sent (again) */

    int64_t
        repeat_at_us; /* silence until then: send again; LEAT_NEVER_US while nothing is in flight */
    int64_t repeat_after_us;
    bool is_held; /* a BUSY holds every send back until repeat_at_us */
    uint64_t
        resent_from; /* answered RESEND for this batch already; 0: none since the last progress */
    struct leat_wall wall; /* of the last event; only ids use it */

    struct leat_submitter_counts counts;
    struct leat_why last_error;
    leat_submitter_visit_fn *visit;
    void *visit_context;
};

struct leat_submitter_config leat_submitter_defaults(uint64_t seed)
{
    return (struct leat_submitter_config){
        .seed = seed,
        .window_jobs = LEAT_PRODUCER_WINDOW_JOBS,
        .window_bytes = LEAT_PRODUCER_WINDOW_BYTES,
        .batch_jobs = LEAT_BATCH_ITEMS_MAX,
        .repeat_us = LEAT_US_PER_S,
    };
}

static void take_new_producer_id(struct leat_submitter *s)
{
    s->producer = leat_id_next(&s->ids, s->wall);
    s->next_number = 1;
}

struct leat_submitter *leat_submitter_new(const struct leat_submitter_config *config)
{
    assert(config->window_jobs >= 1 && config->batch_jobs >= 1);
    assert(config->batch_jobs <= LEAT_BATCH_ITEMS_MAX && config->repeat_us > 0);
    struct leat_submitter *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->config = *config;
    leat_rng_init(&s->rng, config->seed);
    leat_id_generator_init(&s->ids, &s->rng);
    s->repeat_at_us = LEAT_NEVER_US;
    s->repeat_after_us = config->repeat_us;
    take_new_producer_id(s);
    return s;
}

static void append(struct jobs *jobs, struct job *job)
{
    job->next = NULL;
    if (jobs->last == NULL) {
        jobs->first = job;
    } else {
        jobs->last->next = job;
    }
    jobs->last = job;
    jobs->count++;
    jobs->bytes += job->submission.body.size;
}

static struct job *take_first(struct jobs *jobs)
{
    struct job *job = jobs->first;
    assert(job != NULL);
    jobs->first = job->next;
    if (jobs->first == NULL) {
        jobs->last = NULL;
    }
    jobs->count--;
    jobs->bytes -= job->submission.body.size;
    return job;
}

static void free_job(struct job *job)
{
    free(job->adopted);
    free(job);
}

static void free_jobs(struct jobs *jobs)
{
    while (jobs->first != NULL) {
        free_job(take_first(jobs));
    }
}

void leat_submitter_destroy(struct leat_submitter **submitter)
{
    if (submitter == NULL || *submitter == NULL) {
        return;
    }
    struct leat_submitter *s = *submitter;
    free_jobs(&s->queue);
    for (size_t i = 0; i < s->in_flight_count; i++) {
        free_jobs(&s->in_flight[i].jobs);
    }
    free(s);
    *submitter = NULL;
}

static size_t held_bytes(const struct leat_submitter *s)
{
    size_t bytes = s->queue.bytes;
    for (size_t i = 0; i < s->in_flight_count; i++) {
        bytes += s->in_flight[i].jobs.bytes;
    }
    return bytes;
}

size_t leat_submitter_pending(const struct leat_submitter *s)
{
    size_t jobs = s->queue.count;
    for (size_t i = 0; i < s->in_flight_count; i++) {
        jobs += s->in_flight[i].jobs.count;
    }
    return jobs;
}

static char *copy_text(char *to, struct leat_str *text)
{
    if (text->size > 0) {
        memcpy(to, text->data, text->size);
    }
    text->data = to;
    return to + text->size;
}

/* `adopted`: the body, which stays where it is; NULL: it is copied. */
static struct job *copy_job(const struct leat_item_submission *from, uint8_t *adopted)
{
    size_t copied = adopted == NULL ? from->body.size : 0;
    struct job *job = malloc(sizeof(*job) + from->queue.size + from->type.size + copied);
    if (job == NULL) {
        return NULL;
    }
    job->next = NULL;
    job->submission = *from;
    job->adopted = adopted;
    char *end = copy_text((char *)(job + 1), &job->submission.queue);
    end = copy_text(end, &job->submission.type);
    if (copied > 0) {
        memcpy(end, from->body.data, copied);
    }
    if (adopted == NULL) {
        job->submission.body.data = (const uint8_t *)end;
    }
    return job;
}

enum leat_err leat_submitter_offer(struct leat_submitter *s, const struct leat_item_submission *job,
                                   struct leat_now now, struct leat_id *ret_id)
{
    return leat_submitter_adopt(s, job, NULL, now, ret_id);
}

enum leat_err leat_submitter_adopt(struct leat_submitter *s, const struct leat_item_submission *job,
                                   uint8_t *body, struct leat_now now, struct leat_id *ret_id)
{
    assert(body == NULL || body == job->body.data);
    size_t jobs = leat_submitter_pending(s);
    if (jobs >= s->config.window_jobs ||
        (jobs > 0 && held_bytes(s) + job->body.size > s->config.window_bytes)) {
        return LEAT_ERR_BUSY;
    }
    struct job *copy = copy_job(job, body);
    if (copy == NULL) {
        return LEAT_ERR_MEMORY;
    }
    s->wall = now.wall;
    if (leat_id_is_zero(&copy->submission.id)) {
        copy->submission.id = leat_id_next(&s->ids, now.wall);
    }
    append(&s->queue, copy);
    *ret_id = copy->submission.id;
    return LEAT_OK;
}

/* ---- sending ---- */

static bool queue_fills_a_batch(const struct leat_submitter *s)
{
    return s->queue.count >= s->config.batch_jobs ||
           s->queue.bytes >= leat_batch_bytes(s->queue.count);
}

static bool may_form_a_batch(const struct leat_submitter *s)
{
    return s->in_flight_count < IN_FLIGHT_MAX && s->queue.count > 0 &&
           (s->in_flight_count == 0 || queue_fills_a_batch(s));
}

bool leat_submitter_has_to_send(const struct leat_submitter *s)
{
    return !s->is_held && (s->unsent > 0 || may_form_a_batch(s));
}

static void form_batches(struct leat_submitter *s)
{
    while (may_form_a_batch(s)) {
        struct batch *batch = &s->in_flight[s->in_flight_count++];
        *batch = (struct batch){.number = s->next_number++};
        do {
            append(&batch->jobs, take_first(&s->queue));
        } while (s->queue.count > 0 && batch->jobs.count < s->config.batch_jobs &&
                 batch->jobs.bytes + s->queue.first->submission.body.size <=
                     leat_batch_bytes(batch->jobs.count));
        s->unsent++;
    }
}

static bool send_batch(struct leat_submitter *s, struct batch *batch, struct leat_out *out)
{
    struct leat_item_submission *items =
        leat_arena_take_unset(&out->arena, batch->jobs.count * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    size_t count = 0;
    for (const struct job *job = batch->jobs.first; job != NULL; job = job->next) {
        items[count++] = job->submission;
    }
    struct leat_msg *msg =
        leat_out_send(out, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, LEAT_MSG_SUBMIT);
    msg->submit.producer = s->producer;
    msg->submit.batch = batch->number;
    msg->submit.jobs.items = items;
    msg->submit.jobs.count = count;
    s->counts.repeated += batch->sent_before;
    batch->sent_before = true;
    return true;
}

/* The delay grows with each silence and is spread, so that many producers do not come back in step.
 */
static void await_answer(struct leat_submitter *s, int64_t now_us)
{
    uint64_t half = (uint64_t)s->repeat_after_us / 2;
    int64_t delay = (int64_t)(half + leat_rng_below(&s->rng, half + 1));
    s->repeat_at_us = leat_add_us(now_us, delay);
}

static void send_what_is_due(struct leat_submitter *s, int64_t now_us, struct leat_out *out)
{
    if (s->is_held) {
        return;
    }
    form_batches(s);
    bool sent = false;
    while (s->unsent > 0 && send_batch(s, &s->in_flight[s->in_flight_count - s->unsent], out)) {
        s->unsent--;
        sent = true;
    }
    if (s->in_flight_count == 0) {
        s->repeat_at_us = LEAT_NEVER_US;
    } else if (sent || s->repeat_at_us == LEAT_NEVER_US) {
        await_answer(s, now_us);
    }
}

/* ---- answers ---- */

static void forget_at(struct leat_submitter *s, size_t index, bool accepted)
{
    struct batch *batch = &s->in_flight[index];
    while (batch->jobs.first != NULL) {
        struct job *job = take_first(&batch->jobs);
        *(accepted ? &s->counts.accepted : &s->counts.rejected) += 1;
        if (s->visit != NULL) {
            s->visit(&job->submission.id, accepted, s->visit_context);
        }
        free_job(job);
    }
    s->in_flight_count--;
    memmove(batch, batch + 1, (s->in_flight_count - index) * sizeof(*batch));
    if (s->unsent > s->in_flight_count) {
        s->unsent = s->in_flight_count;
    }
}

static void forget_up_to(struct leat_submitter *s, uint64_t number)
{
    while (s->in_flight_count > 0 && s->in_flight[0].number <= number) {
        forget_at(s, 0, true);
    }
}

static bool is_in_flight(const struct leat_submitter *s, uint64_t number)
{
    return s->in_flight_count > 0 && number >= s->in_flight[0].number &&
           number < s->in_flight[0].number + s->in_flight_count;
}

static void on_accepted(struct leat_submitter *s, const struct leat_msg_accepted *msg)
{
    if (!is_in_flight(s, msg->batch)) {
        return;
    }
    s->counts.known += msg->known;
    forget_up_to(s, msg->batch);
    s->repeat_after_us = s->config.repeat_us;
    s->repeat_at_us = LEAT_NEVER_US; /* set anew by send_what_is_due */
    s->is_held = false;
    s->resent_from = 0;
}

static void send_again_from(struct leat_submitter *s, uint64_t number)
{
    assert(is_in_flight(s, number));
    s->unsent = s->in_flight_count - (size_t)(number - s->in_flight[0].number);
}

static void on_busy(struct leat_submitter *s, const struct leat_msg_busy *msg, int64_t now_us,
                    struct leat_out *out)
{
    if (!is_in_flight(s, msg->batch)) {
        return;
    }
    s->counts.busy++;
    send_again_from(s, msg->batch);
    int64_t hint_ms = msg->retry_after_ms > 60000 ? 60000 : (int64_t)msg->retry_after_ms;
    uint64_t spread = (uint64_t)(hint_ms * LEAT_US_PER_MS / 4);
    s->is_held = true;
    s->repeat_at_us = leat_add_us(now_us, hint_ms * LEAT_US_PER_MS +
                                              (int64_t)leat_rng_below(&s->rng, spread + 1));
    leat_out_note(out, LEAT_NOTE_PRODUCER_BUSY, &s->producer, msg->reason,
                  (int64_t)msg->retry_after_ms);
}

static void number_anew(struct leat_submitter *s, struct leat_out *out)
{
    take_new_producer_id(s);
    for (size_t i = 0; i < s->in_flight_count; i++) {
        s->in_flight[i].number = s->next_number++;
    }
    s->unsent = s->in_flight_count;
    s->is_held = false;
    s->resent_from = 0;
    leat_out_note(out, LEAT_NOTE_PRODUCER_RENEWED, &s->producer, leat_str_of(""), 0);
}

static void remember_error(struct leat_submitter *s, struct leat_str text)
{
    leat_fail(&s->last_error, LEAT_ERR_REFUSED, "%.*s", LEAT_STR_ARGS(text));
}

/* The batches before a rejected one were accepted, since batches are taken in order. The number of
 * the rejected one is free again, and an old copy of a later batch may still be on its way: only a
 * new id keeps that copy from being taken for one of ours. */
static void on_rejected(struct leat_submitter *s, const struct leat_msg_rejected *msg,
                        struct leat_out *out)
{
    if (!is_in_flight(s, msg->batch)) {
        return;
    }
    remember_error(s, msg->text);
    if (msg->code == LEAT_ERR_FORBIDDEN) {
        /* Refused before its number was looked at: nothing follows for the batches before it. */
        forget_at(s, (size_t)(msg->batch - s->in_flight[0].number), false);
    } else {
        forget_up_to(s, msg->batch - 1);
        forget_at(s, 0, false);
    }
    number_anew(s, out);
}

static void on_resend(struct leat_submitter *s, const struct leat_msg_resend *msg,
                      struct leat_out *out)
{
    if (s->in_flight_count == 0) {
        return;
    }
    if (is_in_flight(s, msg->batch)) {
        /* What comes before the expected batch is on disk: only its ACCEPTED was lost. Each batch
         * behind a lost one brings a RESEND; answering the first is enough, else repeats multiply.
         */
        if (s->in_flight[0].number < msg->batch) {
            forget_up_to(s, msg->batch - 1);
            s->repeat_after_us = s->config.repeat_us;
        }
        if (s->resent_from != msg->batch) {
            send_again_from(s, msg->batch);
            s->resent_from = msg->batch;
        }
        return;
    }
    /* It has forgotten us, or was restored from a copy that is older than its last ACCEPTED. A
     * number that has been acknowledged may also be of an answer that comes late; so it counts only
     * when there was silence since the last progress. */
    bool was_silent = s->repeat_after_us > s->config.repeat_us;
    if (msg->batch == 1 || (was_silent && msg->batch < s->in_flight[0].number)) {
        number_anew(s, out);
    }
}

static void on_message(struct leat_submitter *s, const struct leat_event *event,
                       struct leat_out *out)
{
    const struct leat_msg *msg = event->msg;
    if (msg->type == LEAT_MSG_ACCEPTED && leat_id_equal(&msg->accepted.producer, &s->producer)) {
        on_accepted(s, &msg->accepted);
    } else if (msg->type == LEAT_MSG_BUSY && leat_id_equal(&msg->busy.sender, &s->producer)) {
        on_busy(s, &msg->busy, event->now.mono_us, out);
    } else if (msg->type == LEAT_MSG_REJECTED &&
               leat_id_equal(&msg->rejected.producer, &s->producer)) {
        on_rejected(s, &msg->rejected, out);
    } else if (msg->type == LEAT_MSG_RESEND && leat_id_equal(&msg->resend.producer, &s->producer)) {
        on_resend(s, &msg->resend, out);
    } else if (msg->type == LEAT_MSG_ERROR) {
        s->counts.errors++;
        remember_error(s, msg->error.text);
    }
}

static void on_silence(struct leat_submitter *s)
{
    s->unsent = s->in_flight_count;
    s->is_held = false;
    s->resent_from = 0;
    if (s->repeat_after_us < s->config.repeat_us * REPEAT_GROWTH_MAX) {
        s->repeat_after_us *= 2;
    }
}

void leat_submitter_step(struct leat_submitter *s, const struct leat_event *event,
                         struct leat_out *out)
{
    s->wall = event->now.wall;
    if (event->kind == LEAT_EVENT_MESSAGE && event->link == LEAT_LINK_VENTILATOR) {
        on_message(s, event, out);
    }
    if (event->now.mono_us >= s->repeat_at_us) {
        on_silence(s);
    }
    send_what_is_due(s, event->now.mono_us, out);
}

int64_t leat_submitter_deadline_us(const struct leat_submitter *s)
{
    return s->repeat_at_us;
}

struct leat_submitter_counts leat_submitter_counts(const struct leat_submitter *s)
{
    return s->counts;
}

const char *leat_submitter_last_error(const struct leat_submitter *s)
{
    return s->last_error.text;
}

void leat_submitter_observe(struct leat_submitter *s, leat_submitter_visit_fn *visit, void *context)
{
    s->visit = visit;
    s->visit_context = context;
}

void leat_submitter_check(const struct leat_submitter *s)
{
    assert(s->in_flight_count <= IN_FLIGHT_MAX);
    assert(s->unsent <= s->in_flight_count);
    for (size_t i = 0; i < s->in_flight_count; i++) {
        const struct batch *batch = &s->in_flight[i];
        assert(batch->number == s->in_flight[0].number + i);
        assert(batch->jobs.count >= 1 && batch->jobs.count <= s->config.batch_jobs);
    }
    if (s->in_flight_count > 0) {
        assert(s->in_flight[s->in_flight_count - 1].number + 1 == s->next_number);
    }
    assert(leat_submitter_pending(s) <= s->config.window_jobs);
}
