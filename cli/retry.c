/* leat retry: runs failed jobs again. A failure's body is taken from the sink, submitted under an
 * id that follows from the old one, and the failure is marked when the ventilator has it on disk.
 * So an interrupted retry can be repeated: what was submitted already is known by its id and not
 * added twice. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "io/clock.h"
#include "io/exit.h"
#include "producer/base64.h"
#include "producer/inside.h"

static const struct leat_option retry_rows[] = {
    {.name = "all", .kind = LEAT_OPTION_FLAG, .help = "every failure that was not run again yet"},
    {.name = "queue", .kind = LEAT_OPTION_STRING, .help = "with --all: only of this queue"},
    {.name = "type", .kind = LEAT_OPTION_STRING, .help = "with --all: only of this type"},
    {.name = "kind", .kind = LEAT_OPTION_STRING, .help = "with --all: only this kind of failure"},
    LEAT_CLI_VENTILATOR,
    LEAT_CLI_SINK,
    LEAT_CLI_STATS,
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program retry_program = {
    .name = "leat retry",
    .summary = "run failed jobs again, under new ids",
    .arguments = "[ID...]",
    .arguments_max = 10000,
    .rows = retry_rows,
    .row_count = LEAT_COUNT_OF(retry_rows),
    .more = "Prints \"OLD-ID NEW-ID\" for each.\n",
};

struct retry {
    const struct leat_options *options;
    struct leat_producer *producer;
    struct leat_item_job_id done[LEAT_QUERY_IDS_MAX]; /* submitted, not yet marked */
    size_t done_count;
    uint64_t total;
    bool failed; /* some jobs were not run again; the others go on */
};

/* A job that the ventilator will never take is not marked. */
static void on_answer(const struct leat_id *id, bool accepted, void *context)
{
    struct retry *retry = context;
    for (size_t i = 0; i < retry->done_count && !accepted; i++) {
        struct leat_id rerun = leat_id_rerun(&retry->done[i].id);
        if (leat_id_equal(&rerun, id)) {
            retry->done[i] = retry->done[--retry->done_count];
            return;
        }
    }
}

/* Waits as long as there is progress. */
static int flush(struct leat_producer *producer)
{
    size_t before;
    int result;
    do {
        before = leat_producer_pending(producer);
        result = leat_producer_flush(producer, LEAT_CLI_PATIENCE_MS);
    } while (result == LEAT_PRODUCER_TIMEOUT && leat_producer_pending(producer) < before);
    return result;
}

/* Waits until what was submitted is on disk, and marks it. */
static bool mark(struct retry *retry)
{
    int result = flush(retry->producer);
    if (result != LEAT_PRODUCER_OK) {
        fprintf(stderr, "leat: %s\n", leat_producer_error(retry->producer));
        retry->failed = true;
    }
    if (result != LEAT_PRODUCER_OK && result != LEAT_PRODUCER_REFUSED) {
        return false;
    }
    if (retry->done_count == 0) {
        return true;
    }
    struct leat_msg msg = {.type = LEAT_MSG_RERUN};
    msg.rerun.ref = 1;
    msg.rerun.jobs.items = retry->done;
    msg.rerun.jobs.count = retry->done_count;
    struct leat_cli_answer answer;
    if (leat_cli_request("sink", leat_options_text(retry->options, "sink"), &msg,
                         LEAT_CLI_PATIENCE_MS, false, &answer) != LEAT_OK) {
        return false;
    }
    for (size_t i = 0; i < retry->done_count; i++) {
        char old_id[LEAT_ID_TEXT_BYTES];
        char new_id[LEAT_ID_TEXT_BYTES];
        struct leat_id rerun = leat_id_rerun(&retry->done[i].id);
        printf("%s %s\n", leat_id_format(&retry->done[i].id, old_id),
               leat_id_format(&rerun, new_id));
    }
    retry->total += retry->done_count;
    retry->done_count = 0;
    return true;
}

/* False: there is no sense in going on. */
static bool submit(struct retry *retry, const json_t *row)
{
    const char *id_text = json_string_value(json_object_get(row, "id"));
    const json_t *base64 = json_object_get(json_object_get(row, "body"), "$base64");
    struct leat_id id;
    unsigned char *body = NULL;
    size_t size = 0;
    if (id_text == NULL || leat_id_parse(leat_str_of(id_text), &id, NULL) != LEAT_OK ||
        !json_is_string(base64) ||
        leat_base64_decode(leat_str_of(json_string_value(base64)), &body, &size) != LEAT_OK) {
        fprintf(stderr, "leat: the sink has no body for %s\n", id_text == NULL ? "a job" : id_text);
        retry->failed = true;
        return true;
    }
    struct leat_item_submission job = {
        .id = leat_id_rerun(&id),
        .queue = leat_str_of(json_string_value(json_object_get(row, "queue"))),
        .type = leat_str_of(json_string_value(json_object_get(row, "type"))),
        .body = leat_bytes_of(body, size),
    };
    struct leat_now now;
    leat_clock_now(&now);
    struct leat_id submitted;
    enum leat_err err = leat_submitter_offer(retry->producer->submitter, &job, now, &submitted);
    if (err == LEAT_ERR_BUSY && mark(retry)) { /* the window is full of large jobs */
        err = leat_submitter_offer(retry->producer->submitter, &job, now, &submitted);
    }
    free(body);
    if (err != LEAT_OK) {
        fprintf(stderr, "leat: %s: %s\n", id_text, leat_err_text(err));
        return false;
    }
    retry->done[retry->done_count++].id = id;
    return retry->done_count < LEAT_QUERY_IDS_MAX || mark(retry);
}

