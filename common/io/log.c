#include "io/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/clock.h"

#define EVENTS_MAX 256 /* event names whose rate is limited; more share the last place */

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

/* Set once before threads, read by all. */
static const char *log_role = "leat";
static atomic_int log_level = LEAT_LOG_INFO;
static atomic_int log_fd = STDERR_FILENO;

struct rate {
    char event[48];
    int64_t second;
    unsigned lines;
    uint64_t suppressed;
};

static pthread_mutex_t rates_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rate rates[EVENTS_MAX]; /* under rates_mutex; open addressing by event name */

void leat_log_start(const char *role, enum leat_log_level level)
{
    log_role = role;
    atomic_store(&log_level, (int)level);
}

void leat_log_to(int fd)
{
    atomic_store(&log_fd, fd);
}

bool leat_log_enabled(enum leat_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

enum leat_err leat_log_level_parse(const char *text, enum leat_log_level *ret_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum leat_log_level)i;
            return LEAT_OK;
        }
    }
    return LEAT_ERR_INVALID;
}

static struct rate *find_rate(const char *event)
{
    unsigned hash = 5381;
    for (const char *c = event; *c != '\0'; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    for (unsigned i = 0; i < EVENTS_MAX - 1; i++) {
        struct rate *rate = &rates[(hash + i) % EVENTS_MAX];
        if (rate->event[0] == '\0') {
            snprintf(rate->event, sizeof rate->event, "%s", event);
            return rate;
        }
        if (strncmp(rate->event, event, sizeof rate->event - 1) == 0) {
            return rate;
        }
    }
    return &rates[EVENTS_MAX - 1];
}

/* Whether one more line of this event may be written in this second. */
static bool take_rate(const char *event, int64_t second, uint64_t *ret_suppressed)
{
    pthread_mutex_lock(&rates_mutex);
    struct rate *rate = find_rate(event);
    if (rate->second != second) {
        rate->second = second;
        rate->lines = 0;
    }
    bool allowed = rate->lines < LEAT_LOG_LINES_PER_S;
    if (allowed) {
        rate->lines++;
        *ret_suppressed = rate->suppressed;
        rate->suppressed = 0;
    } else {
        rate->suppressed++;
    }
    pthread_mutex_unlock(&rates_mutex);
    return allowed;
}

/* Room for `cut=true` and the newline is always kept. */
#define TAIL_BYTES 16

static void append(struct leat_log *line, const char *bytes, size_t size)
{
    if (line->cut || size > sizeof line->bytes - TAIL_BYTES - line->size) {
        line->cut = true;
        return;
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void append_text(struct leat_log *line, const char *text)
{
    append(line, text, strlen(text));
}

static void append_key(struct leat_log *line, const char *key)
{
    if (line->size > 0) {
        append(line, " ", 1);
    }
    append_text(line, key);
    append(line, "=", 1);
}

static bool is_plain(struct leat_str value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) {
            return false;
        }
    }
    return value.size > 0;
}

static void append_escaped(struct leat_log *line, unsigned char c)
{
    char escape[8];
    int size;
    if (c == '"' || c == '\\') {
        size = snprintf(escape, sizeof escape, "\\%c", c);
    } else if (c == '\n') {
        size = snprintf(escape, sizeof escape, "\\n");
    } else if (c == '\t') {
        size = snprintf(escape, sizeof escape, "\\t");
    } else if (c == '\r') {
        size = snprintf(escape, sizeof escape, "\\r");
    } else if (c < ' ' || c == 0x7f) {
        size = snprintf(escape, sizeof escape, "\\x%02x", c);
    } else {
        size = snprintf(escape, sizeof escape, "%c", c);
    }
    append(line, escape, (size_t)size);
}

static void append_value(struct leat_log *line, struct leat_str value)
{
    bool shortened = value.size > LEAT_LOG_VALUE_BYTES_MAX;
    if (shortened) {
        value.size = LEAT_LOG_VALUE_BYTES_MAX;
        /* not in the middle of a character */
        while (value.size > 0 && ((unsigned char)value.data[value.size] & 0xc0u) == 0x80u) {
            value.size--;
        }
    }
    if (!shortened && is_plain(value)) {
        append(line, value.data, value.size);
        return;
    }
    append(line, "\"", 1);
    bool opened = !line->cut;
    for (size_t i = 0; i < value.size; i++) {
        append_escaped(line, (unsigned char)value.data[i]);
    }
    append_text(line, shortened ? "...\"" : "\"");
    if (opened && line->cut) {
        line->bytes[line->size++] =
            '"'; /* from the room that append keeps: cut, but still logfmt */
    }
}

void leat_log_begin(struct leat_log *line, enum leat_log_level level, const char *event)
{
    line->on = false;
    line->cut = false;
    line->size = 0;
    if (!leat_log_enabled(level)) {
        return;
    }
    struct leat_now now;
    leat_clock_now(&now);
    uint64_t suppressed = 0;
    if (level != LEAT_LOG_TRACE && !take_rate(event, now.mono_us / LEAT_US_PER_S, &suppressed)) {
        return;
    }
    line->on = true;
    time_t seconds = (time_t)(now.wall.us / LEAT_US_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[48];
    size_t size = strftime(stamp, sizeof stamp, "ts=%Y-%m-%dT%H:%M:%S", &utc);
    append(line, stamp, size);
    snprintf(stamp, sizeof stamp, ".%03dZ", (int)(now.wall.us / 1000 % 1000));
    append_text(line, stamp);
    leat_log_text(line, "level", level_names[level]);
    leat_log_text(line, "role", log_role);
    leat_log_text(line, "event", event);
    if (suppressed > 0) {
        leat_log_number(line, "suppressed", (int64_t)suppressed);
    }
}

void leat_log_str(struct leat_log *line, const char *key, struct leat_str value)
{
    if (!line->on) {
        return;
    }
    append_key(line, key);
    append_value(line, value);
}

void leat_log_text(struct leat_log *line, const char *key, const char *value)
{
    leat_log_str(line, key, leat_str_of(value));
}

void leat_log_number(struct leat_log *line, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    leat_log_text(line, key, text);
}

void leat_log_id(struct leat_log *line, const char *key, const struct leat_id *value)
{
    char text[LEAT_ID_TEXT_BYTES];
    leat_log_text(line, key, leat_id_format(value, text));
}

void leat_log_end(struct leat_log *line)
{
    if (!line->on) {
        return;
    }
    if (line->cut) {
        static const char mark[] = " cut=true";
        memcpy(line->bytes + line->size, mark, sizeof mark - 1);
        line->size += sizeof mark - 1;
    }
    line->bytes[line->size++] = '\n';
    ssize_t rc;
    do {
        rc = write(atomic_load(&log_fd), line->bytes, line->size);
    } while (rc < 0 && errno == EINTR);
    line->on = false;
}

void leat_log_reason(enum leat_log_level level, const char *event, const char *format, ...)
{
    struct leat_log line;
    leat_log_begin(&line, level, event);
    if (!line.on) {
        return;
    }
    char text[LEAT_LOG_VALUE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    leat_log_text(&line, "reason", text);
    leat_log_end(&line);
}

void leat_log_note(const struct leat_note *note)
{
    enum leat_log_level level = LEAT_LOG_INFO;
    if (leat_log_level_parse(leat_note_level(note->id), &level) != LEAT_OK) {
        level = LEAT_LOG_INFO;
    }
    struct leat_log line;
    leat_log_begin(&line, level, leat_note_name(note->id));
    if (!leat_id_is_zero(&note->subject)) {
        leat_log_id(&line, "subject", &note->subject);
    }
    if (note->name.size > 0) {
        leat_log_str(&line, "name", note->name);
    }
    leat_log_number(&line, "value", note->value);
    leat_log_end(&line);
}
