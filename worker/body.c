#include "worker/body.h"

#include <stdlib.h>

#include "core/arena.h"
#include "core/job.h"
#include "wire/codec.h"

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

enum leat_err leat_worker_body_read(struct leat_bytes bytes, struct leat_item_body *ret_body,
                                    struct leat_why *why)
{
    struct leat_arena arena;
    leat_arena_init(&arena, ARENA_BYTES);
    enum leat_err err = read_into(bytes, &arena, ret_body, why);
    leat_arena_fini(&arena);
    return err;
}
