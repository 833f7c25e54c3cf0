/* Questions and answers of the metrics actor, hostile ones included; without thread and sockets. */
#include "tests/unit/sink_rig.h"

#include <msgpack.h>

#include "broker/sink/reply.h"
#include "broker/sink/sink_record.h"
#include "broker/sink/stats.h"

struct bench {
    struct rig rig;
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

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    rig_open(&bench->rig);
    bench->metrics = leat_metrics_new();
    bench->view = (struct leat_sink_view){bench->rig.store, view_get, view_scan};
    bench->stats = (struct leat_stats){.metrics = bench->metrics, .view = &bench->view};
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    leat_metrics_destroy(&bench->metrics);
    rig_close(&bench->rig);
    free(bench);
    return 0;
}

/* What the actor does with a frame, but as a tree. New reference. */
static json_t *ask(struct bench *bench, const void *data, size_t size)
{
    struct leat_request request;
    struct leat_why why = {""};
    enum leat_err err = leat_request_parse(leat_bytes_of(data, size), &request, &why);
    return err == LEAT_OK ? leat_stats_answer(&bench->stats, &request, 5 * LEAT_US_PER_S)
                          : leat_reply_error(err, why.text);
}

static json_t *ask_text(struct bench *bench, const char *text)
{
    return ask(bench, text, strlen(text));
}

static int64_t number_at(const json_t *tree, const char *a, const char *b)
{
    return json_integer_value(json_object_get(json_object_get(tree, a), b));
}

static int64_t error_code(const json_t *tree)
{
    return number_at(tree, "error", "code");
}

static void record(struct bench *bench, struct leat_item_result *items, size_t count)
{
    rig_results(&bench->rig, 1, items, count);
    const struct leat_action *told = rig_sent(&bench->rig, LEAT_LINK_METRICS, LEAT_MSG_FINISHED, 0);
    if (told != NULL) {
        leat_metrics_finished(bench->metrics, &told->msg.finished);
    }
}

/* The reply names the error, and can be written in both formats. */
static void expect_error(struct bench *bench, const char *what, const void *data, size_t size,
                         enum leat_err code)
{
    json_t *reply = ask(bench, data, size);
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, 0);
    if (reply == NULL || error_code(reply) != (int64_t)code) {
        fail_msg("%s: error %lld", what, (long long)error_code(reply));
    }
    const json_t *error = json_object_get(reply, "error");
    assert_string_equal(json_string_value(json_object_get(error, "name")), leat_err_name(code));
    assert_true(json_is_string(json_object_get(error, "text")));
    assert_int_equal(leat_reply_write(reply, true, &buffer), LEAT_OK);
    assert_int_equal(leat_reply_write(reply, false, &buffer), LEAT_OK);
    leat_wire_buffer_fini(&buffer);
    json_decref(reply);
}

