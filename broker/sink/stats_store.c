/* The answers about one job and about the failures, from committed records. */
#include <stdlib.h>
#include <string.h>

#include "broker/sink/reply.h"
#include "broker/sink/sink_record.h"
#include "broker/sink/sink_store.h"
#include "broker/sink/stats.h"

/* Rows that one request looks at; a filter that matches little comes back with `next` instead of
 * keeping others waiting. */
#define ROWS_PER_REQUEST 5000
/* A page with bodies ends when it holds that much. */
#define BODIES_BYTES  (4 << 20)
#define SCRATCH_BYTES (64 << 10)

static json_t *store_error(enum leat_err err)
{
    return leat_reply_error(err, err == LEAT_ERR_CORRUPT ? "the stored result is damaged"
                                                         : "the store cannot be read");
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value);
}

/* What a row of failures and the answer about a job have in common. */
static json_t *summary(const struct leat_item_result *result, struct leat_wall stored)
{
    char id[LEAT_ID_TEXT_BYTES];
    json_t *json = json_object();
    set(json, "id", json_string(leat_id_format(&result->id, id)));
    set(json, "queue", leat_reply_text(result->queue));
    set(json, "type", leat_reply_text(result->type));
    set(json, "state", json_string(leat_state_name(result->status)));
    set(json, "failure", json_string(leat_failure_name(result->failure)));
    set(json, "code", json_integer(result->code));
    set(json, "attempts", number(result->attempts));
    set(json, "delivery", number(result->delivery));
    set(json, "error", leat_reply_text(result->error));
    set(json, "worker", leat_reply_text(result->worker));
    set(json, "accepted_us", json_integer(result->accepted_us));
    set(json, "finished_us", json_integer(result->finished_us));
    set(json, "stored_us", json_integer(stored.us));
    set(json, "wait_us", number(result->wait_us));
    set(json, "run_us", number(result->run_us));
    return json;
}

static json_t *headers(const struct leat_item_result *result)
{
    json_t *json = json_object();
    for (size_t i = 0; i < result->headers.count; i++) {
        const struct leat_item_header *header = &result->headers.items[i];
        char name[LEAT_HEADER_NAME_BYTES_MAX + 1] = {0};
        size_t size = header->name.size < sizeof name ? header->name.size : sizeof name - 1;
        if (size > 0) {
            memcpy(name, header->name.data, size);
        }
        set(json, name, leat_reply_text(header->value));
    }
    return json;
}

/* `kept` borrows from the view's last value and from the arena. */
static enum leat_err get(const struct leat_sink_view *view, const struct leat_id *id,
                         struct leat_arena *arena, struct leat_item_kept_result *ret_kept)
{
    struct leat_bytes value;
    enum leat_err err = view->get(view->context, LEAT_SINK_TABLE_RESULTS,
                                  leat_bytes_of(id->bytes, LEAT_ID_BYTES), &value);
    if (err != LEAT_OK) {
        return err;
    }
    leat_arena_clear(arena);
    err = leat_wire_unseal_item_kept_result(
        value, leat_sink_at(LEAT_SINK_TABLE_RESULTS, leat_bytes_of(id->bytes, LEAT_ID_BYTES)),
        arena, ret_kept, NULL);
    return err == LEAT_OK ? LEAT_OK : LEAT_ERR_CORRUPT;
}

json_t *leat_stats_job(const struct leat_sink_view *view, const struct leat_principal *who,
                       const struct leat_request *request)
{
    struct leat_arena arena;
    struct leat_item_kept_result kept;
    json_t *reply = NULL;
    leat_arena_init(&arena, SCRATCH_BYTES);
    enum leat_err err = get(view, &request->id, &arena, &kept);
    if (err == LEAT_OK && !leat_policy_serves(who, kept.result.queue)) {
        err = LEAT_ERR_NOT_FOUND; /* for this key it is not there */
    }
    if (err == LEAT_OK) {
        reply = summary(&kept.result, (struct leat_wall){kept.stored_us});
        set(reply, "reply", json_string("job"));
        set(reply, "output", leat_reply_text_or_bytes(kept.result.output));
        set(reply, "truncated", json_boolean(kept.result.truncated));
        set(reply, "headers", headers(&kept.result));
        if (request->with_body) {
            set(reply, "body", leat_reply_bytes(kept.result.body));
        }
    } else if (err == LEAT_ERR_NOT_FOUND) {
        reply = leat_reply_error(err, "the sink holds no result for this job: it has not ended, "
                                      "its result is too old, or it never was");
    } else {
        reply = store_error(err);
    }
    leat_arena_fini(&arena);
    return reply;
}

/* ---- failures ---- */

struct page {
    const struct leat_request *request;
    struct leat_arena arena;
    json_t *rows;
    struct leat_sink_age_key *keys; /* of the rows */
    struct leat_sink_age_key last;  /* the last that was looked at */
    size_t looked_at;
    size_t damaged;
    bool more; /* ended before the table did */
};

