#error "a core must not include <sys/socket.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