/* Whether an earlier retry of the job has come to its end; after a line on stderr. */
static bool has_run_again(const struct retry *retry, const char *text)
{
    struct leat_id id;
    char rerun_text[LEAT_ID_TEXT_BYTES];
    if (leat_id_parse(leat_str_of(text), &id, NULL) != LEAT_OK) {
        return false; /* the sink says what is wrong */
    }
    struct leat_id rerun = leat_id_rerun(&id);
    leat_id_format(&rerun, rerun_text);
    json_t *reply = leat_cli_ask(leat_options_text(retry->options, "stats"),
                                 json_pack("{s:s, s:s}", "request", "job", "id", rerun_text), true);
    char b[64];
    bool found = reply != NULL;
    if (found) {
        fprintf(stderr, "leat: job %s was run again already, as %s: %s\n", text, rerun_text,
                leat_cli_text(reply, "state", b));
    }
    json_decref(reply);
    return found;
}

static bool retry_one(struct retry *retry, const char *id)
{
    json_t *reply = leat_cli_ask(
        leat_options_text(retry->options, "stats"),
        json_pack("{s:s, s:s, s:b}", "request", "job", "id", id, "with_body", 1), false);
    if (reply == NULL) {
        return false;
    }
    char b[64];
    bool ok = strcmp(leat_cli_text(reply, "state", b), "succeeded") != 0;
    if (!ok) {
        fprintf(stderr, "leat: job %s succeeded: there is nothing to run again\n", id);
    }
    ok = ok && !has_run_again(retry, id) && submit(retry, reply);
    json_decref(reply);
    return ok;
}

static json_t *page_request(const struct leat_options *options, const char *after)
{
    static const char *const keys[] = {"queue", "type", "kind"};
    json_t *request =
        json_pack("{s:s, s:i, s:b}", "request", "failures", "limit", 500, "with_body", 1);
    for (size_t i = 0; i < LEAT_COUNT_OF(keys); i++) {
        const char *value = leat_options_text(options, keys[i]);
        if (value != NULL) {
            json_object_set_new(request, keys[i], json_string(value));
        }
    }
    if (after[0] != '\0') {
        json_object_set_new(request, "after", json_string(after));
    }
    return request;
}

static bool retry_all(struct retry *retry)
{
    char after[128] = "";
    for (;;) {
        json_t *reply = leat_cli_ask(leat_options_text(retry->options, "stats"),
                                     page_request(retry->options, after), false);
        if (reply == NULL) {
            return false;
        }
        bool ok = true;
        size_t index = 0;
        const json_t *row = NULL;
        json_array_foreach(json_object_get(reply, "failures"), index, row)
        {
            ok = ok && submit(retry, row);
        }
        ok = ok && mark(retry);
        const json_t *next = json_object_get(reply, "next");
        bool more = json_is_string(next);
        snprintf(after, sizeof(after), "%s", more ? json_string_value(next) : "");
        json_decref(reply);
        if (!ok || !more) {
            return ok;
        }
    }
}

static int run_retry(const struct leat_options *options)
{
    size_t count = leat_options_argument_count(options);
    bool all = leat_options_flag(options, "all");
    if ((count > 0) == all) {
        return leat_options_refuse(&retry_program, "either ids or --all");
    }
    if (!all && (leat_options_given(options, "queue") || leat_options_given(options, "type") ||
                 leat_options_given(options, "kind"))) {
        return leat_options_refuse(&retry_program, "--queue, --type and --kind need --all");
    }
    static struct retry retry;
    retry = (struct retry){.options = options};
    struct leat_producer_options to = LEAT_PRODUCER_OPTIONS;
    to.ventilator = leat_options_text(options, "ventilator");
    to.sink = leat_options_text(options, "sink");
    to.key = leat_options_text(options, "key");
    to.server_key = leat_options_text(options, "server-key");
    to.sink_key = leat_options_text(options, "sink-key");
    char error[LEAT_PRODUCER_ERROR_BYTES];
    if (leat_producer_connect(&to, &retry.producer, error) != LEAT_PRODUCER_OK) {
        fprintf(stderr, "leat: %s\n", error);
        return LEAT_EXIT_FAILED;
    }
    leat_submitter_observe(retry.producer->submitter, on_answer, &retry);
    bool ok = !all || retry_all(&retry);
    for (size_t i = 0; i < count; i++) {
        ok = retry_one(&retry, leat_options_argument(options, i)) && ok;
    }
    ok = mark(&retry) && ok;
    leat_producer_close(&retry.producer);
    fprintf(stderr, "%" PRIu64 " jobs run again\n", retry.total);
    return ok && !retry.failed ? LEAT_EXIT_OK : LEAT_EXIT_FAILED;
}

const struct leat_command leat_command_retry = {&retry_program, run_retry, true};
