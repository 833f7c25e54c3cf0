/* From a member back to the struct that holds it, for intrusive containers. */
#ifndef LEAT_CORE_CONTAINER_H
#define LEAT_CORE_CONTAINER_H

#include <stddef.h>
#include <stdint.h>

/* `pointer` points to `member` inside a `type`, and must not be NULL. The conditional makes the
 * compiler check that it points to the right kind of member. `type` may be const. */
#define LEAT_CONTAINER_OF(pointer, type, member)                                                   \
    ((type *)((uintptr_t)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
