#error "a core must not include <lmdb.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
