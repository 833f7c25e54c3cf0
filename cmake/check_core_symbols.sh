#!/bin/sh
# Stops the build when a core library refers to the clock, files, sockets, threads or chance.
# usage: check_core_symbols.sh LIBRARY.a
forbidden='zmq_.*|zsock_.*|zmsg_.*|zframe_.*|zactor_.*|mdb_.*|clock_gettime|gettimeofday|time|nanosleep|usleep|sleep|open|openat|read|write|fopen|fsync|fdatasync|socket|send|recv|poll|pthread_create|fork|kill|rand|random|srand|getrandom|getenv|printf|puts|fputs|fwrite'
bad=$(nm -u "$1" 2>/dev/null | awk '$1 == "U" {print $2}' | sed 's/@.*//' | sort -u | grep -xE "$forbidden")
if [ -n "$bad" ]; then
    echo "$1: a core must be pure, but it refers to:" $bad >&2
    exit 1
fi
