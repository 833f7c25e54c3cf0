#include "producer/main_options.h"

#include <stdlib.h>
#include <string.h>

#include "core/job.h"
#include "core/name.h"
#include "core/view.h"
#include "io/serve.h"

static const struct leat_option rows[] = {
    {.name = "lines",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Where jobs come from (one of these)",
     .help = "one job per line, the payload is the line; - is the standard input"},
    {.name = "lines0",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Where jobs come from (one of these)",
     .help = "the same, ended by a zero byte, as from find -print0"},
    {.name = "json",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Where jobs come from (one of these)",
     .help = "one JSON object per line: id, queue, type, payload or payload_base64, timeout, "
             "attempts,\n"
             "backoff_base, backoff_factor, backoff_cap, jitter, not_before, delay, expires_at, "
             "expires_in, headers"},
    {.name = "files",
     .kind = LEAT_OPTION_STRING,
     .value = "DIR",
     .group = "Where jobs come from (one of these)",
     .help = "one job per file below a directory, the payload is its content"},
    {.name = "paths",
     .kind = LEAT_OPTION_STRING,
     .value = "DIR",
     .group = "Where jobs come from (one of these)",
     .help = "one job per file below a directory, the payload is its path"},
    {.name = "every",
     .kind = LEAT_OPTION_DURATION,
     .min = 1,
     .max = 86400000,
     .group = "Where jobs come from (one of these)",
     .help = "a job at each tick; the ticks do not drift"},
    {.name = "count",
     .kind = LEAT_OPTION_COUNT,
     .initial = "0",
     .max = 1000000000,
     .group = "Where jobs come from (one of these)",
     .help = "with --every: how many ticks; 0 is without end"},
    {.name = "burst",
     .kind = LEAT_OPTION_COUNT,
     .initial = "1",
     .min = 1,
     .max = 1000000,
     .group = "Where jobs come from (one of these)",
     .help = "with --every: how many jobs at each tick"},

    {.name = "type", .kind = LEAT_OPTION_STRING, .group = "The jobs", .help = "the handler's name"},
    {.name = "queue",
     .kind = LEAT_OPTION_STRING,
     .initial = "default",
     .group = "The jobs",
     .help = "the queue"},
    {.name = "payload",
     .kind = LEAT_OPTION_STRING,
     .value = "TEXT",
     .group = "The jobs",
     .help = "with --every: the payload; default: the tick's number"},
    {.name = "timeout",
     .kind = LEAT_OPTION_DURATION,
     .initial = "60s",
     .min = LEAT_TIMEOUT_MS_MIN,
     .max = LEAT_TIMEOUT_MS_MAX,
     .group = "The jobs",
     .help = "an attempt that takes longer is killed"},
    {.name = "attempts",
     .kind = LEAT_OPTION_COUNT,
     .initial = "3",
     .min = 1,
     .max = LEAT_ATTEMPTS_MAX,
     .group = "The jobs",
     .help = "attempts in all"},
    {.name = "backoff-base",
     .kind = LEAT_OPTION_DURATION,
     .initial = "1s",
     .min = 1,
     .max = LEAT_BACKOFF_MS_MAX,
     .group = "The jobs",
     .help = "longest delay before the second attempt"},
    {.name = "backoff-factor",
     .kind = LEAT_OPTION_STRING,
     .initial = "2",
     .value = "NUMBER",
     .group = "The jobs",
     .help = "growth of the delay per attempt, 1 to 100, such as 1.5"},
    {.name = "backoff-cap",
     .kind = LEAT_OPTION_DURATION,
     .initial = "5m",
     .min = 1,
     .max = LEAT_BACKOFF_MS_MAX,
     .group = "The jobs",
     .help = "longest delay of all"},
    {.name = "no-jitter",
     .kind = LEAT_OPTION_FLAG,
     .group = "The jobs",
     .help = "wait the whole delay, not a random part of it"},
    {.name = "delay",
     .kind = LEAT_OPTION_DURATION,
     .max = 365LL * 86400000,
     .group = "The jobs",
     .help = "run not before this time from now"},
    {.name = "expires-in",
     .kind = LEAT_OPTION_DURATION,
     .max = 365LL * 86400000,
     .group = "The jobs",
     .help = "do not start after this time from now"},
    {.name = "header",
     .kind = LEAT_OPTION_LIST,
     .value = "NAME=VALUE",
     .group = "The jobs",
     .help = "a free header for handler and result; repeatable"},
    {.name = "max-payload",
     .kind = LEAT_OPTION_SIZE,
     .initial = "1MiB",
     .min = 1,
     .max = LEAT_PAYLOAD_BYTES_CEILING,
     .group = "The jobs",
     .help = "larger payloads are refused"},

    {.name = "wait",
     .kind = LEAT_OPTION_FLAG,
     .group = "Following",
     .help = "wait until every job has its result, with a progress bar"},
    {.name = "deadline",
     .kind = LEAT_OPTION_DURATION,
     .min = 1,
     .max = 365LL * 86400000,
     .group = "Following",
     .help = "give up in order after this time, exit status 3"},
    {.name = "ids",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Following",
     .help = "write a line \"ID<tab>source\" per job"},
    {.name = "results",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Following",
     .help = "with --wait: write a JSON line per result"},
    {.name = "outputs",
     .kind = LEAT_OPTION_STRING,
     .value = "FILE",
     .group = "Following",
     .help = "with --wait: write what the handlers returned, one after the other; - is the "
             "standard output"},
    {.name = "quiet",
     .kind = LEAT_OPTION_FLAG,
     .group = "Following",
     .help = "no progress, no summary"},

    {.name = "ventilator",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5170",
     .group = "Common",
     .help = "where jobs go"},
    {.name = "sink",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5171",
     .group = "Common",
     .help = "where results are"},
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

const struct leat_program leat_producer_program = {
    .name = "leat-producer",
    .summary = "submits jobs from lines, JSON lines, files or a ticker, and follows their results",
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
    .more = "Exit status: 0 every job was accepted and, with --wait, succeeded; 1 some were "
            "refused or failed;\n"
            "2 usage; 3 the deadline came first.\n",
};

static bool choose_source(struct leat_producer_settings *settings)
{
    static const struct {
        const char *name;
        enum leat_producer_source_kind kind;
    } sources[] = {
        {"lines", LEAT_PRODUCER_LINES}, {"lines0", LEAT_PRODUCER_RECORDS},
        {"json", LEAT_PRODUCER_JSON},   {"files", LEAT_PRODUCER_FILES},
        {"paths", LEAT_PRODUCER_PATHS},
    };
    int found = 0;
    for (size_t i = 0; i < LEAT_COUNT_OF(sources); i++) {
        const char *path = leat_options_text(settings->options, sources[i].name);
        if (path != NULL) {
            settings->source = path;
            settings->kind = sources[i].kind;
            found++;
        }
    }
    if (leat_options_given(settings->options, "every")) {
        settings->kind = LEAT_PRODUCER_TICKS;
        found++;
    }
    return found == 1;
}

static bool read_factor(struct leat_producer_settings *settings, int *ret_status)
{
    const char *text = leat_options_text(settings->options, "backoff-factor");
    char *end = NULL;
    double factor = strtod(text, &end);
    if (end == text || *end != '\0' ||
        !(factor >= 1 && factor <= LEAT_BACKOFF_FACTOR_MAX / 1000.0)) {
        *ret_status = leat_options_refuse(&leat_producer_program,
                                          "option --backoff-factor: '%s' is no number from 1 to %d",
                                          text, LEAT_BACKOFF_FACTOR_MAX / 1000);
        return false;
    }
    settings->template.backoff_factor = factor;
    return true;
}

/* What would be wrong with every job is said once, before the first. */
static bool check_template(const struct leat_producer_settings *settings, int *ret_status)
{
    const struct leat_producer_job *job = &settings->template;
    struct leat_item_header headers[LEAT_HEADERS_MAX];
    struct leat_item_body body;
    struct leat_why why;
    leat_job_body_defaults(&body);
    for (size_t i = 0; i < job->headers_count; i++) {
        headers[i] = (struct leat_item_header){leat_str_of(job->headers[i].name),
                                               leat_str_of(job->headers[i].value)};
    }
    body.headers.items = headers;
    body.headers.count = job->headers_count;
    enum leat_err err = leat_name_check_queue(leat_str_of(job->queue), &why);
    if (err == LEAT_OK && job->type != NULL) {
        err = leat_name_check_type(leat_str_of(job->type), &why);
    }
    if (err == LEAT_OK) {
        err = leat_job_check_body(&body, settings->payload_bytes_max, &why);
    }
    if (err == LEAT_OK && settings->expires_in_ms > 0 &&
        settings->expires_in_ms <= settings->delay_ms) {
        err = leat_fail(&why, LEAT_ERR_INVALID, "--expires-in must be longer than --delay");
    }
    if (err != LEAT_OK) {
        *ret_status = leat_options_refuse(&leat_producer_program, "%s", why.text);
    }
    return err == LEAT_OK;
}

static void read_template(struct leat_producer_settings *settings)
{
    const struct leat_options *options = settings->options;
    struct leat_producer_job *job = &settings->template;
    job->queue = leat_options_text(options, "queue");
    job->type = leat_options_text(options, "type");
    job->payload = leat_options_text(options, "payload");
    job->payload_bytes = job->payload == NULL ? 0 : strlen(job->payload);
    job->timeout_ms = (uint64_t)leat_options_number(options, "timeout");
    job->attempts_max = (uint64_t)leat_options_number(options, "attempts");
    job->backoff_base_ms = (uint64_t)leat_options_number(options, "backoff-base");
    job->backoff_cap_ms = (uint64_t)leat_options_number(options, "backoff-cap");
    job->backoff_no_jitter = leat_options_flag(options, "no-jitter");
    settings->delay_ms = leat_options_number(options, "delay");
    settings->expires_in_ms = leat_options_number(options, "expires-in");
    settings->payload_bytes_max = (size_t)leat_options_number(options, "max-payload");
    settings->every_ms = leat_options_number(options, "every");
    settings->count = (uint64_t)leat_options_number(options, "count");
    settings->burst = (uint64_t)leat_options_number(options, "burst");
    settings->wait = leat_options_flag(options, "wait");
    settings->deadline_ms = leat_options_number(options, "deadline");
    settings->ids_path = leat_options_text(options, "ids");
    settings->results_path = leat_options_text(options, "results");
    settings->outputs_path = leat_options_text(options, "outputs");
    settings->quiet = leat_options_flag(options, "quiet");
}

static bool check_settings(struct leat_producer_settings *settings, int *ret_status)
{
    if (!choose_source(settings)) {
        *ret_status = leat_options_refuse(
            &leat_producer_program,
            "exactly one of --lines, --lines0, --json, --files, --paths, --every is needed");
        return false;
    }
    read_template(settings);
    if (settings->template.type == NULL && settings->kind != LEAT_PRODUCER_JSON) {
        *ret_status = leat_options_refuse(&leat_producer_program, "--type is needed");
        return false;
    }
    if (!settings->wait && (settings->results_path != NULL || settings->outputs_path != NULL)) {
        *ret_status = leat_options_refuse(&leat_producer_program, "--%s needs --wait",
                                          settings->results_path != NULL ? "results" : "outputs");
        return false;
    }
    if (!read_factor(settings, ret_status) ||
        !leat_header_options_read(settings->options, &leat_producer_program, &settings->headers,
                                  ret_status)) {
        return false;
    }
    settings->template.headers = settings->headers.items;
    settings->template.headers_count = settings->headers.count;
    return check_template(settings, ret_status);
}

bool leat_producer_settings_read(int argc, char *const argv[], struct leat_producer_settings *ret,
                                 int *ret_status)
{
    memset(ret, 0, sizeof(*ret));
    ret->options = leat_serve_start(&leat_producer_program, "producer", argc, argv, ret_status);
    if (ret->options == NULL) {
        return false;
    }
    if (!check_settings(ret, ret_status)) {
        leat_producer_settings_fini(ret);
        return false;
    }
    return true;
}

void leat_producer_settings_fini(struct leat_producer_settings *settings)
{
    leat_options_destroy(&settings->options);
}
