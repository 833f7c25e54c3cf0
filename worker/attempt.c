/* Attempts: which job starts next, and what becomes of it: a result, another attempt, or back to
 * the ventilator. */
#include "worker/inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/backoff.h"

#define PREFIX_BYTES 64

/* Cache lines of a job that starts: all that its body says, and a small payload. */
#define FETCH_STARTED 9

void leat_worker_unqueue(struct leat_worker *w, struct leat_worker_job *job)
{
    LEAT_ASSERT(job->place == LEAT_WORKER_QUEUED);
    leat_list_remove(&w->lanes[job->lane].queue, &job->link);
}

void leat_worker_unstart(struct leat_worker *w, struct leat_worker_job *job)
{
    LEAT_ASSERT(job->place == LEAT_WORKER_STARTED);
    leat_list_remove(&w->started, &job->link);
    w->started_by_kind[w->lanes[job->lane].kind]--;
    w->started_bytes -= job->bytes_size;
}

void leat_worker_give_back(struct leat_worker *w, struct leat_worker_job *job)
{
    if (job->refused) {
        leat_worker_job_drop(&w->table, job);
        return;
    }
    leat_worker_job_move(&w->table, job, LEAT_WORKER_RETURNING);
    leat_list_push_back(&w->returning, &job->link);
}

/* ---- ends ---- */

/* "failed after 3 attempts: timeout after 2 s", within LEAT_ERROR_BYTES_MAX and cut between
 * characters. Malloced. */
