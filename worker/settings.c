#include "worker/settings.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/id.h"
#include "core/name.h"
#include "core/units.h"
#include "core/utf8.h"
#include "io/clock.h"
#include "io/random.h"

#define HOST_BYTES 200

static const struct leat_option rows[] = {
    {.name = "ventilator",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5170",
     .help = "where jobs come from"},
    {.name = "sink",
     .kind = LEAT_OPTION_ENDPOINT,
     .initial = "tcp://127.0.0.1:5171",
     .help = "where results go"},
    {.name = "queues",
     .kind = LEAT_OPTION_STRING,
     .initial = "default",
     .value = "A,B",
     .help = "queues to take jobs from, with a comma between"},
    {.name = "name",
     .kind = LEAT_OPTION_STRING,
     .env = "LEAT_WORKER_NAME",
     .help = "name for people; default: host and process id"},
    {.name = "exec",
     .kind = LEAT_OPTION_LIST,
     .value = "TYPE=COMMAND",
     .group = "Handlers",
     .help = "run COMMAND for each job of TYPE: payload on stdin, result from stdout; no shell"},
    {.name = "exec-shell",
     .kind = LEAT_OPTION_LIST,
     .value = "TYPE=SCRIPT",
     .group = "Handlers",
     .help = "the same, with /bin/sh -c"},
    {.name = "plugin",
     .kind = LEAT_OPTION_LIST,
     .value = "FILE.so",
     .group = "Handlers",
     .help = "the handlers of a shared object (include/leat/handler.h)"},
    {.name = "permanent-exits",
     .kind = LEAT_OPTION_STRING,
     .initial = "64,65,77,78,126,127",
     .value = "N,N",
     .group = "Handlers",
     .help = "exit statuses of commands that are not retried"},
    {.name = "max-result",
     .kind = LEAT_OPTION_SIZE,
     .initial = "64KiB",
     .min = 1,
     .max = LEAT_RESULT_BYTES_CEILING,
     .group = "Handlers",
     .help = "longest result; a command's is cut there, a plug-in's is an error"},
    {.name = "max-memory",
     .kind = LEAT_OPTION_SIZE,
     .max = INT64_C(1) << 46,
     .group = "Handlers",
     .help = "address space of a handler's process; default: no limit of its own"},
    {.name = "max-cpu",
     .kind = LEAT_OPTION_DURATION,
     .max = LEAT_TIMEOUT_MS_MAX,
     .group = "Handlers",
     .help = "processor time of a command, in whole seconds; default: no limit of its own"},
    {.name = "max-processes",
     .kind = LEAT_OPTION_COUNT,
     .min = 1,
     .max = 1 << 22,
     .group = "Handlers",
     .help = "processes of a handler at one time; beyond it fork fails with EAGAIN; default: no "
             "limit of its own"},
    {.name = "recycle",
     .kind = LEAT_OPTION_COUNT,
     .max = INT64_MAX,
     .group = "Handlers",
     .help = "replace a plug-in's process after so many attempts; default: never"},
    {.name = "slots",
     .kind = LEAT_OPTION_COUNT,
     .min = 1,
     .max = LEAT_SLOTS_MAX,
     .group = "Flow",
     .help = "jobs that run at one time; default: processors"},
    {.name = "prefetch",
     .kind = LEAT_OPTION_COUNT,
     .min = 0,
     .max = LEAT_PREFETCH_MAX,
     .group = "Flow",
     .help = "jobs held beyond the slots; default: what ends in 50 ms, at least as many as slots"},
    {.name = "outbox",
     .kind = LEAT_OPTION_COUNT,
     .initial = "16384",
     .min = 1,
     .max = LEAT_OUTBOX_RESULTS_MAX,
     .group = "Flow",
     .help =
         "most results that wait for the sink, jobs held included; at least slots and prefetch"},
    {.name = "rate",
     .kind = LEAT_OPTION_LIST,
     .value = "[TYPE=]N/s",
     .group = "Flow",
     .help =
         "most attempts started in a time (/s, /m, /h, /d), of the worker or of one type; a "
         "rate of the worker keeps all types from being sent ahead to busy slots, a rate of one "
         "type only that type"},
    {.name = "burst",
     .kind = LEAT_OPTION_LIST,
     .value = "[TYPE=]N",
     .group = "Flow",
     .help =
         "attempts that a rate lets start at once; default: what it gives in 100 ms, at least 1"},
    {.name = "drain",
     .kind = LEAT_OPTION_DURATION,
     .initial = "30s",
     .max = LEAT_TIMEOUT_MS_MAX,
     .group = "Flow",
     .help = "after SIGTERM, running jobs may go on for this time"},
    {.name = "grace",
     .kind = LEAT_OPTION_DURATION,
     .initial = "5s",
     .max = LEAT_TIMEOUT_MS_MAX,
     .group = "Flow",
     .help = "from SIGTERM to SIGKILL for a handler that is to be ended"},
    LEAT_OPTIONS_KEY,
    LEAT_OPTIONS_COMMON,
    LEAT_OPTIONS_READY,
};

