/* leat stats, queues, workers: tables of what the metrics actor says. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/why.h"
#include "core/instant.h"
#include "core/units.h"
#include "io/exit.h"

/* ---- stats ---- */

static const struct leat_option stats_rows[] = {
    LEAT_CLI_STATS,
    LEAT_CLI_JSON,
    {.name = "watch", .kind = LEAT_OPTION_FLAG, .help = "again and again, until interrupted"},
    {.name = "every",
     .kind = LEAT_OPTION_DURATION,
     .initial = "1s",
     .min = 100,
     .max = 3600000,
     .help = "with --watch: how often"},
    {.name = "queue", .kind = LEAT_OPTION_STRING, .help = "only this queue"},
    {.name = "type", .kind = LEAT_OPTION_STRING, .help = "only this type"},
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program stats_program = {
    .name = "leat stats",
    .summary = "what has ended, how, and how long it took",
    .rows = stats_rows,
    .row_count = LEAT_COUNT_OF(stats_rows),
};

static const char *quantile(const json_t *pair, const char *histogram, const char *key, char *text)
{
    const json_t *values = json_object_get(pair, histogram);
    if (leat_cli_number(values, "count") == 0) {
        return "-";
    }
    return leat_units_about_duration(leat_cli_number(values, key), text);
}

static void add_pair(struct leat_table *table, const char *queue, const char *type,
                     const json_t *pair)
{
    char numbers[4][64];
    char times[6][LEAT_UNITS_TEXT_BYTES];
    leat_table_row(
        table, queue, type, leat_cli_text(pair, "succeeded", numbers[0]),
        leat_cli_text(pair, "failed", numbers[1]), leat_cli_text(pair, "expired", numbers[2]),
        leat_cli_text(pair, "retried", numbers[3]), quantile(pair, "wait_us", "p50", times[0]),
        quantile(pair, "wait_us", "p99", times[1]), quantile(pair, "run_us", "p50", times[2]),
        quantile(pair, "run_us", "p99", times[3]), quantile(pair, "total_us", "p50", times[4]),
        quantile(pair, "total_us", "p999", times[5]));
}

static void print_stats(const json_t *reply)
{
    struct leat_table table;
    leat_table_init(&table, "llrrrrrrrrrr");
    leat_table_row(&table, "QUEUE", "TYPE", "SUCCEEDED", "FAILED", "EXPIRED", "RETRIED", "WAIT p50",
                   "p99", "RUN p50", "p99", "TOTAL p50", "p99.9");
    size_t index = 0;
    const json_t *pair = NULL;
    json_array_foreach(json_object_get(reply, "pairs"), index, pair)
    {
        char buffers[2][64];
        add_pair(&table, leat_cli_text(pair, "queue", buffers[0]),
                 leat_cli_text(pair, "type", buffers[1]), pair);
    }
    add_pair(&table, "all", "", json_object_get(reply, "totals"));
    leat_table_print(&table, stdout);
    leat_table_fini(&table);

    const json_t *ventilator = json_object_get(reply, "ventilator");
    const json_t *sink = json_object_get(reply, "sink");
    if (json_is_object(ventilator)) {
        printf("\nventilator: %" PRId64 " jobs not ended, %" PRId64 " accepted, %" PRId64
               " workers lost, %" PRId64 " jobs redelivered, %" PRId64 " batches told to wait\n",
               leat_cli_number(ventilator, "jobs"), leat_cli_number(ventilator, "accepted_total"),
               leat_cli_number(ventilator, "lost_total"),
               leat_cli_number(ventilator, "redelivered_total"),
               leat_cli_number(ventilator, "busy_total"));
    } else {
        puts("\nventilator: has not told anything yet");
    }
    printf("sink: %" PRId64 " successes and %" PRId64 " failures kept, %" PRId64
           " later results ignored\n",
           leat_cli_number(sink, "successes"), leat_cli_number(sink, "failures"),
           leat_cli_number(sink, "duplicate_total"));
}

static json_t *stats_request(const struct leat_options *options)
{
    json_t *request = json_pack("{s:s}", "request", "stats");
    const char *keys[] = {"queue", "type"};
    for (size_t i = 0; i < LEAT_COUNT_OF(keys); i++) {
        const char *value = leat_options_text(options, keys[i]);
        if (value != NULL) {
            json_object_set_new(request, keys[i], json_string(value));
        }
    }
    return request;
}

static int run_stats(const struct leat_options *options)
{
    bool watch = leat_options_flag(options, "watch");
    for (;;) {
        json_t *reply =
            leat_cli_ask(leat_options_text(options, "stats"), stats_request(options), false);
        if (reply == NULL) {
            return LEAT_EXIT_FAILED;
        }
        if (watch && isatty(STDOUT_FILENO) == 1) {
            fputs("\033[H\033[2J", stdout);
        }
        if (leat_options_flag(options, "json")) {
            leat_cli_print_json(reply);
        } else {
            print_stats(reply);
        }
        json_decref(reply);
        if (!watch) {
            return LEAT_EXIT_OK;
        }
        fflush(stdout);
        (void)usleep((useconds_t)(leat_options_number(options, "every") * LEAT_US_PER_MS));
    }
}

const struct leat_command leat_command_stats = {&stats_program, run_stats, true};

/* ---- queues and workers ---- */

static const struct leat_option list_rows[] = {LEAT_CLI_STATS, LEAT_CLI_JSON, LEAT_OPTIONS_KEY,
                                               LEAT_OPTIONS_COMMON};

static const struct leat_program queues_program = {
    .name = "leat queues",
    .summary = "the queues: what waits, since when, what is with workers",
    .rows = list_rows,
    .row_count = LEAT_COUNT_OF(list_rows),
};

static const struct leat_program workers_program = {
    .name = "leat workers",
    .summary = "the workers: what they serve and how busy they are",
    .rows = list_rows,
    .row_count = LEAT_COUNT_OF(list_rows),
};

static json_t *ask_list(const struct leat_options *options, const char *what)
{
    json_t *reply = leat_cli_ask(leat_options_text(options, "stats"),
                                 json_pack("{s:s}", "request", what), false);
    if (reply != NULL && leat_options_flag(options, "json")) {
        leat_cli_print_json(reply);
    } else if (reply != NULL && leat_cli_number(reply, "age_ms") < 0) {
        puts("the ventilator has not told anything yet");
    }
    return reply;
}

/* Why the ready jobs of a queue wait; "-" when there are none and it is not paused. */
static const char *queue_waits(const json_t *queues, const json_t *workers, const json_t *queue)
{
    bool is_paused = json_is_true(json_object_get(queue, "paused"));
    if (!is_paused && leat_cli_number(queue, "ready") == 0) {
        return "-";
    }
    char name[64];
    return leat_cli_why_name(
        leat_cli_why_ready(queues, workers, leat_cli_text(queue, "queue", name)));
}

static int run_queues(const struct leat_options *options)
{
    json_t *reply = ask_list(options, "queues");
    if (reply == NULL) {
        return LEAT_EXIT_FAILED;
    }
    if (!leat_options_flag(options, "json")) {
        struct leat_table table;
        leat_table_init(&table, "lrrrrl");
        leat_table_row(&table, "QUEUE", "READY", "SCHEDULED", "LEASED", "OLDEST READY", "WAITS");
        json_t *workers = leat_cli_ask(leat_options_text(options, "stats"),
                                       json_pack("{s:s}", "request", "workers"), false);
        size_t index = 0;
        const json_t *queue = NULL;
        json_array_foreach(json_object_get(reply, "queues"), index, queue)
        {
            char b[4][64];
            char age[LEAT_UNITS_TEXT_BYTES];
            leat_table_row(
                &table, leat_cli_text(queue, "queue", b[0]), leat_cli_text(queue, "ready", b[1]),
                leat_cli_text(queue, "scheduled", b[2]), leat_cli_text(queue, "leased", b[3]),
                leat_units_about_duration(
                    leat_cli_number(queue, "oldest_ready_ms") * LEAT_US_PER_MS, age),
                queue_waits(reply, workers, queue));
        }
        json_decref(workers);
        leat_table_print(&table, stdout);
        leat_table_fini(&table);
    }
    json_decref(reply);
    return LEAT_EXIT_OK;
}

static int run_workers(const struct leat_options *options)
{
    json_t *reply = ask_list(options, "workers");
    if (reply == NULL) {
        return LEAT_EXIT_FAILED;
    }
    if (!leat_options_flag(options, "json")) {
        struct leat_table table;
        leat_table_init(&table, "llrrrrr");
        leat_table_row(&table, "WORKER", "QUEUES", "SLOTS", "BUSY", "LEASED", "OUTBOX", "SILENT");
        size_t index = 0;
        const json_t *worker = NULL;
        json_array_foreach(json_object_get(reply, "workers"), index, worker)
        {
            char b[6][64];
            char silent[LEAT_UNITS_TEXT_BYTES];
            leat_table_row(
                &table, leat_cli_text(worker, "name", b[0]), leat_cli_text(worker, "queues", b[1]),
                leat_cli_text(worker, "slots", b[2]), leat_cli_text(worker, "busy", b[3]),
                leat_cli_text(worker, "leased", b[4]), leat_cli_text(worker, "outbox", b[5]),
                leat_units_about_duration(leat_cli_number(worker, "silent_ms") * LEAT_US_PER_MS,
                                          silent));
        }
        leat_table_print(&table, stdout);
        leat_table_fini(&table);
    }
    json_decref(reply);
    return LEAT_EXIT_OK;
}

const struct leat_command leat_command_queues = {&queues_program, run_queues, true};
const struct leat_command leat_command_workers = {&workers_program, run_workers, true};
