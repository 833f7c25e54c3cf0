/* Logging: one line per event, logfmt, to stderr.
 *
 *   ts=2026-01-01T00:00:00.000Z level=info role=ventilator event=worker_lost name=host:12 value=3
 *
 * Event names are stable. Values are quoted when needed, control characters escaped, so that one
 * event is one line whatever peers send. Each line is one write(2); lines of different threads do
 * not mix. At most LEAT_LOG_LINES_PER_S lines per event name and second; what was left out is told
 * by `suppressed=N` in that event's next line. Never log payloads, never keys.
 */
#ifndef LEAT_IO_LOG_H
#define LEAT_IO_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/step.h"

#define LEAT_LOG_LINE_BYTES_MAX  4096 /* longer lines are cut, marked by cut=true */
#define LEAT_LOG_VALUE_BYTES_MAX 1024
#define LEAT_LOG_LINES_PER_S     200 /* but for trace, which is asked for */

enum leat_log_level {
    LEAT_LOG_ERROR = 0,
    LEAT_LOG_WARN = 1,
    LEAT_LOG_INFO = 2,
    LEAT_LOG_DEBUG = 3,
    LEAT_LOG_TRACE = 4,
};

/* Once, before threads. `role` (borrowed for ever) is "ventilator", "worker", ... Before it, the
 * level is info and the role "leat". */
void leat_log_start(const char *role, enum leat_log_level level);
/* For tests: lines go to `fd` from now on. */
void leat_log_to(int fd);

bool leat_log_enabled(enum leat_log_level level);
/* "error" to "trace"; LEAT_ERR_INVALID. */
LEAT_MUST_USE enum leat_err leat_log_level_parse(const char *text, enum leat_log_level *ret_level);

/* A line under construction: begin, any number of keys, end. Any thread. When the level is off or
 * the event's rate is exceeded, the calls between do nothing.
 *
 *   struct leat_log line;
 *   leat_log_begin(&line, LEAT_LOG_WARN, "peer_refused");
 *   leat_log_text(&line, "endpoint", endpoint);
 *   leat_log_number(&line, "attempts", 3);
 *   leat_log_end(&line);
 */
struct leat_log {
    bool on;
    bool cut;
    size_t size;
    char bytes[LEAT_LOG_LINE_BYTES_MAX];
};

void leat_log_begin(struct leat_log *line, enum leat_log_level level, const char *event);
void leat_log_text(struct leat_log *line, const char *key, const char *value); /* NULL: "" */
void leat_log_str(struct leat_log *line, const char *key, struct leat_str value);
void leat_log_number(struct leat_log *line, const char *key, int64_t value);
void leat_log_id(struct leat_log *line, const char *key, const struct leat_id *value);
void leat_log_end(struct leat_log *line);

/* A whole line with one key, "reason", whose value is formatted. */
void leat_log_reason(enum leat_log_level level, const char *event, const char *format, ...)
    LEAT_PRINTF(3, 4);

/* A core's note: level and event from core/notes.def, subject, name and value if there are any. */
void leat_log_note(const struct leat_note *note);

/* At trace level: one message in or out, as wire/dump.h writes it, without payloads. `peer` may be
 * NULL. Cheap when trace is off. */
void leat_log_message(const char *direction, enum leat_link link, const struct leat_peer *peer,
                      const struct leat_msg *msg);

#endif
