#error "a core must not include <sys/wait.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
