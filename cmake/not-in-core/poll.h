#error "a core must not include <poll.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