static void hostile_and_mistaken_requests_get_the_error_that_fits(void **state)
{
    struct bench *bench = *state;
    static char deep[30000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    static char large[LEAT_REQUEST_BYTES_MAX + 1];
    memset(large, ' ', sizeof large);
    static uint8_t nested[5000]; /* {"a": [[[[... */
    memset(nested, 0x91, sizeof nested);
    memcpy(nested,
           "\x81\xa1"
           "a",
           3);
#define TEXT(text) text, sizeof text - 1
    struct {
        const char *what;
        const void *data;
        size_t size;
        enum leat_err code;
    } cases[] = {
        {"nothing", TEXT(""), LEAT_ERR_MALFORMED},
        {"no JSON", TEXT("hello"), LEAT_ERR_MALFORMED},
        {"JSON array", TEXT("[1]"), LEAT_ERR_MALFORMED},
        {"cut JSON", TEXT("{\"request\":"), LEAT_ERR_MALFORMED},
        {"JSON and more", TEXT("{\"request\":\"ping\"} x"), LEAT_ERR_MALFORMED},
        {"same key twice", TEXT("{\"request\":\"ping\",\"request\":\"ping\"}"), LEAT_ERR_MALFORMED},
        {"no UTF-8", TEXT("{\"request\":\"\xff\"}"), LEAT_ERR_MALFORMED},
        {"JSON bomb", deep, sizeof deep, LEAT_ERR_MALFORMED},
        {"too large", large, sizeof large, LEAT_ERR_LIMIT},
        {"no request", TEXT("{}"), LEAT_ERR_INVALID},
        {"unknown request", TEXT("{\"request\":\"drop\"}"), LEAT_ERR_UNKNOWN_TYPE},
        {"request is a number", TEXT("{\"request\":1}"), LEAT_ERR_MALFORMED},
        {"job without id", TEXT("{\"request\":\"job\"}"), LEAT_ERR_INVALID},
        {"id that is none", TEXT("{\"request\":\"job\",\"id\":\"x\"}"), LEAT_ERR_INVALID},
        {"id is a map", TEXT("{\"request\":\"job\",\"id\":{}}"), LEAT_ERR_MALFORMED},
        {"limit 0", TEXT("{\"request\":\"failures\",\"limit\":0}"), LEAT_ERR_LIMIT},
        {"limit 1001", TEXT("{\"request\":\"failures\",\"limit\":1001}"), LEAT_ERR_LIMIT},
        {"limit -1", TEXT("{\"request\":\"failures\",\"limit\":-1}"), LEAT_ERR_MALFORMED},
        {"limit is text", TEXT("{\"request\":\"failures\",\"limit\":\"9\"}"), LEAT_ERR_MALFORMED},
        {"no such kind", TEXT("{\"request\":\"failures\",\"kind\":\"bad\"}"), LEAT_ERR_INVALID},
        {"bad cursor", TEXT("{\"request\":\"failures\",\"after\":\"zz\"}"), LEAT_ERR_INVALID},
        {"long queue",
         TEXT("{\"request\":\"stats\",\"queue\":\"0123456789012345678901234567890123456789"
              "0123456789012345678901234\"}"),
         LEAT_ERR_LIMIT},
        {"reruns is a number", TEXT("{\"request\":\"failures\",\"reruns\":1}"), LEAT_ERR_MALFORMED},
        {"msgpack array", TEXT("\x91\x01"), LEAT_ERR_MALFORMED},
        {"msgpack that promises 4 G pairs", TEXT("\xdf\xff\xff\xff\xff"), LEAT_ERR_MALFORMED},
        {"a text of 4 G", TEXT("\x81\xa7request\xdb\xff\xff\xff\xff"), LEAT_ERR_MALFORMED},
        {"cut msgpack", TEXT("\x81\xa7request"), LEAT_ERR_MALFORMED},
        {"msgpack and more", TEXT("\x81\xa7request\xa4ping\x00"), LEAT_ERR_MALFORMED},
        {"key is a number", TEXT("\x81\x01\xa4ping"), LEAT_ERR_MALFORMED},
        {"request that is not UTF-8", TEXT("\x81\xa7request\xa1\xff"), LEAT_ERR_UNKNOWN_TYPE},
        {"zero byte in a name", TEXT("\x82\xa7request\xa5stats\xa5queue\xa1\x00"),
         LEAT_ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_error(bench, cases[i].what, cases[i].data, cases[i].size, cases[i].code);
    }
    json_t *reply = ask(bench, nested, sizeof nested);
    assert_int_not_equal(error_code(reply), 0);
    json_decref(reply);
}

static void keys_that_are_not_known_are_skipped(void **state)
{
    struct bench *bench = *state;
    json_t *reply = ask_text(bench, " {\"request\":\"ping\",\"colour\":{\"a\":[1,2]}}");
    assert_string_equal(json_string_value(json_object_get(reply, "reply")), "ping");
    json_decref(reply);
    static const char packed[] = "\x82\xa1x\x92\xc0\xc3\xa7request\xa4ping";
    reply = ask(bench, packed, sizeof packed - 1);
    assert_string_equal(json_string_value(json_object_get(reply, "reply")), "ping");
    json_decref(reply);
}

static void stats_add_up_what_the_filter_lets_through(void **state)
{
    struct bench *bench = *state;
    struct leat_item_result items[] = {rig_success(1), rig_success(2), rig_failure(3)};
    items[1].queue = leat_str_of("other");
    record(bench, items, 3);
    record(bench, items, 3); /* sent twice: counts once */
    json_t *reply = ask_text(bench, "{\"request\":\"stats\"}");
    assert_int_equal(number_at(reply, "totals", "succeeded"), 2);
    assert_int_equal(number_at(reply, "totals", "failed"), 1);
    assert_int_equal(number_at(reply, "totals", "retried"), 2);
    assert_int_equal(json_array_size(json_object_get(reply, "pairs")), 2);
    assert_true(json_is_null(json_object_get(reply, "ventilator")));
    assert_int_equal(json_integer_value(json_object_get(reply, "uptime_ms")), 5000);
    const json_t *by = json_object_get(json_object_get(reply, "totals"), "failed_by");
    assert_int_equal(json_integer_value(json_object_get(by, "timeout")), 1);
    json_decref(reply);

    reply = ask_text(bench, "{\"request\":\"stats\",\"queue\":\"other\",\"type\":\"send\"}");
    assert_int_equal(number_at(reply, "totals", "succeeded"), 1);
    assert_int_equal(json_array_size(json_object_get(reply, "pairs")), 1);
    json_decref(reply);
}

static void queues_and_workers_are_what_the_ventilator_told_last(void **state)
{
    struct bench *bench = *state;
    json_t *reply = ask_text(bench, "{\"request\":\"queues\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "age_ms")), -1);
    json_decref(reply);

    struct leat_item_queue_gauge queues[] = {{.queue = leat_str_of("a"), .ready = 5},
                                             {.queue = leat_str_of("b")}};
    struct leat_item_worker_gauge worker = {.name = leat_str_of("w\xff"), .slots = 4};
    struct leat_msg_gauges gauges = {.jobs = 9};
    gauges.queues.items = queues;
    gauges.queues.count = 2;
    gauges.workers.items = &worker;
    gauges.workers.count = 1;
    leat_metrics_gauges(bench->metrics, &gauges, 2 * LEAT_US_PER_S);

    reply = ask_text(bench, "{\"request\":\"queues\",\"queue\":\"a\"}");
    assert_int_equal(json_integer_value(json_object_get(reply, "age_ms")), 3000);
    assert_int_equal(json_array_size(json_object_get(reply, "queues")), 1);
    json_decref(reply);
    reply = ask_text(bench, "{\"request\":\"workers\"}");
    const json_t *row = json_array_get(json_object_get(reply, "workers"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "name")), "w?");
    assert_int_equal(json_integer_value(json_object_get(row, "slots")), 4);
    json_decref(reply);
    reply = ask_text(bench, "{\"request\":\"stats\"}");
    assert_int_equal(number_at(reply, "ventilator", "jobs"), 9);
    assert_int_equal(number_at(reply, "ventilator", "age_ms"), 3000);
    json_decref(reply);
}

static json_t *ask_job(struct bench *bench, unsigned number)
{
    char id[LEAT_ID_TEXT_BYTES];
    char text[100];
    struct leat_id job = rig_id(number);
    snprintf(text, sizeof text, "{\"request\":\"job\",\"id\":\"%s\"}", leat_id_format(&job, id));
    return ask_text(bench, text);
}

static void a_job_is_told_with_its_output_as_text_or_as_bytes(void **state)
{
    struct bench *bench = *state;
    struct leat_item_header header = {leat_str_of("trace"), leat_str_of("abc")};
    struct leat_item_result items[] = {rig_success(1), rig_success(2)};
    items[0].headers.items = &header;
    items[0].headers.count = 1;
    items[1].output = leat_bytes_of("\x00\xff", 2);
    record(bench, items, 2);
    json_t *reply = ask_job(bench, 1);
    assert_string_equal(json_string_value(json_object_get(reply, "state")), "succeeded");
    assert_string_equal(json_string_value(json_object_get(reply, "output")), "sent");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(reply, "headers"), "trace")), "abc");
    json_decref(reply);
    reply = ask_job(bench, 2);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(reply, "output"), "$base64")), "AP8=");
    json_decref(reply);
    reply = ask_job(bench, 3);
    assert_int_equal(error_code(reply), LEAT_ERR_NOT_FOUND);
    json_decref(reply);
}

