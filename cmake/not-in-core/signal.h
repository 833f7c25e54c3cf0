#error "a core must not include <signal.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
