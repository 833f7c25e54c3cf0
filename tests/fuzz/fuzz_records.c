/* Damaged stores. A small valid store of ventilator or sink is damaged as the input says: rows
 * replaced, changed with and without a right checksum, deleted, added. Then the broker starts on it
 * and lives on for a while: it refuses the store with a reason, or goes on without a crash.
 *
 *   first byte: bit 0 sink or ventilator. Then again and again: what, table, row, position, value.
 */
#include <stdlib.h>
#include <string.h>

#include "broker/sink/sink.h"
#include "broker/sink/sink_record.h"
#include "broker/ventilator/ventilator.h"
#include "tests/fuzz/core_harness.h"
#include "wire/record.h"

#define TABLES_MAX 13

struct rig {
    struct fuzz_world *world;
    struct leat_store *store;
    struct leat_ventilator_store *ventilator_store;
    struct leat_ventilator *ventilator;
    struct leat_sink_store *sink_store;
    struct leat_sink *sink;
};

/* ---- the valid store ---- */

static void step(struct rig *rig, enum leat_link link, const struct leat_msg *msg)
{
    struct leat_event event = {.kind = msg == NULL ? LEAT_EVENT_TICK : LEAT_EVENT_MESSAGE,
                               .now = rig->world->now,
                               .link = link,
                               .peer = fuzz_peer(0),
                               .msg = msg};
    leat_out_clear(&rig->world->out);
    if (rig->ventilator != NULL) {
        leat_ventilator_step(rig->ventilator, &event, &rig->world->out);
    } else {
        leat_sink_step(rig->sink, &event, &rig->world->out);
    }
    fuzz_check_out(rig->world);
}

static bool start_ventilator(struct rig *rig)
{
    struct leat_ventilator_config config;
    leat_ventilator_config_init(&config);
    config.sender = fuzz_id(0xEE);
    rig->ventilator_store = leat_ventilator_store_new(rig->store);
    rig->ventilator = leat_ventilator_new(&config, rig->ventilator_store);
    leat_out_clear(&rig->world->out);
    struct leat_why why = {""};
    enum leat_err err =
        leat_ventilator_recover(rig->ventilator, rig->world->now, &rig->world->out, &why);
    if (err != LEAT_OK && why.text[0] == '\0') {
        fuzz_fail("the ventilator refuses its store with %s and no reason", leat_err_name(err));
    }
    return err == LEAT_OK;
}

static bool start_sink(struct rig *rig)
{
    struct leat_sink_config config;
    leat_sink_config_init(&config);
    rig->sink_store = leat_sink_store_new(rig->store);
    rig->sink = leat_sink_new(&config, rig->sink_store);
    leat_out_clear(&rig->world->out);
    struct leat_why why = {""};
    enum leat_err err = leat_sink_recover(rig->sink, rig->world->now, &rig->world->out, &why);
    if (err != LEAT_OK && why.text[0] == '\0') {
        fuzz_fail("the sink refuses its store with %s and no reason", leat_err_name(err));
    }
    return err == LEAT_OK;
}

static void stop(struct rig *rig)
{
    leat_ventilator_destroy(&rig->ventilator);
    leat_ventilator_store_destroy(&rig->ventilator_store);
    leat_sink_destroy(&rig->sink);
    leat_sink_store_destroy(&rig->sink_store);
}

static void hello(struct rig *rig, uint64_t round)
{
    struct leat_item_name queue = {leat_str_of("default")};
    struct leat_msg msg = {.type = LEAT_MSG_HELLO};
    msg.hello.session = fuzz_id(0xDD);
    msg.hello.round = round;
    msg.hello.name = leat_str_of("host:1");
    msg.hello.queues.items = &queue;
    msg.hello.queues.count = 1;
    msg.hello.slots = 4;
    step(rig, LEAT_LINK_PEERS, &msg);
    msg = (struct leat_msg){.type = LEAT_MSG_CREDIT};
    msg.credit.round = round;
    msg.credit.number = 1;
    msg.credit.total = 2;
    step(rig, LEAT_LINK_PEERS, &msg);
}

/* Jobs in every place: ready, leased, scheduled, retrying, ending, settled; one large, one paused
 * queue. */
