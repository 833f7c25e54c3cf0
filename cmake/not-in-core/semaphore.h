#error "a core must not include <semaphore.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
