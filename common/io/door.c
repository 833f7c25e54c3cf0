#include "io/door.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/check.h"
#include "core/instant.h"
#include "io/log.h"
#include "io/socket.h"

enum { OUTSIDE = 0, HALF_OPEN = 1, INSIDE = 2 };

#define OWN_DESCRIPTORS 128 /* stores, sockets, pipes: what is no connection */

void leat_door_limits(size_t descriptors, size_t doors, size_t *ret_connections,
                      size_t *ret_half_open)
{
    size_t half =
        descriptors / 16 < LEAT_DOOR_HALF_OPEN_MAX ? descriptors / 16 : LEAT_DOOR_HALF_OPEN_MAX;
    /* while a door closes, as many as its backlog holds come in still */
    size_t kept = OWN_DESCRIPTORS + 2 * doors * half;
    *ret_half_open = half < 1 ? 1 : half;
    *ret_connections = descriptors > 2 * kept ? descriptors - kept : descriptors / 2;
}

void leat_door_init(struct leat_door *door, size_t half_open_max)
{
    *door = (struct leat_door){.listening = -1, .half_open_max = half_open_max};
}

static void let_go(struct leat_door *door)
{
    if (door->listening >= 0) {
        close(door->listening);
        door->listening = -1;
    }
}

void leat_door_fini(struct leat_door *door)
{
    let_go(door);
    free(door->places);
    free(door->arrivals);
    *door = (struct leat_door){.listening = -1};
}

/* ---- counting ---- */

/* A half-open connection is cut by then at the latest. */
#define HALF_OPEN_US ((LEAT_SOCKET_HANDSHAKE_MS + 1000) * LEAT_US_PER_MS)

static void set_state(struct leat_door *door, size_t descriptor, uint8_t state)
{
    if (descriptor >= door->places_size) {
        size_t size = 2 * descriptor + 64;
        door->places = reallocarray(door->places, size, sizeof *door->places);
        LEAT_ASSERT(door->places != NULL);
        memset(door->places + door->places_size, 0,
               (size - door->places_size) * sizeof *door->places);
        door->places_size = size;
    }
    uint8_t before = door->places[descriptor].state;
    door->places[descriptor].state = state;
    door->half_open += (size_t)(state == HALF_OPEN) - (size_t)(before == HALF_OPEN);
    door->inside += (size_t)(state == INSIDE) - (size_t)(before == INSIDE);
}

static void note_arrival(struct leat_door *door, uint32_t descriptor, int64_t now_us)
{
    if (door->first_arrival + door->arrival_count == door->arrivals_size) {
        if (door->first_arrival > 0 && door->first_arrival >= door->arrivals_size / 2) {
            memmove(door->arrivals, door->arrivals + door->first_arrival,
                    door->arrival_count * sizeof *door->arrivals);
            door->first_arrival = 0;
        } else {
            door->arrivals_size = door->arrivals_size == 0 ? 64 : 2 * door->arrivals_size;
            door->arrivals =
                reallocarray(door->arrivals, door->arrivals_size, sizeof *door->arrivals);
            LEAT_ASSERT(door->arrivals != NULL);
        }
    }
    set_state(door, descriptor, HALF_OPEN);
    door->places[descriptor].number = ++door->arrivals_total;
    door->arrivals[door->first_arrival + door->arrival_count++] =
        (struct leat_door_arrival){descriptor, door->arrivals_total, now_us};
}

/* The oldest arrival that counts as half open; NULL: there is none. Forgets those before it. */
static const struct leat_door_arrival *oldest_half_open(struct leat_door *door)
{
    while (door->arrival_count > 0) {
        const struct leat_door_arrival *oldest = &door->arrivals[door->first_arrival];
        const struct leat_door_place *place = &door->places[oldest->descriptor];
        if (place->state == HALF_OPEN && place->number == oldest->number) {
            return oldest;
        }
        door->first_arrival++;
        door->arrival_count--;
    }
    return NULL;
}

static void let_oldest_in(struct leat_door *door)
{
    const struct leat_door_arrival *oldest = oldest_half_open(door);
    if (oldest != NULL) {
        set_state(door, oldest->descriptor, INSIDE);
    }
}

static void let_old_ones_in(struct leat_door *door, int64_t now_us)
{
    const struct leat_door_arrival *oldest;
    while ((oldest = oldest_half_open(door)) != NULL && now_us - oldest->since_us > HALF_OPEN_US) {
        set_state(door, oldest->descriptor, INSIDE);
    }
}

/* A copy, because libzmq may close its own at any time, and the number may then be anything. */
static void take_listening(struct leat_door *door, int number)
{
    int listens = 0;
    socklen_t size = sizeof listens;
    let_go(door);
    door->listening_number = number;
    door->listening = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (door->listening < 0) {
        return;
    }
    if (getsockopt(door->listening, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 ||
        listens == 0) {
        let_go(door);
        return;
    }
    if (door->half_open_max < LEAT_SOCKET_BACKLOG) {
        (void)listen(door->listening, (int)door->half_open_max); /* a shorter backlog */
    }
}

bool leat_door_event(struct leat_door *door, uint16_t event, uint32_t value, const char *endpoint,
                     int64_t now_us)
{
    switch (event) {
    case ZMQ_EVENT_LISTENING:
        snprintf(door->endpoint, sizeof door->endpoint, "%s", endpoint);
        take_listening(door, (int)value);
        return true;
    case ZMQ_EVENT_CLOSED:
        if ((int)value == door->listening_number) {
            let_go(door);
        }
        return true;
    case ZMQ_EVENT_ACCEPTED:
        note_arrival(door, value, now_us);
        return true;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        let_oldest_in(door);
        return true;
    case ZMQ_EVENT_DISCONNECTED:
        set_state(door, value, OUTSIDE);
        return true;
    case ZMQ_EVENT_MONITOR_STOPPED:
        return false;
    default:
        return true;
    }
}

/* ---- opening and closing ---- */

static void tell(const struct leat_door *door, enum leat_log_level level, const char *event)
{
    struct leat_log line;
    leat_log_begin(&line, level, event);
    leat_log_text(&line, "endpoint", door->endpoint);
    leat_log_number(&line, "half_open", (int64_t)door->half_open);
    leat_log_number(&line, "connections", (int64_t)door->inside);
    leat_log_end(&line);
}

static void close_door(struct leat_door *door)
{
    struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
    struct sock_fprog program = {.len = 1, .filter = &nothing};
    if (setsockopt(door->listening, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) {
        door->closed = true;
        tell(door, LEAT_LOG_WARN, "door_closed");
    }
}

static void open_door(struct leat_door *door)
{
    int ignored = 0;
    if (setsockopt(door->listening, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored) == 0) {
        door->closed = false;
        tell(door, LEAT_LOG_INFO, "door_opened");
    }
}

void leat_door_tend(struct leat_door *door, bool full, int64_t now_us)
{
    let_old_ones_in(door, now_us);
    if (door->listening < 0) {
        return;
    }
    if (!door->closed && (full || door->half_open >= door->half_open_max)) {
        close_door(door);
    } else if (door->closed && !full && door->half_open <= door->half_open_max / 2) {
        open_door(door);
    }
}