static void fill_ventilator(struct rig *rig)
{
    static const uint8_t large[2000];
    int64_t now_ms = rig->world->now.wall.us / LEAT_US_PER_MS;
    struct leat_item_submission jobs[6];
    for (unsigned i = 0; i < 6; i++) {
        jobs[i] = (struct leat_item_submission){.id = fuzz_id(i + 1),
                                                .queue = leat_str_of("default"),
                                                .type = leat_str_of("echo"),
                                                .body = leat_bytes_of(large, i == 2 ? 2000 : 3)};
    }
    jobs[3].not_before_ms = now_ms + 1000;
    jobs[4].expires_at_ms = now_ms + 5000;
    jobs[5].queue = leat_str_of("mail");
    struct leat_msg msg = {.type = LEAT_MSG_SUBMIT};
    msg.submit.producer = fuzz_id(0xCC);
    msg.submit.batch = 1;
    msg.submit.jobs.items = jobs;
    msg.submit.jobs.count = 6;
    step(rig, LEAT_LINK_PEERS, &msg);
    hello(rig, 1);
    struct leat_item_repeat again = {
        .id = fuzz_id(1), .delivery = 1, .attempt = 2, .delay_ms = 700};
    msg = (struct leat_msg){.type = LEAT_MSG_RETRY};
    msg.retry.round = 1;
    msg.retry.number = 2;
    msg.retry.jobs.items = &again;
    msg.retry.jobs.count = 1;
    step(rig, LEAT_LINK_PEERS, &msg);
    struct leat_item_job_id settled = {fuzz_id(2)};
    msg = (struct leat_msg){.type = LEAT_MSG_SETTLED};
    msg.settled.stream = fuzz_id(0xBB);
    msg.settled.first = 1;
    msg.settled.jobs.items = &settled;
    msg.settled.jobs.count = 1;
    step(rig, LEAT_LINK_SINK, &msg);
    msg = (struct leat_msg){.type = LEAT_MSG_CONTROL};
    msg.control.verb = leat_str_of("pause");
    msg.control.argument = leat_str_of("mail");
    step(rig, LEAT_LINK_PEERS, &msg);
}

static void fill_sink(struct rig *rig)
{
    struct leat_item_result results[4];
    for (unsigned i = 0; i < 4; i++) {
        results[i] = (struct leat_item_result){
            .id = fuzz_id(i + 1),
            .queue = leat_str_of("default"),
            .type = leat_str_of("echo"),
            .status = i < 2 ? LEAT_STATE_SUCCEEDED : LEAT_STATE_FAILED,
            .failure = i < 2 ? 0 : LEAT_FAILURE_EXIT,
            .attempts = 1,
            .delivery = 1,
            .output = leat_bytes_of("done", 4),
            .worker = leat_str_of("host:1"),
        };
    }
    struct leat_msg msg = {.type = LEAT_MSG_RESULTS};
    msg.results.sender = fuzz_id(0xDD);
    msg.results.batch = 1;
    msg.results.results.items = results;
    msg.results.results.count = 4;
    step(rig, LEAT_LINK_PEERS, &msg);
    msg = (struct leat_msg){.type = LEAT_MSG_RERUN};
    struct leat_item_job_id rerun = {fuzz_id(3)};
    msg.rerun.jobs.items = &rerun;
    msg.rerun.jobs.count = 1;
    step(rig, LEAT_LINK_PEERS, &msg);
}

/* ---- damage ---- */

struct row {
    uint8_t key[LEAT_STORE_KEY_BYTES_MAX];
    size_t key_size;
    uint8_t value[4096];
    size_t value_size;
    size_t skip; /* rows before it */
};

static bool visit(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct row *row = context;
    if (row->skip > 0) {
        row->skip--;
        return true;
    }
    row->key_size = key.size;
    memcpy(row->key, key.data, key.size);
    row->value_size = value.size < sizeof row->value ? value.size : sizeof row->value;
    if (row->value_size > 0) {
        memcpy(row->value, value.data, row->value_size);
    }
    return false;
}

static void put(struct rig *rig, leat_table table, struct leat_bytes key, struct leat_bytes value,
                bool sealed)
{
    struct leat_wire_buffer buffer;
    leat_wire_buffer_init(&buffer, 0);
    struct leat_record_place place = {table, key};
    if (sealed && leat_record_seal(place, value, &buffer) != LEAT_OK) {
        fuzz_fail("cannot seal");
    }
    leat_store_put(rig->store, table, key, sealed ? leat_wire_buffer_view(&buffer) : value);
    leat_wire_buffer_fini(&buffer);
}

static void change_byte(struct fuzz_input *in, uint8_t *bytes, size_t size)
{
    size_t position = fuzz_byte(in);
    uint8_t value = fuzz_byte(in);
    if (size > 0) {
        bytes[position % size] ^= value;
    }
}

enum damage {
    FLIPPED = 0, /* bits of a value */
    CUT,
    MOVED,    /* also under another key */
    REPLACED, /* any bytes in place of a value */
    GONE,
    /* What no flipped bit does, but a broken program might have written. */
    RESEALED, /* other contents under a right checksum */
    SEALED,   /* any bytes under a right checksum */
    DAMAGES,
};

