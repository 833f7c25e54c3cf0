/* Sockets. Every ZeroMQ socket of leat is opened by leat_socket_open, which sets every option that
 * matters, because the libraries' defaults lose messages (linger, ROUTER without MANDATORY), take
 * any size, or abort (ZMQ_HEARTBEAT_*, which stays unset on purpose).
 *
 * One ZeroMQ message is one frame [message]; on a ROUTER the peer's routing id comes before it, on
 * an XPUB the topic. Sends and receives never block. A socket is used by one thread.
 */
#ifndef LEAT_IO_SOCKET_H
#define LEAT_IO_SOCKET_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/step.h"
#include "core/view.h"

#define LEAT_ENDPOINT_BYTES_MAX 256
/* Frames of more bytes than this are handed to libzmq without a copy. */
#define LEAT_SOCKET_COPY_BYTES_MAX 8192

/* What every socket gets; a test reads each of them back. */
#define LEAT_SOCKET_HANDSHAKE_MS          5000
#define LEAT_SOCKET_BACKLOG               1024
#define LEAT_SOCKET_KEEPALIVE_IDLE_S      30
#define LEAT_SOCKET_KEEPALIVE_INTERVAL_S  10
#define LEAT_SOCKET_KEEPALIVE_COUNT       3
#define LEAT_SOCKET_TCP_GIVE_UP_MS        15000
#define LEAT_SOCKET_CONNECT_MS            3000
#define LEAT_SOCKET_STUCK_MS              15000 /* longer than every wait of libzmq's own */
#define LEAT_SOCKET_RECONNECT_MS_MIN      100   /* first interval: random between this ... */
#define LEAT_SOCKET_RECONNECT_MS_BASE_MAX 500   /* ... and this, doubling ... */
#define LEAT_SOCKET_RECONNECT_MS_MAX      4000  /* ... up to this */

struct leat_curve;
struct leat_guard;

struct leat_socket_config {
    int type;         /* ZMQ_ROUTER, DEALER, REP, REQ, XPUB, SUB, PAIR */
    const char *bind; /* endpoint; exactly one of bind and connect */
    const char *connect;
    bool allow_network;             /* bind to what other hosts can reach, unauthenticated */
    struct leat_guard *guard;       /* bind: counts connections, and when it has keys only known
                                       peers get in, encrypted; borrowed, outlives the socket; NULL:
                                       none */
    const char *zap_domain;         /* bind, with a guard: LEAT_ZAP_... */
    const struct leat_curve *curve; /* connect: keys to use; NULL or off: not encrypted */
    bool immediate; /* connect: sends fail while there is no connection, nothing queues up for
                       a peer that is away */
    int send_hwm;   /* messages per peer; a fuse, not flow control; at least 1 (PAIR: 0, no
                       bound) */
    int receive_hwm;
    int64_t message_bytes_max; /* a peer that sends more is cut off; at least 1 */
    int handshake_ms;          /* peers that take longer to get in are cut off; at least 1 */
    int linger_ms;             /* how long closing may wait for what was sent; at least 0 */
};

/* Defaults for a type: 1000 messages each way (XPUB: 10000), LEAT_MESSAGE_BYTES_MAX (REP:
 * LEAT_REQUEST_BYTES_MAX), linger 500 ms, DEALER immediate, no endpoint. */
void leat_socket_config_init(struct leat_socket_config *config, int type);

/* Opens, sets options, binds or connects. `ret_endpoint` may be NULL; it gets the real endpoint
 * (port 0 and * replaced by the port that the system chose). zsock_destroy is the caller's.
 *
 *   LEAT_ERR_INVALID      not a tcp://, ipc:// or inproc:// endpoint, or one that cannot be parsed
 *   LEAT_ERR_REFUSED      a bind beyond loopback without keys or allow_network; `why` names the fix
 *   LEAT_ERR_LOCKED       address in use
 *   LEAT_ERR_UNREACHABLE  no such address on this host, permission denied
 *   LEAT_ERR_MEMORY       the system gives no more sockets
 *   LEAT_ERR_STATE        libzmq cannot encrypt or authenticate; nothing was bound or connected */
