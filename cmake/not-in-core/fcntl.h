#error "a core must not include <fcntl.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
