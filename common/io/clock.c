#include "io/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec time;
    int rc = clock_gettime(clock, &time);
    assert(rc == 0);
    (void)rc;
    return (int64_t)time.tv_sec * LEAT_US_PER_S + (int64_t)time.tv_nsec / 1000;
}

void leat_clock_now(struct leat_now *ret_now)
{
    ret_now->mono_us = read_us(CLOCK_MONOTONIC);
    ret_now->wall.us = read_us(CLOCK_REALTIME);
}