static void damage(struct rig *rig)
{
    struct fuzz_input *in = &rig->world->in;
    uint8_t what = fuzz_byte(in) % DAMAGES;
    leat_table table = fuzz_byte(in) % TABLES_MAX;
    static struct row row;
    row = (struct row){.skip = fuzz_byte(in) % 8};
    if (leat_store_scan(rig->store, table, leat_bytes_of(NULL, 0), visit, &row) != LEAT_OK) {
        fuzz_fail("cannot scan");
    }
    if (row.key_size == 0) { /* none: a new row with that many bytes of key */
        row.key_size = 1 + fuzz_byte(in) % LEAT_STORE_KEY_BYTES_MAX;
        struct leat_bytes key = fuzz_bytes(in, row.key_size);
        if (key.size > 0) {
            memcpy(row.key, key.data, key.size);
        }
    }
    struct leat_bytes key = {row.key, row.key_size};
    struct leat_bytes payload = leat_bytes_of(row.value, row.value_size);
    switch (what) {
    case FLIPPED:
        change_byte(in, row.value, row.value_size);
        put(rig, table, key, payload, false);
        break;
    case RESEALED:
        if (leat_record_unseal(leat_bytes_of(row.value, row.value_size),
                               (struct leat_record_place){table, key}, &payload, NULL) != LEAT_OK) {
            break;
        }
        change_byte(in, row.value + (payload.data - row.value), payload.size);
        put(rig, table, key, payload, true);
        break;
    case CUT:
        put(rig, table, key, leat_bytes_of(row.value, fuzz_byte(in) % (row.value_size + 1)), false);
        break;
    case GONE:
        leat_store_del(rig->store, table, key);
        break;
    case MOVED:
        change_byte(in, row.key, row.key_size);
        put(rig, table, key, payload, false);
        break;
    case SEALED:
        put(rig, table, key, fuzz_bytes(in, fuzz_byte(in)), true);
        break;
    default: /* REPLACED */
        put(rig, table, key, fuzz_bytes(in, fuzz_byte(in)), false);
        break;
    }
}

/* ---- what comes after ---- */

/* Time passes, and what is due at its end is done, in as many steps as it wants, up to a bound. */
static void wait_us(struct rig *rig, int64_t us)
{
    struct leat_now *now = &rig->world->now;
    now->mono_us += us;
    now->wall.us += us;
    int64_t deadline_us;
    int steps = 0;
    do {
        step(rig, LEAT_LINK_PEERS, NULL);
        deadline_us = rig->ventilator != NULL ? leat_ventilator_deadline_us(rig->ventilator)
                                              : leat_sink_deadline_us(rig->sink);
    } while (deadline_us <= now->mono_us && ++steps < 50);
}

static void live_on(struct rig *rig)
{
    static const int64_t waits_us[] = {0, 1000, 700000, 1000000, 5000000, 3600000000, 86400000000};
    struct leat_msg msg;
    bool ventilator = rig->ventilator != NULL;
    step(rig, LEAT_LINK_PEERS, NULL);
    if (ventilator) {
        hello(rig, 2);
    }
    for (size_t i = 0; i < sizeof waits_us / sizeof waits_us[0]; i++) {
        wait_us(rig, waits_us[i]);
        struct leat_item_job_id ids[8];
        for (unsigned n = 0; n < 8; n++) {
            ids[n] = (struct leat_item_job_id){fuzz_id(n)};
        }
        msg = (struct leat_msg){.type = LEAT_MSG_FOLLOW};
        msg.follow.stream = ventilator ? fuzz_id(0) : leat_sink_info(rig->sink).stream;
        step(rig, LEAT_LINK_PEERS, &msg);
        msg = (struct leat_msg){.type = LEAT_MSG_QUERY};
        msg.query.with_output = true;
        msg.query.jobs.items = ids;
        msg.query.jobs.count = 8;
        step(rig, LEAT_LINK_PEERS, &msg);
        msg = (struct leat_msg){.type = LEAT_MSG_LOOKUP};
        msg.lookup.id = fuzz_id((unsigned)i + 1);
        step(rig, LEAT_LINK_PEERS, &msg);
        if (ventilator) {
            msg = (struct leat_msg){.type = LEAT_MSG_SETTLED};
            msg.settled.stream = fuzz_id(0xBB);
            msg.settled.first = 2 + i;
            msg.settled.jobs.items = ids + i;
            msg.settled.jobs.count = 1;
            step(rig, LEAT_LINK_SINK, &msg);
        } else {
            fill_sink(rig);
        }
    }
}

/* What was put lies on the disk: as long as it is in memory alone nobody looks for damage in it. */
static void write_to_disk(struct rig *rig)
{
    struct leat_why why;
    if (leat_store_sync(rig->store, &why) != LEAT_OK) {
        fuzz_fail("the store is not written: %s", why.text);
    }
}

/* The valid store; made once, and copied for each execution. */
static struct leat_store *valid_store(struct rig *rig, bool sink)
{
    static struct leat_store *stores[2];
    if (stores[sink] == NULL) {
        rig->store = leat_store_open_memory();
        if (sink ? !start_sink(rig) : !start_ventilator(rig)) {
            fuzz_fail("an empty store is refused");
        }
        sink ? fill_sink(rig) : fill_ventilator(rig);
        stop(rig);
        write_to_disk(rig);
        stores[sink] = rig->store;
    }
    return leat_store_memory_copy(stores[sink]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {.world = fuzz_world_open(data, size)};
    bool sink = (fuzz_byte(&rig.world->in) & 1) != 0;
    rig.store = valid_store(&rig, sink);
    for (int i = 0; i < 64 && !fuzz_is_done(&rig.world->in); i++) {
        damage(&rig);
    }
    write_to_disk(&rig);
    if (sink ? start_sink(&rig) : start_ventilator(&rig)) {
        live_on(&rig);
    }
    stop(&rig);
    leat_store_close(&rig.store);
    return 0;
}
