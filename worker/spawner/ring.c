#include "worker/spawner/ring.h"

#include <string.h>

#define LENGTH_BYTES sizeof(uint32_t)
#define ELSEWHERE    UINT32_MAX
/* For notes that a piece is elsewhere. */
#define RESERVE_BYTES (LEAT_PIPELINE_JOBS * LENGTH_BYTES)

_Static_assert((LEAT_RING_BYTES & (LEAT_RING_BYTES - 1)) == 0, "places are made by a mask");
_Static_assert(4 * RESERVE_BYTES < LEAT_RING_BYTES, "most of the ring is for pieces");

/* Copies `size` bytes to or from the place, around the end. */
static void copy_in(struct leat_ring *ring, uint64_t place, const void *from, size_t size)
{
    const size_t at = (size_t)place & (LEAT_RING_BYTES - 1);
    const size_t first = size < LEAT_RING_BYTES - at ? size : LEAT_RING_BYTES - at;
    memcpy(ring->bytes + at, from, first);
    if (size > first) {
        memcpy(ring->bytes, (const uint8_t *)from + first, size - first);
    }
}

static void copy_out(const struct leat_ring *ring, uint64_t place, void *to, size_t size)
{
    const size_t at = (size_t)place & (LEAT_RING_BYTES - 1);
    const size_t first = size < LEAT_RING_BYTES - at ? size : LEAT_RING_BYTES - at;
    memcpy(to, ring->bytes + at, first);
    if (size > first) {
        memcpy((uint8_t *)to + first, ring->bytes, size - first);
    }
}

static bool has_room(struct leat_ring_writer *writer, size_t size)
{
    if (size > LEAT_RING_BYTES) {
        return false;
    }
    if (writer->written + size - writer->taken > LEAT_RING_BYTES) {
        writer->taken = atomic_load_explicit(&writer->ring->taken, memory_order_acquire);
    }
    return writer->written + size - writer->taken <= LEAT_RING_BYTES;
}

static void publish(struct leat_ring_writer *writer, size_t size)
{
    writer->written += size;
    atomic_store_explicit(&writer->ring->written, writer->written, memory_order_release);
}

bool leat_ring_put(struct leat_ring_writer *writer, struct leat_bytes piece)
{
    if (piece.size > LEAT_RING_BYTES ||
        !has_room(writer, LENGTH_BYTES + piece.size + RESERVE_BYTES)) {
        return false;
    }
    const uint32_t length = (uint32_t)piece.size;
    copy_in(writer->ring, writer->written, &length, LENGTH_BYTES);
    if (piece.size > 0) {
        copy_in(writer->ring, writer->written + LENGTH_BYTES, piece.data, piece.size);
    }
    publish(writer, LENGTH_BYTES + piece.size);
    return true;
}

bool leat_ring_put_elsewhere(struct leat_ring_writer *writer)
{
    if (!has_room(writer, LENGTH_BYTES)) {
        return false;
    }
    const uint32_t length = ELSEWHERE;
    copy_in(writer->ring, writer->written, &length, LENGTH_BYTES);
    publish(writer, LENGTH_BYTES);
    return true;
}

enum leat_err leat_ring_take(struct leat_ring_taker *taker, struct leat_wire_buffer *piece,
                             bool *ret_elsewhere)
{
    struct leat_ring *ring = taker->ring;
    const uint64_t there =
        atomic_load_explicit(&ring->written, memory_order_acquire) - taker->taken;
    if (there == 0) {
        return LEAT_ERR_NOT_FOUND;
    }
    if (there > LEAT_RING_BYTES || there < LENGTH_BYTES) {
        return LEAT_ERR_MALFORMED;
    }
    uint32_t length;
    copy_out(ring, taker->taken, &length, LENGTH_BYTES);
    const bool elsewhere = length == ELSEWHERE;
    const size_t size = elsewhere ? 0 : length;
    if (size > there - LENGTH_BYTES) {
        return LEAT_ERR_MALFORMED;
    }
    leat_wire_buffer_clear(piece);
    enum leat_err err = leat_wire_buffer_reserve(piece, size);
    if (err != LEAT_OK) {
        return err;
    }
    if (size > 0) {
        copy_out(ring, taker->taken + LENGTH_BYTES, piece->data, size);
        piece->size = size;
    }
    taker->taken += LENGTH_BYTES + size;
    atomic_store_explicit(&ring->taken, taker->taken, memory_order_release);
    *ret_elsewhere = elsewhere;
    return LEAT_OK;
}
