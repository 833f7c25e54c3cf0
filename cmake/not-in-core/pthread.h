#error "a core must not include <pthread.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
