/* The metrics actor: a thread (czmq's zactor) that alone owns the registry and answers what is
 * asked about it, whatever the sink is waiting for.
 *
 *   sink's thread ──PAIR inproc──▶ actor ◀──REP── anyone
 *                                    └──── reads committed records through a view of its own
 *
 * The sink never waits for it: updates are sent without blocking, and what does not fit is dropped
 * and counted by the sender. It shares no memory with the sink. */
#ifndef LEAT_SINK_METRICS_ACTOR_H
#define LEAT_SINK_METRICS_ACTOR_H

#include <czmq.h>

#include "broker/sink/metrics.h"
#include "broker/sink/store_view.h"
#include "io/guard.h"
#include "io/socket.h"

/* Updates on their way to the actor; each is at most one batch of results. */
#define LEAT_METRICS_FEED_HWM 512
/* What the REP socket takes from the wire. More than a request may have, so that one that is too
 * large gets an error and not silence; a peer that sends more than this is cut off. */
#define LEAT_METRICS_FRAME_BYTES_MAX (1 << 20)

struct leat_metrics_actor;

struct leat_metrics_actor_config {
    const char *endpoint; /* of the REP socket */
    bool allow_network;
    struct leat_guard
        *guard; /* who may ask what, when it has keys; outlives the actor; NULL: none */
    struct leat_sink_view
        view; /* its context must outlive the actor; called on the actor's thread */
};

/* Binds, then starts the thread. Errors as of leat_socket_open. `ret_endpoint` may be NULL. */
LEAT_MUST_USE enum leat_err leat_metrics_actor_start(const struct leat_metrics_actor_config *config,
                                                     struct leat_metrics_actor **ret_actor,
                                                     char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                                     struct leat_why *why);

/* The sink's end of the feed: takes encoded FINISHED and GAUGES messages (LEAT_LINK_METRICS). Only
 * to send; only from the thread that started the actor; borrowed. */
zsock_t *leat_metrics_actor_feed(struct leat_metrics_actor *actor);

/* Tells the sink's own figures. Same thread; never blocks. False: it was dropped. */
bool leat_metrics_actor_tell(struct leat_metrics_actor *actor,
                             const struct leat_metrics_sink *figures);

/* Ends the thread after its current request, and closes the sockets. Accepts NULL; leaves NULL. */
void leat_metrics_actor_stop(struct leat_metrics_actor **actor);

#endif
