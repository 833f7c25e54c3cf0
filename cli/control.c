/* leat ping, pause, resume, shutdown: requests to the ventilator, and who answers at all. */
#include <string.h>

#include "cli/command.h"
#include "io/exit.h"

static enum leat_err control(const struct leat_options *options, const char *verb,
                             const char *argument, int patience_ms, bool silent,
                             struct leat_cli_answer *answer)
{
    struct leat_msg msg = {.type = LEAT_MSG_CONTROL};
    msg.control.ref = 1;
    msg.control.verb = leat_str_of(verb);
    msg.control.argument = leat_str_of(argument);
    return leat_cli_request("ventilator", leat_options_text(options, "ventilator"), &msg,
                            patience_ms, silent, answer);
}

/* ---- pause, resume, shutdown ---- */

static const struct leat_option control_rows[] = {LEAT_CLI_VENTILATOR, LEAT_OPTIONS_KEY,
                                                  LEAT_OPTIONS_COMMON};

static int run_verb(const struct leat_options *options, const char *verb, const char *argument)
{
    struct leat_cli_answer answer;
    if (control(options, verb, argument, LEAT_CLI_PATIENCE_MS, false, &answer) != LEAT_OK) {
        return LEAT_EXIT_FAILED;
    }
    puts(answer.text);
    return LEAT_EXIT_OK;
}

static int run_pause(const struct leat_options *options)
{
    return run_verb(options, "pause", leat_options_argument(options, 0));
}

static int run_resume(const struct leat_options *options)
{
    return run_verb(options, "resume", leat_options_argument(options, 0));
}

static int run_shutdown(const struct leat_options *options)
{
    return run_verb(options, "shutdown", "");
}

static const struct leat_program pause_program = {
    .name = "leat pause",
    .summary = "stop pushing the jobs of a queue; what runs goes on",
    .arguments = "QUEUE",
    .arguments_min = 1,
    .arguments_max = 1,
    .rows = control_rows,
    .row_count = LEAT_COUNT_OF(control_rows),
};

static const struct leat_program resume_program = {
    .name = "leat resume",
    .summary = "push the jobs of a paused queue again",
    .arguments = "QUEUE",
    .arguments_min = 1,
    .arguments_max = 1,
    .rows = control_rows,
    .row_count = LEAT_COUNT_OF(control_rows),
};

static const struct leat_program shutdown_program = {
    .name = "leat shutdown",
    .summary = "end the whole cluster in order: workers finish, then the ventilator, then the sink",
    .rows = control_rows,
    .row_count = LEAT_COUNT_OF(control_rows),
    .more = "No new jobs are taken; workers finish what runs, hand back the rest and exit; jobs "
            "that have not ended\n"
            "stay on the ventilator's disk for the next start.\n",
};

const struct leat_command leat_command_pause = {&pause_program, run_pause, true};
const struct leat_command leat_command_resume = {&resume_program, run_resume, true};
const struct leat_command leat_command_shutdown = {&shutdown_program, run_shutdown, true};

/* ---- ping ---- */

static const struct leat_option ping_rows[] = {LEAT_CLI_VENTILATOR, LEAT_CLI_STATS,
                                               LEAT_OPTIONS_KEY, LEAT_OPTIONS_COMMON};

static const struct leat_program ping_program = {
    .name = "leat ping",
    .summary = "who answers? Exit status 0 when all that were asked do",
    .arguments = "[ventilator | sink | worker NAME]",
    .arguments_max = 2,
    .rows = ping_rows,
    .row_count = LEAT_COUNT_OF(ping_rows),
};

static bool ping_ventilator(const struct leat_options *options)
{
    struct leat_cli_answer answer;
    if (control(options, "ping", "", LEAT_CLI_PATIENCE_MS / 2, false, &answer) != LEAT_OK) {
        return false;
    }
    printf("ventilator %s: %s\n", leat_options_text(options, "ventilator"), answer.text);
    return true;
}

static bool ping_sink(const struct leat_options *options)
{
    const char *endpoint = leat_options_text(options, "stats");
    if (!leat_cli_answers(endpoint, LEAT_CLI_PATIENCE_MS / 2)) {
        fprintf(stderr,
                "leat: the sink's stats at %s cannot be reached: no answer within %d ms%s\n",
                endpoint, LEAT_CLI_PATIENCE_MS / 2, leat_cli_key_hint());
        return false;
    }
    printf("sink %s: ok\n", endpoint);
    return true;
}

/* A worker has no socket of its own to be asked at; it is well when the ventilator hears it. The
 * name is the one that `leat workers` shows, or its part before the colon. */
static bool ping_worker(const struct leat_options *options, const char *name)
{
    json_t *reply = leat_cli_ask(leat_options_text(options, "stats"),
                                 json_pack("{s:s}", "request", "workers"), false);
    size_t index = 0;
    const json_t *worker = NULL;
    bool found = false;
    json_array_foreach(json_object_get(reply, "workers"), index, worker)
    {
        const char *known = json_string_value(json_object_get(worker, "name"));
        size_t size = strlen(name);
        found = found || (known != NULL && strncmp(known, name, size) == 0 &&
                          (known[size] == '\0' || known[size] == ':'));
    }
    if (reply != NULL) {
        fprintf(found ? stdout : stderr, "%s %s%s\n", found ? "worker" : "leat: no worker", name,
                found ? ": ok" : " is known to the ventilator");
    }
    json_decref(reply);
    return found;
}

static int run_ping(const struct leat_options *options)
{
    size_t count = leat_options_argument_count(options);
    const char *who = count > 0 ? leat_options_argument(options, 0) : "";
    bool answered = false;
    if (count == 0) {
        answered = ping_ventilator(options);
        answered = ping_sink(options) && answered;
    } else if (count == 1 && strcmp(who, "ventilator") == 0) {
        answered = ping_ventilator(options);
    } else if (count == 1 && strcmp(who, "sink") == 0) {
        answered = ping_sink(options);
    } else if (count == 2 && strcmp(who, "worker") == 0) {
        answered = ping_worker(options, leat_options_argument(options, 1));
    } else {
        return leat_options_refuse(&ping_program, "cannot ping %s: ventilator, sink or worker NAME",
                                   who);
    }
    return answered ? LEAT_EXIT_OK : LEAT_EXIT_FAILED;
}

const struct leat_command leat_command_ping = {&ping_program, run_ping, true};
