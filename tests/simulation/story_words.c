/* Messages and notes in words, for stories. */
#include "tests/simulation/story.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/job.h"

#define WORDS 1024

struct words {
    char *to;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(words->to + words->size, WORDS - words->size, format, args);
    va_end(args);
    if (size > 0 && words->size + (size_t)size < WORDS) {
        words->size += (size_t)size;
    }
}

const char *story_name(const struct story *story, const struct sim_node *node)
{
    static const char *const workers[STORY_WORKERS_MAX] = {"worker a", "worker b", "worker c"};
    for (int i = 0; i < story->worker_count; i++) {
        if (story->workers[i] == node) {
            return workers[i];
        }
    }
    return node->role->name;
}

static unsigned long long number(uint64_t value)
{
    return value;
}

static void add_job(struct words *words, size_t place, const struct leat_id *id)
{
    add(words, "%sj%zu", place > 0 ? ", " : " ", sim_job_index(id) + 1);
}

static void add_leases(struct words *words, const char *what, const struct leat_item_lease *leases,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(words, "%s", i == 0 ? what : "");
        add_job(words, i, &leases[i].id);
        add(words, "/%llu", number(leases[i].delivery));
    }
}

static void add_results(struct words *words, const struct leat_msg_results *results)
{
    add(words, "RESULTS batch %llu:", number(results->batch));
    for (size_t i = 0; i < results->results.count; i++) {
        const struct leat_item_result *result = &results->results.items[i];
        add_job(words, i, &result->id);
        add(words, " %s", leat_state_name(result->status));
        if (result->failure != LEAT_FAILURE_NONE && result->status == LEAT_STATE_FAILED) {
            add(words, " (%s)", leat_failure_name(result->failure));
        }
    }
}

static void add_jobs(struct words *words, const struct leat_msg_jobs *jobs)
{
    add(words, "JOBS");
    for (size_t i = 0; i < jobs->jobs.count; i++) {
        const struct leat_item_delivery *item = &jobs->jobs.items[i];
        add_job(words, i, &item->id);
        add(words, "/%llu attempt %llu", number(item->delivery), number(item->attempt));
    }
}

static void of_producer(struct words *words, const struct leat_msg *msg)
{
    if (msg->type == LEAT_MSG_SUBMIT) {
        add(words, "SUBMIT batch %llu:", number(msg->submit.batch));
        for (size_t i = 0; i < msg->submit.jobs.count; i++) {
            add_job(words, i, &msg->submit.jobs.items[i].id);
            add(words, " (%.*s)", LEAT_STR_ARGS(msg->submit.jobs.items[i].type));
        }
    } else if (msg->type == LEAT_MSG_ACCEPTED) {
        add(words, "ACCEPTED batch %llu", number(msg->accepted.batch));
        if (msg->accepted.known > 0) {
            add(words, ", %llu known before", number(msg->accepted.known));
        }
    } else if (msg->type == LEAT_MSG_RESEND) {
        add(words, "RESEND from batch %llu on", number(msg->resend.batch));
    } else {
        add(words, "BUSY batch %llu, again in %llu ms: %.*s", number(msg->busy.batch),
            number(msg->busy.retry_after_ms), LEAT_STR_ARGS(msg->busy.reason));
    }
}

static void of_session(struct story *story, struct words *words, const struct leat_msg *msg)
{
    switch ((int)msg->type) {
    case LEAT_MSG_HELLO:
        add(words, "HELLO round %llu", number(msg->hello.round));
        add_leases(words, ", I hold", msg->hello.leases.items, msg->hello.leases.count);
        return;
    case LEAT_MSG_WELCOME:
        add(words, "WELCOME round %llu", number(msg->welcome.round));
        add_leases(words, ", no longer yours:", msg->welcome.refused.items,
                   msg->welcome.refused.count);
        return;
    case LEAT_MSG_CREDIT:
        if (story->shows_credit) {
            add(words, "CREDIT for %llu jobs in all", number(msg->credit.total));
        }
        return;
    case LEAT_MSG_RETRY:
        add(words, "RETRY");
        for (size_t i = 0; i < msg->retry.jobs.count; i++) {
            const struct leat_item_repeat *item = &msg->retry.jobs.items[i];
            add_job(words, i, &item->id);
            add(words, "/%llu in %llu ms, attempt %llu failed", number(item->delivery),
                number(item->delay_ms), number(item->attempt));
        }
        return;
    case LEAT_MSG_RETURN:
        add_leases(words, "RETURN", msg->handback.jobs.items, msg->handback.jobs.count);
        return;
    case LEAT_MSG_GOODBYE:
        add(words, "GOODBYE: %.*s", LEAT_STR_ARGS(msg->goodbye.reason));
        return;
    default:
        add(words, "DRAIN");
    }
}

static void of_stream(struct story *story, struct words *words, const struct leat_msg *msg)
{
    if (msg->type == LEAT_MSG_FOLLOW && msg->follow.settled != story->followed) {
        story->followed = msg->follow.settled;
        add(words, "FOLLOW, %llu is on my disk", number(msg->follow.settled));
    } else if (msg->type == LEAT_MSG_SETTLED && msg->settled.jobs.count > 0) {
        add(words, "SETTLED from %llu on:", number(msg->settled.first));
        for (size_t i = 0; i < msg->settled.jobs.count; i++) {
            add_job(words, i, &msg->settled.jobs.items[i].id);
        }
    }
}

