/* leat-producer: reads jobs from a source, submits them, and follows their results if asked to. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>

#include "core/check.h"
#include "io/clock.h"
#include "io/exit.h"
#include "io/signals.h"
#include "producer/follow.h"
#include "producer/inside.h"
#include "producer/main_options.h"
#include "producer/progress.h"
#include "producer/result_line.h"
#include "producer/source.h"

/* After this time without an answer people are told, once per silence. */
#define SILENCE_US (3 * LEAT_US_PER_S)

/* Jobs taken from the source between two looks at results and progress. */
#define FEED_AT_ONCE 1024

struct run {
    struct leat_producer_settings settings;
    struct leat_producer *producer;
    struct leat_source *source;
    struct leat_follow *follow; /* NULL without --wait */
    struct leat_progress progress;
    struct leat_progress_counts counts;
    FILE *ids, *results, *outputs;
    struct leat_source_job held; /* taken from the source, the window had no room for it */
    bool has_held, source_ended;
    uint64_t refused; /* could not be jobs */
    /* Rejected by the ventilator since the last turn: no result will come. Owned. */
    struct leat_id *rejected;
    size_t rejected_count, rejected_capacity;
    int64_t deadline_us;
    struct silence {
        const char *who;      /* "ventilator" */
        const char *endpoint; /* borrowed */
        int64_t heard_us;     /* last answer, or nothing was asked */
        bool told;
    } ventilator, sink;
    uint64_t answers; /* of the ventilator, when it was heard last */
    bool refusal_told;
};

