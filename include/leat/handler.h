/* Handlers as C functions, loaded by `leat-worker --plugin ./handlers.so`.
 *
 *      #include <leat/handler.h>
 *
 *      static int shout(const struct leat_handler_job *job, struct leat_handler_result *result)
 *      {
 *          char *text = ...;
 *          if (text == NULL) {
 *              return leat_handler_fail(result, LEAT_HANDLER_RETRY, 1, "out of memory");
 *          }
 *          leat_handler_output(result, text, job->payload_bytes);
 *          free(text);
 *          return 0;
 *      }
 *
 *      static const struct leat_handler handlers[] = {{"shout", shout}};
 *      LEAT_HANDLERS(handlers);
 *
 * Build: cc -shared -fPIC -I.../include handlers.c -o handlers.so. Nothing of leat is linked.
 *
 * How handlers run. The worker keeps one child process per slot, and each child loads every plug-in
 * once and runs one job at a time in its only thread; so handlers need no locks, and what they keep
 * in static variables lives as long as the child, which is replaced after a crash or a timeout. A
 * handler that runs longer than the job's timeout gets SIGTERM, and SIGKILL after the grace. A
 * crash, exit() or timeout ends the attempt of that one job only. Standard input is empty, standard
 * output and standard error are the worker's standard error. Jobs may be run more than once:
 * handlers must bear that.
 *
 * Which LEAT_HANDLER_ABI the plug-in was built with is checked before it is used.
 */
#ifndef LEAT_HANDLER_H
#define LEAT_HANDLER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEAT_HANDLER_ABI 1

struct leat_handler_header {
    const char *name;  /* terminated */
    const char *value; /* terminated */
};

/* The job's attempt; everything is valid until the handler returns. */
struct leat_handler_job {
    const char *id; /* UUID text, the same in every attempt */
    const char *queue;
    const char *type;    /* name of the handler */
    uint64_t attempt;    /* 1, 2, 3... */
    uint64_t timeout_ms; /* for this attempt */
    int64_t deadline_ms; /* CLOCK_MONOTONIC in milliseconds; past it the child gets SIGTERM */
    const void *payload; /* any bytes, aligned for any object, followed by a zero byte; read-only:
                            a large one lies in shared memory, and writing to it is a crash */
    size_t payload_bytes;
    const struct leat_handler_header *headers; /* free headers of the job */
    size_t headers_count;
};

/* What becomes of a failed attempt. */
enum leat_handler_verdict {
    LEAT_HANDLER_RETRY = 1,     /* try again as the job's retry policy says */
    LEAT_HANDLER_PERMANENT = 2, /* trying again is no use */
};

/* Where the handler puts what it has to say. Use the calls below. */
struct leat_handler_result {
    /* Copies `size` bytes behind what is there. 0, or -1 when the output would be larger than the
     * worker's limit or memory is out: then the attempt fails as too_large or handler, whatever is
     * returned. */
    int (*append)(struct leat_handler_result *result, const void *data, size_t size);
    void (*clear)(struct leat_handler_result *result);
    int (*fail)(struct leat_handler_result *result, enum leat_handler_verdict verdict, int code,
                const char *format, ...)
#ifdef __GNUC__
        __attribute__((format(printf, 4, 5)))
#endif
        ;
};

/* 0: success. Anything else fails the attempt with that code and may be retried, unless
 * leat_handler_fail said more. */
typedef int leat_handler_fn(const struct leat_handler_job *job, struct leat_handler_result *result);

struct leat_handler {
    const char *type; /* job type that it runs: [A-Za-z0-9_.-], 1 to 64 bytes */
    leat_handler_fn *run;
};

/* What a plug-in exports, as the variable `leat_handlers`. */
struct leat_handlers {
    uint32_t abi; /* LEAT_HANDLER_ABI */
    uint32_t count;
    const struct leat_handler *handlers;
};

#define LEAT_HANDLERS(array)                                                                       \
    __attribute__((visibility("default"))) extern const struct leat_handlers leat_handlers;        \
    const struct leat_handlers leat_handlers = {                                                   \
        LEAT_HANDLER_ABI, (uint32_t)(sizeof(array) / sizeof((array)[0])), (array)}

/* Sets the output to a copy of the bytes, in place of what was there. 0 or -1 as `append`. */
static inline int leat_handler_output(struct leat_handler_result *result, const void *data,
                                      size_t size)
{
    result->clear(result);
    return result->append(result, data, size);
}

/* Appends a copy of the bytes to the output. 0 or -1 as `append`. */
static inline int leat_handler_append(struct leat_handler_result *result, const void *data,
                                      size_t size)
{
    return result->append(result, data, size);
}

/* Fails the attempt with a verdict, a code and a text for people (printf; cut at 1 KiB). Returns a
 * number other than 0, so that a handler ends with `return leat_handler_fail(...)`. */
#define leat_handler_fail(result, verdict, code, ...)                                              \
    ((result)->fail((result), (verdict), (code), __VA_ARGS__))

/* The value of a header, or NULL. */
static inline const char *leat_handler_header(const struct leat_handler_job *job, const char *name)
{
    for (size_t i = 0; i < job->headers_count; i++) {
        if (strcmp(job->headers[i].name, name) == 0) {
            return job->headers[i].value;
        }
    }
    return NULL;
}

#ifdef __cplusplus
}
#endif

#endif
