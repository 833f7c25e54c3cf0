/* Drives Redis Streams the way a careful program would: consumer groups, one connection per
 * process, everything pipelined, replies taken in bulk.
 *
 *   bench_redis role=setup at=SOCKET                                makes the streams and groups
 *   bench_redis role=producer at=SOCKET jobs=N batch=B [rate=R]     XADD jobs
 *   bench_redis role=worker at=SOCKET batch=B                       until it gets SIGTERM
 *   bench_redis role=sink at=SOCKET jobs=N batch=B                  XREADGROUP results, XACK
 *
 * A job's life: XADD jobs; XREADGROUP; (its handler, which does nothing); XADD results, XACK and
 * XDEL of the job in the same pipeline; XREADGROUP results; XACK. Results stay, as in leat. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer.h"

#define BATCH_MAX 4096

static redisContext *connect_to(const char *path)
{
    redisContext *redis = redisConnectUnix(path);
    if (redis == NULL || redis->err != 0) {
        peer_stop("redis at %s: %s", path, redis == NULL ? "no memory" : redis->errstr);
    }
    return redis;
}

static void append(redisContext *redis, size_t count, const char *const *words, const size_t *sizes)
{
    if (redisAppendCommandArgv(redis, (int)count, (const char **)(uintptr_t)words, sizes) !=
        REDIS_OK) {
        peer_stop("redis: %s", redis->errstr);
    }
}

static void flush(redisContext *redis)
{
    int is_done = 0;
    while (is_done == 0) {
        if (redisBufferWrite(redis, &is_done) != REDIS_OK) {
            peer_stop("redis: %s", redis->errstr);
        }
    }
}

static redisReply *next_reply(redisContext *redis)
{
    void *reply = NULL;
    if (redisGetReply(redis, &reply) != REDIS_OK) {
        peer_stop("redis: %s", redis->errstr);
    }
    redisReply *typed = reply;
    if (typed->type == REDIS_REPLY_ERROR) {
        peer_stop("redis: %s", typed->str);
    }
    return typed;
}

static void append_xadd(redisContext *redis, const char *stream, const void *data, size_t size)
{
    const char *words[] = {"XADD", stream, "*", "p", data};
    size_t sizes[] = {4, strlen(stream), 1, 1, size};
    append(redis, 5, words, sizes);
}

static void append_xreadgroup(redisContext *redis, const char *stream, uint64_t count)
{
    char number[24];
    int size = snprintf(number, sizeof number, "%llu", (unsigned long long)count);
    const char *words[] = {"XREADGROUP", "GROUP", "g",       "c",    "COUNT", number,
                           "BLOCK",      "0",     "STREAMS", stream, ">"};
    size_t sizes[] = {10, 5, 1, 1, 5, (size_t)size, 5, 1, 7, strlen(stream), 1};
    append(redis, 11, words, sizes);
}

/* ---- roles ---- */

static void setup(redisContext *redis)
{
    static const char *const streams[] = {"jobs", "results"};
    for (size_t i = 0; i < 2; i++) {
        freeReplyObject(redisCommand(redis, "DEL %s", streams[i]));
        redisReply *reply = redisCommand(redis, "XGROUP CREATE %s g $ MKSTREAM", streams[i]);
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
            peer_stop("redis: XGROUP: %s", reply == NULL ? redis->errstr : reply->str);
        }
        freeReplyObject(reply);
    }
}

/* Takes what replies have come; the number of them. */
static uint64_t take_replies(redisContext *redis)
{
    uint64_t count = 0;
    if (redisBufferRead(redis) != REDIS_OK) {
        peer_stop("redis: %s", redis->errstr);
    }
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(redis, &reply) != REDIS_OK) {
            peer_stop("redis: %s", redis->errstr);
        }
        if (reply == NULL) {
            return count;
        }
        if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) {
            peer_stop("redis: %s", ((redisReply *)reply)->str);
        }
        freeReplyObject(reply);
        count++;
    }
}

