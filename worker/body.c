#include "worker/body.h"

#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/job.h"
#include "wire/codec.h"
#include "wire/cursor.h"

#define ARENA_BYTES (64 << 10)

_Static_assert(LEAT_HEADERS_MAX * sizeof(struct leat_item_header) * 2 < ARENA_BYTES,
               "every list of headers that the codec lets through fits");

static enum leat_err read_into(struct leat_bytes bytes, struct leat_arena *arena,
                               struct leat_item_body *ret_body, struct leat_why *why)
{
    struct leat_item_body body;
    enum leat_err err = leat_wire_decode_item_body(bytes, arena, &body, why);
    if (err == LEAT_OK) {
        err = leat_job_check_body(&body, LEAT_PAYLOAD_BYTES_CEILING, why);
    }
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_header *headers = NULL;
    if (body.headers.count > 0) {
        headers = malloc(body.headers.count * sizeof(*headers));
        if (headers == NULL) {
            return leat_fail(why, LEAT_ERR_MEMORY, "no memory for %zu headers", body.headers.count);
        }
        memcpy(headers, body.headers.items, body.headers.count * sizeof(*headers));
    }
    body.headers.items = headers;
    *ret_body = body;
    return LEAT_OK;
}

/* A body as its payload and what comes behind. False: it has to be read to say what is wrong. */
static bool split(struct leat_bytes bytes, uint32_t *ret_elements, struct leat_bytes *ret_payload,
                  struct leat_bytes *ret_end)
{
    struct leat_wire_cursor cursor = leat_wire_cursor_of(bytes);
    uint64_t version;
    if (leat_wire_cursor_array(&cursor, ret_elements) != LEAT_OK ||
        leat_wire_cursor_u64(&cursor, &version) != LEAT_OK || version != LEAT_RECORD_VERSION ||
        leat_wire_cursor_bin(&cursor, ret_payload) != LEAT_OK ||
        ret_payload->size > LEAT_PAYLOAD_BYTES_CEILING) {
        return false;
    }
    *ret_end = leat_bytes_of(cursor.at, leat_wire_cursor_left(&cursor));
    return true;
}

static void keep_end(struct leat_worker_body_end *last, uint32_t elements, struct leat_bytes end,
                     const struct leat_item_body *body)
{
    if (body->headers.count == 0 && end.size <= sizeof(last->bytes)) {
        last->elements = elements;
        last->size = end.size;
        memcpy(last->bytes, end.data, end.size);
        last->body = *body;
        last->body.payload = (struct leat_bytes){0};
    }
}

enum leat_err leat_worker_body_read(struct leat_worker_body_end *last, struct leat_bytes bytes,
                                    struct leat_item_body *ret_body, struct leat_why *why)
{
    uint32_t elements = 0;
    struct leat_bytes payload = {0};
    struct leat_bytes end = {0};
    bool is_split = split(bytes, &elements, &payload, &end);
    if (is_split && last->size > 0 && last->size == end.size && last->elements == elements &&
        memcmp(last->bytes, end.data, end.size) == 0) {
        *ret_body = last->body;
        ret_body->payload = payload;
        return LEAT_OK;
    }
    struct leat_arena arena;
    leat_arena_init(&arena, ARENA_BYTES);
    enum leat_err err = read_into(bytes, &arena, ret_body, why);
    leat_arena_fini(&arena);
    if (err == LEAT_OK && is_split) {
        keep_end(last, elements, end, ret_body);
    }
    return err;
}
