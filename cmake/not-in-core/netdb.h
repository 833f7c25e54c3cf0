#error "a core must not include <netdb.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
