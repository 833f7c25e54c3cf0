/* The command line of leat-producer: what it means, checked once. */
#ifndef LEAT_PRODUCER_MAIN_OPTIONS_H
#define LEAT_PRODUCER_MAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "io/options.h"
#include "leat/producer.h"
#include "producer/header_options.h"

enum leat_producer_source_kind {
    LEAT_PRODUCER_LINES,
    LEAT_PRODUCER_RECORDS, /* ended by a zero byte */
    LEAT_PRODUCER_JSON,
    LEAT_PRODUCER_FILES,
    LEAT_PRODUCER_PATHS,
    LEAT_PRODUCER_TICKS,
};

struct leat_producer_settings {
    struct leat_options *options; /* owned; the texts below borrow from it */
    enum leat_producer_source_kind kind;
    const char *source; /* a path; NULL for ticks */
    int64_t every_ms;
    uint64_t count, burst;
    struct leat_producer_job template;
    struct leat_header_options headers;
    int64_t delay_ms, expires_in_ms; /* 0: none */
    size_t payload_bytes_max;
    bool wait;
    int64_t deadline_ms;                                /* 0: none */
    const char *ids_path, *results_path, *outputs_path; /* NULL: none */
    bool quiet;
};

/* True, or false with the exit status. */
bool leat_producer_settings_read(int argc, char *const argv[], struct leat_producer_settings *ret,
                                 int *ret_status);
void leat_producer_settings_fini(struct leat_producer_settings *settings);

extern const struct leat_program leat_producer_program;

#endif
