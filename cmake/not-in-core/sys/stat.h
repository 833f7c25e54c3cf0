#error "a core must not include <sys/stat.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
