#!/bin/sh
# Stops the build when a core library refers to the clock, files, sockets, threads or chance.
# usage: check_core_symbols.sh LIBRARY.a
forbidden='zmq_.*|z(sock|msg|frame|actor|poller|loop|list|hash|hashx|str|cert|certstore|sys|clock|uuid)_.*|mdb_.*'
# the clock
forbidden="$forbidden|clock|clock_.*|gettimeofday|time|times|timespec_get|nanosleep|usleep|sleep|alarm|setitimer|timer_.*|timerfd_.*"
# files, sockets, and what waits for them
forbidden="$forbidden|open|open64|openat|openat64|creat|close|read|write|pread|pwrite|readv|writev|__read_chk|__pread_chk|lseek|lseek64|fsync|fdatasync|sync|rename|unlink|mkdir|rmdir|stat|fstat|lstat|mmap|mmap64|munmap|ioctl|fcntl|fcntl64|pipe|pipe2|opendir|readdir"
forbidden="$forbidden|fopen|fopen64|fdopen|fclose|fread|fgets|getline|fwrite|fputs|fputc|putc|puts|putchar|printf|fprintf|dprintf|vprintf|vfprintf|__printf_chk|__fprintf_chk|__vfprintf_chk|perror|fflush|syslog|stdin|stdout|stderr"
forbidden="$forbidden|socket|socketpair|connect|bind|listen|accept|accept4|send|sendto|sendmsg|recv|recvfrom|recvmsg|poll|ppoll|select|pselect|epoll_.*|eventfd|getaddrinfo"
# processes, threads, surroundings
forbidden="$forbidden|fork|vfork|clone|exec.*|posix_spawn.*|system|popen|wait|waitpid|wait4|kill|raise|signal|sigaction|sigprocmask|getpid|gethostname|getenv|secure_getenv|setenv|pthread_.*|thrd_.*|mtx_.*|cnd_.*|sem_.*|dlopen|dlsym|syscall"
# chance
forbidden="$forbidden|rand|rand_r|srand|random|srandom|[dejlmn]rand48|getrandom|getentropy|arc4random.*"

# A library that cannot be read must not pass.
symbols=$(nm -u "$1") || exit 1
bad=$(echo "$symbols" | awk '$1 == "U" {print $2}' | sed 's/@.*//' | sort -u | grep -xE "$forbidden")
if [ -n "$bad" ]; then
    echo "$1: a core must be pure, but it refers to:" $bad >&2
    exit 1
fi
