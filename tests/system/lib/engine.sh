# A Docker engine for the tests: uses the one that runs, else starts one of its own and stops it at the end.
# Source it, then: engine_start; engine_base_image; ...; engine_stop (also in the EXIT trap).
# Needs root when it must start an engine. The engine's data lives in $ENGINE_DIR and goes with it.

ENGINE_PID=
ENGINE_DIR=

engine_start() {
    "$ROOT/scripts/install-packages" container || return 1
    if docker info >/dev/null 2>&1; then
        return 0
    fi
    ENGINE_DIR=$(mktemp -d /var/tmp/leat-engine.XXXXXX)
    dockerd --data-root "$ENGINE_DIR/data" --exec-root "$ENGINE_DIR/exec" --pidfile "$ENGINE_DIR/pid" \
        --bip 198.18.0.1/24 --default-address-pool base=198.18.16.0/20,size=24 \
        >"$ENGINE_DIR/log" 2>&1 &
    ENGINE_PID=$!
    # The engine says "API listen" when it serves; its own end is the other event.
    (tail -n +1 --pid="$ENGINE_PID" -F "$ENGINE_DIR/log" 2>/dev/null & echo $! >"$ENGINE_DIR/tail"; wait) |
        { while read -r line; do case $line in *"API listen"*) break ;; esac; done; }
    kill "$(cat "$ENGINE_DIR/tail")" 2>/dev/null
    docker info >/dev/null 2>&1 || { tail -20 "$ENGINE_DIR/log" >&2; echo "compose: no Docker engine here" >&2; return 1; }
}

# debian:bookworm-slim, made on this machine when no registry can be reached.
engine_base_image() {
    docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return 0
    tree=$(mktemp -d /var/tmp/leat-base.XXXXXX)
    "$ROOT/scripts/fresh-debian" "$tree/root" || return 1
    tar -C "$tree/root" -c . | docker import - debian:bookworm-slim >/dev/null || return 1
    rm -rf "$tree"
}

engine_stop() {
    [ -n "$ENGINE_PID" ] || return 0
    kill "$ENGINE_PID" 2>/dev/null
    wait "$ENGINE_PID" 2>/dev/null
    ENGINE_PID=
    umount "$ENGINE_DIR"/exec/netns/* 2>/dev/null
    rm -rf "$ENGINE_DIR"
}
