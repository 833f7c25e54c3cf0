#error "a core must not include <sys/mman.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
