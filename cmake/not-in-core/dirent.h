#error "a core must not include <dirent.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
