#error "a core must not include <threads.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
