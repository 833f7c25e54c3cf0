/* libleat's public calls for results; see leat/producer.h. The sink is asked again and again, with
 * a growing pause: an answer may be lost, a result may come at any time, and nothing has to be
 * remembered at the sink. */
#include <stdlib.h>

#include "io/clock.h"
#include "producer/inside.h"

#define PAUSE_FIRST_US (2 * LEAT_US_PER_MS)
#define PAUSE_LAST_US  (250 * LEAT_US_PER_MS)
#define ANSWER_WAIT_US LEAT_US_PER_S

static const char *text_of(struct leat_arena *arena, struct leat_str text)
{
    char *copy = leat_arena_take(arena, text.size + 1);
    if (copy == NULL) {
        return "";
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    return copy;
}

static void fill_outcome(struct leat_producer *producer, const struct leat_item_result *result,
                         struct leat_producer_outcome *ret)
{
    *ret = (struct leat_producer_outcome){
        .succeeded = result->status == LEAT_STATE_SUCCEEDED,
        .status = leat_state_name(result->status),
        .failure = leat_failure_name(result->failure),
        .error = text_of(&producer->outcome, result->error),
        .attempts = result->attempts,
        .output = result->output.data,
        .output_bytes = result->output.size,
        .truncated = result->truncated,
    };
    leat_id_format(&result->id, ret->id);
}

static int64_t end_of(int64_t timeout_ms)
{
    struct leat_now now;
    leat_clock_now(&now);
    return leat_add_us(now.mono_us, leat_us_of_ms(timeout_ms));
}

static int64_t left_until(int64_t end_us)
{
    struct leat_now now;
    leat_clock_now(&now);
    return end_us == LEAT_NEVER_US ? LEAT_NEVER_US
           : end_us > now.mono_us  ? end_us - now.mono_us
                                   : 0;
}

/* Asks until there is an answer. LEAT_OK with producer->answers, LEAT_ERR_UNREACHABLE, or
 * LEAT_ERR_REFUSED. */
static enum leat_err ask(struct leat_producer *producer, const struct leat_item_job_id *ids,
                         size_t count, bool with_output, int64_t end_us)
{
    do {
        bool sent = leat_producer_send_query(producer, ids, count, with_output);
        int64_t pause_us = sent ? ANSWER_WAIT_US : 20 * LEAT_US_PER_MS;
        int64_t again_us = end_of(pause_us / LEAT_US_PER_MS);
        int64_t left_us = leat_min_us(left_until(again_us), left_until(end_us));
        while (!producer->has_answers && !producer->is_refused && left_us > 0) {
            leat_producer_turn(producer, left_us, -1);
            left_us = leat_min_us(left_until(again_us), left_until(end_us));
        }
        if (producer->has_answers) {
            return LEAT_OK;
        }
        if (producer->is_refused) {
            return LEAT_ERR_REFUSED;
        }
    } while (left_until(end_us) > 0);
    return leat_fail(&producer->error, LEAT_ERR_UNREACHABLE, "the sink at %s does not answer",
                     producer->sink_endpoint);
}

int leat_producer_wait(struct leat_producer *producer, const char *id, int64_t timeout_ms,
                       struct leat_producer_outcome *ret_outcome)
{
    struct leat_item_job_id wanted;
    if (leat_id_parse(leat_str_of(id), &wanted.id, &producer->error) != LEAT_OK) {
        return LEAT_PRODUCER_INVALID;
    }
    if (leat_producer_open_sink(producer) != LEAT_OK) {
        return LEAT_PRODUCER_INVALID;
    }
    int64_t end_us = end_of(timeout_ms);
    int64_t pause_us = PAUSE_FIRST_US;
    for (;;) {
        enum leat_err err = ask(producer, &wanted, 1, true, end_us);
        if (err != LEAT_OK) {
            return (int)err;
        }
        if (producer->answers.answers.results.count > 0) {
            leat_arena_clear(&producer->outcome);
            fill_outcome(producer, &producer->answers.answers.results.items[0], ret_outcome);
            return LEAT_PRODUCER_OK;
        }
        if (left_until(end_us) == 0) {
            leat_fail(&producer->error, LEAT_ERR_TIMEOUT, "job %s has no result after %lld ms", id,
                      (long long)timeout_ms);
            return LEAT_PRODUCER_TIMEOUT;
        }
        int64_t again_us = end_of(pause_us / LEAT_US_PER_MS);
        while (left_until(again_us) > 0 && left_until(end_us) > 0) {
            leat_producer_turn(producer, leat_min_us(left_until(again_us), left_until(end_us)), -1);
        }
        pause_us = leat_min_us(2 * pause_us, PAUSE_LAST_US);
    }
}

/* Index of the id among those asked for, from `from` on: answers come in the order of the question.
 */
static size_t index_of(const struct leat_item_job_id *ids, size_t from, size_t count,
                       const struct leat_id *id)
{
    while (from < count && !leat_id_equal(&ids[from].id, id)) {
        from++;
    }
    return from;
}

static void visit_answers(struct leat_producer *producer, const struct leat_item_job_id *ids,
                          size_t base, size_t count, leat_producer_visit_fn *visit, void *context)
{
    const struct leat_msg_answers *answers = &producer->answers.answers;
    size_t at = 0;
    for (size_t i = 0; i < answers->results.count; i++) {
        at = index_of(ids, at, count, &answers->results.items[i].id);
        if (at == count) {
            return; /* not what was asked for: what follows cannot be trusted either */
        }
        struct leat_producer_outcome outcome;
        leat_arena_clear(&producer->outcome);
        fill_outcome(producer, &answers->results.items[i], &outcome);
        visit(base + at, &outcome, context);
        at++;
    }
}

enum leat_err leat_producer_fetch(struct leat_producer *producer,
                                  const struct leat_item_job_id *ids, size_t count,
                                  bool with_output, int64_t timeout_ms,
                                  leat_producer_visit_fn *visit, void *context)
{
    enum leat_err err = leat_producer_open_sink(producer);
    if (err != LEAT_OK) {
        return err;
    }
    int64_t end_us = end_of(timeout_ms);
    size_t done = 0;
    while (done < count) {
        err = ask(producer, ids + done, count - done, with_output, end_us);
        if (err != LEAT_OK) {
            return err;
        }
        uint64_t looked_at = producer->answers.answers.looked_at;
        visit_answers(producer, ids + done, done, count - done, visit, context);
        if (looked_at == 0) {
            break;
        }
        done += looked_at > count - done ? count - done : (size_t)looked_at;
    }
    return LEAT_OK;
}

int leat_producer_poll_results(struct leat_producer *producer, const char *const *ids, size_t count,
                               int64_t timeout_ms, leat_producer_visit_fn *visit, void *context)
{
    struct leat_item_job_id wanted[LEAT_QUERY_IDS_MAX];
    if (count == 0 || count > LEAT_QUERY_IDS_MAX) {
        leat_fail(&producer->error, LEAT_ERR_INVALID, "%zu ids, must be 1 to %d", count,
                  LEAT_QUERY_IDS_MAX);
        return LEAT_PRODUCER_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        if (leat_id_parse(leat_str_of(ids[i]), &wanted[i].id, &producer->error) != LEAT_OK) {
            return LEAT_PRODUCER_INVALID;
        }
    }
    enum leat_err err =
        leat_producer_fetch(producer, wanted, count, false, timeout_ms, visit, context);
    return err == LEAT_OK || err == LEAT_ERR_UNREACHABLE || err == LEAT_ERR_REFUSED
               ? (int)err
               : LEAT_PRODUCER_INVALID;
}
