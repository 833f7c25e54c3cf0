/* How far leat-producer is, for people: a bar that redraws itself on a terminal, else a plain line
 * now and then. */
#ifndef LEAT_PRODUCER_PROGRESS_H
#define LEAT_PRODUCER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/instant.h"

struct leat_progress {
    FILE *file; /* NULL: silent */
    bool is_terminal;
    int64_t started_us, shown_us;
};

struct leat_progress_counts {
    uint64_t total; /* 0: not known yet */
    uint64_t submitted, succeeded, failed;
};

/* `file` is borrowed; NULL for silence. */
void leat_progress_init(struct leat_progress *progress, FILE *file, struct leat_now now);
/* Shows the counts if it is time to: on a terminal ten times a second, else every 5 seconds. */
void leat_progress_show(struct leat_progress *progress, const struct leat_progress_counts *counts,
                        struct leat_now now);
/* Shows them for the last time and ends the line. */
void leat_progress_end(struct leat_progress *progress, const struct leat_progress_counts *counts,
                       struct leat_now now);

#endif
