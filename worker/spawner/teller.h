/* How a slot process answers: into the ring that it shares with the spawner, where an answer is
 * safe whatever happens to the process, and costs no system call. A word (an empty frame over the
 * jobs socket) says that there is something in the ring; the fewer, the better, because a word
 * costs more than a quick attempt. What the ring has no room for goes over the socket itself.
 *
 * Nothing here waits: words and large answers are queued in `frames`, and the owner flushes them
 * before it begins another attempt. */
#ifndef LEAT_WORKER_SPAWNER_TELLER_H
#define LEAT_WORKER_SPAWNER_TELLER_H

#include "core/messages.h"
#include "worker/spawner/frames.h"
#include "worker/spawner/ring.h"

struct leat_teller {
    struct leat_frames *frames; /* borrowed */
    struct leat_ring_writer ring;
    struct leat_wire_buffer answer;
    /* Answers in the ring that the spawner was not told of: at most untold_max or half of the ring,
     * and none that is older than untold_us when another one comes. */
    unsigned untold_max;
    int64_t untold_us;
    unsigned untold;
    size_t untold_bytes;
    int64_t told_us;     /* when a word was due last, or up to when all was taken without one */
    int64_t answered_us; /* when the last answer was put */
};

void leat_teller_init(struct leat_teller *teller, struct leat_frames *frames,
                      struct leat_ring *ring, unsigned untold_max, int64_t untold_us);

/* Answers the attempt `seq`. An error means that the process is of no use any more. */
LEAT_MUST_USE enum leat_err leat_teller_answer(struct leat_teller *teller, uint64_t seq,
                                               const struct leat_item_outcome *ran, int64_t now_us);

/* Queues a word if any answer is untold; to be called when there is nothing more to do. */
LEAT_MUST_USE enum leat_err leat_teller_tell(struct leat_teller *teller);

#endif