static bool wanted(const struct leat_request *request, const struct leat_item_kept_failure *row)
{
    return (request->reruns || !row->rerun) &&
           (request->queue[0] == '\0' ||
            leat_str_equal(row->result.queue, leat_str_of(request->queue))) &&
           (request->type[0] == '\0' ||
            leat_str_equal(row->result.type, leat_str_of(request->type))) &&
           (request->kind[0] == '\0' ||
            strcmp(leat_failure_name(row->result.failure), request->kind) == 0);
}

static bool visit(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct page *page = context;
    struct leat_item_kept_failure row;
    struct leat_wall stored;
    struct leat_id id;
    size_t count = json_array_size(page->rows);
    if (count == page->request->limit || page->looked_at == ROWS_PER_REQUEST) {
        page->more = true;
        return false;
    }
    page->looked_at++;
    if (leat_sink_age_key_read(key, &stored, &id) != LEAT_OK) {
        page->damaged++;
        return true;
    }
    page->last = leat_sink_age_key(stored, &id);
    leat_arena_clear(&page->arena);
    if (leat_wire_unseal_item_kept_failure(value, leat_sink_at(LEAT_SINK_TABLE_FAILURES, key),
                                           &page->arena, &row, NULL) != LEAT_OK) {
        page->damaged++;
        return true;
    }
    if (wanted(page->request, &row)) {
        json_t *json = summary(&row.result, stored);
        set(json, "rerun", json_boolean(row.rerun));
        (void)json_array_append_new(page->rows, json);
        page->keys[count] = page->last;
    }
    return true;
}

/* Adds the bodies, until the page is large enough; what did not fit goes to the next page. */
static enum leat_err add_bodies(const struct leat_sink_view *view, struct page *page)
{
    size_t bytes = 0;
    for (size_t i = 0; i < json_array_size(page->rows); i++) {
        struct leat_item_kept_result kept;
        struct leat_id id;
        if (bytes >= BODIES_BYTES) {
            while (json_array_size(page->rows) > i) {
                (void)json_array_remove(page->rows, json_array_size(page->rows) - 1);
            }
            page->last = page->keys[i - 1];
            page->more = true;
            break;
        }
        memcpy(id.bytes, page->keys[i].bytes + 8, LEAT_ID_BYTES);
        enum leat_err err = get(view, &id, &page->arena, &kept);
        if (err == LEAT_ERR_IO || err == LEAT_ERR_MEMORY) {
            return err;
        }
        /* Removed by retention meanwhile, or damaged: null says that there is no body. */
        json_t *row = json_array_get(page->rows, i);
        set(row, "body", err == LEAT_OK ? leat_reply_bytes(kept.result.body) : json_null());
        bytes += err == LEAT_OK ? kept.result.body.size : 0;
    }
    return LEAT_OK;
}

static json_t *cursor_text(const struct leat_sink_age_key *key)
{
    static const char hex[] = "0123456789abcdef";
    char text[2 * LEAT_SINK_AGE_KEY_BYTES];
    for (size_t i = 0; i < LEAT_SINK_AGE_KEY_BYTES; i++) {
        text[2 * i] = hex[key->bytes[i] >> 4];
        text[2 * i + 1] = hex[key->bytes[i] & 15];
    }
    return json_stringn(text, sizeof text);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The key after the one that the cursor names. */
static bool read_cursor(const char *text, uint8_t from[LEAT_SINK_AGE_KEY_BYTES + 1])
{
    if (strlen(text) != 2 * (size_t)LEAT_SINK_AGE_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < LEAT_SINK_AGE_KEY_BYTES; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        from[i] = (uint8_t)(high << 4 | low);
    }
    from[LEAT_SINK_AGE_KEY_BYTES] = 0;
    return true;
}

json_t *leat_stats_failures(const struct leat_sink_view *view, const struct leat_request *request)
{
    uint8_t key[LEAT_SINK_AGE_KEY_BYTES + 1];
    struct leat_bytes from = {0};
    if (request->after[0] != '\0') {
        if (!read_cursor(request->after, key)) {
            return leat_reply_error(LEAT_ERR_INVALID,
                                    "field 'after' is not a 'next' of an earlier page");
        }
        from = leat_bytes_of(key, sizeof key);
    }
    struct page page = {.request = request, .rows = json_array()};
    page.keys = calloc(LEAT_PAGE_MAX, sizeof *page.keys);
    leat_arena_init(&page.arena, SCRATCH_BYTES);
    json_t *reply = NULL;
    if (page.keys != NULL) {
        enum leat_err err = view->scan(view->context, LEAT_SINK_TABLE_FAILURES, from, visit, &page);
        if (err == LEAT_OK && request->with_body) {
            err = add_bodies(view, &page);
        }
        reply = err != LEAT_OK
                    ? store_error(err)
                    : json_pack("{s:s,s:O,s:o,s:I}", "reply", "failures", "failures", page.rows,
                                "next", page.more ? cursor_text(&page.last) : json_null(),
                                "damaged", (json_int_t)page.damaged);
    }
    json_decref(page.rows);
    leat_arena_fini(&page.arena);
    free(page.keys);
    return reply;
}