/* Walks all pages; the number of rows, which must be in order and without doubles. */
static unsigned walk(struct bench *bench, const char *fields, unsigned limit, unsigned *ret_pages)
{
    char after[LEAT_REQUEST_CURSOR_BYTES + 1] = "";
    char last[LEAT_ID_TEXT_BYTES] = "";
    unsigned rows = 0;
    unsigned pages = 0;
    for (;;) {
        char text[300];
        snprintf(text, sizeof text, "{\"request\":\"failures\",\"limit\":%u,\"after\":\"%s\"%s}",
                 limit, after, fields);
        json_t *reply = ask_text(bench, text);
        const json_t *page = json_object_get(reply, "failures");
        assert_true(json_is_array(page));
        assert_true(json_array_size(page) <= limit);
        for (size_t i = 0; i < json_array_size(page); i++) {
            const char *id = json_string_value(json_object_get(json_array_get(page, i), "id"));
            assert_true(strcmp(last, id) < 0);
            snprintf(last, sizeof last, "%s", id);
            rows++;
        }
        pages++;
        const char *next = json_string_value(json_object_get(reply, "next"));
        snprintf(after, sizeof after, "%s", next == NULL ? "" : next);
        json_decref(reply);
        if (after[0] == '\0') {
            *ret_pages = pages;
            return rows;
        }
    }
}

