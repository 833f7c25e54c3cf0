#error "a core must not include <netinet/in.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
