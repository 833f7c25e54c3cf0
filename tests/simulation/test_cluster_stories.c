/* Golden traces: whole-cluster stories, equal to the letter to the files of stories/.
 *
 * LEAT_RECORD=1   writes the files anew, to be read as a diff before they are committed
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simulation/story.h"

/* ---- moments ---- */

static bool sink_is_writing(const struct story *story)
{
    return leat_store_is_committing(story->sink->store);
}

static bool one_job_runs(const struct story *story)
{
    uint64_t delivery;
    struct leat_id first = sim_job_id(0);
    return sim_worker_runs(story->workers[0], &first, &delivery);
}

static bool nothing_is_left(const struct story *story)
{
    return story->ventilator->core != NULL && sim_ventilator_jobs(story->ventilator) == 0 &&
           story->sink->core != NULL && sim_sink_results(story->sink) == story->ledger.count;
}

static void cut(struct story *story, const struct sim_node *a, const struct sim_node *b, int64_t ms)
{
    int64_t until_us = story->world.now_us + ms * 1000;
    sim_part(&story->world, a->index, b->index, until_us, false);
    sim_part(&story->world, b->index, a->index, until_us, false);
}

/* ---- what stories have in common ---- */

static void begin(struct story *story, const char *title, const char *words, int workers)
{
    story_open(story, title, words, workers);
    story_boot(story, false);
}

static void restart(struct story *story, struct sim_node *node, int64_t down_ms)
{
    sim_crash(node);
    story_run(story, down_ms);
    sim_boot(node);
}

/* Until every job has its result, and a little more: then nobody may have anything to say. */
static void finish(struct story *story, int64_t within_ms)
{
    story_run_until(story, nothing_is_left, within_ms);
    story_run(story, 100);
}

/* ---- stories ---- */

static void tell_happy_path(struct story *story)
{
    story_open(
        story, "A job from beginning to end",
        "One of each: a producer, a ventilator, a worker, a sink. Each keeps what it owes until "
        "the next one says that it is on disk.",
        1);
    story->shows_credit = true;
    story_boot(story, true);
    story_say(story, "The producer submits a job.");
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 1000);
}

static void tell_worker_dies(struct story *story)
{
    begin(story, "A worker dies holding a job",
          "P9: a worker that dies is noticed by its silence, after 5 seconds; what it held runs "
          "elsewhere.",
          2);
    sim_producer_submit(story->producer, SIM_OK);
    story_run_until(story, one_job_runs, 100);
    story_say(story, "kill -9, in the middle of the attempt.");
    sim_crash(story->workers[0]);
    story_run(story, 6000);
}

static void tell_sink_restarts(struct story *story)
{
    begin(story, "The sink dies before it can say STORED",
          "P1 and P2: the result is on the sink's disk, but nobody has been told. The worker keeps "
          "it and says it again; the sink finds that it has it already, and the first one stands.",
          1);
    sim_producer_submit(story->producer, SIM_OK);
    story_run_until(story, sink_is_writing, 500);
    story_say(story,
              "The sink's disk takes the batch; before the sink learns of it, it is killed.");
    leat_store_memory_complete(story->sink->store);
    restart(story, story->sink, 300);
    story_run_until(story, nothing_is_left, 5000);
    story_run(story, 1000);
}

static void tell_ventilator_restarts(struct story *story)
{
    story_open(
        story, "The ventilator restarts while jobs are with workers",
        "P1 and P9: leases are in memory only. After a restart the ventilator pushes nothing for "
        "two seconds; workers say what they hold and keep it. Nothing runs twice.",
        2);
    story->ledger.settings.run_us = 8000000;
    story_boot(story, false);
    sim_producer_submit(story->producer, SIM_OK);
    sim_producer_submit(story->producer, SIM_OK);
    story_run_until(story, one_job_runs, 100);
    story_run(story, 100);
    story_say(story, "The ventilator is killed and started again.");
    restart(story, story->ventilator, 500);
    finish(story, 12000);
}

