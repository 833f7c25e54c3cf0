/* Assertions against our own bugs, in every build: a broken invariant ends the process (SIGABRT,
 * with file, line and condition on stderr) before it can harm data. Never on bytes from outside,
 * never on what the environment did. */
#ifndef LEAT_CORE_CHECK_H
#define LEAT_CORE_CHECK_H

/* Also for those who compile with -DNDEBUG; <assert.h> may be included again and again. */
#undef NDEBUG
#include <assert.h>

/* The condition must be free of side effects. Its text is printed as it was written. */
#define LEAT_ASSERT(condition)                                                                     \
    ((condition) ? (void)0 : __assert_fail(#condition, __FILE__, __LINE__, __func__))

/* For a place that no bug-free run comes to; `why` is a string literal. */
#define LEAT_UNREACHABLE(why) __assert_fail("unreachable: " why, __FILE__, __LINE__, __func__)

#endif
