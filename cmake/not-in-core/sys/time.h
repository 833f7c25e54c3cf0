#error "a core must not include <sys/time.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
