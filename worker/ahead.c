/* How many jobs are held beyond the slots: as many as end in AHEAD_US, so that the way to the
 * ventilator and back, two disks included, costs no slot its work; and never more than that, so
 * that jobs that take their time stay where another worker can get them. By the same measure
 * commands are started before a slot is free, so that quick ones do not cost the way to the spawner
 * and back one by one; slow ones wait here, where they may be handed back. */
#include "worker/inside.h"

#define SAMPLE_US (20 * LEAT_US_PER_MS)
#define AHEAD_US  (50 * LEAT_US_PER_MS)

void leat_worker_ahead_init(struct leat_worker_ahead *ahead, size_t least, size_t most)
{
    *ahead = (struct leat_worker_ahead){.least = least, .most = most, .jobs = least};
}

/* Up at once: with too few jobs at hand what ends in a sample is less than what could. Down by
 * halves: one slow moment does not mean slow jobs. */
static size_t follow(size_t now, uint64_t ended, int64_t elapsed_us, size_t least, size_t most)
{
    const int64_t halvings = elapsed_us / SAMPLE_US < 32 ? elapsed_us / SAMPLE_US : 32;
    const uint64_t wanted = ended * (uint64_t)AHEAD_US / (uint64_t)elapsed_us;
    const uint64_t kept = (uint64_t)now >> halvings;
    const uint64_t jobs = wanted > kept ? wanted : kept;
    return (size_t)(jobs < least ? least : jobs > most ? most : jobs);
}

void leat_worker_ahead_turn(struct leat_worker *w, int64_t now_us)
{
    struct leat_worker_ahead *ahead = &w->ahead;
    const int64_t elapsed_us = now_us - ahead->sampled_us;
    if (elapsed_us < SAMPLE_US && !w->outbox.full) {
        return;
    }
    if (!w->outbox.full) { /* else it is the sink that keeps jobs from ending */
        ahead->jobs = follow(ahead->jobs, ahead->ended, elapsed_us, ahead->least, ahead->most);
        ahead->commands = follow(ahead->commands, ahead->ended_commands, elapsed_us, 0,
                                 w->slots * (LEAT_PIPELINE_COMMANDS - 1));
    }
    ahead->ended = 0;
    ahead->ended_commands = 0;
    ahead->sampled_us = now_us;
}

int64_t leat_worker_ahead_deadline_us(const struct leat_worker *w)
{
    const bool falls = w->ahead.jobs > w->ahead.least || w->ahead.commands > 0;
    return falls && !w->outbox.full ? w->ahead.sampled_us + SAMPLE_US : LEAT_NEVER_US;
}
