/* libleat's public calls for submitting; see leat/producer.h. */
#include "leat/producer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/name.h"
#include "io/clock.h"
#include "io/random.h"
#include "io/socket.h"
#include "producer/inside.h"
#include "wire/codec.h"

#define DEFAULT_VENTILATOR "tcp://127.0.0.1:5170"
#define DEFAULT_SINK       "tcp://127.0.0.1:5171"
#define ADOPT_BYTES_MIN    (16 << 10) /* of a body that the submitter takes over */
#define SPARE_BYTES_MAX    (64 << 10) /* of memory that is kept for the next body, whatever it is */
#define BODY_ROOM_BYTES    256        /* of what is in a body beside payload and headers */
#define HEADER_ROOM_BYTES  64

/* The public numbers are those of enum leat_err. */
_Static_assert((int)LEAT_PRODUCER_BUSY == (int)LEAT_ERR_BUSY, "");
_Static_assert((int)LEAT_PRODUCER_INVALID == (int)LEAT_ERR_INVALID, "");
_Static_assert((int)LEAT_PRODUCER_TIMEOUT == (int)LEAT_ERR_TIMEOUT, "");
_Static_assert((int)LEAT_PRODUCER_UNREACHABLE == (int)LEAT_ERR_UNREACHABLE, "");
_Static_assert((int)LEAT_PRODUCER_REFUSED == (int)LEAT_ERR_REFUSED, "");
_Static_assert((int)LEAT_PRODUCER_MEMORY == (int)LEAT_ERR_MEMORY, "");
_Static_assert((int)LEAT_PRODUCER_NOT_FOUND == (int)LEAT_ERR_NOT_FOUND, "");
_Static_assert(LEAT_PRODUCER_ERROR_BYTES >= LEAT_WHY_BYTES, "");
_Static_assert(LEAT_PRODUCER_ID_TEXT_BYTES == LEAT_ID_TEXT_BYTES, "");

/* A limit is a kind of invalid value to the caller. */
static int public_result(enum leat_err err)
{
    return err == LEAT_ERR_LIMIT || err == LEAT_ERR_LOCKED || err == LEAT_ERR_IO ||
                   err == LEAT_ERR_STATE
               ? LEAT_PRODUCER_INVALID
               : (int)err;
}

static const char *endpoint_of(const char *given, const char *variable, const char *otherwise)
{
    const char *environment = getenv(variable);
    if (given != NULL) {
        return given;
    }
    return environment != NULL && environment[0] != '\0' ? environment : otherwise;
}

/* What is not given comes from the environment; there is no default. */
static const char *setting_of(const char *given, const char *variable)
{
    return endpoint_of(given, variable, NULL);
}

static enum leat_err read_keys(struct leat_producer *producer,
                               const struct leat_producer_options *options, struct leat_why *why)
{
    const char *key = setting_of(options->key, "LEAT_KEY");
    const char *server = setting_of(options->server_key, "LEAT_SERVER_KEY");
    const char *sink = setting_of(options->sink_key, "LEAT_SINK_KEY");
    enum leat_err err = leat_curve_read_client(key, server, &producer->curve, why);
    if (err == LEAT_OK) {
        err = leat_curve_read_client(key, sink != NULL ? sink : server, &producer->sink_curve, why);
    }
    return err;
}

static enum leat_err check_options(const struct leat_producer_options *options,
                                   struct leat_why *why)
{
    if (options->payload_bytes_max > LEAT_PAYLOAD_BYTES_CEILING) {
        return leat_fail(why, LEAT_ERR_INVALID, "payload_bytes_max is %zu, at most %d",
                         options->payload_bytes_max, LEAT_PAYLOAD_BYTES_CEILING);
    }
    if (options->window_jobs > 16 * (size_t)LEAT_PRODUCER_WINDOW_JOBS) {
        return leat_fail(why, LEAT_ERR_INVALID, "window_jobs is %zu, at most %d",
                         options->window_jobs, 16 * LEAT_PRODUCER_WINDOW_JOBS);
    }
    return LEAT_OK;
}

