/* From a member back to the struct that holds it, for intrusive containers. */
#ifndef LEAT_CORE_CONTAINER_H
#define LEAT_CORE_CONTAINER_H

#include <stddef.h>

/* `pointer` points to `member` inside a `type`, and must not be NULL. The comparison makes the
 * compiler check that it points to the right kind of member. */
#define LEAT_CONTAINER_OF(pointer, type, member)                                                   \
    ((type *)(void *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