static void of_spawner(struct words *words, const struct leat_msg *msg)
{
    if (msg->type == LEAT_MSG_RUN) {
        add(words, "RUN");
        for (size_t i = 0; i < msg->run.attempts.count; i++) {
            add_job(words, i, &msg->run.attempts.items[i].id);
            add(words, " attempt %llu", number(msg->run.attempts.items[i].attempt));
        }
    } else if (msg->type == LEAT_MSG_RAN) {
        add(words, "RAN");
        for (size_t i = 0; i < msg->ran.outcomes.count; i++) {
            const struct leat_item_outcome *outcome = &msg->ran.outcomes.items[i];
            add_job(words, i, &outcome->id);
            add(words, ": %s",
                outcome->failure == LEAT_FAILURE_NONE ? "success"
                                                      : leat_failure_name(outcome->failure));
        }
    } else if (msg->type == LEAT_MSG_RECALL) {
        add(words, "RECALL");
    } else if (msg->type == LEAT_MSG_RECALLED) {
        add(words, "RECALLED:%s", msg->recalled.jobs.count == 0 ? " nothing" : "");
        add_leases(words, "", msg->recalled.jobs.items, msg->recalled.jobs.count);
    } else if (leat_id_is_zero(&msg->kill.id)) {
        add(words, "KILL all");
    } else {
        add(words, "KILL j%zu", sim_job_index(&msg->kill.id) + 1);
    }
}

void story_words(struct story *story, const struct leat_msg *msg, char *to)
{
    struct words words = {to, 0};
    to[0] = '\0';
    switch ((int)msg->type) {
    case LEAT_MSG_SUBMIT:
    case LEAT_MSG_ACCEPTED:
    case LEAT_MSG_RESEND:
    case LEAT_MSG_BUSY:
        of_producer(&words, msg);
        return;
    case LEAT_MSG_HELLO:
    case LEAT_MSG_WELCOME:
    case LEAT_MSG_CREDIT:
    case LEAT_MSG_RETRY:
    case LEAT_MSG_RETURN:
    case LEAT_MSG_GOODBYE:
    case LEAT_MSG_DRAIN:
        of_session(story, &words, msg);
        return;
    case LEAT_MSG_FOLLOW:
    case LEAT_MSG_SETTLED:
        of_stream(story, &words, msg);
        return;
    case LEAT_MSG_RUN:
    case LEAT_MSG_RAN:
    case LEAT_MSG_KILL:
    case LEAT_MSG_RECALL:
    case LEAT_MSG_RECALLED:
        of_spawner(&words, msg);
        return;
    case LEAT_MSG_JOBS:
        add_jobs(&words, &msg->jobs);
        return;
    case LEAT_MSG_RESULTS:
        add_results(&words, &msg->results);
        return;
    case LEAT_MSG_STORED:
        add(&words, "STORED batch %llu", number(msg->stored.batch));
        return;
    case LEAT_MSG_CONTROL:
        add(&words, "CONTROL %.*s %.*s", LEAT_STR_ARGS(msg->control.verb),
            LEAT_STR_ARGS(msg->control.argument));
        return;
    case LEAT_MSG_DONE:
        add(&words, "DONE: %.*s", LEAT_STR_ARGS(msg->done.text));
        return;
    case LEAT_MSG_ERROR:
        add(&words, "ERROR: %.*s", LEAT_STR_ARGS(msg->error.text));
        return;
    case LEAT_MSG_QUIT:
        add(&words, "QUIT");
        return;
    default:
        return;
    }
}

static const char *worker_of(const struct story *story, const struct leat_id *session)
{
    for (int i = 0; i < story->life_count; i++) {
        if (leat_id_equal(&story->lives[i].session, session)) {
            return story_name(story, story->lives[i].worker);
        }
    }
    return "a worker";
}

void story_note_words(const struct story *story, const struct leat_note *note, char *to)
{
    struct words words = {to, 0};
    to[0] = '\0';
    size_t job = sim_job_index(&note->subject) + 1;
    long long value = note->value;
    switch ((int)note->id) {
    case LEAT_NOTE_WORKER_LOST:
        add(&words, "gives up the silent session of %s, which had %lld job%s",
            worker_of(story, &note->subject), value, value == 1 ? "" : "s");
        return;
    case LEAT_NOTE_JOB_REDELIVERED:
        add(&words, "j%zu is ready again, lost %lld time%s", job, value, value == 1 ? "" : "s");
        return;
    case LEAT_NOTE_JOB_LOST_TOO_OFTEN:
        add(&words, "j%zu is given up, lost %lld times", job, value);
        return;
    case LEAT_NOTE_JOB_EXPIRED:
        add(&words, "j%zu has expired", job);
        return;
    case LEAT_NOTE_LEASE_REFUSED:
        add(&words, "j%zu/%lld is not the lease of who names it", job, value);
        return;
    case LEAT_NOTE_RESULT_DUPLICATE:
        add(&words, "j%zu has a result already: this one is ignored", job);
        return;
    case LEAT_NOTE_VENTILATOR_SILENT:
        add(&words, "has not heard the ventilator for %lld ms", value);
        return;
    case LEAT_NOTE_STREAM_STARTED:
        add(&words, "a stream of settled jobs begins");
        return;
    case LEAT_NOTE_RECOVERED:
        add(&words, "finds %lld on its disk", value);
        return;
    case LEAT_NOTE_PRODUCER_RENEWED:
        add(&words, "is not known any more: numbers its batches anew");
        return;
    case LEAT_NOTE_STORE_FULL:
        add(&words, "has a full disk");
        return;
    case LEAT_NOTE_STORE_ROOM:
        add(&words, "has room again");
        return;
    case LEAT_NOTE_DRAINING:
        add(&words, "drains");
        return;
    default:
        return;
    }
}