static void tell_retry(struct story *story)
{
    begin(
        story, "A job fails twice, then succeeds",
        "The worker decides about a retry, with its delay; the ventilator keeps the count and the "
        "time. RETRY is confirmed by the next PONG, which waits for the disk.",
        1);
    sim_producer_submit(story->producer, SIM_FLAKY);
    story_run(story, 1000);
}

static void tell_poison(struct story *story)
{
    begin(
        story, "A job that kills its worker",
        "P8: each time the worker dies with the job, the ventilator notices its silence and tries "
        "again; after five deliveries the job ends as failed, kind lost.",
        1);
    sim_producer_submit(story->producer, SIM_POISON);
    finish(story, 40000);
}

static void tell_lost_accepted(struct story *story)
{
    begin(story, "ACCEPTED is lost, and the batch comes twice",
          "P1: what is not acknowledged is sent again, under the same number. It never becomes a "
          "second job.",
          1);
    sim_part(&story->world, story->ventilator->index, story->producer->index,
             story->world.now_us + 50000, false);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 1500);
}

static void tell_partition(struct story *story)
{
    begin(
        story, "A worker is cut off, and its result comes late",
        "P9: to the ventilator a worker that is cut off is as good as dead. When it comes back it "
        "is told which leases it has lost. Its result is sent all the same: the first one counts.",
        2);
    sim_producer_submit(story->producer, SIM_OK);
    story_run_until(story, one_job_runs, 100);
    story_say(story,
              "Worker a is cut off: from the ventilator for 7 seconds, from the sink for 9.");
    cut(story, story->workers[0], story->ventilator, 7000);
    cut(story, story->workers[0], story->sink, 9000);
    story_run(story, 13000);
}

static void tell_expiry(struct story *story)
{
    begin(story, "A job expires before anybody could run it",
          "Without a worker the job waits until its expires-at, and ends at the ventilator. The "
          "result lies on its disk until the sink has settled it.",
          0);
    sim_producer_submit(story->producer, SIM_EXPIRING);
    finish(story, 10000);
}

static void tell_busy(struct story *story)
{
    story_open(
        story, "A full ventilator says BUSY",
        "P7: this ventilator may hold the bodies of two jobs. The third is refused as a whole, "
        "before any acknowledgement, and comes again when it was told to.",
        1);
    story->ledger.settings.bytes_max = 40;
    story->ledger.settings.run_us = 300000;
    story_boot(story, false);
    for (int i = 0; i < 3; i++) {
        sim_producer_submit(story->producer, SIM_OK);
        story_run(story, 10);
    }
    finish(story, 5000);
}

static void tell_drain(struct story *story)
{
    begin(story, "A worker is told to end",
          "SIGTERM: what has not started is handed back, what runs is finished, its results are "
          "brought to the sink, and the worker says goodbye. Nothing is counted as lost.",
          2);
    story->is_quiet = true;
    sim_event(story->workers[1], &(struct leat_event){.kind = LEAT_EVENT_STOP});
    story_run(story, 900);
    story->is_quiet = false;
    for (int i = 0; i < 4; i++) {
        sim_producer_submit(story->producer, SIM_OK);
        story_run(story, 10);
    }
    story_say(story,
              "Worker a runs three jobs and holds a fourth. It gets SIGTERM, and worker b starts.");
    sim_event(story->workers[0], &(struct leat_event){.kind = LEAT_EVENT_STOP});
    sim_boot(story->workers[1]);
    story_run_until(story, nothing_is_left, 5000);
    story_run(story, 3000);
}

static void tell_pause(struct story *story)
{
    begin(story, "A queue is paused and resumed",
          "Jobs of a paused queue are accepted and wait. DONE means that it is on disk: a restart "
          "in between changes nothing.",
          1);
    sim_operator_say(story->operator, "pause", "default");
    story_run(story, 10);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 100);
    restart(story, story->ventilator, 100);
    story_run(story, 4000);
    story_say(story, "The worker is there, its credit is granted, the job waits.");
    sim_operator_say(story->operator, "resume", "default");
    story_run(story, 500);
}

