#error "a core must not include <dlfcn.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