LEAT_MUST_USE enum leat_err leat_socket_open(const struct leat_socket_config *config,
                                             zsock_t **ret_socket,
                                             char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                             struct leat_why *why);

/* The usual two in one line each. */
LEAT_MUST_USE enum leat_err leat_socket_bind(int type, const char *endpoint, bool allow_network,
                                             zsock_t **ret_socket,
                                             char ret_endpoint[LEAT_ENDPOINT_BYTES_MAX],
                                             struct leat_why *why);
LEAT_MUST_USE enum leat_err leat_socket_connect(int type, const char *endpoint,
                                                zsock_t **ret_socket, struct leat_why *why);
/* The same with keys; `curve` may be NULL. */
LEAT_MUST_USE enum leat_err leat_socket_connect_curve(int type, const char *endpoint,
                                                      const struct leat_curve *curve,
                                                      zsock_t **ret_socket, struct leat_why *why);

/* For a DEALER that lives long: connects anew when it has had no connection for
 * LEAT_SOCKET_STUCK_MS. libzmq tries again by itself after most failures, but gives an endpoint up
 * for good when somebody there speaks another protocol: a broker that was started without its keys,
 * by mistake, would lose every worker until it is restarted. `since_us` is the caller's, 0 at
 * first. To be called now and then; costs a look at the socket. */
void leat_socket_tend(zsock_t *socket, int64_t *since_us, int64_t now_us);

/* Whether the text is an endpoint that leat takes. LEAT_ERR_INVALID. */
LEAT_MUST_USE enum leat_err leat_endpoint_check(const char *endpoint, struct leat_why *why);
/* Whether only this host can reach it: ipc, inproc, or tcp on 127.0.0.0/8, [::1] or localhost. */
bool leat_endpoint_is_local(const char *endpoint);

enum leat_sent {
    LEAT_SENT = 1,
    LEAT_SENT_FULL,        /* would block: high-water mark, or nobody connected; nothing was sent */
    LEAT_SENT_UNREACHABLE, /* ROUTER: no such peer (any more); nothing was sent */
    LEAT_SENT_IN_PART, /* XPUB: sent, but a subscriber is too slow: it loses this message and what
                          follows until it has caught up; said once each time that it falls behind
                        */
};

/* Makes a frame: copies up to LEAT_SOCKET_COPY_BYTES_MAX bytes, else takes `data` over (heap, freed
 * with free() by libzmq's thread). In both cases `data` is no longer the caller's. Aborts without
 * memory. */
void leat_socket_frame_adopt(zmq_msg_t *ret_frame, uint8_t *data, size_t size);
/* Always copies; `data` stays the caller's. */
void leat_socket_frame_copy(zmq_msg_t *ret_frame, struct leat_bytes data);

/* Sends one frame. `peer` for a ROUTER, `topic` for an XPUB, else NULL and empty. The frame is
 * consumed when it was sent; otherwise it stays the caller's, to zmq_msg_close or to send again. */
LEAT_MUST_USE enum leat_sent leat_socket_send(zsock_t *socket, const struct leat_peer *peer,
                                              struct leat_str topic, zmq_msg_t *frame);

/* XPUB: takes note of subscriptions that came and went since the last call, so that nothing need be
 * made for nobody. *count is how many topics are subscribed to; 0 at first. */
void leat_socket_count_topics(zsock_t *socket, size_t *count);

enum leat_received {
    LEAT_RECEIVED = 1,
    LEAT_RECEIVED_NOTHING,
    LEAT_RECEIVED_MALFORMED, /* a wrong number of frames or no usable peer; read to its end */
    LEAT_RECEIVED_CLOSED,    /* custom links only: the other side is gone */
};

/* Receives one message. ROUTER: *ret_peer says from whom (also when MALFORMED, size 0 when
 * unknown); others: size 0. `frame` is initialised by the caller (zmq_msg_init), its old content is
 * dropped; on RECEIVED it holds the message. SUB: topic frames are skipped. */
LEAT_MUST_USE enum leat_received leat_socket_recv(zsock_t *socket, struct leat_peer *ret_peer,
                                                  zmq_msg_t *frame);

#endif
