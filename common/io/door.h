/* How many connections a bound TCP socket has, and how many of them are half open: connected, and
 * not yet through the handshake. When there are too many, the door closes: the kernel drops new
 * connections before anybody accepts them, so that strangers can use up neither descriptors nor
 * the I/O thread. Who is inside stays, who is honest and outside is let in as soon as there is
 * room: TCP repeats its SYN, and half-open connections are cut after LEAT_SOCKET_HANDSHAKE_MS.
 *
 * Closing is a filter on the listening descriptor that takes nothing (SO_ATTACH_FILTER). Unbinding
 * would do the same to strangers, but libzmq ends a listener together with all its connections.
 *
 * A monitor says which descriptor was accepted and which is gone, but not which one is through the
 * handshake: its value is unspecified then, and 0 in fact. So the one that has waited longest is
 * taken to be through, which makes the number right; and as half-open connections are cut in time,
 * what is older than that is inside, which makes each of them right in the end.
 *
 * Fed with the events of a socket's monitor; used by one thread. */
#ifndef LEAT_IO_DOOR_H
#define LEAT_IO_DOOR_H

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

/* Per door; less when the process may open few descriptors. */
#define LEAT_DOOR_HALF_OPEN_MAX 1024

/* One that was accepted and may still be half open. */
struct leat_door_arrival {
    uint32_t descriptor;
    uint32_t number; /* of the arrival, to tell it from a later one with the same descriptor */
    int64_t since_us;
};

/* What is known of a descriptor. */
struct leat_door_place {
    uint8_t state;   /* outside, half open, inside */
    uint32_t number; /* of its last arrival */
};

struct leat_door {
    int listening;        /* owned copy of the listening descriptor; -1: none */
    int listening_number; /* what libzmq calls it */
    bool closed;
    struct leat_door_place *places; /* owned, by descriptor */
    size_t places_size;
    struct leat_door_arrival *arrivals; /* owned; from first_arrival on, the oldest first */
    size_t first_arrival, arrival_count, arrivals_size;
    uint32_t arrivals_total;
    size_t half_open;
    size_t inside;
    size_t half_open_max;
    char endpoint[256];
};

/* Every event that a door wants to hear of. */
#define LEAT_DOOR_EVENTS                                                                           \
    (ZMQ_EVENT_LISTENING | ZMQ_EVENT_CLOSED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |        \
     ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_MONITOR_STOPPED)

/* Connections that all doors of a process together may have, and half-open ones that one may have,
 * when it may open `descriptors` and has `doors`. */
void leat_door_limits(size_t descriptors, size_t doors, size_t *ret_connections,
                      size_t *ret_half_open);

void leat_door_init(struct leat_door *door, size_t half_open_max);
void leat_door_fini(struct leat_door *door);

/* One event of the monitor at the monotonic time now_us. False: the socket is gone, the door has no
 * more use. */
bool leat_door_event(struct leat_door *door, uint16_t event, uint32_t value, const char *endpoint,
                     int64_t now_us);

/* Closes or opens the door. `full`: the process has too many connections. */
void leat_door_tend(struct leat_door *door, bool full, int64_t now_us);

#endif
