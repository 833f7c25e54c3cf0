/* Questions to the processes: JSON to the sink's REP socket, messages to the ROUTERs. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "io/clock.h"
#include "io/keys.h"
#include "io/socket.h"
#include "wire/codec.h"

/* A command is one process that asks on one thread. */
static struct leat_curve ventilator_keys, sink_keys;

enum leat_err leat_cli_use_keys(const struct leat_options *options, struct leat_why *why)
{
    return leat_keys_read_client(options, &ventilator_keys, &sink_keys, why);
}

/* A broker that does not know a key cuts its owner off without a word. */
const char *leat_cli_key_hint(void)
{
    return sink_keys.on ? "; is this key known there, and is --server-key the right one?" : "";
}

static bool wait_readable(zsock_t *socket, int64_t end_us)
{
    struct leat_now now;
    leat_clock_now(&now);
    if (now.mono_us >= end_us) {
        return false;
    }
    zmq_pollitem_t item = {zsock_resolve(socket), 0, ZMQ_POLLIN, 0};
    return zmq_poll(&item, 1, (long)((end_us - now.mono_us) / LEAT_US_PER_MS) + 1) == 1;
}

/* A connecting socket takes nothing until it is connected: tries until then. */
static bool send_in_time(zsock_t *socket, struct leat_bytes bytes, int64_t end_us)
{
    struct leat_now now;
    zmq_msg_t frame;
    leat_socket_frame_copy(&frame, bytes);
    do {
        if (leat_socket_send(socket, NULL, (struct leat_str){0}, &frame) == LEAT_SENT) {
            return true;
        }
        zmq_pollitem_t item = {zsock_resolve(socket), 0, ZMQ_POLLOUT, 0};
        (void)zmq_poll(&item, 1, 50);
        leat_clock_now(&now);
    } while (now.mono_us < end_us);
    zmq_msg_close(&frame);
    return false;
}

static int64_t end_after(int patience_ms)
{
    struct leat_now now;
    leat_clock_now(&now);
    return now.mono_us + patience_ms * LEAT_US_PER_MS;
}

/* The reply's tree, or NULL: nobody answered in time. */
static json_t *ask_once(const char *endpoint, const char *request, int patience_ms,
                        struct leat_why *why)
{
    zsock_t *socket = NULL;
    leat_fail(why, LEAT_ERR_UNREACHABLE, "no answer within %d ms", patience_ms);
    if (leat_socket_connect_curve(ZMQ_REQ, endpoint, &sink_keys, &socket, why) != LEAT_OK) {
        return NULL;
    }
    json_t *reply = NULL;
    int64_t end_us = end_after(patience_ms);
    if (send_in_time(socket, leat_bytes_of(request, strlen(request)), end_us) &&
        wait_readable(socket, end_us)) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        struct leat_peer peer;
        if (leat_socket_recv(socket, &peer, &frame) == LEAT_RECEIVED) {
            reply = json_loadb(zmq_msg_data(&frame), zmq_msg_size(&frame), 0, NULL);
            leat_fail(why, LEAT_ERR_MALFORMED, "the answer is no JSON");
        }
        zmq_msg_close(&frame);
    }
    zsock_set_linger(socket,
                     0); /* a question that nobody has heard by now need not be waited for */
    zsock_destroy(&socket);
    return reply;
}

json_t *leat_cli_ask(const char *stats_endpoint, json_t *request, bool absent_ok)
{
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    struct leat_why why;
    json_t *reply =
        text == NULL ? NULL : ask_once(stats_endpoint, text, LEAT_CLI_PATIENCE_MS, &why);
    free(text);
    if (reply == NULL) {
        fprintf(stderr, "leat: the sink's stats at %s cannot be reached: %s%s\n", stats_endpoint,
                why.text, leat_cli_key_hint());
        return NULL;
    }
    const json_t *error = json_object_get(reply, "error");
    if (json_is_object(error)) {
        const char *name = json_string_value(json_object_get(error, "name"));
        if (!absent_ok || name == NULL || strcmp(name, "NOT_FOUND") != 0) {
            char buffer[64];
            fprintf(stderr, "leat: the sink refuses: %s\n", leat_cli_text(error, "text", buffer));
        }
        json_decref(reply);
        return NULL;
    }
    return reply;
}

