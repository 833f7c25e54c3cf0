/* Results of calls. Three kinds of trouble are never mixed:
 *   our bug          assert, and the process ends;
 *   a peer's fault   an enum leat_err, a counter, an ERROR reply; never an assert;
 *   the environment  an enum leat_err that is returned and handled.
 */
#ifndef LEAT_CORE_ERR_H
#define LEAT_CORE_ERR_H

#define LEAT_MUST_USE     __attribute__((warn_unused_result))
#define LEAT_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum leat_err {
#define ERR(name, number, text) LEAT_ERR_##name = number,
#include "core/err.def"
#undef ERR
    LEAT_OK = LEAT_ERR_OK
};

#define LEAT_WHY_BYTES 256

/* Why a call failed, in words that name the thing and the value. Caller's storage; a call that
 * takes one accepts NULL, writes it only on failure, and always leaves it terminated. */
struct leat_why {
    char text[LEAT_WHY_BYTES];
};

/* The name ("LIMIT") and the text ("a limit is exceeded") of an error; never NULL, also for
 * numbers that came from outside and mean nothing. */
const char *leat_err_name(unsigned err);
const char *leat_err_text(unsigned err);

/* Formats the reason into `why` (which may be NULL) and returns `err`, so that a failing call ends
 * in one line: return leat_fail(why, LEAT_ERR_LIMIT, "queue name is %zu bytes, limit is %d", ...)
 */
enum leat_err leat_fail(struct leat_why *why, enum leat_err err, const char *format, ...)
    LEAT_PRINTF(3, 4);

/* What a static analyzer cannot know of it: the error that goes in is the one that comes out. */
#ifdef __clang_analyzer__
#define leat_fail(why, err, ...) ((void)(leat_fail)(why, err, __VA_ARGS__), (err))
#endif

#endif
