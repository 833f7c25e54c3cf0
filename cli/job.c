/* leat result, failures: what became of jobs. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "core/instant.h"
#include "core/units.h"
#include "io/exit.h"
#include "producer/base64.h"

/* ---- result ---- */

static const struct leat_option result_rows[] = {
    LEAT_CLI_STATS,
    LEAT_CLI_VENTILATOR,
    LEAT_CLI_JSON,
    {.name = "output",
     .kind = LEAT_OPTION_FLAG,
     .help = "nothing but what the handler returned, byte by byte"},
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program result_program = {
    .name = "leat result",
    .summary = "what became of a job",
    .arguments = "ID",
    .arguments_min = 1,
    .arguments_max = 1,
    .rows = result_rows,
    .row_count = LEAT_COUNT_OF(result_rows),
    .more = "Exit status: 0 it succeeded, 1 it did not, has not ended, or is not known; 2 usage.\n",
};

/* A text, or { "$base64": ... } for bytes that are no text. */
static bool write_output(const json_t *output)
{
    if (json_is_string(output)) {
        return fwrite(json_string_value(output), 1, json_string_length(output), stdout) ==
               json_string_length(output);
    }
    const json_t *base64 = json_object_get(output, "$base64");
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (!json_is_string(base64) ||
        leat_base64_decode(leat_str_of(json_string_value(base64)), &bytes, &size) != LEAT_OK) {
        return false;
    }
    bool written = fwrite(bytes, 1, size, stdout) == size;
    free(bytes);
    return written;
}

static void print_error(const char *error)
{
    char *text = strdup(error);
    if (text != NULL) {
        leat_cli_tame(text, false);
        printf("%-9s %s\n", "error", text);
    }
    free(text);
}

static void print_result(const json_t *reply)
{
    char b[64];
    char text[LEAT_UNITS_TEXT_BYTES];
    char at[32];
    static const char *const keys[] = {"id", "state", "queue", "type", "attempts", "worker"};
    for (size_t i = 0; i < LEAT_COUNT_OF(keys); i++) {
        printf("%-9s %s\n", keys[i], leat_cli_text(reply, keys[i], b));
    }
    leat_cli_time(leat_cli_number(reply, "accepted_us"), at);
    printf("%-9s %s\n", "accepted", at);
    leat_cli_time(leat_cli_number(reply, "finished_us"), at);
    printf("%-9s %s\n", "finished", at);
    printf("%-9s %s\n", "waited",
           leat_units_about_duration(leat_cli_number(reply, "wait_us"), text));
    printf("%-9s %s\n", "ran", leat_units_about_duration(leat_cli_number(reply, "run_us"), text));
    if (strcmp(leat_cli_text(reply, "failure", b), "none") != 0) {
        printf("%-9s %s\n", "failure", leat_cli_text(reply, "failure", b));
        print_error(leat_cli_text(reply, "error", b));
    }
    puts(json_is_true(json_object_get(reply, "truncated")) ? "output (cut at the worker's limit):"
                                                           : "output:");
    if (json_is_string(json_object_get(reply, "output"))) {
        write_output(json_object_get(reply, "output"));
        putchar('\n');
    } else {
        puts("(not text; use --output)");
    }
}

static int run_result(const struct leat_options *options)
{
    const char *text = leat_options_argument(options, 0);
    struct leat_id id;
    struct leat_why why;
    if (leat_id_parse(leat_str_of(text), &id, &why) != LEAT_OK) {
        return leat_options_refuse(&result_program, "%s", why.text);
    }
    const char *stats = leat_options_text(options, "stats");
    if (!leat_cli_answers(stats, LEAT_CLI_PATIENCE_MS / 2)) {
        fprintf(stderr, "leat: the sink's stats at %s cannot be reached%s\n", stats,
                leat_cli_key_hint());
        return LEAT_EXIT_FAILED;
    }
    json_t *reply =
        leat_cli_ask(stats, json_pack("{s:s, s:s}", "request", "job", "id", text), true);
    if (reply == NULL) {
        return leat_cli_look_up(options, &id, text);
    }
    char b[64];
    bool succeeded = strcmp(leat_cli_text(reply, "state", b), "succeeded") == 0;
    bool written = true;
    if (leat_options_flag(options, "json")) {
        leat_cli_print_json(reply);
    } else if (leat_options_flag(options, "output")) {
        written = write_output(json_object_get(reply, "output"));
        if (json_is_true(json_object_get(reply, "truncated"))) {
            fputs("leat: the output was cut at the worker's limit\n", stderr);
        }
    } else {
        print_result(reply);
    }
    json_decref(reply);
    return succeeded && written ? LEAT_EXIT_OK : LEAT_EXIT_FAILED;
}

const struct leat_command leat_command_result = {&result_program, run_result, true};

/* ---- failures ---- */

static const struct leat_option failures_rows[] = {
    LEAT_CLI_STATS,
    LEAT_CLI_JSON,
    {.name = "queue", .kind = LEAT_OPTION_STRING, .help = "only of this queue"},
    {.name = "type", .kind = LEAT_OPTION_STRING, .help = "only of this type"},
    {.name = "kind",
     .kind = LEAT_OPTION_STRING,
     .help = "only this kind: exit, signal, timeout, lost, expired, ..."},
    {.name = "limit",
     .kind = LEAT_OPTION_COUNT,
     .initial = "100",
     .min = 1,
     .max = LEAT_PAGE_MAX,
     .help = "at most so many"},
    {.name = "after",
     .kind = LEAT_OPTION_STRING,
     .value = "CURSOR",
     .help = "the next page, as the page before says"},
    {.name = "reruns", .kind = LEAT_OPTION_FLAG, .help = "also those that were run again"},
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
};

static const struct leat_program failures_program = {
    .name = "leat failures",
    .summary = "jobs that failed, oldest first, and why",
    .rows = failures_rows,
    .row_count = LEAT_COUNT_OF(failures_rows),
};

static json_t *failures_request(const struct leat_options *options)
{
    static const char *const keys[] = {"queue", "type", "kind", "after"};
    json_t *request = json_pack("{s:s, s:I}", "request", "failures", "limit",
                                (json_int_t)leat_options_number(options, "limit"));
    for (size_t i = 0; i < LEAT_COUNT_OF(keys); i++) {
        const char *value = leat_options_text(options, keys[i]);
        if (value != NULL) {
            json_object_set_new(request, keys[i], json_string(value));
        }
    }
    json_object_set_new(request, "reruns", json_boolean(leat_options_flag(options, "reruns")));
    return request;
}

/* The first line of the error: the rest may be a page of a handler's stderr. */
static void first_line(const char *error, char *line, size_t size)
{
    size_t length = strcspn(error, "\n");
    snprintf(line, size, "%.*s%s", (int)(length < size - 5 ? length : size - 5), error,
             error[length] == '\0' ? "" : " ...");
}

static int run_failures(const struct leat_options *options)
{
    json_t *reply =
        leat_cli_ask(leat_options_text(options, "stats"), failures_request(options), false);
    if (reply == NULL) {
        return LEAT_EXIT_FAILED;
    }
    if (leat_options_flag(options, "json")) {
        leat_cli_print_json(reply);
        json_decref(reply);
        return LEAT_EXIT_OK;
    }
    struct leat_table table;
    leat_table_init(&table, "lllllrl");
    leat_table_row(&table, "ID", "STORED", "QUEUE", "TYPE", "KIND", "ATTEMPTS", "ERROR");
    size_t index = 0;
    const json_t *row = NULL;
    json_array_foreach(json_object_get(reply, "failures"), index, row)
    {
        char b[6][64];
        char at[32];
        char line[160];
        leat_cli_time(leat_cli_number(row, "stored_us"), at);
        first_line(leat_cli_text(row, "error", b[5]), line, sizeof(line));
        leat_table_row(&table, leat_cli_text(row, "id", b[0]), at,
                       leat_cli_text(row, "queue", b[1]), leat_cli_text(row, "type", b[2]),
                       leat_cli_text(row, "failure", b[3]), leat_cli_text(row, "attempts", b[4]),
                       line);
    }
    if (index == 0) {
        puts("no failures");
    } else {
        leat_table_print(&table, stdout);
    }
    leat_table_fini(&table);
    const json_t *next = json_object_get(reply, "next");
    if (json_is_string(next)) {
        printf("more: leat failures --after %s\n", json_string_value(next));
    }
    json_decref(reply);
    return LEAT_EXIT_OK;
}

const struct leat_command leat_command_failures = {&failures_program, run_failures, true};
