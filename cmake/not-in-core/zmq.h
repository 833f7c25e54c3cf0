#error "a core must not include <zmq.h>: it is pure policy (docs/ARCHITECTURE.md, the three rings)"