static bool open_output(const char *path, FILE **ret_file)
{
    if (path == NULL) {
        return true;
    }
    *ret_file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (*ret_file == NULL) {
        fprintf(stderr, "leat-producer: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static enum leat_err open_source(struct run *run, struct leat_why *why)
{
    const struct leat_producer_settings *settings = &run->settings;
    const struct leat_producer_job *template = &settings->template;
    switch (settings->kind) {
    case LEAT_PRODUCER_LINES:
        return leat_source_open_lines(settings->source, '\n', template, &run->source, why);
    case LEAT_PRODUCER_RECORDS:
        return leat_source_open_lines(settings->source, '\0', template, &run->source, why);
    case LEAT_PRODUCER_JSON:
        return leat_source_open_json(settings->source, template, &run->source, why);
    case LEAT_PRODUCER_FILES:
    case LEAT_PRODUCER_PATHS:
        return leat_source_open_files(settings->source, settings->kind == LEAT_PRODUCER_FILES,
                                      settings->payload_bytes_max, template, &run->source, why);
    case LEAT_PRODUCER_TICKS:
        break;
    }
    return leat_source_open_ticker(settings->every_ms * LEAT_US_PER_MS, settings->count,
                                   settings->burst, template, &run->source, why);
}

static noreturn void die_of_memory(void)
{
    fputs("leat-producer: out of memory\n", stderr);
    abort();
}

static void on_result(const char *label, const struct leat_producer_outcome *outcome, void *context)
{
    struct run *run = context;
    *(outcome->succeeded ? &run->counts.succeeded : &run->counts.failed) += 1;
    if (run->results != NULL && !leat_result_line_write(run->results, label, outcome)) {
        die_of_memory();
    }
    if (run->outputs != NULL && outcome->succeeded) {
        fwrite(outcome->output, 1, outcome->output_bytes, run->outputs);
    }
}

/* Called by the submitter, maybe in the middle of a question to the sink. */
static void on_answer(const struct leat_id *id, bool accepted, void *context)
{
    struct run *run = context;
    if (accepted) {
        return;
    }
    if (run->rejected_count == run->rejected_capacity) {
        run->rejected_capacity = run->rejected_capacity == 0 ? 64 : 2 * run->rejected_capacity;
        run->rejected = realloc(run->rejected, run->rejected_capacity * sizeof(*run->rejected));
        if (run->rejected == NULL) {
            die_of_memory();
        }
    }
    run->rejected[run->rejected_count++] = *id;
}

static bool set_up(struct run *run)
{
    struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
    options.ventilator = leat_options_text(run->settings.options, "ventilator");
    options.sink = leat_options_text(run->settings.options, "sink");
    options.payload_bytes_max = run->settings.payload_bytes_max;
    options.key = leat_options_text(run->settings.options, "key");
    options.server_key = leat_options_text(run->settings.options, "server-key");
    options.sink_key = leat_options_text(run->settings.options, "sink-key");
    char error[LEAT_PRODUCER_ERROR_BYTES];
    if (leat_producer_connect(&options, &run->producer, error) != LEAT_PRODUCER_OK) {
        fprintf(stderr, "leat-producer: %s\n", error);
        return false;
    }
    struct leat_why why;
    if (open_source(run, &why) != LEAT_OK) {
        fprintf(stderr, "leat-producer: %s\n", why.text);
        return false;
    }
    if (run->settings.wait) {
        bool with_output = run->settings.outputs_path != NULL || run->settings.results_path != NULL;
        run->follow = leat_follow_new(run->producer, with_output, on_result, run);
        if (run->follow == NULL) {
            fputs("leat-producer: out of memory\n", stderr);
            return false;
        }
        leat_submitter_observe(run->producer->submitter, on_answer, run);
    }
    struct leat_now now;
    leat_clock_now(&now);
    run->deadline_us = run->settings.deadline_ms == 0
                           ? LEAT_NEVER_US
                           : leat_add_us(now.mono_us, leat_us_of_ms(run->settings.deadline_ms));
    run->ventilator = (struct silence){"ventilator", options.ventilator, now.mono_us, false};
    run->sink = (struct silence){"sink", options.sink, now.mono_us, false};
    run->counts.total = leat_source_total(run->source);
    leat_progress_init(&run->progress, run->settings.quiet || !run->settings.wait ? NULL : stderr,
                       now);
    return open_output(run->settings.ids_path, &run->ids) &&
           open_output(run->settings.results_path, &run->results) &&
           open_output(run->settings.outputs_path, &run->outputs);
}

static void refuse(struct run *run, const char *label, const char *text)
{
    run->refused++;
    fprintf(stderr, "leat-producer: %s%s%s\n", label, label[0] == '\0' ? "" : ": ", text);
}

/* Submits the job that is held. False: no room in the window now. */
static bool submit_held(struct run *run, struct leat_now now)
{
    struct leat_producer_job job = run->held.job;
    int64_t now_ms = now.wall.us / LEAT_US_PER_MS;
    if (run->settings.delay_ms > 0 && job.not_before_ms == 0) {
        job.not_before_ms = now_ms + run->settings.delay_ms;
    }
    if (run->settings.expires_in_ms > 0 && job.expires_at_ms == 0) {
        job.expires_at_ms = now_ms + run->settings.expires_in_ms;
    }
    char id[LEAT_PRODUCER_ID_TEXT_BYTES];
    bool wants_id = run->ids != NULL || run->follow != NULL;
    int result = leat_producer_submit(run->producer, &job, 0, wants_id ? id : NULL);
    if (result == LEAT_PRODUCER_BUSY) {
        return false;
    }
    run->has_held = false;
    if (result != LEAT_PRODUCER_OK) {
        refuse(run, run->held.label, leat_producer_error(run->producer));
        return true;
    }
    run->counts.submitted++;
    if (run->ids != NULL) {
        fprintf(run->ids, "%s\t%s\n", id, run->held.label);
    }
    if (run->follow != NULL && !leat_follow_add(run->follow, id, run->held.label)) {
        die_of_memory();
    }
    return true;
}

/* Takes what the source has and the window has room for. True: there is more to take at once. */
static bool feed(struct run *run, struct leat_now now)
{
    for (int i = 0; i < FEED_AT_ONCE; i++) {
        if (!run->has_held && !run->source_ended) {
            struct leat_why why = {""};
            enum leat_err err = leat_source_next(run->source, now, &run->held, &why);
            if (err == LEAT_ERR_BUSY) {
                return false;
            }
            if (err == LEAT_ERR_INVALID) {
                refuse(run, "", why.text);
                continue;
            }
            if (err != LEAT_OK) {
                run->source_ended = true;
                run->counts.total = run->counts.submitted;
                if (err != LEAT_ERR_NOT_FOUND) {
                    refuse(run, "", why.text);
                }
                return false;
            }
            run->has_held = true;
        }
        if (!run->has_held || !submit_held(run, now)) {
            return false;
        }
    }
    return true;
}

static bool is_done(const struct run *run)
{
    return run->source_ended && !run->has_held && leat_producer_pending(run->producer) == 0 &&
           (run->follow == NULL || leat_follow_count(run->follow) == 0);
}

static void wait_for_something(struct run *run, struct leat_now now)
{
    int64_t until_us = leat_min_us(run->deadline_us, now.mono_us + LEAT_US_PER_S / 10);
    bool wants_source = !run->source_ended && !run->has_held;
    if (wants_source) {
        until_us = leat_min_us(until_us, leat_source_due_us(run->source));
    }
    if (run->follow != NULL) {
        until_us = leat_min_us(until_us, leat_follow_due_us(run->follow));
    }
    int64_t wait_us = until_us > now.mono_us ? until_us - now.mono_us : 0;
    leat_producer_turn(run->producer, wait_us, wants_source ? leat_source_fd(run->source) : -1);
}

static void flush_outputs(const struct run *run)
{
    FILE *const files[] = {run->ids, run->results, run->outputs};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        if (files[i] != NULL) {
            (void)fflush(files[i]); /* what fails is seen when it is closed */
        }
    }
}

static void watch_silence(struct silence *silence, bool heard, int64_t now_us)
{
    if (heard) {
        silence->heard_us = now_us;
        silence->told = false;
    } else if (!silence->told && now_us - silence->heard_us >= SILENCE_US) {
        silence->told = true;
        fprintf(stderr,
                "leat-producer: the %s at %s cannot be reached: no answer for %d s; trying on\n",
                silence->who, silence->endpoint, (int)(SILENCE_US / LEAT_US_PER_S));
    }
}

static void watch_ventilator(struct run *run, int64_t now_us)
{
    struct leat_submitter_counts counts = leat_submitter_counts(run->producer->submitter);
    uint64_t answers = counts.accepted + counts.rejected + counts.busy;
    bool heard = answers != run->answers || leat_producer_pending(run->producer) == 0;
    if (heard) {
        run->refusal_told = false;
    } else if (counts.errors > 0 && !run->refusal_told) {
        run->refusal_told = true;
        run->ventilator.told = true; /* it is there */
        fprintf(stderr, "leat-producer: the ventilator refuses: %s; trying on\n",
                leat_submitter_last_error(run->producer->submitter));
    }
    run->answers = answers;
    watch_silence(&run->ventilator, heard, now_us);
}

/* True when everything is done, false when the deadline came first. */
static bool go(struct run *run)
{
    struct leat_now now;
    leat_clock_now(&now);
    while (!is_done(run)) {
        if (now.mono_us >= run->deadline_us) {
            return false;
        }
        bool more = feed(run, now);
        if (run->follow != NULL) {
            leat_follow_forget(run->follow, run->rejected, run->rejected_count);
            run->rejected_count = 0;
            int64_t left_ms = run->deadline_us == LEAT_NEVER_US
                                  ? 1000
                                  : (run->deadline_us - now.mono_us) / LEAT_US_PER_MS + 1;
            bool heard = leat_follow_ask(run->follow, now, left_ms < 1000 ? left_ms : 1000);
            watch_silence(&run->sink, heard, now.mono_us);
        }
        watch_ventilator(run, now.mono_us);
        flush_outputs(run); /* who ends us keeps what was told so far */
        leat_clock_now(&now);
        leat_progress_show(&run->progress, &run->counts, now);
        if (more) {
            leat_producer_turn(run->producer, 0, -1);
        } else if (!is_done(run)) {
            wait_for_something(run, now);
        }
        leat_clock_now(&now);
    }
    return true;
}

static int conclude(struct run *run, bool in_time)
{
    struct leat_now now;
    leat_clock_now(&now);
    leat_progress_end(&run->progress, &run->counts, now);
    struct leat_submitter_counts counts = leat_submitter_counts(run->producer->submitter);
    if (counts.rejected > 0) {
        fprintf(stderr, "leat-producer: %" PRIu64 " jobs were rejected: %s\n", counts.rejected,
                leat_submitter_last_error(run->producer->submitter));
    }
    if (!run->settings.quiet) {
        fprintf(stderr, "%" PRIu64 " jobs accepted, %" PRIu64 " refused", counts.accepted,
                run->refused + counts.rejected);
        if (run->follow != NULL) {
            fprintf(stderr, ", %" PRIu64 " succeeded, %" PRIu64 " failed, %zu without result",
                    run->counts.succeeded, run->counts.failed, leat_follow_count(run->follow));
        }
        fputc('\n', stderr);
    }
    if (!in_time) {
        fprintf(stderr, "leat-producer: the deadline came first; %zu jobs are not acknowledged\n",
                leat_producer_pending(run->producer));
        return LEAT_EXIT_DEADLINE;
    }
    bool well = run->refused == 0 && counts.rejected == 0 && run->counts.failed == 0;
    return well ? LEAT_EXIT_OK : LEAT_EXIT_FAILED;
}

/* 0, or EOF when anything that was written since it was opened is lost. */
static int close_output(FILE *file)
{
    if (file == NULL) {
        return 0;
    }
    bool failed = ferror(file) != 0;
    int closed = file == stdout ? fflush(file) : fclose(file);
    return failed ? EOF : closed;
}

static int close_all(struct run *run, int status)
{
    leat_follow_destroy(&run->follow);
    free(run->rejected);
    leat_source_close(&run->source);
    leat_producer_close(&run->producer);
    if (close_output(run->ids) != 0 || close_output(run->results) != 0 ||
        close_output(run->outputs) != 0) {
        fprintf(stderr, "leat-producer: cannot write: %s\n", strerror(errno));
        status = status == LEAT_EXIT_OK ? LEAT_EXIT_FAILED : status;
    }
    leat_producer_settings_fini(&run->settings);
    return status;
}

int main(int argc, char *argv[])
{
    static struct run run;
    int status = LEAT_EXIT_OK;
    if (!leat_producer_settings_read(argc, argv, &run.settings, &status)) {
        return status;
    }
    leat_signals_reset(); /* Ctrl-C ends it as it ends any filter; jobs that were acknowledged go on
                           */
    if (!set_up(&run)) {
        return close_all(&run, LEAT_EXIT_FAILED);
    }
    return close_all(&run, conclude(&run, go(&run)));
}
