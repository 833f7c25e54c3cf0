#error "a core must not include <unistd.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
