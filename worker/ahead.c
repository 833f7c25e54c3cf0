/* How many jobs are held beyond the slots: as many as end in AHEAD_US, so that the way to the
 * ventilator and back, two disks included, costs no slot its work; and never more than that, so
 * that jobs that take their time stay where another worker can get them. */
#include "worker/inside.h"

#define SAMPLE_US (20 * LEAT_US_PER_MS)
#define AHEAD_US  (50 * LEAT_US_PER_MS)

void leat_worker_ahead_init(struct leat_worker_ahead *ahead, size_t least, size_t most)
{
    *ahead = (struct leat_worker_ahead){.least = least, .most = most, .jobs = least};
}

/* Up at once: with too few jobs at hand what ends in a sample is less than what could. Down by
 * halves: one slow moment does not mean slow jobs. */
void leat_worker_ahead_turn(struct leat_worker *w, int64_t now_us)
{
    struct leat_worker_ahead *ahead = &w->ahead;
    const int64_t elapsed_us = now_us - ahead->sampled_us;
    if (elapsed_us < SAMPLE_US && !w->outbox.full) {
        return;
    }
    if (!w->outbox.full) { /* else it is the sink that keeps jobs from ending */
        const int64_t halvings = elapsed_us / SAMPLE_US < 32 ? elapsed_us / SAMPLE_US : 32;
        const uint64_t wanted = ahead->ended * (uint64_t)AHEAD_US / (uint64_t)elapsed_us;
        const uint64_t kept = (uint64_t)ahead->jobs >> halvings;
        uint64_t jobs = wanted > kept ? wanted : kept;
        jobs = jobs < ahead->least ? ahead->least : jobs > ahead->most ? ahead->most : jobs;
        ahead->jobs = (size_t)jobs;
    }
    ahead->ended = 0;
    ahead->sampled_us = now_us;
}

int64_t leat_worker_ahead_deadline_us(const struct leat_worker *w)
{
    return w->ahead.jobs > w->ahead.least && !w->outbox.full ? w->ahead.sampled_us + SAMPLE_US
                                                             : LEAT_NEVER_US;
}