const struct leat_program leat_worker_program = {
    .name = "leat-worker",
    .summary = "Runs jobs: takes them from the ventilator, gives results to the sink.",
    .rows = rows,
    .row_count = LEAT_COUNT_OF(rows),
    .more =
        "Example:\n"
        "  leat-worker --slots 4 --exec sha256=sha256sum --exec 'thumb=convert - -resize 200 -'\n",
};

/* ---- handlers ---- */

static enum leat_err read_handlers(const struct leat_options *options,
                                   struct leat_worker_settings *settings, struct leat_why *why)
{
    struct leat_spawner_config *spawner = &settings->spawner;
    enum leat_err err = LEAT_OK;
    for (size_t i = 0; err == LEAT_OK && i < leat_options_list_count(options, "exec"); i++) {
        err = leat_spawner_add_exec(spawner, leat_options_list_at(options, "exec", i), false, why);
    }
    for (size_t i = 0; err == LEAT_OK && i < leat_options_list_count(options, "exec-shell"); i++) {
        err = leat_spawner_add_exec(spawner, leat_options_list_at(options, "exec-shell", i), true,
                                    why);
    }
    for (size_t i = 0; err == LEAT_OK && i < leat_options_list_count(options, "plugin"); i++) {
        err = leat_spawner_add_plugin(spawner, leat_options_list_at(options, "plugin", i), why);
    }
    if (err != LEAT_OK) { /* no such command or file, two for one type: the command line is wrong */
        return err == LEAT_ERR_NOT_FOUND || err == LEAT_ERR_EXISTS ? LEAT_ERR_INVALID : err;
    }
    if (spawner->handlers_count == 0) {
        return leat_fail(why, LEAT_ERR_INVALID,
                         "no handler: give --exec TYPE=COMMAND or --plugin FILE.so");
    }
    for (size_t i = 0; i < spawner->handlers_count; i++) {
        settings->handlers[i] = (struct leat_worker_handler){
            .type = leat_str_of(spawner->handlers[i].type),
            .kind = spawner->handlers[i].kind == LEAT_SPAWNER_PLUGIN ? LEAT_WORKER_PLUGIN
                                                                     : LEAT_WORKER_EXEC,
        };
    }
    settings->core.handlers = settings->handlers;
    settings->core.handler_count = spawner->handlers_count;
    return leat_spawner_set_permanent_exits(spawner, leat_options_text(options, "permanent-exits"),
                                            why);
}

static void read_bounds(const struct leat_options *options, struct leat_worker_settings *settings)
{
    struct leat_spawner_config *spawner = &settings->spawner;
    spawner->slots = settings->core.slots;
    spawner->grace_ms = leat_options_number(options, "grace");
    spawner->result_bytes_max = (size_t)leat_options_number(options, "max-result");
    spawner->memory_bytes_max = (uint64_t)leat_options_number(options, "max-memory");
    spawner->cpu_s_max =
        (uint64_t)((leat_options_number(options, "max-cpu") + LEAT_MS_PER_S - 1) / LEAT_MS_PER_S);
    spawner->processes_max = (size_t)leat_options_number(options, "max-processes");
    spawner->recycle_jobs = (uint64_t)leat_options_number(options, "recycle");
    /* The core gives the spawner no more than this at one time; it must not wait for less. */
    spawner->held_bytes_max = 2 * (size_t)LEAT_STARTED_BYTES_MAX;
}

