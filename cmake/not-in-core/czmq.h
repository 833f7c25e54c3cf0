#error "a core must not include <czmq.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
