/* Loads leat through libleat: submits jobs, as fast as they are taken or at a rate, and sees their
 * results come.
 *
 *   bench_load at=VENTILATOR sink=SINK jobs=N bytes=B [rate=R] [window=W] [batch=B] [type=stamp]
 *              [results=none | results=ask | results=EVENTS]
 *
 * results=none   ends when every job is acknowledged
 * results=ask    then asks the sink for the jobs submitted last until it has their results: what
 *                costs the sink next to nothing
 * results=EVENTS an endpoint of the sink's events: takes note of each job's event, in a thread of
 *                its own, and of its latency from the time at which it was due
 *
 * Prints a JSON object: begin_ns, acked_ns, end_ns, and with events the latencies. */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "bench/peer.h"
#include "leat/producer.h"
#include "wire/codec.h"

/* More than two slots and the prefetch may have out of order. */
#define LAST_IDS 4096
#define ASK_IDS  1024
#define PIECE_NS 200000

struct load {
    struct peer_settings settings;
    struct peer_schedule schedule;
    struct leat_producer *producer;
    const char *type;
    uint8_t *payload;
    bool has_own_ids;
    uint64_t salt; /* of the ids: tells this run's events from others' */
    char last_ids[LAST_IDS][LEAT_PRODUCER_ID_TEXT_BYTES];
    uint64_t submitted;
};

struct collector {
    const struct load *load;
    void *context;
    void *socket;
    struct peer_recorder recorder;
    uint64_t seen_of_others;
};

static void check(const struct load *load, int result, const char *what)
{
    if (result != LEAT_PRODUCER_OK) {
        peer_stop("%s: %s", what, leat_producer_error(load->producer));
    }
}

/* ---- ids that tell which job they are ---- */

