/* How a process keeps its memory, in terms of glibc's malloc. Before there is a second thread. */
#ifndef LEAT_IO_HEAP_H
#define LEAT_IO_HEAP_H

#include <stddef.h>

#include "core/err.h"

/* Memory for large payloads comes from the heap and stays there for the next ones. By default each
 * large piece would be a mapping of its own, given back at once, and its next use a page fault for
 * each of its pages: a third of the time that a job of 1 MiB takes. */
void leat_heap_keep(void);

/* Whether a process may have so many bytes, and the stacks of so many threads. Said at its start,
 * since one that is refused memory later ends there and then, and libraries that are refused a
 * thread abort or wait for it for ever. LEAT_ERR_MEMORY names what is missing. */
LEAT_MUST_USE enum leat_err leat_heap_check(size_t bytes, unsigned threads, struct leat_why *why);

/* For a process that lives long and holds many small things. All threads share one heap, and the
 * kernel is asked for large pages (2 MiB) in its first `bytes`: address space, which takes no
 * memory before it is used. With thousands of jobs in pages of 4 KiB, nearly each look at one costs
 * a walk through the page tables, and in a virtual machine one through the host's as well. So much
 * memory, and as much as leat_heap_keep keeps, is not given back once it was used. Where memory is
 * limited (ulimit -d, -v), it is a small part of the limit at most. */
void leat_heap_reserve(size_t bytes);

#endif