bool leat_cli_answers(const char *stats_endpoint, int patience_ms)
{
    struct leat_why why;
    json_t *reply = ask_once(stats_endpoint, "{\"request\": \"ping\"}", patience_ms, &why);
    json_decref(reply);
    return reply != NULL;
}

/* ---- messages ---- */

static void copy_text(char *to, size_t size, struct leat_str text)
{
    snprintf(to, size, "%.*s", LEAT_STR_ARGS(text));
}

/* True when the message answers; *err says how. */
static bool take_answer(const struct leat_msg *msg, struct leat_cli_answer *answer,
                        enum leat_err *err)
{
    *err = LEAT_OK;
    if (msg->type == LEAT_MSG_DONE) {
        copy_text(answer->text, sizeof(answer->text), msg->done.text);
        return true;
    }
    if (msg->type == LEAT_MSG_FOUND) {
        answer->state = msg->found.state;
        answer->attempt = msg->found.attempt;
        answer->deliveries = msg->found.deliveries;
        answer->due_ms = msg->found.due_ms;
        copy_text(answer->queue, sizeof(answer->queue), msg->found.queue);
        copy_text(answer->type, sizeof(answer->type), msg->found.type);
        copy_text(answer->worker, sizeof(answer->worker), msg->found.worker);
        return true;
    }
    if (msg->type == LEAT_MSG_ERROR) {
        copy_text(answer->text, sizeof(answer->text), msg->error.text);
        *err = LEAT_ERR_REFUSED;
        return true;
    }
    return false;
}

static enum leat_err receive_answer(zsock_t *socket, int64_t end_us, struct leat_cli_answer *answer)
{
    struct leat_arena arena;
    leat_arena_init(&arena, LEAT_MESSAGE_BYTES_MAX);
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    enum leat_err err = LEAT_ERR_UNREACHABLE;
    bool answered = false;
    while (!answered && wait_readable(socket, end_us)) {
        struct leat_peer peer;
        struct leat_msg msg;
        struct leat_why why;
        if (leat_socket_recv(socket, &peer, &frame) == LEAT_RECEIVED &&
            leat_wire_decode(leat_bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame)), &arena,
                             &msg, &why) == LEAT_OK) {
            answered = take_answer(&msg, answer, &err);
        }
    }
    zmq_msg_close(&frame);
    leat_arena_fini(&arena);
    return answered ? err : LEAT_ERR_UNREACHABLE;
}

/* Not immediate: when the broker closes the connection right after its answer, as a ventilator does
 * that shuts down, libzmq would throw away an answer that has come and was not taken yet. What
 * could not be sent in time is not sent later. */
static enum leat_err connect_to(const char *who, const char *endpoint, zsock_t **ret_socket,
                                struct leat_why *why)
{
    struct leat_socket_config config;
    leat_socket_config_init(&config, ZMQ_DEALER);
    config.connect = endpoint;
    config.curve = strcmp(who, "sink") == 0 ? &sink_keys : &ventilator_keys;
    config.immediate = false;
    config.linger_ms = 0;
    return leat_socket_open(&config, ret_socket, NULL, why);
}

enum leat_err leat_cli_request(const char *who, const char *endpoint, struct leat_msg *msg,
                               int patience_ms, bool silent, struct leat_cli_answer *ret_answer)
{
    struct leat_why why = {"no answer"};
    struct leat_wire_buffer buffer = {0};
    zsock_t *socket = NULL;
    struct leat_cli_answer answer = {0};
    int64_t end_us = end_after(patience_ms);
    enum leat_err err = leat_wire_encode(msg, &buffer);
    if (err == LEAT_OK) {
        err = connect_to(who, endpoint, &socket, &why);
    }
    if (err == LEAT_OK) {
        err = send_in_time(socket, leat_wire_buffer_view(&buffer), end_us)
                  ? receive_answer(socket, end_us, &answer)
                  : LEAT_ERR_UNREACHABLE;
    }
    zsock_destroy(&socket);
    leat_wire_buffer_fini(&buffer);
    if (err == LEAT_OK) {
        *ret_answer = answer;
    } else if (!silent && err == LEAT_ERR_UNREACHABLE) {
        fprintf(stderr, "leat: the %s at %s cannot be reached: no answer within %d ms%s\n", who,
                endpoint, patience_ms, leat_cli_key_hint());
    } else if (!silent) {
        fprintf(stderr, "leat: the %s refuses: %s\n", who,
                answer.text[0] != '\0' ? answer.text : why.text);
    }
    return err;
}
