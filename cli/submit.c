/* leat submit: one job. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "io/clock.h"
#include "io/exit.h"
#include "leat/producer.h"
#include "producer/header_options.h"

static const struct leat_option submit_rows[] = {
    {.name = "type", .kind = LEAT_OPTION_STRING, .help = "the handler's name"},
    {.name = "queue", .kind = LEAT_OPTION_STRING, .initial = "default", .help = "the queue"},
    {.name = "id",
     .kind = LEAT_OPTION_STRING,
     .help = "a UUID of your own: submitting it again adds nothing"},
    {.name = "timeout",
     .kind = LEAT_OPTION_DURATION,
     .initial = "60s",
     .min = LEAT_TIMEOUT_MS_MIN,
     .max = LEAT_TIMEOUT_MS_MAX,
     .help = "an attempt that takes longer is killed"},
    {.name = "attempts",
     .kind = LEAT_OPTION_COUNT,
     .initial = "3",
     .min = 1,
     .max = LEAT_ATTEMPTS_MAX,
     .help = "attempts in all"},
    {.name = "delay",
     .kind = LEAT_OPTION_DURATION,
     .max = 365LL * 86400000,
     .help = "run not before this time from now"},
    {.name = "expires-in",
     .kind = LEAT_OPTION_DURATION,
     .max = 365LL * 86400000,
     .help = "do not start after this time from now"},
    {.name = "header",
     .kind = LEAT_OPTION_LIST,
     .value = "NAME=VALUE",
     .help = "a free header for handler and result; repeatable"},
    {.name = "max-payload",
     .kind = LEAT_OPTION_SIZE,
     .initial = "1MiB",
     .min = 1,
     .max = LEAT_PAYLOAD_BYTES_CEILING,
     .help = "a larger payload is refused"},
    {.name = "wait",
     .kind = LEAT_OPTION_FLAG,
     .help = "wait for the result and print what the handler returned"},
    {.name = "deadline",
     .kind = LEAT_OPTION_DURATION,
     .min = 1,
     .max = 365LL * 86400000,
     .help = "with --wait: give up after this time, exit status 3"},
    LEAT_CLI_VENTILATOR,
    LEAT_CLI_SINK,
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program submit_program = {
    .name = "leat submit",
    .summary = "submit one job; prints its id when it is on disk",
    .arguments = "[PAYLOAD]",
    .arguments_max = 1,
    .rows = submit_rows,
    .row_count = LEAT_COUNT_OF(submit_rows),
    .more = "The payload is the argument, the standard input when it is -, or empty.\n"
            "Exit status with --wait: 0 it succeeded, 1 it failed, 3 the deadline came first.\n",
};

/* All of the standard input; NULL when it is too large or cannot be read, after a line on stderr.
 */
static char *read_input(size_t *ret_size)
{
    size_t limit = LEAT_PAYLOAD_BYTES_CEILING;
    char *bytes = malloc(limit + 1);
    size_t size = bytes == NULL ? 0 : fread(bytes, 1, limit + 1, stdin);
    if (bytes == NULL || ferror(stdin) != 0 || size > limit) {
        fprintf(stderr, "leat: the standard input %s\n",
                size > limit ? "is larger than 64 MiB" : strerror(errno));
        free(bytes);
        return NULL;
    }
    *ret_size = size;
    return bytes;
}

static int follow(struct leat_producer *producer, const char *id, int64_t deadline_ms)
{
    struct leat_producer_outcome outcome;
    int result = leat_producer_wait(producer, id, deadline_ms > 0 ? deadline_ms : -1, &outcome);
    if (result != LEAT_PRODUCER_OK) {
        fprintf(stderr, "leat: %s\n", leat_producer_error(producer));
        return deadline_ms > 0 ? LEAT_EXIT_DEADLINE : LEAT_EXIT_FAILED;
    }
    fwrite(outcome.output, 1, outcome.output_bytes, stdout);
    if (outcome.truncated) {
        fprintf(stderr, "leat: the output was cut at the worker's limit of %zu bytes\n",
                outcome.output_bytes);
    }
    if (!outcome.succeeded) {
        char *error = strdup(outcome.error);
        if (error != NULL) {
            leat_cli_tame(error, false);
            fprintf(stderr, "leat: job %s %s: %s\n", id, outcome.status, error);
        }
        free(error);
    }
    return outcome.succeeded ? LEAT_EXIT_OK : LEAT_EXIT_FAILED;
}

/* Who does not answer at all is given up within 3 s; who does is given time for his disk. */
#define SILENCE_MS (LEAT_CLI_PATIENCE_MS / 2)
#define BUSY_MS    10000
/* What a slow network or disk needs for a large payload. */
#define BYTES_PER_MS 4096

