/* The bytes of ZAP, ZeroMQ's authentication protocol (RFC 27): one request of libzmq's, one answer.
 * Deciding is the guard's (io/guard.h). */
#ifndef LEAT_IO_ZAP_H
#define LEAT_IO_ZAP_H

#include <czmq.h>
#include <stdbool.h>

#include "core/policy.h"

#define LEAT_ZAP_ENDPOINT "inproc://zeromq.zap.01"
/* ZMQ_ZAP_ENFORCE_DOMAIN: Debian's build has the option, its header hides it with the drafts. With
 * it a socket that has a domain refuses everybody while no handler answers. */
#define LEAT_ZAP_ENFORCE_DOMAIN 93
/* Domains of our sockets: where somebody wants to get in. */
#define LEAT_ZAP_PEERS  "leat.peers"  /* the ROUTERs; each message is checked */
#define LEAT_ZAP_STATS  "leat.stats"  /* the REP socket; each request is checked */
#define LEAT_ZAP_EVENTS "leat.events" /* the PUB socket; only getting in can be checked */

struct leat_zap_request {
    char id[256]; /* opaque */
    size_t id_size;
    char domain[64];
    char address[64]; /* of the peer; "" when it has none */
    bool is_curve;
    struct leat_key key; /* valid when is_curve */
};

/* Receives one request without blocking. False: there is none, or it was no ZAP request and was
 * refused. */
bool leat_zap_receive(zsock_t *socket, struct leat_zap_request *ret_request);

/* Admits the peer under this User-Id, or (NULL) refuses it. */
void leat_zap_answer(zsock_t *socket, const struct leat_zap_request *request, const char *user_id);

#endif
