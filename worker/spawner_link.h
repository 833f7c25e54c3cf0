/* The stream to the spawner as a link of the runner (io/runner.h). */
#ifndef LEAT_WORKER_SPAWNER_LINK_H
#define LEAT_WORKER_SPAWNER_LINK_H

#include "io/runner.h"
#include "worker/spawner/frames.h"
#include "worker/spawner/spawner.h"

struct leat_spawner_link {
    struct leat_frames frames;
    struct leat_bodies *bodies; /* borrowed */
    bool is_closed;             /* the spawner is gone, or the stream is of no use any more */
};

/* Caller's storage; the spawner stays the caller's. */
void leat_spawner_link_init(struct leat_spawner_link *link, struct leat_spawner *spawner);
void leat_spawner_link_fini(struct leat_spawner_link *link);

extern const struct leat_link_ops leat_spawner_link_ops;

#endif