/* ---- names ---- */

static enum leat_err read_queues(const struct leat_options *options,
                                 struct leat_worker_settings *settings, struct leat_why *why)
{
    const char *text = leat_options_text(options, "queues");
    size_t count = 0;
    for (;;) {
        size_t size = strcspn(text, ",");
        struct leat_str queue = {text, size};
        enum leat_err err = leat_name_check_queue(queue, why);
        if (err != LEAT_OK) {
            return err;
        }
        if (count == LEAT_SESSION_QUEUES_MAX) {
            return leat_fail(why, LEAT_ERR_LIMIT, "--queues: more than %d queues",
                             LEAT_SESSION_QUEUES_MAX);
        }
        for (size_t i = 0; i < count; i++) {
            if (leat_str_equal(settings->queues[i], queue)) {
                return leat_fail(why, LEAT_ERR_INVALID, "--queues: %.*s is there twice",
                                 LEAT_STR_ARGS(queue));
            }
        }
        settings->queues[count++] = queue;
        if (text[size] == '\0') {
            break;
        }
        text += size + 1;
    }
    settings->core.queues = settings->queues;
    settings->core.queue_count = count;
    return LEAT_OK;
}

static enum leat_err read_name(const struct leat_options *options,
                               struct leat_worker_settings *settings, struct leat_why *why)
{
    const char *given = leat_options_text(options, "name");
    int size;
    if (given != NULL) {
        size = snprintf(settings->name, sizeof settings->name, "%s", given);
    } else {
        char host[HOST_BYTES] = "";
        if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0') {
            memcpy(host, "localhost", sizeof "localhost");
        }
        size = snprintf(settings->name, sizeof settings->name, "%s:%ld", host, (long)getpid());
    }
    if (size <= 0 || (size_t)size >= sizeof settings->name) {
        return leat_fail(why, LEAT_ERR_LIMIT, "--name: %d bytes, allowed are 1 to %zu", size,
                         sizeof settings->name - 1);
    }
    if (!leat_utf8_valid(settings->name, (size_t)size)) {
        if (given != NULL) {
            return leat_fail(why, LEAT_ERR_INVALID, "--name is not UTF-8");
        }
        leat_utf8_repair(settings->name, (size_t)size); /* a strange host is no reason to end */
    }
    settings->core.name = (struct leat_str){settings->name, (size_t)size};
    return LEAT_OK;
}

/* ---- rates ---- */

/* Splits "TYPE=rest" or "rest". */
static const char *split_type(const char *text, struct leat_str *ret_type)
{
    const char *equals = strchr(text, '=');
    *ret_type =
        equals == NULL ? (struct leat_str){0} : (struct leat_str){text, (size_t)(equals - text)};
    return equals == NULL ? text : equals + 1;
}

static uint64_t default_burst(struct leat_rate rate)
{
    uint64_t burst = leat_rate_milli_per_s(rate) / 10000;
    return burst < 1 ? 1 : burst > LEAT_BURST_MAX ? LEAT_BURST_MAX : burst;
}

static struct leat_worker_rate *find_rate(struct leat_worker_settings *settings,
                                          struct leat_str type)
{
    for (size_t i = 0; i < settings->core.rate_count; i++) {
        if (leat_str_equal(settings->rates[i].type, type)) {
            return &settings->rates[i];
        }
    }
    return NULL;
}

static enum leat_err read_rate(const char *text, struct leat_worker_settings *settings,
                               struct leat_why *why)
{
    if (settings->core.rate_count == LEAT_COUNT_OF(settings->rates)) {
        return leat_fail(why, LEAT_ERR_LIMIT, "more than %zu rates",
                         LEAT_COUNT_OF(settings->rates));
    }
    struct leat_worker_rate *rate = &settings->rates[settings->core.rate_count];
    const char *rest = split_type(text, &rate->type);
    if (find_rate(settings, rate->type) != NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "--rate %.100s: there is a rate for this already",
                         text);
    }
    enum leat_err err = leat_units_parse_rate(leat_str_of(rest), &rate->rate, why);
    if (err != LEAT_OK) {
        return err;
    }
    rate->burst = default_burst(rate->rate);
    settings->core.rate_count++;
    return LEAT_OK;
}