static enum leat_err set_up(struct leat_producer *producer,
                            const struct leat_producer_options *options, struct leat_why *why)
{
    struct leat_submitter_config config = leat_submitter_defaults(leat_random_seed());
    if (options->window_jobs > 0) {
        config.window_jobs = options->window_jobs;
    }
    if (options->window_bytes > 0) {
        config.window_bytes = options->window_bytes;
    }
    producer->payload_bytes_max =
        options->payload_bytes_max > 0 ? options->payload_bytes_max : LEAT_PAYLOAD_BYTES_DEFAULT;
    producer->submitter = leat_submitter_new(&config);
    producer->sink_endpoint = strdup(endpoint_of(options->sink, "LEAT_SINK", DEFAULT_SINK));
    leat_out_init(&producer->out);
    leat_arena_init(&producer->decoded, LEAT_MESSAGE_BYTES_MAX);
    leat_arena_init(&producer->outcome, LEAT_MESSAGE_BYTES_MAX);
    if (producer->submitter == NULL || producer->sink_endpoint == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    enum leat_err err = leat_endpoint_check(producer->sink_endpoint, why);
    if (err == LEAT_OK) {
        err = read_keys(producer, options, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    return leat_producer_open_links(
        producer, endpoint_of(options->ventilator, "LEAT_VENTILATOR", DEFAULT_VENTILATOR), why);
}

int leat_producer_connect(const struct leat_producer_options *options,
                          struct leat_producer **ret_producer, char *error)
{
    struct leat_why why = {""};
    struct leat_producer *producer = NULL;
    enum leat_err err = check_options(options, &why);
    if (err == LEAT_OK) {
        producer = calloc(1, sizeof(*producer));
        err = producer == NULL ? leat_fail(&why, LEAT_ERR_MEMORY, "out of memory")
                               : set_up(producer, options, &why);
    }
    if (err != LEAT_OK) {
        leat_producer_close(&producer);
        if (error != NULL) {
            memcpy(error, why.text, sizeof(why.text));
        }
        return public_result(err);
    }
    *ret_producer = producer;
    return LEAT_PRODUCER_OK;
}

void leat_producer_close(struct leat_producer **producer)
{
    if (producer == NULL || *producer == NULL) {
        return;
    }
    struct leat_producer *p = *producer;
    leat_producer_close_links(p);
    leat_curve_wipe(&p->curve);
    leat_curve_wipe(&p->sink_curve);
    leat_submitter_destroy(&p->submitter);
    leat_out_fini(&p->out);
    leat_arena_fini(&p->decoded);
    leat_arena_fini(&p->outcome);
    leat_wire_buffer_fini(&p->body);
    leat_wire_buffer_fini(&p->frame);
    free(p->sink_endpoint);
    free(p);
    *producer = NULL;
}

/* ---- a job ---- */

/* What a body is encoded into: enough for it, and little more when it is large, for then it may be
 * kept in this memory. */
static size_t body_room(const struct leat_item_body *body)
{
    size_t room = body->payload.size + BODY_ROOM_BYTES;
    for (size_t i = 0; i < body->headers.count; i++) {
        const struct leat_item_header *header = &body->headers.items[i];
        room += header->name.size + header->value.size + HEADER_ROOM_BYTES;
    }
    return room;
}

static enum leat_err make_body(struct leat_producer *producer, const struct leat_producer_job *job,
                               struct leat_bytes *ret_body)
{
    struct leat_item_header headers[LEAT_HEADERS_MAX];
    struct leat_item_body body;
    leat_job_body_defaults(&body);
    body.payload = leat_bytes_of(job->payload, job->payload_bytes);
    if (job->headers_count > LEAT_HEADERS_MAX) {
        return leat_fail(&producer->error, LEAT_ERR_INVALID, "%zu headers, at most %d",
                         job->headers_count, LEAT_HEADERS_MAX);
    }
    for (size_t i = 0; i < job->headers_count; i++) {
        headers[i].name = leat_str_of(job->headers[i].name);
        headers[i].value = leat_str_of(job->headers[i].value);
    }
    body.headers.items = headers;
    body.headers.count = job->headers_count;
    body.timeout_ms = job->timeout_ms > 0 ? job->timeout_ms : body.timeout_ms;
    body.attempts_max = job->attempts_max > 0 ? job->attempts_max : body.attempts_max;
    body.backoff_base_ms = job->backoff_base_ms > 0 ? job->backoff_base_ms : body.backoff_base_ms;
    body.backoff_cap_ms = job->backoff_cap_ms > 0 ? job->backoff_cap_ms : body.backoff_cap_ms;
    body.backoff_jitter = !job->backoff_no_jitter;
    if (job->backoff_factor != 0) {
        if (!(job->backoff_factor >= 1 &&
              job->backoff_factor <= LEAT_BACKOFF_FACTOR_MAX / 1000.0)) {
            return leat_fail(&producer->error, LEAT_ERR_INVALID,
                             "backoff factor is %g, must be 1 to %d", job->backoff_factor,
                             LEAT_BACKOFF_FACTOR_MAX / 1000);
        }
        body.backoff_factor_milli = (uint64_t)llround(job->backoff_factor * 1000);
    }
    enum leat_err err = leat_job_check_body(&body, producer->payload_bytes_max, &producer->error);
    if (err != LEAT_OK) {
        return err;
    }
    leat_wire_buffer_clear(&producer->body);
    err = leat_wire_buffer_reserve(&producer->body, body_room(&body));
    if (err == LEAT_OK) {
        err = leat_wire_encode_item_body(&body, &producer->body);
    }
    if (err != LEAT_OK) {
        return leat_fail(&producer->error, err, "the job cannot be encoded: %s",
                         leat_err_text(err));
    }
    *ret_body = leat_wire_buffer_view(&producer->body);
    return LEAT_OK;
}

static enum leat_err make_submission(struct leat_producer *producer,
                                     const struct leat_producer_job *job,
                                     struct leat_item_submission *ret)
{
    static const struct leat_id any = {{1}};
    struct leat_item_submission made = {
        .id = any, /* stands in for the id that the submitter gives */
        .queue = leat_str_of(job->queue == NULL ? "default" : job->queue),
        .type = leat_str_of(job->type),
        .not_before_ms = job->not_before_ms,
        .expires_at_ms = job->expires_at_ms,
    };
    enum leat_err err = LEAT_OK;
    if (job->id != NULL) {
        err = leat_id_parse(leat_str_of(job->id), &made.id, &producer->error);
    }
    if (err == LEAT_OK) {
        err = make_body(producer, job, &made.body);
    }
    if (err == LEAT_OK) {
        err = leat_job_check_submission(&made, NULL, producer->payload_bytes_max, &producer->error);
    }
    if (err != LEAT_OK) {
        return err;
    }
    if (job->id == NULL) {
        memset(&made.id, 0, sizeof(made.id));
    }
    *ret = made;
    return LEAT_OK;
}

/* The window counts bytes of bodies: memory that holds much more than its body is none to hold on
 * to, as that which a larger job has left that was not taken. */
static bool is_worth_adopting(const struct leat_wire_buffer *body)
{
    return body->size >= ADOPT_BYTES_MIN && body->capacity <= body->size + body->size / 4;
}

/* The memory of a large job that found no room stays for when it is tried again: who does so in a
 * loop does not allocate each time. Another job that is refused or taken instead, or a flush, says
 * that it is not. */
static void leave_no_spare(struct leat_producer *producer)
{
    if (producer->body.capacity > SPARE_BYTES_MAX) {
        leat_wire_buffer_fini(&producer->body);
    }
}

/* A large body is the submitter's from then on, as it lies in the buffer; a small one is copied, so
 * that the buffer is used again. */
static enum leat_err offer(struct leat_producer *producer,
                           const struct leat_item_submission *submission, struct leat_now now,
                           struct leat_id *ret_id)
{
    uint8_t *adopted = is_worth_adopting(&producer->body) ? producer->body.data : NULL;
    enum leat_err err = leat_submitter_adopt(producer->submitter, submission, adopted, now, ret_id);
    if (err == LEAT_OK && adopted != NULL) {
        size_t size;
        (void)leat_wire_buffer_release(&producer->body, &size);
    } else if (err == LEAT_OK && producer->body.size >= ADOPT_BYTES_MIN) {
        leat_wire_buffer_fini(&producer->body); /* the next one gets just what it needs */
    } else if (err != LEAT_ERR_BUSY) {
        leave_no_spare(producer);
    }
    return err;
}

/* Who submits in a row need not have the sockets looked at for each job; who does it now and then
 * has it done each time. */
#define TURN_US LEAT_US_PER_MS

int leat_producer_submit(struct leat_producer *producer, const struct leat_producer_job *job,
                         int64_t wait_ms, char ret_id[LEAT_PRODUCER_ID_TEXT_BYTES])
{
    struct leat_item_submission submission;
    enum leat_err err = make_submission(producer, job, &submission);
    if (err != LEAT_OK) {
        leave_no_spare(producer);
        return public_result(err);
    }
    struct leat_now now;
    leat_clock_now(&now);
    int64_t end_us = leat_add_us(now.mono_us, leat_us_of_ms(wait_ms));
    for (;;) {
        struct leat_id id;
        err = offer(producer, &submission, now, &id);
        if (err == LEAT_OK) {
            if (ret_id != NULL) {
                leat_id_format(&id, ret_id);
            }
            if (leat_submitter_has_to_send(producer->submitter) ||
                now.mono_us - producer->turned_us >= TURN_US) {
                leat_producer_turn(producer, 0, -1);
            }
            return LEAT_PRODUCER_OK;
        }
        if (err != LEAT_ERR_BUSY || now.mono_us >= end_us) {
            leat_fail(&producer->error, err, "%s",
                      err == LEAT_ERR_BUSY ? "the window is full: the ventilator does not take jobs"
                                           : "out of memory");
            return public_result(err);
        }
        leat_producer_turn(producer, end_us == LEAT_NEVER_US ? LEAT_NEVER_US : end_us - now.mono_us,
                           -1);
        leat_clock_now(&now);
    }
}

int leat_producer_pump(struct leat_producer *producer, int64_t wait_ms)
{
    leat_producer_turn(producer, leat_us_of_ms(wait_ms), -1);
    return LEAT_PRODUCER_OK;
}

int leat_producer_flush(struct leat_producer *producer, int64_t timeout_ms)
{
    leave_no_spare(producer);
    struct leat_now now;
    leat_clock_now(&now);
    int64_t end_us = leat_add_us(now.mono_us, leat_us_of_ms(timeout_ms));
    while (leat_submitter_pending(producer->submitter) > 0) {
        if (now.mono_us >= end_us) {
            bool is_refused = leat_submitter_counts(producer->submitter).errors > 0;
            leat_fail(&producer->error, LEAT_ERR_TIMEOUT,
                      "%zu jobs are not acknowledged after %lld ms: %s%.120s",
                      leat_submitter_pending(producer->submitter), (long long)timeout_ms,
                      is_refused ? "the ventilator refuses: " : "is the ventilator running?",
                      is_refused ? leat_submitter_last_error(producer->submitter) : "");
            return LEAT_PRODUCER_TIMEOUT;
        }
        leat_producer_turn(producer, end_us == LEAT_NEVER_US ? LEAT_NEVER_US : end_us - now.mono_us,
                           -1);
        leat_clock_now(&now);
    }
    struct leat_submitter_counts counts = leat_submitter_counts(producer->submitter);
    if (counts.rejected > producer->rejected_reported) {
        producer->rejected_reported = counts.rejected;
        leat_fail(&producer->error, LEAT_ERR_REFUSED, "%s",
                  leat_submitter_last_error(producer->submitter));
        return LEAT_PRODUCER_REFUSED;
    }
    return LEAT_PRODUCER_OK;
}

size_t leat_producer_pending(const struct leat_producer *producer)
{
    return leat_submitter_pending(producer->submitter);
}

const char *leat_producer_error(const struct leat_producer *producer)
{
    return producer->error.text;
}
