#include "tests/simulation/story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS    INT64_C(1000)
#define WORDS 1024
#define WIDTH 98

/* ---- text ---- */

__attribute__((format(printf, 2, 3))) static void add(struct story *story, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char line[2 * WORDS];
    int size = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    assert_true(size >= 0 && (size_t)size < sizeof(line));
    if (story->size + (size_t)size + 1 > story->capacity) {
        story->capacity = 2 * story->capacity + sizeof(line);
        story->text = realloc(story->text, story->capacity);
        assert_non_null(story->text);
    }
    memcpy(story->text + story->size, line, (size_t)size + 1);
    story->size += (size_t)size;
}

static void end_line(struct story *story)
{
    if (story->line_is_open) {
        add(story, "\n");
        story->line_is_open = false;
    }
}

static void begin_line(struct story *story)
{
    end_line(story);
    add(story, "%9.3f s  ", (double)story->world.now_us / 1e6);
    story->line_is_open = true;
}

/* Words in lines of at most WIDTH. */
static void add_paragraph(struct story *story, const char *words)
{
    size_t column = 0;
    while (*words != '\0') {
        size_t size = strcspn(words, " ");
        if (column > 0 && column + 1 + size > WIDTH) {
            add(story, "\n");
            column = 0;
        }
        add(story, "%s%.*s", column > 0 ? " " : "", (int)size, words);
        column += size + (column > 0);
        words += size;
        words += strspn(words, " ");
    }
    add(story, "\n");
}

void story_say(struct story *story, const char *format, ...)
{
    char words[WORDS];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    end_line(story);
    add(story, "\n");
    add_paragraph(story, words);
    add(story, "\n");
}

/* ---- what is seen ---- */

static const struct sim_node *receiver_of(struct story *story, const struct sim_sight *sight)
{
    switch (sight->link) {
    case LEAT_LINK_VENTILATOR:
        return story->ventilator;
    case LEAT_LINK_SINK:
        return story->sink;
    case LEAT_LINK_PEERS:
        return sim_node_of_peer(&story->world, sight->peer);
    case LEAT_LINK_SPAWNER:
    case LEAT_LINK_METRICS:
    case LEAT_LINK_EVENTS:
        break;
    }
    return NULL;
}

static void on_leaving(struct story *story, const struct sim_sight *sight)
{
    char words[WORDS];
    story_words(story, sight->msg, words);
    if (words[0] == '\0') {
        return;
    }
    const struct sim_node *receiver = receiver_of(story, sight);
    begin_line(story);
    add(story, "%-10s ──▶ %-10s  %s", story_name(story, sight->node),
        receiver != NULL ? story_name(story, receiver) : "spawner", words);
}

static void on_loss(struct story *story, const struct sim_sight *sight)
{
    char words[WORDS];
    uint64_t followed = story->followed;
    story_words(story, sight->msg, words);
    story->followed = followed;
    if (words[0] != '\0' && story->line_is_open) {
        add(story, "   … is lost");
    }
}

static void happens(struct story *story, const struct sim_node *node, const char *words)
{
    begin_line(story);
    add(story, "%-10s %15s %s", story_name(story, node), "", words);
}

/* A session is known by its first HELLO. */
static void meet(struct story *story, const struct sim_sight *sight)
{
    if (sight->kind == SIM_SENDS && sight->msg->type == LEAT_MSG_HELLO &&
        sight->msg->hello.round == 1) {
        assert_true(story->life_count < STORY_LIVES_MAX);
        story->lives[story->life_count].session = sight->msg->hello.session;
        story->lives[story->life_count++].worker = sight->node;
    }
}

static void watch(const struct sim_sight *sight, void *context)
{
    struct story *story = context;
    sim_checks_watch(sight, story->checks);
    meet(story, sight);
    if (story->is_quiet) {
        return;
    }
    char words[WORDS] = "";
    switch (sight->kind) {
    case SIM_LEAVES:
        on_leaving(story, sight);
        return;
    case SIM_LOSES:
        on_loss(story, sight);
        return;
    case SIM_WRITES:
        happens(story, sight->node, "(on disk)");
        return;
    case SIM_NOTES:
        story_note_words(story, sight->note, words);
        break;
    case SIM_GETS:
        if (sight->link == LEAT_LINK_SPAWNER) {
            story_words(story, sight->msg, words);
            begin_line(story);
            add(story, "%-10s ◀── spawner     %s", story_name(story, sight->node), words);
        }
        return;
    case SIM_BOOTS:
        if (sight->node->role != &sim_role_operator) {
            happens(story, sight->node, "starts");
        }
        return;
    case SIM_CRASHES:
        happens(story, sight->node, "is killed");
        return;
    case SIM_ENDS:
        happens(story, sight->node, "has ended");
        return;
    case SIM_SENDS:
    case SIM_TOOK:
        return;
    }
    if (words[0] != '\0') {
        happens(story, sight->node, words);
    }
}

/* ---- the cluster ---- */

