/* How a process keeps its memory, in terms of glibc's malloc. Before there is a second thread. */
#ifndef LEAT_IO_HEAP_H
#define LEAT_IO_HEAP_H

#include <stddef.h>

/* Memory for large payloads comes from the heap and stays there for the next ones. By default each
 * large piece would be a mapping of its own, given back at once, and its next use a page fault for
 * each of its pages: a third of the time that a job of 1 MiB takes. */
void leat_heap_keep(void);

/* For a process that lives long and holds many small things. All threads share one heap, and the
 * kernel is asked for large pages (2 MiB) in its first `bytes`: address space, which takes no
 * memory before it is used. With thousands of jobs in pages of 4 KiB, nearly each look at one costs
 * a walk through the page tables, and in a virtual machine one through the host's as well. So much
 * memory, and as much as leat_heap_keep keeps, is not given back once it was used. */
void leat_heap_reserve(size_t bytes);

#endif
