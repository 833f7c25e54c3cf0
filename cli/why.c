/* Why a job waits, from what the ventilator tells the sink once a second (queues, workers): the
 * same that an operator would read off `leat queues` and `leat workers`. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/why.h"

/* Older than this, what the ventilator told is not what is. */
#define STALE_MS 5000

static const char *const names[] = {
#define WHY(NAME, name, text) name,
#include "cli/why.def"
#undef WHY
};

static const char *const texts[] = {
#define WHY(NAME, name, text) text,
#include "cli/why.def"
#undef WHY
};

const char *leat_cli_why_name(enum leat_cli_why why)
{
    return names[why];
}

const char *leat_cli_why_text(enum leat_cli_why why)
{
    return texts[why];
}

/* Whether "a,b,c" names the queue; a list that was cut (",...") may. */
static bool serves(const char *queues, const char *queue)
{
    size_t size = strlen(queue);
    for (const char *at = queues; *at != '\0'; at += strcspn(at, ",")) {
        at += *at == ',';
        if ((strncmp(at, queue, size) == 0 && (at[size] == ',' || at[size] == '\0')) ||
            strcmp(at, "...") == 0) {
            return true;
        }
    }
    return false;
}

static const json_t *find_queue(const json_t *queues, const char *queue)
{
    size_t index = 0;
    const json_t *row = NULL;
    json_array_foreach(json_object_get(queues, "queues"), index, row)
    {
        const char *name = json_string_value(json_object_get(row, "queue"));
        if (name != NULL && strcmp(name, queue) == 0) {
            return row;
        }
    }
    return NULL;
}

enum leat_cli_why leat_cli_why_ready(const json_t *queues, const json_t *workers, const char *queue)
{
    int64_t age_ms = leat_cli_number(queues, "age_ms");
    if (age_ms < 0 || age_ms > STALE_MS) {
        return LEAT_CLI_WHY_UNKNOWN;
    }
    if (json_is_true(json_object_get(find_queue(queues, queue), "paused"))) {
        return LEAT_CLI_WHY_PAUSED;
    }
    int64_t serving = 0, free_slots = 0, kept = 0, idle = 0; /* idle: leased, and not running */
    size_t index = 0;
    const json_t *worker = NULL;
    json_array_foreach(json_object_get(workers, "workers"), index, worker)
    {
        const char *list = json_string_value(json_object_get(worker, "queues"));
        if (list != NULL && serves(list, queue)) {
            int64_t busy = leat_cli_number(worker, "busy");
            int64_t slots = leat_cli_number(worker, "slots");
            serving++;
            free_slots += busy < slots ? slots - busy : 0;
            kept += leat_cli_number(worker, "outbox");
            idle += leat_cli_number(worker, "leased") - busy;
        }
    }
    if (serving == 0) {
        return LEAT_CLI_WHY_NO_WORKER;
    }
    if (free_slots == 0) {
        return LEAT_CLI_WHY_BUSY;
    }
    /* Of jobs that do not run, most have results that wait for the sink: it holds all up. Where
     * work flows, most wait for their turn in a slot. */
    return kept > 0 && 2 * kept >= idle ? LEAT_CLI_WHY_SINK : LEAT_CLI_WHY_NO_CREDIT;
}
