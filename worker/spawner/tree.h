/* Ending whole trees of processes without cgroups. A process that is a subreaper (prctl(2),
 * PR_SET_CHILD_SUBREAPER) becomes the parent of every descendant whose own parent has ended,
 * however often it forked or called setsid. So a subreaper that kills its children, again and again
 * until it has none, has ended everything below it: nothing can leave upwards. */
#ifndef LEAT_WORKER_SPAWNER_TREE_H
#define LEAT_WORKER_SPAWNER_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Decides which children are left alone. */
typedef bool leat_tree_spare_fn(pid_t pid, void *context);

/* Sends SIGKILL to every child (and to its process group, when that is of another session than
 * ours) but those that `spare` (may be NULL) names. One round; does not wait. Returns how many were
 * killed. */
size_t leat_tree_kill_children(leat_tree_spare_fn *spare, void *context);

/* How many processes are below the caller, zombies included; counts no further than `enough`. While
 * they come and go it is the number of some moment, or nearly. */
size_t leat_tree_count(size_t enough);

/* Kills and reaps until there are no children. Blocks until then: not longer than the kernel needs
 * to end killed processes. If `main_pid` is met, *ret_status gets its wait status. */
void leat_tree_end(pid_t main_pid, int *ret_status);

#endif
