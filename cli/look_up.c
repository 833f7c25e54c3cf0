/* leat result for a job that has not ended: where it is, and why it waits. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/why.h"
#include "core/instant.h"
#include "io/exit.h"

static enum leat_cli_why why_ready(const struct leat_options *options, const char *queue)
{
    const char *stats = leat_options_text(options, "stats");
    json_t *queues = leat_cli_ask(stats, json_pack("{s:s}", "request", "queues"), false);
    json_t *workers = leat_cli_ask(stats, json_pack("{s:s}", "request", "workers"), false);
    enum leat_cli_why why = queues == NULL || workers == NULL
                                ? LEAT_CLI_WHY_UNKNOWN
                                : leat_cli_why_ready(queues, workers, queue);
    json_decref(queues);
    json_decref(workers);
    return why;
}

/* False: it does not wait. */
static bool find_why(const struct leat_options *options, const struct leat_cli_answer *found,
                     enum leat_cli_why *ret_why)
{
    if (found->state == LEAT_STATE_SCHEDULED) {
        *ret_why = found->attempt > 1 ? LEAT_CLI_WHY_RETRY : LEAT_CLI_WHY_NOT_BEFORE;
        return true;
    }
    if (found->state == LEAT_STATE_READY) {
        *ret_why = why_ready(options, found->queue);
        return true;
    }
    return false;
}

static void print_json(const struct leat_cli_answer *found, const char *text, const char *why)
{
    json_t *tree = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s?}", "id", text, "state",
                             leat_state_name(found->state), "queue", found->queue, "type",
                             found->type, "attempt", (json_int_t)found->attempt, "deliveries_lost",
                             (json_int_t)found->deliveries, "due_ms", (json_int_t)found->due_ms,
                             "worker", found->worker, "waits", why);
    leat_cli_print_json(tree);
    json_decref(tree);
}

static void print_text(const struct leat_cli_answer *found, const char *text, const char *why)
{
    printf("%-9s %s\n%-9s %s\n%-9s %s\n%-9s %s\n%-9s %" PRIu64 "\n", "id", text, "state",
           leat_state_name(found->state), "queue", found->queue, "type", found->type, "attempt",
           found->attempt);
    if (found->due_ms > 0) {
        char at[32];
        leat_cli_time(found->due_ms * LEAT_US_PER_MS, at);
        printf("%-9s %s\n", "due", at);
    }
    if (found->worker[0] != '\0') {
        printf("%-9s %s\n", "worker", found->worker);
    }
    if (why != NULL) {
        printf("%-9s %s\n", "waits", why);
    }
}

int leat_cli_look_up(const struct leat_options *options, const struct leat_id *id, const char *text)
{
    struct leat_msg msg = {.type = LEAT_MSG_LOOKUP};
    msg.lookup.ref = 1;
    msg.lookup.id = *id;
    struct leat_cli_answer found;
    enum leat_err err = leat_cli_request("ventilator", leat_options_text(options, "ventilator"),
                                         &msg, LEAT_CLI_PATIENCE_MS / 2, false, &found);
    if (err != LEAT_OK) {
        fprintf(stderr, "leat: the sink has no result for %s\n", text);
    } else if (found.state == LEAT_STATE_NONE) {
        fprintf(stderr, "leat: job %s is not known: it never was, or its result is too old\n",
                text);
    } else if (leat_options_flag(options,
                                 "output")) { /* nothing else may get into what it is for */
        fprintf(stderr, "leat: job %s has not ended: it is %s\n", text,
                leat_state_name(found.state));
    } else {
        enum leat_cli_why why = LEAT_CLI_WHY_UNKNOWN;
        bool waits = find_why(options, &found, &why);
        if (leat_options_flag(options, "json")) {
            print_json(&found, text, waits ? leat_cli_why_name(why) : NULL);
        } else {
            print_text(&found, text, waits ? leat_cli_why_text(why) : NULL);
        }
    }
    return LEAT_EXIT_FAILED;
}
