/* Numbers with units, as people write them in options, and back to text.
 *
 * A number is decimal digits, optionally with a point and up to 9 more digits ("1.5s"), directly
 * followed by its unit; no sign, no space. Fractions are rounded down to the base unit; a
 * number that is not zero and would become zero is refused. Units are told apart by case.
 *
 * On failure every parser returns LEAT_ERR_INVALID (not such a text) or LEAT_ERR_LIMIT (too large),
 * leaves *ret untouched, and `why` names the text and what is expected. */
#ifndef LEAT_CORE_UNITS_H
#define LEAT_CORE_UNITS_H

#include <stdint.h>

#include "core/bucket.h"
#include "core/err.h"
#include "core/view.h"

/* us, ms, s, m, h, d; a plain 0 needs no unit. Up to 2^62 us (146,000 years). */
LEAT_MUST_USE enum leat_err leat_units_parse_duration(struct leat_str text, int64_t *ret_us,
                                                      struct leat_why *why);
/* Plain bytes or B; KiB, MiB, GiB, TiB (1024); kB or KB, MB, GB, TB (1000). Up to 2^62. */
LEAT_MUST_USE enum leat_err leat_units_parse_size(struct leat_str text, uint64_t *ret_bytes,
                                                  struct leat_why *why);
/* Plain digits, or with k, M or G for thousands, millions, thousand millions ("1.5k"). What is no
 * whole number is refused, not rounded. Up to 2^62. */
LEAT_MUST_USE enum leat_err leat_units_parse_count(struct leat_str text, uint64_t *ret_count,
                                                   struct leat_why *why);
/* N/s, N/m, N/h or N/d, where N is a number of at least 0.001 with up to 3 digits after the point,
 * and at most LEAT_RATE_PER_S_MAX per second. *ret_rate is in the ranges that leat_bucket_init asks
 * for. */
LEAT_MUST_USE enum leat_err leat_units_parse_rate(struct leat_str text, struct leat_rate *ret_rate,
                                                  struct leat_why *why);

#define LEAT_UNITS_TEXT_BYTES 32

/* Exact: what the matching parser reads back as the same number, in the largest unit that needs no
 * fraction ("1500ms", "2h", "64MiB", "10MB", "123"). Return `text`. Negative durations are written
 * with a minus, which no parser takes. */
const char *leat_units_format_duration(int64_t us, char text[LEAT_UNITS_TEXT_BYTES]);
const char *leat_units_format_size(uint64_t bytes, char text[LEAT_UNITS_TEXT_BYTES]);
/* "5/s"; a rate that no parser could have made is written in tokens per second, rounded down. */
const char *leat_units_format_rate(struct leat_rate rate, char text[LEAT_UNITS_TEXT_BYTES]);

/* For tables that people read, rounded down: "850us", "1.23ms", "45.6s", "4m12s", "3h05m", "2d04h";
 * "512B", "3.42GiB". */
const char *leat_units_about_duration(int64_t us, char text[LEAT_UNITS_TEXT_BYTES]);
const char *leat_units_about_size(uint64_t bytes, char text[LEAT_UNITS_TEXT_BYTES]);

#endif