static void set_up(struct sim_settings *settings)
{
    *settings = (struct sim_settings){
        .kinds = 1u << SIM_OK,
        .batch_jobs_max = 1,
        .queues = 1,
        .prefetch = 1,
        .drain_ms = 1000,
        .push_items_max = LEAT_BATCH_ITEMS_MAX,
        .settled_window = LEAT_SETTLED_WINDOW,
        .filling_bytes_max = LEAT_FILLING_BYTES_MAX,
        .audit_ms = LEAT_AUDIT_MS,
        .check_every = 1,
        .run_us = 100 * MS,
    };
}

void story_open(struct story *story, const char *title, const char *words, int workers)
{
    *story = (struct story){.worker_count = workers};
    struct sim_world *world = &story->world;
    sim_world_init(world, 1);
    world->faults.delay_min_us = world->faults.delay_max_us = 1 * MS;
    world->faults.commit_min_us = world->faults.commit_max_us = 2 * MS;
    world->now_us = 0;
    world->tells = true;
    set_up(&story->ledger.settings);
    story->ledger.times_hold = true;
    story->sink = sim_add_node(world, &sim_role_sink, &story->ledger, true);
    story->ventilator = sim_add_node(world, &sim_role_ventilator, &story->ledger, true);
    sim_connect(story->ventilator, LEAT_LINK_SINK, story->sink);
    story->operator= sim_add_node(world, &sim_role_operator, &story->ledger, false);
    sim_connect(story->operator, LEAT_LINK_VENTILATOR, story->ventilator);
    story->producer =
        sim_add_node(world, &sim_role_producer, sim_producer_new(&story->ledger, 0), false);
    sim_connect(story->producer, LEAT_LINK_VENTILATOR, story->ventilator);
    for (int i = 0; i < workers; i++) {
        struct sim_node *worker =
            sim_add_node(world, &sim_role_worker, sim_worker_new(&story->ledger, 1), false);
        sim_connect(worker, LEAT_LINK_VENTILATOR, story->ventilator);
        sim_connect(worker, LEAT_LINK_SINK, story->sink);
        story->workers[i] = worker;
    }
    story->checks = sim_checks_new(world, &story->ledger);
    world->watch = watch;
    world->watch_context = story;
    add(story, "# %s\n\n", title);
    add_paragraph(story, words);
    add(story, "\n");
}

void story_boot(struct story *story, bool told)
{
    story->is_quiet = !told;
    for (int i = 0; i < story->world.node_count; i++) {
        sim_boot(&story->world.nodes[i]);
    }
    story_run(story, 100);
    story->is_quiet = false;
}

void story_run(struct story *story, int64_t ms)
{
    sim_run(&story->world, story->world.now_us + ms * MS);
    if (story->ledger.broken != NULL) {
        fail_msg("%s: %s\n%s", story->ledger.broken, story->ledger.text, story->text);
    }
}

void story_run_until(struct story *story, bool (*is_so)(const struct story *story), int64_t ms)
{
    int64_t until_us = story->world.now_us + ms * MS;
    while (!is_so(story)) {
        if (story->world.now_us >= until_us) {
            fail_msg("what the story waits for does not happen:\n%s", story->text);
        }
        story_run(story, 1);
    }
}

/* ---- the end ---- */

static void add_outcome(struct story *story, size_t index, char *to, size_t size)
{
    struct leat_item_job_id id = {sim_job_id(index)};
    struct leat_msg query = {.type = LEAT_MSG_QUERY};
    query.query.jobs.items = &id;
    query.query.jobs.count = 1;
    struct leat_event event = {.kind = LEAT_EVENT_MESSAGE,
                               .now = sim_now(&story->world),
                               .link = LEAT_LINK_PEERS,
                               .peer = {.size = 4},
                               .msg = &query};
    struct leat_out out;
    leat_out_init(&out);
    story->sink->role->step(story->sink->core, &event, &out);
    const struct leat_msg_answers *answers = &out.actions[0].msg.answers;
    if (answers->results.count == 1) {
        const struct leat_item_result *result = &answers->results.items[0];
        snprintf(to, size, "%sj%zu %s after %llu attempt%s", index == 0 ? "" : ", ", index + 1,
                 leat_state_name(result->status), (unsigned long long)result->attempts,
                 result->attempts == 1 ? "" : "s");
    } else {
        snprintf(to, size, "%sj%zu has no result", index == 0 ? "" : ", ", index + 1);
    }
    leat_out_fini(&out);
}

void story_end(struct story *story)
{
    end_line(story);
    add(story, "\n");
    char words[WORDS] = "In the end: ";
    for (size_t i = 0; i < story->ledger.count; i++) {
        size_t used = strlen(words);
        add_outcome(story, i, words + used, sizeof(words) - used);
    }
    size_t used = strlen(words);
    snprintf(words + used, sizeof(words) - used, "; %llu at the ventilator.",
             (unsigned long long)sim_ventilator_jobs(story->ventilator));
    add_paragraph(story, words);
}

void story_close(struct story *story)
{
    for (int i = 0; i < story->worker_count; i++) {
        sim_worker_free(story->workers[i]->context);
    }
    sim_producer_free(story->producer->context);
    sim_world_fini(&story->world);
    sim_checks_free(story->checks);
    free(story->ledger.jobs);
    free(story->text);
}
