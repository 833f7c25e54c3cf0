/* What comes to the sink's REP socket: any bytes, as JSON or msgpack, are answered, over a store
 * with a few results; and every answer is one that JSON and msgpack readers take. Bytes before the
 * request, up to a 0xFF, first change what the metrics registry was told. */
#include <string.h>

#include <jansson.h>

#include "broker/sink/reply.h"
#include "broker/sink/sink.h"
#include "broker/sink/stats.h"
#include "tests/fuzz/core_harness.h"
#include "wire/cursor.h"

struct rig {
    struct leat_metrics *metrics;
    struct leat_sink_view view;
    struct leat_stats stats;
};

static enum leat_err view_get(void *context, leat_table table, struct leat_bytes key,
                              struct leat_bytes *ret_value)
{
    return leat_store_get(context, table, key, ret_value);
}

static enum leat_err view_scan(void *context, leat_table table, struct leat_bytes from,
                               leat_store_visit_fn *visit, void *visit_context)
{
    return leat_store_scan(context, table, from, visit, visit_context);
}

static struct leat_item_result result(unsigned number)
{
    return (struct leat_item_result){
        .id = fuzz_id(number),
        .queue = leat_str_of("default"),
        .type = leat_str_of(number % 2 == 0 ? "send" : "echo"),
        .status = number % 3 == 0 ? LEAT_STATE_SUCCEEDED : LEAT_STATE_FAILED,
        .failure = number % 3 == 0 ? 0 : LEAT_FAILURE_TIMEOUT,
        .attempts = 1,
        .delivery = 1,
        .error = leat_str_of(number % 3 == 0 ? "" : "timeout after 2 s\xc3\xa9"),
        .output = leat_bytes_of("\0\xff", 2),
        .worker = leat_str_of("host:1"),
        .body = leat_bytes_of("no body", 7),
    };
}

/* With a few results. Requests only read it: it is made once. */
static struct leat_store *the_store(void)
{
    static struct leat_store *store;
    if (store != NULL) {
        return store;
    }
    store = leat_store_open_memory();
    struct leat_sink_store *typed = leat_sink_store_new(store);
    for (unsigned i = 1; i < 9; i++) {
        struct leat_item_result item = result(i);
        if (leat_sink_store_record(typed, &item, (struct leat_wall){1000 + i}, i) != LEAT_OK) {
            fuzz_fail("cannot record");
        }
    }
    struct leat_sink_meta meta = {.stream = fuzz_id(9), .last = 8, .successes = 2, .failures = 6};
    leat_sink_store_save(typed, &meta);
    leat_sink_store_destroy(&typed);
    return store;
}

static void open_rig(struct rig *rig)
{
    rig->metrics = leat_metrics_new();
    rig->view = (struct leat_sink_view){the_store(), view_get, view_scan};
    rig->stats = (struct leat_stats){.metrics = rig->metrics, .view = &rig->view};
}

/* FINISHED, GAUGES and the sink's own gauges, made of the input up to a 0xFF. */
static void tell(struct rig *rig, struct fuzz_world *world)
{
    while (!fuzz_is_done(&world->in)) {
        uint8_t op = fuzz_byte(&world->in);
        if (op == 0xFF) {
            return;
        }
        leat_arena_clear(&world->arena);
        leat_wire_buffer_clear(&world->buffer);
        if (!fuzz_message(&world->in, &world->words, 0, &world->arena, &world->buffer,
                          &world->msg)) {
            continue;
        }
        if (world->msg.type == LEAT_MSG_FINISHED) {
            leat_metrics_finished(rig->metrics, &world->msg.finished);
        } else if (world->msg.type == LEAT_MSG_GAUGES) {
            leat_metrics_gauges(rig->metrics, &world->msg.gauges, world->now.mono_us);
        }
    }
}

static void check_written(json_t *reply, bool text)
{
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, 0);
    if (leat_reply_write(reply, text, &buffer) != LEAT_OK) {
        fuzz_fail("a reply cannot be written");
    }
    if (text) {
        json_t *again = json_loadb((const char *)buffer.data, buffer.size,
                                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        if (again == NULL || memchr(buffer.data, '\n', buffer.size) != NULL) {
            fuzz_fail("a reply is not one line of JSON");
        }
        json_decref(again);
    } else {
        struct leat_wire_cursor cursor = leat_wire_cursor_of(leat_wire_buffer_view(&buffer));
        if (leat_wire_cursor_skip(&cursor) != LEAT_OK || leat_wire_cursor_left(&cursor) != 0) {
            fuzz_fail("a reply is not one msgpack value");
        }
    }
    leat_wire_buffer_fini(&buffer);
}

static void ask(struct rig *rig, struct leat_bytes bytes, int64_t mono_us)
{
    struct leat_request request;
    struct leat_why why = {""};
    enum leat_err err = leat_request_parse(bytes, &request, &why);
    json_t *reply = NULL;
    if (err == LEAT_OK) {
        reply = leat_stats_answer(&rig->stats, &request, mono_us);
    } else if (why.text[0] == '\0') {
        fuzz_fail("refused with %s and no reason", leat_err_name(err));
    } else {
        reply = leat_reply_error(err, why.text);
    }
    if (reply == NULL) {
        fuzz_fail("no reply");
    }
    check_written(reply, true);
    check_written(reply, false);
    (void)leat_request_is_text(bytes);
    json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_world *world = fuzz_world_open(data, size);
    struct rig rig;
    open_rig(&rig);
    if (size > 0 && data[0] == 0xFE) { /* no first byte of a request that could be answered */
        (void)fuzz_byte(&world->in);
        tell(&rig, world);
    }
    ask(&rig, fuzz_bytes(&world->in, size), world->now.mono_us + 5000000);
    ask(&rig, leat_bytes_of("{\"request\":\"stats\"}", 19), world->now.mono_us);
    leat_metrics_destroy(&rig.metrics);
    return 0;
}