static void failures_come_in_pages_and_each_exactly_once(void **state)
{
    struct bench *bench = *state;
    unsigned pages = 0;
    for (unsigned i = 0; i < 25; i++) {
        struct leat_item_result item = rig_failure(i + 1);
        if (i % 5 == 0) {
            item.queue = leat_str_of("other");
        }
        if (i % 2 == 0) {
            item.failure = LEAT_FAILURE_EXIT;
        }
        record(bench, &item, 1);
        rig_pass(&bench->rig, i % 3); /* some in the same microsecond */
    }
    assert_int_equal(walk(bench, "", 10, &pages), 25);
    assert_int_equal(pages, 3);
    assert_int_equal(walk(bench, "", 25, &pages), 25);
    assert_int_equal(pages, 1);
    assert_int_equal(walk(bench, ",\"queue\":\"other\"", 2, &pages), 5);
    assert_int_equal(walk(bench, ",\"kind\":\"exit\"", 100, &pages), 13);
    assert_int_equal(walk(bench, ",\"kind\":\"exit\",\"queue\":\"other\"", 100, &pages), 3);
    assert_int_equal(walk(bench, ",\"type\":\"none\"", 100, &pages), 0);
}

static void what_was_run_again_is_left_out_unless_it_is_asked_for(void **state)
{
    struct bench *bench = *state;
    struct leat_item_result items[] = {rig_failure(1), rig_failure(2)};
    struct leat_id id = rig_id(1);
    unsigned pages = 0;
    record(bench, items, 2);
    assert_int_equal(leat_sink_store_mark_rerun(bench->rig.typed, &id), LEAT_OK);
    assert_int_equal(walk(bench, "", 10, &pages), 1);
    assert_int_equal(walk(bench, ",\"reruns\":true", 10, &pages), 2);
}

static void bodies_come_when_asked_for_and_end_a_page_when_they_are_large(void **state)
{
    struct bench *bench = *state;
    static uint8_t body[3 << 20];
    unsigned pages = 0;
    for (unsigned i = 0; i < 5; i++) {
        struct leat_item_result item = rig_failure(i + 1);
        item.body = leat_bytes_of(body, sizeof body);
        record(bench, &item, 1);
    }
    assert_int_equal(walk(bench, ",\"with_body\":true", 100, &pages), 5);
    assert_int_equal(pages, 3);
    json_t *reply = ask_text(bench, "{\"request\":\"failures\",\"limit\":1,\"with_body\":true}");
    const json_t *row = json_array_get(json_object_get(reply, "failures"), 0);
    assert_int_equal(json_string_length(json_object_get(json_object_get(row, "body"), "$base64")),
                     4 << 20);
    json_decref(reply);
}