static enum leat_err read_burst(const char *text, struct leat_worker_settings *settings,
                                struct leat_why *why)
{
    struct leat_str type;
    const char *rest = split_type(text, &type);
    struct leat_worker_rate *rate = find_rate(settings, type);
    if (rate == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "--burst %.100s: there is no such --rate", text);
    }
    uint64_t burst = 0;
    enum leat_err err = leat_units_parse_count(leat_str_of(rest), &burst, why);
    if (err != LEAT_OK) {
        return err;
    }
    if (burst < 1 || burst > LEAT_BURST_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "--burst %.100s: allowed are 1 to %d", text,
                         LEAT_BURST_MAX);
    }
    rate->burst = burst;
    return LEAT_OK;
}

static enum leat_err read_rates(const struct leat_options *options,
                                struct leat_worker_settings *settings, struct leat_why *why)
{
    enum leat_err err = LEAT_OK;
    settings->core.rates = settings->rates;
    for (size_t i = 0; err == LEAT_OK && i < leat_options_list_count(options, "rate"); i++) {
        err = read_rate(leat_options_list_at(options, "rate", i), settings, why);
    }
    for (size_t i = 0; err == LEAT_OK && i < leat_options_list_count(options, "burst"); i++) {
        err = read_burst(leat_options_list_at(options, "burst", i), settings, why);
    }
    return err;
}

/* ---- all ---- */

static size_t processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > LEAT_SLOTS_MAX ? LEAT_SLOTS_MAX : (size_t)count;
}

/* Without the option the prefetch follows the jobs; half of the outbox at least is for results. */
static void read_prefetch(const struct leat_options *options, struct leat_worker_config *core)
{
    if (leat_options_given(options, "prefetch")) {
        core->prefetch = (size_t)leat_options_number(options, "prefetch");
        return;
    }
    const size_t results_max = core->outbox_results_max;
    const size_t room = results_max > core->slots ? results_max - core->slots : 0;
    core->prefetch = core->slots < room ? core->slots : room;
    const size_t half = room / 2;
    core->prefetch_max = half > core->prefetch ? half : core->prefetch;
}

static void draw_identity(struct leat_worker_config *core)
{
    struct leat_now now;
    struct leat_rng rng;
    struct leat_id_generator generator;
    leat_clock_now(&now);
    leat_rng_init(&rng, leat_random_seed());
    leat_id_generator_init(&generator, &rng);
    core->session = leat_id_next(&generator, now.wall);
    core->seed = leat_random_seed();
}

enum leat_err leat_worker_settings_read(const struct leat_options *options,
                                        struct leat_worker_settings *settings, struct leat_why *why)
{
    *settings = (struct leat_worker_settings){.spawner = LEAT_SPAWNER_CONFIG};
    struct leat_worker_config *core = &settings->core;
    core->slots = leat_options_given(options, "slots")
                      ? (size_t)leat_options_number(options, "slots")
                      : processors();
    core->drain_ms = leat_options_number(options, "drain");
    core->grace_ms = leat_options_number(options, "grace");
    draw_identity(core);
    enum leat_err err = read_handlers(options, settings, why);
    if (err == LEAT_OK) {
        err = read_queues(options, settings, why);
    }
    if (err == LEAT_OK) {
        err = read_name(options, settings, why);
    }
    if (err == LEAT_OK) {
        err = read_rates(options, settings, why);
    }
    read_bounds(options, settings);
    core->outbox_results_max = (size_t)leat_options_number(options, "outbox");
    read_prefetch(options, core);
    return err;
}

void leat_worker_settings_fini(struct leat_worker_settings *settings)
{
    leat_spawner_config_fini(&settings->spawner);
}
