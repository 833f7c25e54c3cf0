#error "a core must not include <sys/random.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