static void a_damaged_record_is_reported_and_not_served(void **state)
{
    struct bench *bench = *state;
    struct leat_item_result item = rig_failure(1);
    struct leat_id id = rig_id(1);
    struct leat_sink_age_key row = leat_sink_age_key(bench->rig.now.wall, &id);
    record(bench, &item, 1);
    leat_store_put(bench->rig.store, LEAT_SINK_TABLE_RESULTS,
                   leat_bytes_of(id.bytes, LEAT_ID_BYTES), leat_bytes_of("rubbish", 7));
    leat_store_put(bench->rig.store, LEAT_SINK_TABLE_FAILURES,
                   leat_bytes_of(row.bytes, sizeof row.bytes), leat_bytes_of("rubbish", 7));
    json_t *reply = ask_job(bench, 1);
    assert_int_equal(error_code(reply), LEAT_ERR_CORRUPT);
    json_decref(reply);
    reply = ask_text(bench, "{\"request\":\"failures\"}");
    assert_int_equal(json_array_size(json_object_get(reply, "failures")), 0);
    assert_int_equal(json_integer_value(json_object_get(reply, "damaged")), 1);
    json_decref(reply);
}

/* msgpack-c is the oracle for what is packed. */
static void a_reply_in_msgpack_says_the_same_and_holds_bytes_as_bin(void **state)
{
    struct leat_wire_buffer buffer;
    msgpack_unpacked unpacked;
    size_t offset = 0;
    char shown[300];
    (void)state;
    for (size_t size = 0; size < 7; size++) {
        static const uint8_t raw[] = {0, 255, 128, 7, 1, 2, 3};
        json_t *tree = json_pack("{s:s,s:o,s:[i,n,b,f],s:I}", "text", "caf\xc3\xa9", "bytes",
                                 leat_reply_bytes(leat_bytes_of(raw, size)), "list", -5, 1, 2.5,
                                 "big", (json_int_t)INT64_MAX);
        leat_wire_buffer_init(&buffer, 0);
        assert_int_equal(leat_reply_write(tree, false, &buffer), LEAT_OK);
        msgpack_unpacked_init(&unpacked);
        offset = 0;
        assert_int_equal(
            msgpack_unpack_next(&unpacked, (const char *)buffer.data, buffer.size, &offset),
            MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(offset, buffer.size);
        const msgpack_object_map *map = &unpacked.data.via.map;
        assert_int_equal(map->size, 4);
        assert_int_equal(map->ptr[1].val.type, MSGPACK_OBJECT_BIN);
        assert_int_equal(map->ptr[1].val.via.bin.size, size);
        if (size > 0) {
            assert_memory_equal(map->ptr[1].val.via.bin.ptr, raw, size);
        }
        msgpack_object_print_buffer(shown, sizeof shown, map->ptr[2].val);
        assert_string_equal(shown, "[-5, nil, true, 2.500000]");
        msgpack_unpacked_destroy(&unpacked);
        leat_wire_buffer_fini(&buffer);
        json_decref(tree);
    }
}

static void a_reply_over_the_limit_leaves_the_buffer_as_it_was(void **state)
{
    struct leat_wire_buffer buffer;
    (void)state;
    leat_wire_buffer_init(&buffer, 16);
    json_t *tree = json_pack("{s:s}", "text", "longer than sixteen bytes, surely");
    assert_int_equal(leat_reply_write(tree, true, &buffer), LEAT_ERR_LIMIT);
    assert_int_equal(leat_reply_write(tree, false, &buffer), LEAT_ERR_LIMIT);
    assert_int_equal(buffer.size, 0);
    json_decref(tree);
    leat_wire_buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(hostile_and_mistaken_requests_get_the_error_that_fits),
        TEST(keys_that_are_not_known_are_skipped),
        TEST(stats_add_up_what_the_filter_lets_through),
        TEST(queues_and_workers_are_what_the_ventilator_told_last),
        TEST(a_job_is_told_with_its_output_as_text_or_as_bytes),
        TEST(failures_come_in_pages_and_each_exactly_once),
        TEST(what_was_run_again_is_left_out_unless_it_is_asked_for),
        TEST(bodies_come_when_asked_for_and_end_a_page_when_they_are_large),
        TEST(a_damaged_record_is_reported_and_not_served),
        TEST(a_reply_in_msgpack_says_the_same_and_holds_bytes_as_bin),
        TEST(a_reply_over_the_limit_leaves_the_buffer_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
