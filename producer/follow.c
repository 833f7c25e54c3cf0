#include "producer/follow.h"

#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "producer/inside.h"

/* After a round of questions without a new result the next one waits, longer each time. */
#define PAUSE_FIRST_US (5 * LEAT_US_PER_MS)
#define PAUSE_LAST_US  (200 * LEAT_US_PER_MS)

struct waiting {
    struct leat_item_job_id id;
    char *label; /* owned */
};

struct leat_follow {
    struct leat_producer *producer;
    bool with_output;
    leat_follow_fn *visit;
    void *context;
    struct waiting *waiting; /* owned, in no order */
    size_t count, capacity;
    size_t cursor;         /* the next question begins here */
    size_t found_in_round; /* results since the cursor was at 0 */
    int64_t due_us, pause_us;
    size_t asked_from; /* of the question under way */
    bool *found;       /* by index of the question */
};

struct leat_follow *leat_follow_new(struct leat_producer *producer, bool with_output,
                                    leat_follow_fn *visit, void *context)
{
    struct leat_follow *follow = calloc(1, sizeof(*follow));
    bool *found = calloc(LEAT_QUERY_IDS_MAX, sizeof(*found));
    if (follow == NULL || found == NULL) {
        free(follow);
        free(found);
        return NULL;
    }
    *follow = (struct leat_follow){.producer = producer,
                                   .with_output = with_output,
                                   .visit = visit,
                                   .context = context,
                                   .pause_us = PAUSE_FIRST_US,
                                   .found = found};
    return follow;
}

void leat_follow_destroy(struct leat_follow **follow)
{
    if (follow == NULL || *follow == NULL) {
        return;
    }
    for (size_t i = 0; i < (*follow)->count; i++) {
        free((*follow)->waiting[i].label);
    }
    free((*follow)->waiting);
    free((*follow)->found);
    free(*follow);
    *follow = NULL;
}

bool leat_follow_add(struct leat_follow *follow, const char *id, const char *label)
{
    if (follow->count == follow->capacity) {
        size_t capacity = follow->capacity == 0 ? 1024 : 2 * follow->capacity;
        struct waiting *grown = realloc(follow->waiting, capacity * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        follow->waiting = grown;
        follow->capacity = capacity;
    }
    struct waiting *added = &follow->waiting[follow->count];
    added->label = strdup(label);
    if (added->label == NULL || leat_id_parse(leat_str_of(id), &added->id.id, NULL) != LEAT_OK) {
        free(added->label);
        return false;
    }
    follow->count++;
    return true;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct leat_id));
}

void leat_follow_forget(struct leat_follow *follow, struct leat_id *ids, size_t count)
{
    if (count == 0) {
        return;
    }
    qsort(ids, count, sizeof(*ids), by_id);
    size_t kept = 0;
    for (size_t i = 0; i < follow->count; i++) {
        if (bsearch(&follow->waiting[i].id.id, ids, count, sizeof(*ids), by_id) != NULL) {
            free(follow->waiting[i].label);
        } else {
            follow->waiting[kept++] = follow->waiting[i];
        }
    }
    follow->count = kept;
    follow->cursor = 0;
}

size_t leat_follow_count(const struct leat_follow *follow)
{
    return follow->count;
}

int64_t leat_follow_due_us(const struct leat_follow *follow)
{
    return follow->count == 0 ? LEAT_NEVER_US : follow->due_us;
}

static void on_result(size_t index, const struct leat_producer_outcome *outcome, void *context)
{
    struct leat_follow *follow = context;
    follow->found[index] = true;
    follow->visit(follow->waiting[follow->asked_from + index].label, outcome, follow->context);
}

/* Takes out what was found, from the end, so that the last ones can fill the holes. */
static size_t remove_found(struct leat_follow *follow, size_t asked)
{
    size_t removed = 0;
    for (size_t i = asked; i-- > 0;) {
        if (follow->found[i]) {
            size_t at = follow->asked_from + i;
            free(follow->waiting[at].label);
            follow->waiting[at] = follow->waiting[--follow->count];
            removed++;
        }
    }
    return removed;
}

static void choose_next(struct leat_follow *follow, size_t asked, size_t removed,
                        struct leat_now now)
{
    follow->found_in_round += removed;
    follow->cursor += asked - removed;
    follow->due_us = now.mono_us;
    if (follow->cursor < follow->count) {
        return;
    }
    follow->cursor = 0;
    follow->pause_us = follow->found_in_round > 0
                           ? PAUSE_FIRST_US
                           : leat_min_us(2 * follow->pause_us, PAUSE_LAST_US);
    follow->found_in_round = 0;
    follow->due_us = now.mono_us + follow->pause_us;
}

bool leat_follow_ask(struct leat_follow *follow, struct leat_now now, int64_t wait_ms)
{
    if (follow->count == 0 || now.mono_us < follow->due_us) {
        return true;
    }
    struct leat_item_job_id ids[LEAT_QUERY_IDS_MAX] = {0};
    size_t asked = follow->count - follow->cursor;
    if (asked > LEAT_QUERY_IDS_MAX) {
        asked = LEAT_QUERY_IDS_MAX;
    }
    for (size_t i = 0; i < asked; i++) {
        ids[i] = follow->waiting[follow->cursor + i].id;
        follow->found[i] = false;
    }
    follow->asked_from = follow->cursor;
    enum leat_err err = leat_producer_fetch(follow->producer, ids, asked, follow->with_output,
                                            wait_ms, on_result, follow);
    size_t removed = remove_found(follow, asked);
    choose_next(follow, asked, removed, now);
    return err == LEAT_OK;
}
