/* Command lines and environments. The input is words with zero bytes between them; a word
 * "@NAME=value" goes into the environment. Parsed once with a table that has every kind of option,
 * and, as far as they can be parsed, as those of leat-worker (with its handlers, rates and queues)
 * and leat-producer. A refusal is one line on stderr and status 2 (LEAT_EXIT_USAGE). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/exit.h"
#include "io/options.h"
#include "producer/main_options.h"
#include "tests/fuzz/fuzz.h"
#include "worker/settings.h"

#define WORDS_MAX 64

static const struct leat_option rows[] = {
    {.name = "flag", .kind = LEAT_OPTION_FLAG, .help = "flag"},
    {.name = "text", .kind = LEAT_OPTION_STRING, .help = "text"},
    {.name = "choice", .kind = LEAT_OPTION_STRING, .choices = "red,green", .help = "choice"},
    {.name = "list", .kind = LEAT_OPTION_LIST, .help = "list"},
    {.name = "count", .kind = LEAT_OPTION_COUNT, .min = 1, .max = 100, .help = "count"},
    {.name = "duration", .kind = LEAT_OPTION_DURATION, .initial = "5s", .help = "duration"},
    {.name = "size", .kind = LEAT_OPTION_SIZE, .help = "size"},
    {.name = "rate", .kind = LEAT_OPTION_RATE, .help = "rate"},
    {.name = "endpoint", .kind = LEAT_OPTION_ENDPOINT, .help = "endpoint"},
    LEAT_OPTIONS_COMMON,
};
static const struct leat_program program = {
    .name = "fuzz",
    .summary = "takes anything",
    .arguments = "[WORD...]",
    .arguments_max = 4,
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
};

struct words {
    char *argv[WORDS_MAX + 2];
    int argc;
    char *text; /* owned */
    char *variables[WORDS_MAX];
    size_t variable_count;
};

static void split(struct words *words, const uint8_t *data, size_t size)
{
    *words = (struct words){.text = calloc(1, size + 1)};
    if (words->text == NULL) {
        abort();
    }
    if (size > 0) {
        memcpy(words->text, data, size);
    }
    words->argv[words->argc++] = (char *)(uintptr_t) "fuzz";
    for (size_t at = 0; at < size && words->argc <= WORDS_MAX;) {
        char *word = words->text + at;
        at += strlen(word) + 1;
        char *equals = strchr(word, '=');
        if (word[0] == '@' && equals != NULL && equals > word + 1 &&
            words->variable_count < WORDS_MAX) {
            *equals = '\0';
            char name[LEAT_OPTION_ENV_BYTES + 8];
            snprintf(name, sizeof name, "LEAT_%s", word + 1);
            setenv(name, equals + 1, 1);
            words->variables[words->variable_count++] = word + 1;
        } else {
            words->argv[words->argc++] = word;
        }
    }
}

static void forget(struct words *words)
{
    for (size_t i = 0; i < words->variable_count; i++) {
        char name[LEAT_OPTION_ENV_BYTES + 8];
        snprintf(name, sizeof name, "LEAT_%s", words->variables[i]);
        unsetenv(name);
    }
    free(words->text);
}

/* What the parsers say on stderr. What they say on stdout (help, a version) is dropped. */
struct capture {
    char text[4096]; /* no refusal is longer */
    size_t size;
};

static struct capture capture;

static ssize_t keep(void *cookie, const char *bytes, size_t size)
{
    struct capture *into = cookie;
    if (into != NULL) {
        size_t room = sizeof into->text - into->size;
        memcpy(into->text + into->size, bytes, size < room ? size : room);
        into->size += size < room ? size : room;
    }
    return (ssize_t)size;
}

static FILE *stream_to(struct capture *into)
{
    FILE *stream = fopencookie(into, "w", (cookie_io_functions_t){.write = keep});
    if (stream == NULL) {
        abort();
    }
    return stream;
}

/* Standard streams in memory for the time of a call; they are made once. */
static void swap_streams(void)
{
    static FILE *other_out, *other_err;
    if (other_out == NULL) {
        other_out = stream_to(NULL);
        other_err = stream_to(&capture);
    }
    fflush(stdout);
    fflush(stderr);
    FILE *out = stdout, *err = stderr;
    stdout = other_out;
    stderr = other_err;
    other_out = out;
    other_err = err;
}

static void begin(void)
{
    capture.size = 0;
    swap_streams();
}

static void end(void)
{
    swap_streams();
    capture.text[capture.size < sizeof capture.text ? capture.size : sizeof capture.text - 1] = 0;
}

static void check_refusal(const char *what, int status)
{
    const char *newline = memchr(capture.text, '\n', capture.size);
    bool one_line = newline != NULL && newline == capture.text + capture.size - 1;
    if (!(status == LEAT_EXIT_OK && capture.size == 0) &&
        !(status == LEAT_EXIT_USAGE && one_line)) {
        fuzz_fail("%s: status %d, %zu bytes on stderr: %s", what, status, capture.size,
                  capture.text);
    }
}

static void try_table(struct words *words)
{
    int status = -1;
    begin();
    struct leat_options *options = leat_options_parse(&program, words->argc, words->argv, &status);
    end();
    if (options == NULL) {
        check_refusal("options", status);
    } else {
        if (leat_options_given(options, "count") && (leat_options_number(options, "count") < 1 ||
                                                     leat_options_number(options, "count") > 100)) {
            fuzz_fail("a count outside its bounds");
        }
        for (size_t i = 0; i < leat_options_list_count(options, "list"); i++) {
            (void)strlen(leat_options_list_at(options, "list", i));
        }
    }
    leat_options_destroy(&options);
}

static bool names_a_plugin(const struct leat_options *options)
{
    return leat_options_list_count(options, "plugin") > 0; /* would be loaded, in a child */
}

static void try_worker(struct words *words)
{
    static struct leat_worker_settings settings;
    struct leat_why why = {""};
    int status = -1;
    begin();
    struct leat_options *options =
        leat_options_parse(&leat_worker_program, words->argc, words->argv, &status);
    end();
    if (options == NULL) {
        check_refusal("worker", status);
    } else if (!names_a_plugin(options)) {
        enum leat_err err = leat_worker_settings_read(options, &settings, &why);
        if (err != LEAT_OK && why.text[0] == '\0') {
            fuzz_fail("settings refused with %s and no reason", leat_err_name(err));
        }
        struct leat_worker *worker = NULL;
        if (err == LEAT_OK && leat_worker_new(&settings.core, &worker, &why) != LEAT_OK &&
            why.text[0] == '\0') {
            fuzz_fail("the worker refuses its settings without a reason");
        }
        leat_worker_destroy(&worker);
        leat_worker_settings_fini(&settings);
    }
    leat_options_destroy(&options);
}

static void try_producer(struct words *words)
{
    static struct leat_producer_settings settings;
    int status = -1;
    begin();
    bool taken = leat_producer_settings_read(words->argc, words->argv, &settings, &status);
    end();
    if (taken) {
        leat_producer_settings_fini(&settings);
    } else {
        check_refusal("producer", status);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words words;
    split(&words, data, size);
    try_table(&words);
    try_worker(&words);
    try_producer(&words);
    forget(&words);
    return 0;
}
