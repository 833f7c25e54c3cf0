/* The clocks, for shells only: cores get the time with each event. */
#ifndef LEAT_IO_CLOCK_H
#define LEAT_IO_CLOCK_H

#include "core/instant.h"

/* CLOCK_MONOTONIC and CLOCK_REALTIME. Any thread; does not block. */
void leat_clock_now(struct leat_now *ret_now);

#endif
