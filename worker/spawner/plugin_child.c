/* The plug-in child: loads the plug-ins and runs attempts, one after the other, as they come. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/spawner/inside.h"
#include "worker/spawner/plugin.h"
#include "worker/spawner/report.h"
#include "worker/spawner/slot_bytes.h"
#include "worker/spawner/teller.h"

#define FAIL_TEXT_BYTES 1024
/* A buffer that has grown beyond this is given back. */
#define KEPT_BYTES (1u << 20)
/* See teller.h. A slow attempt does not notice what a word costs. */
#define UNTOLD_MAX (LEAT_PIPELINE_JOBS / 2)
#define UNTOLD_US  500
/* So many are worth a word in the middle of what came together. */
#define UNTOLD_MIDDLE 128

struct result {
    struct leat_handler_result calls; /* first, so that the handler's pointer is ours */
    struct leat_wire_buffer output;
    bool too_large;
    bool no_memory;
    bool failed;
    enum leat_handler_verdict verdict;
    int code;
    char text[FAIL_TEXT_BYTES];
};

struct child {
    const struct leat_slot_setup *setup;
    struct leat_frames frames;
    struct leat_teller teller;
    size_t middle_bytes; /* half of the orders that came together, until that was told of */
    int64_t ended_us; /* when the last attempt ended, if nothing else was done since; 0: something
                         was */
    const struct leat_handlers *plugins[LEAT_HANDLERS_MAX];
    leat_handler_fn *handlers[LEAT_HANDLERS_MAX]; /* as in the config; NULL: not in the plug-ins */
    struct leat_wire_buffer payload;
    struct result result;
};

static int result_append(struct leat_handler_result *calls, const void *data, size_t size)
{
    struct result *result = (struct result *)(void *)calls;
    enum leat_err err = leat_wire_buffer_append(&result->output, data, size);
    result->too_large |= err == LEAT_ERR_LIMIT;
    result->no_memory |= err != LEAT_OK && err != LEAT_ERR_LIMIT;
    return err == LEAT_OK ? 0 : -1;
}

static void result_clear(struct leat_handler_result *calls)
{
    struct result *result = (struct result *)(void *)calls;
    leat_wire_buffer_clear(&result->output);
    result->too_large = false;
    result->no_memory = false;
}

__attribute__((format(printf, 4, 5))) static int result_fail(struct leat_handler_result *calls,
                                                             enum leat_handler_verdict verdict,
                                                             int code, const char *format, ...)
{
    struct result *result = (struct result *)(void *)calls;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->text, sizeof result->text, format, arguments);
    va_end(arguments);
    result->failed = true;
    result->verdict = verdict;
    result->code = code;
    return code != 0 ? code : -1;
}

static noreturn void quit(void)
{
    _exit(0);
}

/* Terminated and aligned: in shared memory as it lies there, else copied. */
static struct leat_bytes payload_of(struct child *child, const struct leat_slot_order *order)
{
    const struct leat_bytes given = order->run.payload;
    struct leat_bytes payload;
    _Atomic uint32_t *done;
    if (order->apart) {
        if (leat_bodies_find(&child->setup->config->bodies, given, &payload, &done) != LEAT_OK) {
            quit();
        }
        return payload;
    }
    leat_wire_buffer_clear(&child->payload);
    if (leat_wire_buffer_append(&child->payload, given.data, given.size) != LEAT_OK ||
        leat_wire_buffer_append(&child->payload, "", 1) != LEAT_OK) {
        quit();
    }
    return leat_bytes_of(child->payload.data, given.size);
}