/* As leat_producer_flush. *ret_answers: whether the ventilator is there, when the time was up. */
static int flush(const struct leat_options *options, struct leat_producer *producer,
                 size_t payload_bytes, bool *ret_answers)
{
    *ret_answers = true;
    int result = leat_producer_flush(producer, SILENCE_MS);
    if (result != LEAT_PRODUCER_TIMEOUT) {
        return result;
    }
    struct leat_cli_answer answer;
    struct leat_msg ping = {.type = LEAT_MSG_CONTROL};
    ping.control.ref = 1;
    ping.control.verb = leat_str_of("ping");
    *ret_answers = leat_cli_request("ventilator", leat_options_text(options, "ventilator"), &ping,
                                    SILENCE_MS, true, &answer) == LEAT_OK;
    return *ret_answers
               ? leat_producer_flush(producer, BUSY_MS + (int64_t)(payload_bytes / BYTES_PER_MS))
               : result;
}

static int submit(const struct leat_options *options, struct leat_producer *producer,
                  const struct leat_producer_job *job)
{
    char id[LEAT_PRODUCER_ID_TEXT_BYTES];
    bool wait = leat_options_flag(options, "wait");
    bool answers = true;
    int result = leat_producer_submit(producer, job, 0, id);
    if (result == LEAT_PRODUCER_INVALID) {
        return leat_options_refuse(&submit_program, "%s", leat_producer_error(producer));
    }
    if (result == LEAT_PRODUCER_OK) {
        result = flush(options, producer, job->payload_bytes, &answers);
    }
    if (result == LEAT_PRODUCER_TIMEOUT) {
        fprintf(stderr, "leat: the ventilator at %s %s: job %s is not acknowledged%s\n",
                leat_options_text(options, "ventilator"), answers ? "is busy" : "cannot be reached",
                id, answers ? "" : leat_cli_key_hint());
        return LEAT_EXIT_FAILED;
    }
    if (result != LEAT_PRODUCER_OK) {
        fprintf(stderr, "leat: %s\n", leat_producer_error(producer));
        return LEAT_EXIT_FAILED;
    }
    fprintf(wait ? stderr : stdout, "%s\n", id);
    return wait ? follow(producer, id, leat_options_number(options, "deadline")) : LEAT_EXIT_OK;
}

static int run_submit(const struct leat_options *options)
{
    struct leat_producer_job job = LEAT_PRODUCER_JOB;
    struct leat_now now;
    leat_clock_now(&now);
    int64_t now_ms = now.wall.us / LEAT_US_PER_MS;
    job.type = leat_options_text(options, "type");
    if (job.type == NULL) {
        return leat_options_refuse(&submit_program, "--type is needed");
    }
    job.id = leat_options_text(options, "id");
    job.queue = leat_options_text(options, "queue");
    job.timeout_ms = (uint64_t)leat_options_number(options, "timeout");
    job.attempts_max = (uint64_t)leat_options_number(options, "attempts");
    int64_t delay_ms = leat_options_number(options, "delay");
    int64_t expires_in_ms = leat_options_number(options, "expires-in");
    job.not_before_ms = delay_ms > 0 ? now_ms + delay_ms : 0;
    job.expires_at_ms = expires_in_ms > 0 ? now_ms + expires_in_ms : 0;
    struct leat_header_options headers;
    int status = LEAT_EXIT_FAILED;
    if (!leat_header_options_read(options, &submit_program, &headers, &status)) {
        return status;
    }
    job.headers = headers.items;
    job.headers_count = headers.count;
    char *input = NULL;
    if (leat_options_argument_count(options) > 0) {
        job.payload = leat_options_argument(options, 0);
        job.payload_bytes = strlen(job.payload);
        if (strcmp(job.payload, "-") == 0) {
            input = read_input(&job.payload_bytes);
            job.payload = input;
            if (input == NULL) {
                return LEAT_EXIT_FAILED;
            }
        }
    }
    struct leat_producer_options to = LEAT_PRODUCER_OPTIONS;
    to.ventilator = leat_options_text(options, "ventilator");
    to.sink = leat_options_text(options, "sink");
    to.payload_bytes_max = (size_t)leat_options_number(options, "max-payload");
    to.key = leat_options_text(options, "key");
    to.server_key = leat_options_text(options, "server-key");
    to.sink_key = leat_options_text(options, "sink-key");
    struct leat_producer *producer = NULL;
    char error[LEAT_PRODUCER_ERROR_BYTES];
    if (leat_producer_connect(&to, &producer, error) == LEAT_PRODUCER_OK) {
        status = submit(options, producer, &job);
    } else {
        fprintf(stderr, "leat: %s\n", error);
    }
    leat_producer_close(&producer);
    free(input);
    return status;
}

const struct leat_command leat_command_submit = {&submit_program, run_submit, true};
