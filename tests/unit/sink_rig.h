/* A sink over a memory store, its clock and what it sent, for the tests of the sink. */
#ifndef LEAT_TESTS_SINK_RIG_H
#define LEAT_TESTS_SINK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sink/sink.h"
#include "store/memory.h"

struct rig {
    struct leat_store *store;
    struct leat_sink_store *typed;
    struct leat_sink *sink;
    struct leat_sink_config config;
    struct leat_out out;
    struct leat_now now;
};

static inline void rig_boot(struct rig *rig)
{
    struct leat_why why = {""};
    rig->typed = leat_sink_store_new(rig->store);
    rig->sink = leat_sink_new(&rig->config, rig->typed);
    leat_out_clear(&rig->out);
    if (leat_sink_recover(rig->sink, rig->now, &rig->out, &why) != LEAT_OK) {
        fail_msg("recover: %s", why.text);
    }
}

static inline void rig_open(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->store = leat_store_open_memory();
    leat_sink_config_init(&rig->config);
    rig->config.seed = 7;
    rig->now = (struct leat_now){1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    leat_out_init(&rig->out);
    rig_boot(rig);
}

static inline void rig_shut(struct rig *rig)
{
    leat_sink_destroy(&rig->sink);
    leat_sink_store_destroy(&rig->typed);
}

static inline void rig_close(struct rig *rig)
{
    rig_shut(rig);
    leat_out_fini(&rig->out);
    leat_store_close(&rig->store);
}

/* A test's state is a rig of its own. */
static inline int rig_setup(void **state)
{
    struct rig *rig = malloc(sizeof *rig);
    rig_open(rig);
    *state = rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static inline void rig_check(struct rig *rig)
{
    struct leat_why why = {""};
    if (leat_sink_check(rig->sink, &why) != LEAT_OK) {
        fail_msg("invariant: %s", why.text);
    }
}

/* Feeds an event; `out` then holds the actions of this step alone. */
static inline void rig_feed(struct rig *rig, struct leat_event event)
{
    event.now = rig->now;
    leat_out_clear(&rig->out);
    leat_sink_step(rig->sink, &event, &rig->out);
}

static inline void rig_tick(struct rig *rig)
{
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_TICK});
}

static inline void rig_pass(struct rig *rig, int64_t us)
{
    rig->now.mono_us += us;
    rig->now.wall.us += us;
}

static inline struct leat_peer rig_peer(uint8_t number)
{
    return (struct leat_peer){.size = 5, .bytes = {0, 1, 2, 3, number}};
}

static inline void rig_message(struct rig *rig, uint8_t peer, const struct leat_msg *msg)
{
    rig_feed(rig, (struct leat_event){.kind = LEAT_EVENT_MESSAGE,
                                      .link = LEAT_LINK_PEERS,
                                      .peer = rig_peer(peer),
                                      .msg = msg});
}

static inline struct leat_id rig_id(unsigned number)
{
    struct leat_id id = {{0x01, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80}};
    id.bytes[12] = (uint8_t)(number >> 24);
    id.bytes[13] = (uint8_t)(number >> 16);
    id.bytes[14] = (uint8_t)(number >> 8);
    id.bytes[15] = (uint8_t)number;
    return id;
}

static inline struct leat_item_result rig_success(unsigned number)
{
    return (struct leat_item_result){
        .id = rig_id(number),
        .queue = leat_str_of("mail"),
        .type = leat_str_of("send"),
        .status = LEAT_STATE_SUCCEEDED,
        .attempts = 1,
        .delivery = 1,
        .output = leat_bytes_of("sent", 4),
        .worker = leat_str_of("host:1"),
    };
}

static inline struct leat_item_result rig_failure(unsigned number)
{
    struct leat_item_result result = rig_success(number);
    result.status = LEAT_STATE_FAILED;
    result.failure = LEAT_FAILURE_TIMEOUT;
    result.attempts = 3;
    result.error = leat_str_of("failed after 3 attempts: timeout after 2 s");
    result.body = leat_bytes_of("body", 4);
    return result;
}

static inline void rig_results(struct rig *rig, uint64_t batch, struct leat_item_result *items,
                               size_t count)
{
    struct leat_msg msg = {.type = LEAT_MSG_RESULTS};
    msg.results.sender = rig_id(999999);
    msg.results.batch = batch;
    msg.results.results.items = items;
    msg.results.results.count = count;
    rig_message(rig, 1, &msg);
}

static inline void rig_record(struct rig *rig, unsigned number)
{
    struct leat_item_result result = rig_success(number);
    rig_results(rig, number, &result, 1);
}

static inline void rig_follow(struct rig *rig, uint8_t peer, struct leat_id stream,
                              uint64_t settled)
{
    struct leat_msg msg = {.type = LEAT_MSG_FOLLOW};
    msg.follow.stream = stream;
    msg.follow.settled = settled;
    rig_message(rig, peer, &msg);
}

/* FOLLOW of the right stream; numbers as the ventilator counts them. What was recorded is sent to
 * it before it confirms it. */
static inline void rig_confirm(struct rig *rig, uint8_t peer, uint64_t settled)
{
    struct leat_sink_info info = leat_sink_info(rig->sink);
    uint64_t number = info.base + settled;
    if (number > info.told && number <= info.last) {
        rig_follow(rig, peer, info.stream, info.confirmed - info.base);
    }
    rig_follow(rig, peer, leat_sink_info(rig->sink).stream, settled);
}

/* The nth message of this type that the last step sent over the link; NULL. */
static inline const struct leat_action *rig_sent(const struct rig *rig, enum leat_link link,
                                                 enum leat_msg_type type, size_t nth)
{
    for (size_t i = 0; i < rig->out.count; i++) {
        const struct leat_action *action = &rig->out.actions[i];
        if (action->kind == LEAT_ACTION_SEND && action->link == link && action->msg.type == type &&
            nth-- == 0) {
            return action;
        }
    }
    return NULL;
}

static inline const struct leat_msg *rig_reply(const struct rig *rig, enum leat_msg_type type)
{
    const struct leat_action *action = rig_sent(rig, LEAT_LINK_PEERS, type, 0);
    return action == NULL ? NULL : &action->msg;
}

static inline bool rig_noted(const struct rig *rig, enum leat_note_id id)
{
    for (size_t i = 0; i < rig->out.count; i++) {
        if (rig->out.actions[i].kind == LEAT_ACTION_NOTE && rig->out.actions[i].note.id == id) {
            return true;
        }
    }
    return false;
}

/* Starts the sink again with another configuration, on the same store. */
static inline void rig_reboot(struct rig *rig)
{
    assert_int_equal(leat_store_sync(rig->store, NULL), LEAT_OK);
    rig_shut(rig);
    rig_boot(rig);
}

static inline void rig_record_many(struct rig *rig, unsigned first, unsigned count)
{
    struct leat_item_result *items = calloc(count, sizeof *items);
    for (unsigned i = 0; i < count; i++) {
        items[i] = rig_success(first + i);
    }
    rig_results(rig, first, items, count);
    free(items);
}

#endif