/* The job as the handler sees it. The texts of an order are terminated. */
static void present(struct child *child, const struct leat_slot_order *order, int64_t started_us,
                    char id[LEAT_ID_TEXT_BYTES],
                    struct leat_handler_header headers[LEAT_HEADERS_MAX],
                    struct leat_handler_job *ret_job)
{
    const struct leat_item_attempt *run = &order->run;
    const struct leat_bytes payload = payload_of(child, order);
    for (size_t i = 0; i < run->headers.count; i++) {
        headers[i].name = run->headers.items[i].name.data;
        headers[i].value = run->headers.items[i].value.data;
    }
    *ret_job = (struct leat_handler_job){
        .id = leat_id_format(&run->id, id),
        .queue = run->queue.data,
        .type = run->type.data,
        .attempt = run->attempt,
        .timeout_ms = run->timeout_ms,
        .deadline_ms = started_us / LEAT_US_PER_MS + (int64_t)run->timeout_ms,
        .payload = payload.data,
        .payload_bytes = payload.size,
        .headers = headers,
        .headers_count = run->headers.count,
    };
}

static void judge(struct child *child, int returned, struct leat_item_outcome *ran,
                  char text[LEAT_REPORT_BYTES])
{
    struct result *result = &child->result;
    const struct leat_str none = {0};
    char reason[LEAT_REPORT_REASON_BYTES];
    if (result->too_large) {
        ran->failure = LEAT_FAILURE_TOO_LARGE;
        ran->permanent = true;
        snprintf(reason, sizeof reason, "result is larger than the limit of %zu bytes",
                 child->setup->config->result_bytes_max);
        ran->error = leat_report_text(text, reason, none);
    } else if (result->no_memory) {
        ran->failure = LEAT_FAILURE_HANDLER;
        ran->error = leat_report_text(text, "out of memory for the result", none);
    } else if (result->failed) {
        ran->failure = LEAT_FAILURE_HANDLER;
        ran->permanent = result->verdict == LEAT_HANDLER_PERMANENT;
        ran->code = result->code;
        ran->error = leat_report_text(text, result->text, none);
    } else if (returned != 0) {
        ran->failure = LEAT_FAILURE_HANDLER;
        ran->code = returned;
        snprintf(reason, sizeof reason, "handler returned %d", returned);
        ran->error = leat_report_text(text, reason, none);
    }
    if (!result->too_large) {
        ran->output = leat_wire_buffer_view(&result->output);
    }
}

static void reset_result(struct child *child)
{
    struct result *result = &child->result;
    leat_wire_buffer_clear(&result->output);
    result->too_large = false;
    result->no_memory = false;
    result->failed = false;
    result->calls = (struct leat_handler_result){result_append, result_clear, result_fail};
}

