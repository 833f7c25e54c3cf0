/* The guard of a broker: one thread that decides who gets in, and how many.
 *
 *   libzmq's I/O thread ──ZAP──▶ guard ◀── NAME.pub files (looked at once a second)
 *   monitors of bound sockets ──▶  │  ──▶ closes and opens doors (io/door.h)
 *   runner, metrics actor ── view ─┘      who is it that sent this frame, by the keys of now?
 *
 * Getting in is one thing, each message is another: a connection lives on when its key is taken
 * away, so every message is checked against the keys of now (core/policy.h), by the User-Id of its
 * payload frame. (libzmq 4.3.4 may lose the properties of the routing id's frame.) No User-Id, no
 * rights.
 *
 * Started before the first bind, stopped after the last socket is closed. In between it never ends:
 * its signals are masked, czmq's interrupt flag means nothing to it, and an error that should not
 * be ends the process. Should it ever be gone, sockets with a domain refuse everybody
 * (LEAT_ZAP_ENFORCE_DOMAIN). */
#ifndef LEAT_IO_GUARD_H
#define LEAT_IO_GUARD_H

#include <czmq.h>

#include "io/curve.h"
#include "io/keyring.h"

#define LEAT_GUARD_LOOK_MS   1000             /* how often the directory of keys is looked at */
#define LEAT_GUARD_WARN_MS   (10 * 60 * 1000) /* how often an open network is warned of */
#define LEAT_GUARD_DOORS_MAX 8

struct leat_guard;

struct leat_guard_config {
    const char *keys; /* directory of public keys; NULL: nobody is authenticated */
    const struct leat_curve
        *curve;        /* the broker's own pair; NULL or off exactly when keys is NULL */
    size_t doors;      /* sockets that the process will bind */
    bool open_network; /* --allow-unauthenticated-network: warn of it now and then */
};

/* LEAT_ERR_INVALID: the directory cannot be read; LEAT_ERR_STATE: libzmq cannot do what is needed.
 */
LEAT_MUST_USE enum leat_err leat_guard_start(const struct leat_guard_config *config,
                                             struct leat_guard **ret_guard, struct leat_why *why);
/* Waits until libzmq has taken down the sockets that were bound, up to 5 s. Accepts NULL; leaves
 * NULL. Views must be closed before, and sockets. */
void leat_guard_stop(struct leat_guard **guard);

/* Whether peers have to be known. False for NULL. */
bool leat_guard_has_keys(const struct leat_guard *guard);
/* The pair for a socket that is bound; valid while the guard is. */
const struct leat_curve *leat_guard_curve(const struct leat_guard *guard);

/* Takes over the monitor of a socket that is about to be bound (LEAT_DOOR_EVENTS). Any thread, one
 * at a time. */
void leat_guard_add_door(struct leat_guard *guard, zsock_t **monitor);

/* One thread's look at the keys. `keyring` is what was current at the last refresh. */
struct leat_guard_view {
    struct leat_guard *guard; /* NULL: keys are not in use */
    struct leat_keyring *keyring;
    uint64_t generation;
};

/* `guard` may be NULL or without keys; then every question is answered with "not in use". */
void leat_guard_view_open(struct leat_guard_view *view, struct leat_guard *guard);
void leat_guard_view_close(struct leat_guard_view *view);
static inline bool leat_guard_view_in_use(const struct leat_guard_view *view)
{
    return view->guard != NULL;
}
/* Takes the keys of now. True: they have changed; *ret_before gets the keyring of before, to be
 * released. Cheap when nothing has changed. */
bool leat_guard_view_refresh(struct leat_guard_view *view, struct leat_keyring **ret_before);
/* Who sent this frame; NULL: nobody who is known. Only when in use. */
const struct leat_principal *leat_guard_view_who(const struct leat_guard_view *view,
                                                 zmq_msg_t *frame);

#endif
