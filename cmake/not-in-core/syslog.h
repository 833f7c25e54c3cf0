#error "a core must not include <syslog.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
