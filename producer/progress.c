#include "producer/progress.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define WIDTH             30
#define TERMINAL_EVERY_US (100 * LEAT_US_PER_MS)
#define PLAIN_EVERY_US    (5 * LEAT_US_PER_S)

void leat_progress_init(struct leat_progress *progress, FILE *file, struct leat_now now)
{
    *progress = (struct leat_progress){.file = file,
                                       .is_terminal = file != NULL && isatty(fileno(file)) == 1,
                                       .started_us = now.mono_us,
                                       .shown_us = now.mono_us};
}

static void draw(struct leat_progress *progress, const struct leat_progress_counts *counts,
                 struct leat_now now)
{
    uint64_t done = counts->succeeded + counts->failed;
    int64_t seconds = (now.mono_us - progress->started_us) / LEAT_US_PER_S;
    char bar[WIDTH + 1];
    if (progress->is_terminal) {
        uint64_t total = counts->total > 0 ? counts->total : counts->submitted;
        size_t full = total > 0 ? (size_t)(done * WIDTH / total) : 0;
        full = full > WIDTH ? WIDTH : full;
        memset(bar, '.', WIDTH);
        memset(bar, '#', full);
        bar[WIDTH] = '\0';
        fprintf(progress->file, "\r[%s] ", bar);
    }
    fprintf(progress->file,
            "%" PRIu64 " of %" PRIu64 "%s done, %" PRIu64 " failed, %" PRId64 ":%02d", done,
            counts->total > 0 ? counts->total : counts->submitted,
            counts->total > 0 ? "" : " so far", counts->failed, seconds / 60, (int)(seconds % 60));
    fputs(progress->is_terminal ? "\033[K" : "\n", progress->file);
    fflush(progress->file);
    progress->shown_us = now.mono_us;
}

void leat_progress_show(struct leat_progress *progress, const struct leat_progress_counts *counts,
                        struct leat_now now)
{
    int64_t every_us = progress->is_terminal ? TERMINAL_EVERY_US : PLAIN_EVERY_US;
    if (progress->file != NULL && now.mono_us - progress->shown_us >= every_us) {
        draw(progress, counts, now);
    }
}

void leat_progress_end(struct leat_progress *progress, const struct leat_progress_counts *counts,
                       struct leat_now now)
{
    if (progress->file == NULL) {
        return;
    }
    draw(progress, counts, now);
    if (progress->is_terminal) {
        fputc('\n', progress->file);
    }
}
