/* Any bytes as a frame: what the decoder takes can be shown, encoded and decoded again, and stays
 * the same; what it refuses is refused with a reason. The same for a job's body and for a sealed
 * record. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "wire/codec.h"
#include "wire/cursor.h"
#include "wire/dump.h"
#include "wire/record.h"

static const struct leat_record_place place = {.table = 3, .key = {(const uint8_t *)"key", 3}};

struct rig {
    struct leat_arena arena;
    struct leat_wire_buffer first, second;
};

static void check_refusal(enum leat_err err, const struct leat_why *why)
{
    bool expected = err == LEAT_ERR_VERSION || err == LEAT_ERR_UNKNOWN_TYPE ||
                    err == LEAT_ERR_LIMIT || err == LEAT_ERR_MALFORMED || err == LEAT_ERR_CORRUPT;
    if (!expected || why->text[0] == '\0' || memchr(why->text, 0, sizeof why->text) == NULL) {
        fuzz_fail("refused with %s: %s", leat_err_name(err), why->text);
    }
}

static void check_dump(const struct leat_msg *msg)
{
    static const size_t sizes[] = {8, 40, LEAT_WIRE_DUMP_BYTES};
    char text[LEAT_WIRE_DUMP_BYTES];
    for (size_t i = 0; i < 3; i++) {
        memset(text, 0x7f, sizeof text);
        leat_wire_dump(msg, text, sizes[i]);
        for (const char *at = text; *at != '\0'; at++) {
            if ((unsigned char)*at < ' ' || at >= text + sizes[i]) {
                fuzz_fail("a dump with a control character, or without end");
            }
        }
    }
}

static void try_frame(struct rig *rig, struct leat_bytes frame)
{
    struct leat_msg msg, again;
    struct leat_why why = {""};
    enum leat_err err = leat_wire_decode(frame, &rig->arena, &msg, &why);
    (void)leat_wire_peek_type(frame);
    if (err != LEAT_OK) {
        check_refusal(err, &why);
        return;
    }
    check_dump(&msg);
    if (leat_wire_encode(&msg, &rig->first) != LEAT_OK) {
        fuzz_fail("what was decoded cannot be encoded");
    }
    if (leat_wire_decode(leat_wire_buffer_view(&rig->first), &rig->arena, &again, &why) !=
            LEAT_OK ||
        leat_wire_encode(&again, &rig->second) != LEAT_OK) {
        fuzz_fail("what was encoded cannot be decoded: %s", why.text);
    }
    if (rig->first.size != rig->second.size ||
        memcmp(rig->first.data, rig->second.data, rig->first.size) != 0) {
        fuzz_fail("a message has changed on its way through the codec");
    }
}

static void try_body(struct rig *rig, struct leat_bytes bytes)
{
    struct leat_item_body body;
    struct leat_why why = {""};
    enum leat_err err = leat_wire_decode_item_body(bytes, &rig->arena, &body, &why);
    if (err != LEAT_OK) {
        check_refusal(err, &why);
        return;
    }
    leat_wire_buffer_clear(&rig->first);
    leat_wire_buffer_clear(&rig->second);
    if (leat_wire_seal_item_body(&body, place, &rig->first) != LEAT_OK ||
        leat_wire_unseal_item_body(leat_wire_buffer_view(&rig->first), place, &rig->arena, &body,
                                   &why) != LEAT_OK ||
        leat_wire_seal_item_body(&body, place, &rig->second) != LEAT_OK) {
        fuzz_fail("a body does not come back: %s", why.text);
    }
    if (rig->first.size != rig->second.size ||
        memcmp(rig->first.data, rig->second.data, rig->first.size) != 0) {
        fuzz_fail("a body has changed");
    }
}

/* The cursor never passes the end, and every element that can be skipped can also be read. */
static void try_cursor(struct leat_bytes bytes)
{
    struct leat_wire_cursor cursor = leat_wire_cursor_of(bytes);
    while (leat_wire_cursor_left(&cursor) > 0) {
        struct leat_wire_cursor before = cursor;
        struct leat_wire_token token;
        (void)leat_wire_cursor_what(&cursor);
        if (leat_wire_cursor_skip(&cursor) != LEAT_OK) {
            if (cursor.at != before.at) {
                fuzz_fail("a failed skip has moved the cursor");
            }
            return;
        }
        if (leat_wire_cursor_next(&before, &token) != LEAT_OK || before.at > cursor.at) {
            fuzz_fail("an element can be skipped and not read");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig rig; /* its memory is kept from one execution to the next */
    static bool is_made;
    if (!is_made) {
        leat_arena_init(&rig.arena, 16u << 20);
        leat_wire_buffer_init(&rig.first, 0);
        leat_wire_buffer_init(&rig.second, 0);
        is_made = true;
    }
    leat_arena_clear(&rig.arena);
    leat_wire_buffer_clear(&rig.first);
    leat_wire_buffer_clear(&rig.second);
    struct leat_bytes bytes = leat_bytes_of(data, size);
    struct leat_bytes payload;
    struct leat_why why = {""};
    try_frame(&rig, bytes);
    try_body(&rig, bytes);
    try_cursor(bytes);
    enum leat_err err = leat_record_unseal(bytes, place, &payload, &why);
    if (err != LEAT_OK) {
        check_refusal(err, &why);
    }
    return 0;
}
