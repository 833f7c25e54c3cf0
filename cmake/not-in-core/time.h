#error "a core must not include <time.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
