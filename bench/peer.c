#include "bench/peer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* ---- settings ---- */

void peer_stop(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static uint64_t number_of(const char *name, const char *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-') {
        peer_stop("%s=%s: not a number", name, value);
    }
    return number;
}

static bool take_number(struct peer_settings *settings, const char *name, const char *value)
{
    struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        {"jobs", &settings->jobs}, {"bytes", &settings->bytes},     {"batch", &settings->batch},
        {"skip", &settings->skip}, {"rate", &settings->rate_per_s}, {"window", &settings->window},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].number = number_of(name, value);
            return true;
        }
    }
    return false;
}

static bool take_text(struct peer_settings *settings, const char *name, const char *value,
                      const char *const *names)
{
    if (strcmp(name, "role") == 0) {
        settings->role = value;
        return true;
    }
    if (strcmp(name, "at") == 0) {
        settings->at = value;
        return true;
    }
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        if (strcmp(name, names[i]) == 0 && settings->extra_count < PEER_EXTRA_SETTING) {
            settings->extra[settings->extra_count].name = names[i];
            settings->extra[settings->extra_count++].value = value;
            return true;
        }
    }
    return false;
}

void peer_settings_read(struct peer_settings *settings, int argc, char **argv,
                        const char *const *names)
{
    *settings =
        (struct peer_settings){.role = "", .at = "", .jobs = 100000, .bytes = 128, .batch = 64};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL) {
            peer_stop("'%s' is not name=value", argv[i]);
        }
        *value++ = '\0';
        if (!take_number(settings, argv[i], value) && !take_text(settings, argv[i], value, names)) {
            peer_stop("no setting '%s'", argv[i]);
        }
    }
    if (settings->bytes < PEER_STAMP_BYTES || settings->bytes > PEER_PAYLOAD_MAX) {
        peer_stop("bytes=%llu: %d to %d", (unsigned long long)settings->bytes, PEER_STAMP_BYTES,
                  PEER_PAYLOAD_MAX);
    }
    if (settings->batch == 0 || settings->jobs == 0) {
        peer_stop("batch and jobs are at least 1");
    }
    if (settings->window == 0) {
        settings->window = settings->rate_per_s > 0 ? 4096 : 2 * settings->batch;
    }
}

const char *peer_setting(const struct peer_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->extra_count; i++) {
        if (strcmp(settings->extra[i].name, name) == 0) {
            return settings->extra[i].value;
        }
    }
    return NULL;
}

/* ---- time ---- */

uint64_t peer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * PEER_NS_PER_S + (uint64_t)now.tv_nsec;
}

void peer_precise_timers(void)
{
    (void)prctl(PR_SET_TIMERSLACK, 1000UL);
}

void peer_sleep_until(uint64_t at_ns)
{
    struct timespec until = {.tv_sec = (time_t)(at_ns / PEER_NS_PER_S),
                             .tv_nsec = (long)(at_ns % PEER_NS_PER_S)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

bool peer_wait_readable(int fd, uint64_t until_ns)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    uint64_t now_ns = peer_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / PEER_NS_PER_S),
                            .tv_nsec = (long)(wait_ns % PEER_NS_PER_S)};
    return ppoll(&item, 1, until_ns == PEER_FOREVER ? NULL : &wait, NULL) > 0;
}

struct peer_schedule peer_schedule_begin(const struct peer_settings *settings)
{
    return (struct peer_schedule){
        .begin_ns = peer_now_ns(), .jobs = settings->jobs, .rate_per_s = settings->rate_per_s};
}

uint64_t peer_schedule_due(const struct peer_schedule *schedule, uint64_t now_ns)
{
    if (schedule->rate_per_s == 0) {
        return schedule->jobs;
    }
    double seconds = (double)(now_ns - schedule->begin_ns) / (double)PEER_NS_PER_S;
    uint64_t due = (uint64_t)(seconds * (double)schedule->rate_per_s) + 1;
    return due < schedule->jobs ? due : schedule->jobs;
}

uint64_t peer_schedule_at_ns(const struct peer_schedule *schedule, uint64_t index, uint64_t now_ns)
{
    if (schedule->rate_per_s == 0) {
        return now_ns;
    }
    double seconds = (double)index / (double)schedule->rate_per_s;
    return schedule->begin_ns + (uint64_t)(seconds * (double)PEER_NS_PER_S);
}

/* ---- stamps ---- */

void peer_stamp(uint8_t *payload, uint64_t index, uint64_t due_ns)
{
    memcpy(payload, &index, sizeof index);
    memcpy(payload + 8, &due_ns, sizeof due_ns);
}

void peer_unstamp(const void *payload, size_t size, uint64_t *ret_index, uint64_t *ret_due_ns)
{
    if (size < PEER_STAMP_BYTES) {
        peer_stop("a result of %zu bytes has no stamp", size);
    }
    memcpy(ret_index, payload, sizeof *ret_index);
    memcpy(ret_due_ns, (const uint8_t *)payload + 8, sizeof *ret_due_ns);
}

/* ---- what came of it ---- */

void peer_print_producer(uint64_t begin_ns, uint64_t acked_ns)
{
    printf("{\"begin_ns\": %llu, \"acked_ns\": %llu}\n", (unsigned long long)begin_ns,
           (unsigned long long)acked_ns);
}

void peer_recorder_init(struct peer_recorder *recorder, const struct peer_settings *settings)
{
    *recorder = (struct peer_recorder){.jobs = settings->jobs, .skip = settings->skip};
    recorder->spans_ns = calloc(settings->jobs, sizeof *recorder->spans_ns);
    if (recorder->spans_ns == NULL) {
        peer_stop("no memory for the latencies of %llu jobs", (unsigned long long)settings->jobs);
    }
}

void peer_recorder_fini(struct peer_recorder *recorder)
{
    free(recorder->spans_ns);
    recorder->spans_ns = NULL;
}

void peer_recorder_add(struct peer_recorder *recorder, uint64_t index, uint64_t due_ns,
                       uint64_t now_ns)
{
    if (recorder->count++ == 0) {
        recorder->first_ns = now_ns;
    }
    recorder->last_ns = now_ns;
    if (index >= recorder->skip && recorder->kept < recorder->jobs) {
        recorder->spans_ns[recorder->kept++] = now_ns > due_ns ? now_ns - due_ns : 0;
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static double quantile_us(const struct peer_recorder *recorder, double share)
{
    if (recorder->kept == 0) {
        return 0;
    }
    uint64_t place = (uint64_t)(share * (double)recorder->kept);
    place = place < recorder->kept ? place : recorder->kept - 1;
    return (double)recorder->spans_ns[place] / 1000.0;
}

void peer_recorder_print(struct peer_recorder *recorder)
{
    qsort(recorder->spans_ns, recorder->kept, sizeof *recorder->spans_ns, by_size);
    printf("\"results\": %llu, \"first_ns\": %llu, \"end_ns\": %llu, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
           (unsigned long long)recorder->count, (unsigned long long)recorder->first_ns,
           (unsigned long long)recorder->last_ns, quantile_us(recorder, 0.5),
           quantile_us(recorder, 0.99), quantile_us(recorder, 0.999), quantile_us(recorder, 1.0));
}

void peer_print_sink(struct peer_recorder *recorder)
{
    printf("{");
    peer_recorder_print(recorder);
    printf("}\n");
    peer_recorder_fini(recorder);
}