static void id_of(const struct load *load, uint64_t index, struct leat_id *ret_id)
{
    /* A UUIDv7 as libleat makes them: time first, so that keys ascend. */
    uint64_t ms = load->schedule.begin_ns / 1000000 + index / 1000;
    for (int i = 0; i < 6; i++) {
        ret_id->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    uint64_t order = index % 1000; /* within a millisecond */
    ret_id->bytes[6] = (uint8_t)(0x70 | order >> 8);
    ret_id->bytes[7] = (uint8_t)order;
    for (int i = 0; i < 4; i++) {
        ret_id->bytes[8 + i] = (uint8_t)(load->salt >> (8 * i));
        ret_id->bytes[12 + i] = (uint8_t)(index >> (24 - 8 * i));
    }
    ret_id->bytes[8] = (uint8_t)(0x80 | (ret_id->bytes[8] & 0x3f));
}

static bool index_of(const struct load *load, const struct leat_id *id, uint64_t *ret_index)
{
    struct leat_id own;
    uint64_t index = 0;
    for (int i = 12; i < 16; i++) {
        index = index << 8 | id->bytes[i];
    }
    id_of(load, index, &own);
    *ret_index = index;
    return index < load->settings.jobs && leat_id_equal(&own, id);
}

/* ---- submitting ---- */

static void submit(struct load *load, uint64_t now_ns)
{
    struct leat_producer_job job = LEAT_PRODUCER_JOB;
    char text[LEAT_ID_TEXT_BYTES];
    uint64_t index = load->submitted++;
    if (load->has_own_ids) {
        struct leat_id id;
        id_of(load, index, &id);
        job.id = leat_id_format(&id, text);
    }
    peer_stamp(load->payload, index, peer_schedule_at_ns(&load->schedule, index, now_ns));
    job.type = load->type;
    job.payload = load->payload;
    job.payload_bytes = load->settings.bytes;
    /* The ids of the last jobs are all that is asked for; the others need no text. */
    bool is_last = index + LAST_IDS >= load->settings.jobs;
    check(load,
          leat_producer_submit(load->producer, &job, -1,
                               is_last ? load->last_ids[index % LAST_IDS] : NULL),
          "submit");
}

/* Waits until the next job is due. libleat's calls wait in milliseconds, so the last stretch is
 * slept: in pieces while something is not acknowledged, since the next batch leaves only then. */
static void wait_until(struct load *load, uint64_t due_ns)
{
    for (uint64_t now_ns; (now_ns = peer_now_ns()) < due_ns;) {
        uint64_t left_ns = due_ns - now_ns;
        if (left_ns > 3000000) {
            (void)leat_producer_pump(load->producer, (int64_t)(left_ns / 1000000) - 1);
            continue;
        }
        (void)leat_producer_pump(load->producer, 0);
        bool is_waiting = leat_producer_pending(load->producer) > 0;
        peer_sleep_until(is_waiting && left_ns > PIECE_NS ? now_ns + PIECE_NS : due_ns);
    }
}

static void submit_all(struct load *load)
{
    while (load->submitted < load->settings.jobs) {
        uint64_t now_ns = peer_now_ns();
        uint64_t due = peer_schedule_due(&load->schedule, now_ns);
        uint64_t burst = load->submitted + 256;
        while (load->submitted < due && load->submitted < burst) {
            submit(load, now_ns);
        }
        if (load->settings.rate_per_s > 0 && load->submitted < load->settings.jobs) {
            (void)leat_producer_pump(load->producer, 0);
            wait_until(load, peer_schedule_at_ns(&load->schedule, load->submitted, peer_now_ns()));
        }
    }
    check(load, leat_producer_flush(load->producer, -1), "flush");
}

/* ---- results ---- */

static void count_result(size_t index, const struct leat_producer_outcome *outcome, void *context)
{
    if (!outcome->succeeded) {
        peer_stop("job %s %s: %s", outcome->id, outcome->status, outcome->error);
    }
    bool *is_there = context;
    is_there[index] = true;
}

/* Asks which of them have ended; those that have not stay, and how many they are is returned. */
static size_t ask_for(struct load *load, const char **ids, size_t count)
{
    size_t left = 0;
    for (size_t begun = 0; begun < count; begun += ASK_IDS) {
        size_t asked = count - begun < ASK_IDS ? count - begun : ASK_IDS;
        bool is_there[ASK_IDS] = {false};
        check(load,
              leat_producer_poll_results(load->producer, ids + begun, asked, 10000, count_result,
                                         is_there),
              "asking for results");
        for (size_t i = 0; i < asked; i++) {
            if (!is_there[i]) {
                ids[left++] = ids[begun + i];
            }
        }
    }
    return left;
}

/* Jobs run in their order but for what is in flight, so the last of them are asked for: the very
 * last one until it has ended, so that asking takes nothing from the jobs, and then the others. */
static void ask_for_last(struct load *load)
{
    const char *ids[LAST_IDS];
    size_t count = load->settings.jobs < LAST_IDS ? load->settings.jobs : LAST_IDS;
    const struct timespec pause = {.tv_nsec = 1000000};
    const char *last = load->last_ids[(load->settings.jobs - 1) % LAST_IDS];
    for (size_t i = 0; i < count; i++) {
        ids[i] = load->last_ids[i];
    }
    while (ask_for(load, &last, 1) > 0) {
        (void)nanosleep(&pause, NULL);
    }
    while ((count = ask_for(load, ids, count)) > 0) {
        (void)nanosleep(&pause, NULL);
    }
}

static void take_event(struct collector *collector, struct leat_arena *arena, zmq_msg_t *frame)
{
    const struct load *load = collector->load;
    uint64_t now_ns = peer_now_ns();
    struct leat_msg msg;
    struct leat_why why;
    leat_arena_clear(arena);
    struct leat_bytes bytes = {zmq_msg_data(frame), zmq_msg_size(frame)};
    if (leat_wire_decode(bytes, arena, &msg, &why) != LEAT_OK || msg.type != LEAT_MSG_FINISHED) {
        peer_stop("event: %s", why.text);
    }
    for (size_t i = 0; i < msg.finished.jobs.count; i++) {
        uint64_t index;
        if (!index_of(load, &msg.finished.jobs.items[i].id, &index)) {
            collector->seen_of_others++;
            continue;
        }
        peer_recorder_add(&collector->recorder, index,
                          peer_schedule_at_ns(&load->schedule, index, now_ns), now_ns);
    }
}

static void *collect(void *argument)
{
    struct collector *collector = argument;
    struct leat_arena arena;
    leat_arena_init(&arena, 1 << 20);
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (!peer_recorder_is_done(&collector->recorder)) {
        if (zmq_msg_recv(&frame, collector->socket, 0) < 0) {
            break; /* nothing for long: the caller sees how many came */
        }
        if (zmq_msg_more(&frame) == 0) { /* else it is the topic */
            take_event(collector, &arena, &frame);
        }
    }
    zmq_msg_close(&frame);
    leat_arena_fini(&arena);
    return NULL;
}

static void subscribe(struct collector *collector, const char *events)
{
    int idle_ms = 20000;
    int no_limit = 0;
    collector->context = zmq_ctx_new();
    collector->socket = zmq_socket(collector->context, ZMQ_SUB);
    zmq_setsockopt(collector->socket, ZMQ_RCVTIMEO, &idle_ms, sizeof idle_ms);
    zmq_setsockopt(collector->socket, ZMQ_RCVHWM, &no_limit, sizeof no_limit);
    zmq_setsockopt(collector->socket, ZMQ_SUBSCRIBE, "", 0);
    if (zmq_connect(collector->socket, events) != 0) {
        peer_stop("%s: %s", events, zmq_strerror(zmq_errno()));
    }
    peer_recorder_init(&collector->recorder, &collector->load->settings);
    /* A subscription takes its way; there is no answer to wait for. */
    struct timespec pause = {.tv_nsec = 300000000};
    (void)nanosleep(&pause, NULL);
}

static void run_with_events(struct load *load, const char *events)
{
    struct collector collector = {.load = load};
    pthread_t thread;
    load->has_own_ids = true;
    subscribe(&collector, events);
    load->schedule = peer_schedule_begin(&load->settings);
    load->salt = load->schedule.begin_ns;
    if (pthread_create(&thread, NULL, collect, &collector) != 0) {
        peer_stop("no thread");
    }
    submit_all(load);
    uint64_t acked_ns = peer_now_ns();
    pthread_join(thread, NULL);
    if (!peer_recorder_is_done(&collector.recorder)) {
        peer_stop("%llu of %llu events came", (unsigned long long)collector.recorder.count,
                  (unsigned long long)load->settings.jobs);
    }
    printf("{\"begin_ns\": %llu, \"acked_ns\": %llu, ", (unsigned long long)load->schedule.begin_ns,
           (unsigned long long)acked_ns);
    peer_recorder_print(&collector.recorder);
    printf("}\n");
    peer_recorder_fini(&collector.recorder);
    zmq_close(collector.socket);
    zmq_ctx_term(collector.context);
}

static void run(struct load *load, bool is_asking)
{
    load->schedule = peer_schedule_begin(&load->settings);
    submit_all(load);
    uint64_t acked_ns = peer_now_ns();
    if (is_asking) {
        ask_for_last(load);
    }
    printf("{\"begin_ns\": %llu, \"acked_ns\": %llu, \"end_ns\": %llu}\n",
           (unsigned long long)load->schedule.begin_ns, (unsigned long long)acked_ns,
           (unsigned long long)peer_now_ns());
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"sink", "results", "type", NULL};
    static struct load load;
    bool has_window = false;
    for (int i = 1; i < argc; i++) {
        has_window = has_window || strncmp(argv[i], "window=", 7) == 0;
    }
    peer_settings_read(&load.settings, argc, argv, names);
    const char *results = peer_setting(&load.settings, "results");
    struct leat_producer_options options = LEAT_PRODUCER_OPTIONS;
    char error[LEAT_PRODUCER_ERROR_BYTES];
    options.ventilator = load.settings.at;
    options.sink = peer_setting(&load.settings, "sink");
    options.window_jobs = has_window ? load.settings.window : 0;
    options.payload_bytes_max = load.settings.bytes > (1 << 20) ? load.settings.bytes : 0;
    if (leat_producer_connect(&options, &load.producer, error) != LEAT_PRODUCER_OK) {
        peer_stop("%s", error);
    }
    peer_precise_timers();
    load.type = peer_setting(&load.settings, "type");
    load.type = load.type == NULL ? "stamp" : load.type;
    load.payload = malloc(load.settings.bytes);
    if (load.payload == NULL) {
        peer_stop("no memory for a payload of %llu bytes", (unsigned long long)load.settings.bytes);
    }
    memset(load.payload, 'x', load.settings.bytes);
    if (results == NULL || strcmp(results, "none") == 0 || strcmp(results, "ask") == 0) {
        run(&load, results != NULL && results[0] == 'a');
    } else {
        run_with_events(&load, results);
    }
    leat_producer_close(&load.producer);
    free(load.payload);
    return 0;
}
