/* --header NAME=VALUE (a LEAT_OPTION_LIST), as leat-producer and leat submit have it. */
#ifndef LEAT_PRODUCER_HEADER_OPTIONS_H
#define LEAT_PRODUCER_HEADER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/limits.h"
#include "io/options.h"
#include "leat/producer.h"

struct leat_header_options {
    struct leat_producer_header items[LEAT_HEADERS_MAX]; /* values borrow from the options */
    char names[LEAT_HEADERS_MAX][LEAT_HEADER_NAME_BYTES_MAX + 1];
    size_t count;
};

/* True, or false with the exit status, after a line on stderr that says what is wrong. */
bool leat_header_options_read(const struct leat_options *options,
                              const struct leat_program *program, struct leat_header_options *ret,
                              int *ret_status);

#endif