/* Waits until all that is queued is with the spawner: while it is not, it has no use for more. */
static void flush(struct child *child)
{
    while (leat_frames_queued_bytes(&child->frames) > 0) {
        child->ended_us = 0;
        if (leat_frames_flush(&child->frames) != LEAT_OK) {
            quit();
        }
        if (leat_frames_queued_bytes(&child->frames) > 0) {
            struct pollfd wait = {.fd = child->setup->jobs_fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        }
    }
}

static void tell(struct child *child)
{
    if (leat_teller_tell(&child->teller) != LEAT_OK) {
        _exit(1);
    }
    flush(child);
}

/* So that the spawner has sent others by the time at which the rest is done. */
static void tell_in_the_middle(struct child *child)
{
    if (leat_frames_unread_bytes(&child->frames) < child->middle_bytes &&
        child->teller.untold >= UNTOLD_MIDDLE) {
        child->middle_bytes = 0;
        tell(child);
    }
}

static void run_attempt(struct child *child, const struct leat_slot_order *order,
                        int64_t started_us)
{
    char id[LEAT_ID_TEXT_BYTES];
    char text[LEAT_REPORT_BYTES];
    struct leat_item_outcome ran = {.queued_us = started_us > order->received_us
                                                     ? (uint64_t)(started_us - order->received_us)
                                                     : 0};
    leat_handler_fn *handler = child->handlers[order->handler];
    if (handler == NULL) {
        ran.failure = LEAT_FAILURE_NO_HANDLER;
        ran.error = leat_report_text(text, "the plug-in has no such handler any more",
                                     (struct leat_str){0});
    } else if (leat_slot_is_expired(&order->run)) {
        ran.failure = LEAT_FAILURE_EXPIRED;
        ran.error = leat_report_text(text, LEAT_REPORT_EXPIRED, (struct leat_str){0});
    } else {
        struct leat_handler_job job;
        struct leat_handler_header headers[LEAT_HEADERS_MAX];
        reset_result(child);
        present(child, order, started_us, id, headers, &job);
        int returned = handler(&job, &child->result.calls);
        judge(child, returned, &ran, text);
    }
    child->ended_us = leat_spawner_now_us();
    ran.run_us = (uint64_t)(child->ended_us - started_us);
    if (leat_teller_answer(&child->teller, order->seq, &ran, child->ended_us) != LEAT_OK) {
        _exit(1);
    }
    flush(child);
    tell_in_the_middle(child);
    if (child->payload.capacity > KEPT_BYTES) {
        leat_wire_buffer_fini(&child->payload);
    }
}

static void take(struct child *child, struct leat_bytes frame)
{
    struct leat_slot_order order;
    if (leat_slot_order_read(frame, &order) != LEAT_OK ||
        order.handler >= child->setup->config->handlers_count) {
        quit();
    }
    const int64_t started_us = child->ended_us != 0 ? child->ended_us : leat_spawner_now_us();
    if (leat_gate_begin(&child->setup->shared->gate, order.seq, started_us)) {
        run_attempt(child, &order, started_us);
    }
}

static leat_handler_fn *find_handler(const struct child *child, struct leat_str type)
{
    for (size_t i = 0; i < child->setup->config->plugins_count; i++) {
        const struct leat_handlers *plugin = child->plugins[i];
        for (uint32_t k = 0; k < plugin->count; k++) {
            if (leat_str_equal(leat_str_of(plugin->handlers[k].type), type)) {
                return plugin->handlers[k].run;
            }
        }
    }
    return NULL;
}

static void load_all(struct child *child)
{
    for (size_t i = 0; i < child->setup->config->plugins_count; i++) {
        struct leat_why why;
        if (leat_plugin_load(child->setup->config->plugins[i], &child->plugins[i], &why) !=
            LEAT_OK) {
            fprintf(stderr, "leat-worker: %s\n", why.text);
            _exit(1);
        }
    }
    for (size_t i = 0; i < child->setup->config->handlers_count; i++) {
        child->handlers[i] =
            find_handler(child, leat_str_of(child->setup->config->handlers[i].type));
    }
}

noreturn void leat_plugin_child(const struct leat_slot_setup *setup)
{
    static struct child child;
    child.setup = setup;
    leat_frames_init(&child.frames, setup->jobs_fd, 0);
    leat_teller_init(&child.teller, &child.frames, &setup->shared->ring, UNTOLD_MAX, UNTOLD_US);
    leat_wire_buffer_init(&child.payload, (size_t)LEAT_PAYLOAD_BYTES_CEILING + 1);
    leat_wire_buffer_init(&child.result.output, setup->config->result_bytes_max);
    setsid();
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        _exit(1);
    }
    close(null_fd);
    leat_slot_limits(setup);
    leat_slot_allow_memory(setup->config->bodies.size);
    if (leat_bodies_protect(&setup->config->bodies) != LEAT_OK) {
        _exit(1);
    }
    /* A connection that a handler's peer closes is the handler's error, not the child's end. */
    signal(SIGPIPE, SIG_IGN);
    leat_slot_restore_signals();
    load_all(&child);
    for (;;) {
        struct leat_bytes frame;
        enum leat_err err = leat_frames_next(&child.frames, &frame);
        if (err == LEAT_OK) {
            take(&child, frame);
            continue;
        }
        if (err == LEAT_ERR_NOT_FOUND) {
            child.ended_us = 0;
            err = leat_frames_fill(&child.frames);
            child.middle_bytes = leat_frames_unread_bytes(&child.frames) / 2;
        }
        if (err == LEAT_ERR_NOT_FOUND) {
            tell(&child);
            struct pollfd wait = {.fd = setup->jobs_fd, .events = POLLIN};
            poll(&wait, 1, -1);
        } else if (err != LEAT_OK) {
            quit();
        }
    }
}
