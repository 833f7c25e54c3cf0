#error "a core must not include <sys/ioctl.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