static char *final_text(uint64_t attempts, struct leat_str text, size_t *ret_size)
{
    char prefix[PREFIX_BYTES];
    int written = snprintf(prefix, sizeof(prefix),
                           "failed after %llu attempt%s: ", (unsigned long long)attempts,
                           attempts == 1 ? "" : "s");
    LEAT_ASSERT(written > 0 && (size_t)written < sizeof(prefix));
    size_t prefix_size = (size_t)written;
    size_t size = text.size;
    if (size > LEAT_ERROR_BYTES_MAX - prefix_size) {
        size = LEAT_ERROR_BYTES_MAX - prefix_size;
        while (size > 0 && ((uint8_t)text.data[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    char *whole = leat_worker_must(malloc(prefix_size + size));
    memcpy(whole, prefix, prefix_size);
    if (size > 0) {
        memcpy(whole + prefix_size, text.data, size);
    }
    *ret_size = prefix_size + size;
    return whole;
}

void leat_worker_finish(struct leat_worker *w, struct leat_worker_job *job, char *error,
                        size_t error_size)
{
    leat_worker_job_keep_error(job, error, error_size);
    if (job->outcome.status == LEAT_STATE_SUCCEEDED) {
        w->totals.succeeded++;
    } else if (job->outcome.status == LEAT_STATE_EXPIRED) {
        w->totals.expired++;
    } else {
        w->totals.failed++;
    }
    leat_worker_outbox_add(w, job);
}

static void repeat(struct leat_worker *w, struct leat_worker_job *job, int64_t now_us)
{
    uint64_t delay_ms = leat_backoff_delay_ms(
        &(struct leat_backoff){
            .base_ms = job->body.backoff_base_ms,
            .factor_milli = job->body.backoff_factor_milli,
            .cap_ms = job->body.backoff_cap_ms,
            .jitter = job->body.backoff_jitter,
        },
        job->attempt, &w->rng);
    job->due_us = leat_add_us(now_us, (int64_t)delay_ms * LEAT_US_PER_MS);
    leat_worker_job_move(&w->table, job, LEAT_WORKER_REPEATING);
    leat_list_push_back(&w->repeat_new, &job->link);
    w->totals.repeated++;
}

void leat_worker_attempt_failed(struct leat_worker *w, struct leat_worker_job *job, bool permanent,
                                struct leat_str text, struct leat_now now, struct leat_out *out)
{
    struct leat_worker_outcome *outcome = &job->outcome;
    struct leat_str kind = leat_str_of(leat_failure_name(outcome->failure));
    if (!permanent && job->attempt < job->body.attempts_max) {
        leat_out_note(out, LEAT_NOTE_ATTEMPT_FAILED, &job->id, kind, (int64_t)job->attempt);
        repeat(w, job, now.mono_us);
        return;
    }
    leat_out_note(out, LEAT_NOTE_JOB_FAILED, &job->id, kind, (int64_t)job->attempt);
    outcome->status = LEAT_STATE_FAILED;
    outcome->finished_us = now.wall.us;
    size_t size = 0;
    char *error = final_text(outcome->attempts, text.size > 0 ? text : kind, &size);
    leat_worker_finish(w, job, error, size);
}

static uint64_t since_ready_us(const struct leat_worker_job *job, int64_t begun_us)
{
    return begun_us > job->ready_us && job->ready_us > 0 ? (uint64_t)(begun_us - job->ready_us) : 0;
}

static void expire(struct leat_worker *w, struct leat_worker_job *job, struct leat_now now,
                   struct leat_out *out)
{
    struct leat_str queue = job->queue;
    leat_out_note(out, LEAT_NOTE_JOB_EXPIRED, &job->id, queue, 0);
    static const char text[] = "expired before its next attempt could start";
    char *error = leat_worker_must(malloc(sizeof(text)));
    memcpy(error, text, sizeof(text));
    job->outcome = (struct leat_worker_outcome){
        .status = LEAT_STATE_EXPIRED,
        .failure = LEAT_FAILURE_EXPIRED,
        .attempts = job->attempt > 0 ? job->attempt - 1 : 0,
        .finished_us = now.wall.us,
        .wait_us = since_ready_us(job, now.wall.us),
    };
    leat_worker_finish(w, job, error, sizeof(text) - 1);
}

/* A number from the wire that means nothing counts as an error of the handler. */
static enum leat_failure failure_of(uint64_t number)
{
    if (number == LEAT_FAILURE_NONE) {
        return LEAT_FAILURE_NONE;
    }
    return strcmp(leat_failure_name(number), "unknown") == 0 ? LEAT_FAILURE_HANDLER
                                                             : (enum leat_failure)number;
}

/* Field by field: nearly every job comes by here, and a copy of the whole would wait for them. */
static void take_outcome(struct leat_worker_job *job, const struct leat_item_outcome *ran)
{
    int64_t queued_us = ran->queued_us > INT32_MAX ? INT32_MAX : (int64_t)ran->queued_us;
    struct leat_worker_outcome *outcome = &job->outcome;
    outcome->failure = failure_of(ran->failure);
    outcome->code = ran->code;
    outcome->attempts = job->attempt;
    outcome->truncated = ran->truncated;
    outcome->wait_us = since_ready_us(job, job->begun.us + queued_us);
    outcome->run_us = ran->run_us;
}

void leat_worker_ran(struct leat_worker *w, const struct leat_item_outcome *ran, uint32_t hash,
                     struct leat_now now, struct leat_out *out)
{
    struct leat_worker_job *job =
        leat_worker_job_find_hashed(&w->table, hash, &ran->id, ran->delivery);
    if (job == NULL || job->place != LEAT_WORKER_STARTED) {
        return;
    }
    leat_worker_unstart(w, job);
    w->ahead.ended++;
    w->ahead.ended_commands += w->lanes[job->lane].kind == LEAT_WORKER_EXEC;
    take_outcome(job, ran);
    const enum leat_failure failure = job->outcome.failure;
    if (failure == LEAT_FAILURE_NONE) { /* a refused lease too: the first result wins at the sink */
        /* The payload is needed no more. Headers, which go into the result, lie in the same bytes.
         * A RUN that has not left yet may borrow them, but then the job could not have ended. */
        if (job->body.headers.count == 0) {
            leat_worker_job_forget_body(job);
        }
        leat_worker_job_keep_output(job, ran->output);
        job->outcome.status = LEAT_STATE_SUCCEEDED;
        job->outcome.finished_us = now.wall.us;
        leat_worker_finish(w, job, NULL, 0);
    } else if (job->refused ||
               (failure == LEAT_FAILURE_KILLED && (job->killed || w->ending.kill_all))) {
        leat_worker_give_back(w, job);
    } else if (failure == LEAT_FAILURE_EXPIRED) { /* it waited with the spawner */
        expire(w, job, now, out);
    } else {
        bool permanent = ran->permanent || !leat_failure_is_retried(failure);
        if (permanent || job->attempt >= job->body.attempts_max) {
            leat_worker_job_keep_output(job, ran->output);
        }
        leat_worker_attempt_failed(w, job, permanent, ran->error, now, out);
    }
}

/* ---- beginnings ---- */

/* A token is taken when RUN leaves, so RUN must mean a start: nothing is sent ahead. */
static bool is_limited(const struct leat_worker *w, const struct leat_worker_lane *lane)
{
    return w->limiter.is_set || lane->limiter.is_set;
}

static bool has_bytes(const struct leat_worker *w, const struct leat_worker_job *job)
{
    return w->started.count == 0 ||
           w->started_bytes + job->bytes_size <= (size_t)LEAT_STARTED_BYTES_MAX;
}

static bool has_place(const struct leat_worker *w, const struct leat_worker_lane *lane)
{
    if (is_limited(w, lane)) {
        return w->started.count < w->slots;
    }
    const size_t most = lane->kind == LEAT_WORKER_PLUGIN ? w->slots * LEAT_PIPELINE_JOBS
                                                         : w->slots + w->ahead.commands;
    return w->started_by_kind[lane->kind] < most;
}

/* The job that came first among those that may start now. Where one waits for nothing but bytes, or
 * one of a type with a rate for nothing but a slot, what came later is not sent ahead: else there
 * might never be enough of them free. */
static struct leat_worker_job *next_to_start(struct leat_worker *w, int64_t now_us)
{
    struct leat_worker_job *first = NULL;
    uint64_t next_to_fit = UINT64_MAX;
    for (size_t i = 0; i < w->lane_count; i++) {
        struct leat_worker_lane *lane = &w->lanes[i];
        struct leat_worker_job *job = leat_worker_job_of(leat_list_first(&lane->queue));
        bool has_room = job != NULL && has_place(w, lane);
        if (job == NULL || (!has_room && !is_limited(w, lane)) ||
            (first != NULL && first->sequence < job->sequence)) {
            continue;
        }
        if (leat_worker_limiter_tokens(&lane->limiter, now_us) == 0) {
            w->token_us =
                leat_min_us(w->token_us, leat_worker_limiter_next_us(&lane->limiter, now_us));
            continue;
        }
        if (has_room && has_bytes(w, job)) {
            first = job;
        } else if (job->sequence < next_to_fit) {
            next_to_fit = job->sequence;
        }
    }
    if (first != NULL && next_to_fit < first->sequence) {
        return NULL;
    }
    if (first != NULL && leat_worker_limiter_tokens(&w->limiter, now_us) == 0) {
        w->token_us = leat_min_us(w->token_us, leat_worker_limiter_next_us(&w->limiter, now_us));
        return NULL;
    }
    return first;
}

static struct leat_item_attempt attempt_of(const struct leat_worker_job *job)
{
    struct leat_item_attempt attempt = {
        .id = job->id,
        .delivery = job->delivery,
        .attempt = job->attempt,
        .queue = job->queue,
        .type = job->type,
        .timeout_ms = job->body.timeout_ms,
        .payload = job->body.payload,
        .expires_at_ms = job->expires_at_ms,
    };
    attempt.headers.items = job->body.headers.items;
    attempt.headers.count = job->body.headers.count;
    return attempt;
}

/* RUN for the last `count` of the started jobs, in as few messages as their bytes allow. */
static void say_runs(const struct leat_worker *w, size_t count, struct leat_out *out)
{
    struct leat_item_attempt *items =
        leat_worker_must(leat_arena_take_unset(&out->arena, count * sizeof(*items)));
    const struct leat_list_node *node = &w->started.ring;
    for (size_t i = count; i > 0; i--) {
        node = node->prev;
    }
    struct leat_msg_run *run = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++, node = node->next) {
        const struct leat_worker_job *job = LEAT_CONTAINER_OF(node, struct leat_worker_job, link);
        if (run == NULL || run->attempts.count == LEAT_BATCH_ITEMS_MAX ||
            bytes + job->bytes_size > leat_batch_bytes(run->attempts.count)) {
            run = &leat_out_send(out, LEAT_LINK_SPAWNER, (struct leat_peer){0}, LEAT_MSG_RUN)->run;
            run->attempts.items = &items[i];
            bytes = 0;
        }
        items[i] = attempt_of(job);
        run->attempts.count++;
        bytes += job->bytes_size;
    }
}

void leat_worker_start_jobs(struct leat_worker *w, struct leat_now now, struct leat_out *out)
{
    struct leat_worker_job *job;
    size_t count = 0;
    while (!w->outbox.full && (job = next_to_start(w, now.mono_us)) != NULL) {
        struct leat_worker_lane *lane = &w->lanes[job->lane];
        leat_worker_job_fetch_later(job, FETCH_STARTED);
        leat_worker_unqueue(w, job);
        if (job->expires_at_ms != 0 && now.wall.us / LEAT_US_PER_MS >= job->expires_at_ms) {
            expire(w, job, now, out);
            continue;
        }
        bool taken = leat_worker_limiter_take(&w->limiter, now.mono_us) &&
                     leat_worker_limiter_take(&lane->limiter, now.mono_us);
        LEAT_ASSERT(taken);
        LEAT_ASSERT(!is_limited(w, lane) || w->started.count < w->slots);
        job->begun = now.wall;
        leat_worker_job_move(&w->table, job, LEAT_WORKER_STARTED);
        leat_list_push_back(&w->started, &job->link);
        w->started_by_kind[lane->kind]++;
        w->started_bytes += job->bytes_size;
        w->totals.attempts_started++;
        count++;
    }
    if (count > 0) {
        say_runs(w, count, out);
    }
}

/* ---- back to the ventilator ---- */

void leat_worker_say_repeats(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    while (!leat_list_is_empty(&w->repeat_new)) {
        size_t count = w->repeat_new.count;
        if (count > LEAT_BATCH_ITEMS_MAX) {
            count = LEAT_BATCH_ITEMS_MAX;
        }
        struct leat_item_repeat *items =
            leat_worker_must(leat_arena_take(&out->arena, count * sizeof(*items)));
        for (size_t i = 0; i < count; i++) {
            struct leat_worker_job *job = leat_worker_job_of(leat_list_pop_front(&w->repeat_new));
            leat_list_push_back(&w->repeat_said, &job->link);
            job->pings_before = w->session.pings;
            int64_t left_us = job->due_us - now_us;
            items[i] = (struct leat_item_repeat){
                job->id, job->delivery, job->attempt,
                left_us > 0 ? (uint64_t)((left_us + LEAT_US_PER_MS - 1) / LEAT_US_PER_MS) : 0};
        }
        struct leat_msg_retry *retry = &leat_worker_to_ventilator(out, LEAT_MSG_RETRY)->retry;
        retry->round = w->session.round;
        retry->number = leat_worker_next_number(w);
        retry->jobs.items = items;
        retry->jobs.count = count;
    }
}

/* A RETURN needs no confirmation: when it is lost the gap brings a new HELLO, and not being named
 * there gives the lease back as well. */
void leat_worker_say_returns(struct leat_worker *w, struct leat_out *out)
{
    while (!leat_list_is_empty(&w->returning)) {
        size_t count = w->returning.count;
        if (count > LEAT_BATCH_ITEMS_MAX) {
            count = LEAT_BATCH_ITEMS_MAX;
        }
        struct leat_item_lease *items =
            leat_worker_must(leat_arena_take(&out->arena, count * sizeof(*items)));
        for (size_t i = 0; i < count; i++) {
            struct leat_worker_job *job = leat_worker_job_of(leat_list_pop_front(&w->returning));
            items[i] = (struct leat_item_lease){job->id, job->delivery};
            leat_worker_job_drop(&w->table, job);
        }
        struct leat_msg_handback *back = &leat_worker_to_ventilator(out, LEAT_MSG_RETURN)->handback;
        back->round = w->session.round;
        back->number = leat_worker_next_number(w);
        back->jobs.items = items;
        back->jobs.count = count;
    }
}
