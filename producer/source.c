#include "producer/source.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "producer/source_inside.h"

enum leat_err leat_source_next(struct leat_source *source, struct leat_now now,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    return source->next(source, now, ret_job, why);
}

int leat_source_fd(const struct leat_source *source)
{
    return source->fd;
}

int64_t leat_source_due_us(const struct leat_source *source)
{
    return source->due_us;
}

uint64_t leat_source_total(const struct leat_source *source)
{
    return source->total;
}

void leat_source_close(struct leat_source **source)
{
    if (source != NULL && *source != NULL) {
        (*source)->close(*source);
        *source = NULL;
    }
}

/* ---- lines ---- */

struct lines {
    struct leat_source source;
    struct leat_records records;
};

static enum leat_err next_line(struct leat_source *source, struct leat_now now,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    (void)now;
    struct lines *lines = (struct lines *)source;
    struct leat_bytes record;
    enum leat_err err = leat_records_next(&lines->records, &record, why);
    if (err != LEAT_OK) {
        return err == LEAT_ERR_LIMIT ? LEAT_ERR_INVALID : err;
    }
    snprintf(source->label, sizeof(source->label), "line %llu",
             (unsigned long long)lines->records.number);
    ret_job->job = *source->template;
    ret_job->job.payload = record.data;
    ret_job->job.payload_bytes = record.size;
    ret_job->label = source->label;
    return LEAT_OK;
}

static void close_lines(struct leat_source *source)
{
    struct lines *lines = (struct lines *)source;
    leat_records_close(&lines->records);
    free(lines);
}

enum leat_err leat_source_open_lines(const char *path, char delimiter,
                                     const struct leat_producer_job *template,
                                     struct leat_source **ret_source, struct leat_why *why)
{
    struct lines *lines = calloc(1, sizeof(*lines));
    if (lines == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    enum leat_err err = leat_records_open(&lines->records, path, delimiter, why);
    if (err != LEAT_OK) {
        free(lines);
        return err;
    }
    lines->source = (struct leat_source){.template = template,
                                         .next = next_line,
                                         .close = close_lines,
                                         .fd = lines->records.fd,
                                         .due_us = LEAT_NEVER_US};
    *ret_source = &lines->source;
    return LEAT_OK;
}

/* ---- the ticker ---- */

struct ticker {
    struct leat_source source;
    int64_t every_us;
    uint64_t ticks_left; /* after the current one; UINT64_MAX: without end */
    uint64_t burst, burst_left, tick;
    char payload[32];
};

static enum leat_err next_tick(struct leat_source *source, struct leat_now now,
                               struct leat_source_job *ret_job, struct leat_why *why)
{
    (void)why;
    struct ticker *ticker = (struct ticker *)source;
    if (source->due_us == 0) {
        source->due_us = now.mono_us; /* the first tick is now, and the grid begins here */
    }
    if (ticker->burst_left == 0) {
        if (ticker->ticks_left == 0) {
            return LEAT_ERR_NOT_FOUND;
        }
        if (now.mono_us < source->due_us) {
            return LEAT_ERR_BUSY;
        }
        source->due_us += ticker->every_us;
        ticker->ticks_left -= ticker->ticks_left != UINT64_MAX;
        ticker->burst_left = ticker->burst;
        ticker->tick++;
    }
    ticker->burst_left--;
    snprintf(ticker->payload, sizeof(ticker->payload), "%llu", (unsigned long long)ticker->tick);
    snprintf(source->label, sizeof(source->label), "tick %s", ticker->payload);
    ret_job->job = *source->template;
    if (ret_job->job.payload == NULL) {
        ret_job->job.payload = ticker->payload;
        ret_job->job.payload_bytes = strlen(ticker->payload);
    }
    ret_job->label = source->label;
    return LEAT_OK;
}

static void close_ticker(struct leat_source *source)
{
    free(source);
}

enum leat_err leat_source_open_ticker(int64_t every_us, uint64_t count, uint64_t burst,
                                      const struct leat_producer_job *template,
                                      struct leat_source **ret_source, struct leat_why *why)
{
    assert(every_us > 0 && burst > 0);
    struct ticker *ticker = calloc(1, sizeof(*ticker));
    if (ticker == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    *ticker = (struct ticker){
        .every_us = every_us, .ticks_left = count == 0 ? UINT64_MAX : count, .burst = burst};
    ticker->source = (struct leat_source){.template = template,
                                          .next = next_tick,
                                          .close = close_ticker,
                                          .fd = -1,
                                          .total = count * burst};
    *ret_source = &ticker->source;
    return LEAT_OK;
}