static void tell_resumed_stream(struct story *story)
{
    begin(story, "The stream of settled jobs is resumed",
          "Each result has a number. The ventilator deletes the job and stores the number in one "
          "batch, so after any restart it asks for exactly what it has not seen.",
          1);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 300);
    story_say(story, "From now on nothing of the sink reaches the ventilator.");
    sim_part(&story->world, story->sink->index, story->ventilator->index,
             story->world.now_us + 1000000, false);
    sim_producer_submit(story->producer, SIM_OK);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 300);
    story_say(story, "The ventilator is killed; when it is back, so is the way.");
    restart(story, story->ventilator, 800);
    finish(story, 5000);
}

static void tell_older_copy(struct story *story)
{
    begin(
        story, "The sink is restored from an older copy",
        "A lost disk is not survived: what was recorded since the copy is gone. But the numbers of "
        "the stream cannot be mixed up: the ventilator knows more of the old stream than the "
        "copy does, so the sink goes on under a new one, and later jobs are settled as always.",
        1);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 300);
    story_say(story, "Somebody copies the sink's disk. Then one more job ends.");
    sim_back_up_disk(story->sink);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 300);
    story_say(story, "The disk is lost; the sink starts with the copy.");
    sim_crash(story->sink);
    sim_restore_disk(story->sink);
    story->ledger.numbers_repeat = true;
    sim_boot(story->sink);
    story_run(story, 1500);
    sim_producer_submit(story->producer, SIM_OK);
    story_run(story, 1500);
}

static const struct {
    const char *file;
    void (*tell)(struct story *story);
} stories[] = {
    {"01_happy_path", tell_happy_path},
    {"02_worker_dies", tell_worker_dies},
    {"03_sink_dies_before_stored", tell_sink_restarts},
    {"04_ventilator_restarts", tell_ventilator_restarts},
    {"05_retry", tell_retry},
    {"06_poison_job", tell_poison},
    {"07_accepted_is_lost", tell_lost_accepted},
    {"08_partition_and_late_result", tell_partition},
    {"09_expiry", tell_expiry},
    {"10_full_ventilator", tell_busy},
    {"11_drain", tell_drain},
    {"12_pause_and_resume", tell_pause},
    {"13_stream_resumed", tell_resumed_stream},
    {"14_sink_with_an_older_copy", tell_older_copy},
};

/* ---- comparing ---- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return strdup("");
    }
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t size = fread(text, 1, (1 << 20) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void record(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

/* The first line that differs, of both. */
static void compare(const char *name, const char *expected, const char *told)
{
    size_t line = 1;
    while (*expected != '\0' && *told != '\0') {
        size_t a = strcspn(expected, "\n");
        size_t b = strcspn(told, "\n");
        if (a != b || memcmp(expected, told, a) != 0) {
            break;
        }
        expected += a + (expected[a] == '\n');
        told += b + (told[b] == '\n');
        line++;
    }
    if (*expected != '\0' || *told != '\0') {
        fail_msg(
            "stories/%s.txt, line %zu\n  expected: %.*s\n  told:     %.*s\n"
            "If that is meant: LEAT_RECORD=1 build/release/tests/test_cluster_stories, and read "
            "the diff",
            name, line, (int)strcspn(expected, "\n"), expected, (int)strcspn(told, "\n"), told);
    }
}

static void a_story_is_equal_to_the_letter(void **state)
{
    size_t number = (size_t)(uintptr_t)*state;
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.txt", LEAT_STORIES, stories[number].file);
    struct story *story = malloc(sizeof(*story));
    assert_non_null(story);
    stories[number].tell(story);
    story_end(story);
    if (getenv("LEAT_RECORD") != NULL) {
        record(path, story->text);
    }
    char *expected = read_file(path);
    compare(stories[number].file, expected, story->text);
    free(expected);
    story_close(story);
    free(story);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(stories) / sizeof(stories[0])];
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        tests[i] = (struct CMUnitTest)cmocka_unit_test_prestate(a_story_is_equal_to_the_letter,
                                                                (void *)(uintptr_t)i);
        tests[i].name = stories[i].file;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
