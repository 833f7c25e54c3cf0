#error "a core must not include <sys/epoll.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
