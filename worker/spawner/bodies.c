#include "worker/spawner/bodies.h"

#include <string.h>
#include <sys/mman.h>

/* Stands for a payload in a RUN and in an order. */
struct place {
    uint64_t at; /* of the piece */
    uint64_t size;
};

struct piece {
    uint64_t bytes; /* to the next one */
    struct place place;
    _Atomic uint32_t done;
};

_Static_assert(sizeof(struct piece) <= LEAT_BODIES_ALIGN, "a payload is aligned for any object");

static struct piece *piece_at(const struct leat_bodies *bodies, size_t at)
{
    return (struct piece *)(void *)(bodies->memory + at);
}

enum leat_err leat_bodies_open(struct leat_bodies *bodies, size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return LEAT_ERR_MEMORY;
    }
    *bodies = (struct leat_bodies){.memory = memory, .size = size};
    return LEAT_OK;
}

void leat_bodies_close(struct leat_bodies *bodies)
{
    if (bodies->memory != NULL) {
        munmap(bodies->memory, bodies->size);
    }
    *bodies = (struct leat_bodies){0};
}

static void take_back(struct leat_bodies *bodies)
{
    while (bodies->count > 0) {
        const struct piece *oldest = piece_at(bodies, bodies->tail);
        if (atomic_load_explicit(&oldest->done, memory_order_acquire) == 0) {
            return;
        }
        bodies->tail = (bodies->tail + oldest->bytes) % bodies->size;
        bodies->count--;
    }
    bodies->head = 0; /* what was used last is the nearest */
    bodies->tail = 0;
}

static struct piece *add_piece(struct leat_bodies *bodies, size_t bytes)
{
    struct piece *piece = piece_at(bodies, bodies->head);
    *piece = (struct piece){.bytes = bytes, .place = {.at = bodies->head}};
    bodies->head = (bodies->head + bytes) % bodies->size;
    bodies->count++;
    return piece;
}

/* Room in a row, behind the newest piece or from the beginning on; NULL: there is none. */
static struct piece *take_room(struct leat_bodies *bodies, size_t bytes)
{
    if (bodies->count == 0 || bodies->head > bodies->tail) {
        if (bytes <= bodies->size - bodies->head) {
            return add_piece(bodies, bytes);
        }
        if (bytes > bodies->tail) {
            return NULL;
        }
        atomic_store(&add_piece(bodies, bodies->size - bodies->head)->done, 1);
    }
    return bytes <= bodies->tail - bodies->head ? add_piece(bodies, bytes) : NULL;
}

bool leat_bodies_put(struct leat_bodies *bodies, struct leat_bytes payload,
                     struct leat_bytes *ret_place)
{
    if (bodies->memory == NULL || payload.size >= bodies->size - LEAT_BODIES_ALIGN) {
        return false;
    }
    take_back(bodies);
    size_t bytes = LEAT_BODIES_ALIGN + payload.size + 1;
    struct piece *piece =
        take_room(bodies, (bytes + LEAT_BODIES_ALIGN - 1) / LEAT_BODIES_ALIGN * LEAT_BODIES_ALIGN);
    if (piece == NULL) {
        return false;
    }
    uint8_t *at = bodies->memory + piece->place.at + LEAT_BODIES_ALIGN;
    if (payload.size > 0) {
        memcpy(at, payload.data, payload.size);
    }
    at[payload.size] = 0;
    piece->place.size = payload.size;
    *ret_place = leat_bytes_of(&piece->place, sizeof piece->place);
    return true;
}

enum leat_err leat_bodies_find(const struct leat_bodies *bodies, struct leat_bytes place,
                               struct leat_bytes *ret_payload, _Atomic uint32_t **ret_done)
{
    struct place found;
    if (place.size != sizeof found) {
        return LEAT_ERR_MALFORMED;
    }
    memcpy(&found, place.data, sizeof found);
    if (found.at >= bodies->size || found.at % LEAT_BODIES_ALIGN != 0 ||
        found.size >= bodies->size - found.at - LEAT_BODIES_ALIGN) {
        return LEAT_ERR_MALFORMED;
    }
    *ret_payload = leat_bytes_of(bodies->memory + found.at + LEAT_BODIES_ALIGN, found.size);
    *ret_done = &piece_at(bodies, found.at)->done;
    return LEAT_OK;
}

void leat_bodies_drop(struct leat_bodies *bodies, const struct leat_bytes *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct leat_bytes payload;
        _Atomic uint32_t *done;
        if (leat_bodies_find(bodies, places[i], &payload, &done) == LEAT_OK) {
            leat_bodies_done(done);
        }
    }
}

enum leat_err leat_bodies_protect(const struct leat_bodies *bodies)
{
    return bodies->memory == NULL || mprotect(bodies->memory, bodies->size, PROT_READ) == 0
               ? LEAT_OK
               : LEAT_ERR_IO;
}