static void produce(redisContext *redis, const struct peer_settings *settings)
{
    uint8_t *payload = calloc(1, settings->bytes);
    memset(payload, 'x', settings->bytes);
    struct peer_schedule schedule = peer_schedule_begin(settings);
    uint64_t sent = 0;
    uint64_t acked = 0;
    while (acked < settings->jobs) {
        uint64_t now_ns = peer_now_ns();
        uint64_t due = peer_schedule_due(&schedule, now_ns);
        uint64_t first = sent;
        while (sent < due && sent - acked < settings->window && sent - first < settings->batch) {
            peer_stamp(payload, sent, peer_schedule_at_ns(&schedule, sent, now_ns));
            append_xadd(redis, "jobs", payload, settings->bytes);
            sent++;
        }
        flush(redis);
        uint64_t until_ns = 0;
        if (sent == first) {
            until_ns = sent < settings->jobs && sent - acked < settings->window
                           ? peer_schedule_at_ns(&schedule, sent, now_ns)
                           : PEER_FOREVER;
        }
        if (peer_wait_readable(redis->fd, until_ns)) {
            acked += take_replies(redis);
        }
    }
    peer_print_producer(schedule.begin_ns, peer_now_ns());
    free(payload);
}

/* The entries of the one stream in an XREADGROUP's reply. */
static redisReply *entries_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1) {
        peer_stop("redis: XREADGROUP replied with type %d", reply->type);
    }
    return reply->element[0]->element[1];
}

/* VERB stream [group] id id ... for all entries. */
static void append_ids(redisContext *redis, const char *verb, const char *stream, const char *group,
                       const redisReply *entries)
{
    static const char *words[BATCH_MAX + 3];
    static size_t sizes[BATCH_MAX + 3];
    size_t count = 0;
    const char *head[] = {verb, stream, group};
    for (size_t i = 0; i < 3 && head[i] != NULL; i++) {
        words[count] = head[i];
        sizes[count++] = strlen(head[i]);
    }
    for (size_t i = 0; i < entries->elements && i < BATCH_MAX; i++) {
        words[count] = entries->element[i]->element[0]->str;
        sizes[count++] = entries->element[i]->element[0]->len;
    }
    append(redis, count, words, sizes);
}

static const redisReply *payload_of(const redisReply *entry)
{
    return entry->element[1]->element[1];
}

static void work(redisContext *redis, const struct peer_settings *settings)
{
    size_t answers = 0; /* replies of the last batch that come before the next entries */
    for (;;) {
        append_xreadgroup(redis, "jobs", settings->batch);
        for (; answers > 0; answers--) {
            freeReplyObject(next_reply(redis));
        }
        redisReply *reply = next_reply(redis);
        redisReply *entries = entries_of(reply);
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *payload = payload_of(entries->element[i]);
            append_xadd(redis, "results", payload->str, PEER_STAMP_BYTES);
        }
        append_ids(redis, "XACK", "jobs", "g", entries);
        append_ids(redis, "XDEL", "jobs", NULL, entries);
        answers = entries->elements + 2;
        freeReplyObject(reply);
    }
}

static void collect(redisContext *redis, const struct peer_settings *settings)
{
    struct peer_recorder recorder;
    peer_recorder_init(&recorder, settings);
    size_t answers = 0;
    while (!peer_recorder_is_done(&recorder)) {
        append_xreadgroup(redis, "results", settings->batch);
        for (; answers > 0; answers--) {
            freeReplyObject(next_reply(redis));
        }
        redisReply *reply = next_reply(redis);
        uint64_t now_ns = peer_now_ns();
        redisReply *entries = entries_of(reply);
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *payload = payload_of(entries->element[i]);
            uint64_t index;
            uint64_t due_ns;
            peer_unstamp(payload->str, payload->len, &index, &due_ns);
            peer_recorder_add(&recorder, index, due_ns, now_ns);
        }
        append_ids(redis, "XACK", "results", "g", entries);
        answers = 1;
        freeReplyObject(reply);
    }
    freeReplyObject(next_reply(redis)); /* the last XACK: done when it is done */
    recorder.last_ns = peer_now_ns();
    peer_print_sink(&recorder);
}

int main(int argc, char **argv)
{
    struct peer_settings settings;
    peer_settings_read(&settings, argc, argv, NULL);
    if (settings.batch > BATCH_MAX) {
        peer_stop("batch=%llu: at most %d", (unsigned long long)settings.batch, BATCH_MAX);
    }
    peer_precise_timers();
    redisContext *redis = connect_to(settings.at);
    if (strcmp(settings.role, "setup") == 0) {
        setup(redis);
    } else if (strcmp(settings.role, "producer") == 0) {
        produce(redis, &settings);
    } else if (strcmp(settings.role, "worker") == 0) {
        work(redis, &settings);
    } else if (strcmp(settings.role, "sink") == 0) {
        collect(redis, &settings);
    } else {
        peer_stop("role=%s: setup, producer, worker or sink", settings.role);
    }
    redisFree(redis);
    return 0;
}
