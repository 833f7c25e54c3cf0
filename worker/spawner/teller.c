#include "worker/spawner/teller.h"

#include "worker/spawner/slot_bytes.h"

/* A buffer that has grown beyond this is given back. */
#define KEPT_BYTES (1u << 20)

static const struct leat_bytes nothing = {NULL, 0};

void leat_teller_init(struct leat_teller *teller, struct leat_frames *frames,
                      struct leat_ring *ring, unsigned untold_max, int64_t untold_us)
{
    *teller = (struct leat_teller){
        .frames = frames, .ring = {.ring = ring}, .untold_max = untold_max, .untold_us = untold_us};
    leat_wire_buffer_init(&teller->answer, LEAT_MESSAGE_BYTES_MAX);
}

static void begin_anew(struct leat_teller *teller)
{
    teller->untold = 0;
    teller->untold_bytes = 0;
}

enum leat_err leat_teller_tell(struct leat_teller *teller)
{
    if (teller->untold == 0) {
        return LEAT_OK;
    }
    begin_anew(teller);
    return leat_frames_send(teller->frames, nothing, nothing);
}

static enum leat_err send_whole(struct leat_teller *teller)
{
    if (!leat_ring_put_elsewhere(&teller->ring)) {
        return LEAT_ERR_LIMIT; /* more attempts than the spawner may have given us */
    }
    enum leat_err err =
        leat_frames_send(teller->frames, leat_wire_buffer_view(&teller->answer), nothing);
    begin_anew(teller); /* it says that there is something in the ring, too */
    if (teller->answer.capacity > KEPT_BYTES) {
        leat_wire_buffer_fini(&teller->answer);
    }
    return err;
}

enum leat_err leat_teller_answer(struct leat_teller *teller, uint64_t seq,
                                 const struct leat_item_outcome *ran, int64_t now_us)
{
    leat_wire_buffer_clear(&teller->answer);
    enum leat_err err = leat_slot_answer_append(&teller->answer, seq, ran);
    if (err != LEAT_OK) {
        return err;
    }
    if (leat_ring_is_taken(&teller->ring) && teller->untold > 0) {
        begin_anew(teller); /* the spawner was awake for another reason, after the last answer */
        teller->told_us = teller->answered_us;
    }
    teller->answered_us = now_us;
    if (!leat_ring_put(&teller->ring, leat_wire_buffer_view(&teller->answer))) {
        return send_whole(teller);
    }
    teller->untold++;
    teller->untold_bytes += teller->answer.size;
    if (teller->untold < teller->untold_max && teller->untold_bytes < LEAT_RING_BYTES / 2 &&
        now_us - teller->told_us < teller->untold_us) {
        return LEAT_OK;
    }
    teller->told_us = now_us;
    return leat_teller_tell(teller);
}
