#include "worker/spawner/slot_bytes.h"

#include <string.h>

#include "core/limits.h"
#include "core/utf8.h"

struct order_head {
    uint64_t seq;
    int64_t received_us;
    struct leat_id id;
    uint64_t attempt;
    uint64_t timeout_ms;
    int64_t expires_at_ms;
    uint32_t handler;
    uint32_t payload_size;
    uint16_t queue_size;
    uint16_t type_size;
    uint16_t apart;
    uint16_t headers_count; /* a struct header_sizes for each follows, then all texts, then the
                               payload */
};

struct header_sizes {
    uint16_t name;
    uint16_t value;
};

_Static_assert(LEAT_HEADER_VALUE_BYTES_MAX <= UINT16_MAX, "a header's value fits header_sizes");

struct answer_head {
    uint64_t seq;
    uint64_t failure;
    int64_t code;
    uint64_t queued_us;
    uint64_t run_us;
    uint32_t error_size;
    uint32_t output_size;
    uint32_t permanent;
    uint32_t truncated;
};

/* ---- orders ---- */

size_t leat_slot_order_size(const struct leat_item_attempt *run)
{
    size_t size =
        sizeof(struct order_head) + run->queue.size + 1 + run->type.size + 1 + run->payload.size;
    for (size_t i = 0; i < run->headers.count; i++) {
        size += sizeof(struct header_sizes) + run->headers.items[i].name.size + 1 +
                run->headers.items[i].value.size + 1;
    }
    return size;
}

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
    if (size > 0) {
        memcpy(to, from, size);
    }
    return to + size;
}

static uint8_t *put_text(uint8_t *to, struct leat_str text)
{
    to = put(to, text.data, text.size);
    *to = 0;
    return to + 1;
}

void leat_slot_order_write(const struct leat_item_attempt *run, size_t handler, int64_t received_us,
                           bool apart, uint8_t *to)
{
    const struct order_head head = {
        .received_us = received_us,
        .id = run->id,
        .attempt = run->attempt,
        .timeout_ms = run->timeout_ms,
        .expires_at_ms = run->expires_at_ms,
        .handler = (uint32_t)handler,
        .payload_size = (uint32_t)run->payload.size,
        .queue_size = (uint16_t)run->queue.size,
        .type_size = (uint16_t)run->type.size,
        .apart = apart,
        .headers_count = (uint16_t)run->headers.count,
    };
    to = put(to, &head, sizeof head);
    for (size_t i = 0; i < run->headers.count; i++) {
        const struct leat_item_header *header = &run->headers.items[i];
        const struct header_sizes sizes = {(uint16_t)header->name.size,
                                           (uint16_t)header->value.size};
        to = put(to, &sizes, sizeof sizes);
    }
    to = put_text(to, run->queue);
    to = put_text(to, run->type);
    for (size_t i = 0; i < run->headers.count; i++) {
        to = put_text(to, run->headers.items[i].name);
        to = put_text(to, run->headers.items[i].value);
    }
    put(to, run->payload.data, run->payload.size);
}

void leat_slot_order_number(uint8_t *order, uint64_t seq)
{
    memcpy(order + offsetof(struct order_head, seq), &seq, sizeof seq);
}

static struct leat_str get_text(const uint8_t **at, size_t size)
{
    const struct leat_str text = {(const char *)*at, size};
    *at += size + 1;
    return text;
}

enum leat_err leat_slot_order_read(struct leat_bytes bytes, struct leat_slot_order *ret_order)
{
    struct order_head head;
    if (bytes.size < sizeof head) {
        return LEAT_ERR_MALFORMED;
    }
    memcpy(&head, bytes.data, sizeof head);
    const size_t sizes_size = head.headers_count * sizeof(struct header_sizes);
    if (head.headers_count > LEAT_HEADERS_MAX || bytes.size - sizeof head < sizes_size) {
        return LEAT_ERR_MALFORMED;
    }
    const uint8_t *sizes_at = bytes.data + sizeof head;
    struct header_sizes sizes[LEAT_HEADERS_MAX];
    memcpy(sizes, sizes_at, sizes_size);
    size_t size =
        sizeof head + sizes_size + head.queue_size + 1u + head.type_size + 1u + head.payload_size;
    for (size_t i = 0; i < head.headers_count; i++) {
        size += sizes[i].name + 1u + sizes[i].value + 1u;
    }
    if (size != bytes.size) {
        return LEAT_ERR_MALFORMED;
    }
    const uint8_t *at = sizes_at + sizes_size;
    struct leat_item_attempt *run = &ret_order->run;
    ret_order->seq = head.seq;
    ret_order->received_us = head.received_us;
    ret_order->handler = head.handler;
    ret_order->apart = head.apart != 0;
    *run = (struct leat_item_attempt){.id = head.id,
                                      .attempt = head.attempt,
                                      .timeout_ms = head.timeout_ms,
                                      .expires_at_ms = head.expires_at_ms};
    run->queue = get_text(&at, head.queue_size);
    run->type = get_text(&at, head.type_size);
    for (size_t i = 0; i < head.headers_count; i++) {
        ret_order->headers[i].name = get_text(&at, sizes[i].name);
        ret_order->headers[i].value = get_text(&at, sizes[i].value);
    }
    run->headers.items = ret_order->headers;
    run->headers.count = head.headers_count;
    run->payload = leat_bytes_of(at, head.payload_size);
    return LEAT_OK;
}

/* ---- answers ---- */

enum leat_err leat_slot_answer_append(struct leat_wire_buffer *to, uint64_t seq,
                                      const struct leat_item_outcome *ran)
{
    const struct answer_head head = {
        .seq = seq,
        .failure = ran->failure,
        .code = ran->code,
        .queued_us = ran->queued_us,
        .run_us = ran->run_us,
        .error_size = (uint32_t)ran->error.size,
        .output_size = (uint32_t)ran->output.size,
        .permanent = ran->permanent,
        .truncated = ran->truncated,
    };
    enum leat_err err =
        leat_wire_buffer_reserve(to, sizeof head + ran->error.size + ran->output.size);
    if (err == LEAT_OK) {
        uint8_t *at = put(to->data + to->size, &head, sizeof head);
        at = put(at, ran->error.data, ran->error.size);
        at = put(at, ran->output.data, ran->output.size);
        to->size = (size_t)(at - to->data);
    }
    return err;
}

enum leat_err leat_slot_answer_read(struct leat_bytes bytes, uint64_t *ret_seq,
                                    struct leat_item_outcome *ret_ran)
{
    struct answer_head head;
    if (bytes.size < sizeof head) {
        return LEAT_ERR_MALFORMED;
    }
    memcpy(&head, bytes.data, sizeof head);
    if (head.error_size > LEAT_ERROR_BYTES_MAX || head.output_size > LEAT_RESULT_BYTES_CEILING ||
        bytes.size != sizeof head + head.error_size + head.output_size) {
        return LEAT_ERR_MALFORMED;
    }
    const struct leat_str error = {(const char *)bytes.data + sizeof head, head.error_size};
    if (!leat_utf8_valid(error.data, error.size)) {
        return LEAT_ERR_MALFORMED;
    }
    *ret_seq = head.seq;
    *ret_ran = (struct leat_item_outcome){
        .failure = head.failure,
        .permanent = head.permanent != 0,
        .code = head.code,
        .error = error,
        .output = leat_bytes_of(bytes.data + sizeof head + head.error_size, head.output_size),
        .truncated = head.truncated != 0,
        .queued_us = head.queued_us,
        .run_us = head.run_us,
    };
    return LEAT_OK;
}
