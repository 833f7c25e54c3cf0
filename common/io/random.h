/* Randomness from the system (getrandom), to seed the generators inside the cores. */
#ifndef LEAT_IO_RANDOM_H
#define LEAT_IO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills `size` bytes. Any thread. Blocks only when the system has just started. Aborts when the
 * system has no randomness at all: two processes with one session id would harm each other. */
void leat_random_fill(void *bytes, size_t size);

/* 64 random bits. */
uint64_t leat_random_seed(void);

#endif
