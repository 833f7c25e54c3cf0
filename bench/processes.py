"""Processes of the bench: started, waited for, ended by their ids; and what they used: processor time with everything below them,
anonymous memory; and what a disk was given to write. Everything comes from /proc."""
import json
import mmap
import os
import resource
import select
import signal
import subprocess
import sys
import time
import typing


class BenchError(Exception):
    pass


def read(path):
    with open(path, encoding="ascii", errors="replace") as f:
        return f.read()


def children_of():
    """{parent: [children]} of all processes."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = read(f"/proc/{name}/stat")
            except OSError:
                continue
            found.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(name))
    return found


def tree_of(pid):
    below, found, todo = children_of(), [], [pid]
    while todo:
        found.append(todo.pop())
        todo += below.get(found[-1], [])
    return found


class Thread(typing.NamedTuple):
    """What one has used: nanoseconds of processor time, exact; and ticks of 10 ms in the program and in the kernel, good for a share."""
    name: str
    ns: int = 0
    program: int = 0
    kernel: int = 0


def threads_of(pid):
    """{(process, thread): Thread} of a process' living threads."""
    found = {}
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            name, fields = read(f"/proc/{pid}/task/{task}/stat").split("(", 1)[1].rsplit(")", 1)
            program, kernel = fields.split()[11:13]
            found[pid, int(task)] = Thread(name, int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0]), int(program), int(kernel))
    except (OSError, IndexError):
        pass
    return found


def status_kib(pid, field):
    try:
        for line in read(f"/proc/{pid}/status").split("\n"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def touch_memory(gib):
    """The kernel gets so much fresh memory to use next as this machine has really given: at most half of what is free. GiB it was.

    A virtual machine gets a page from its host when it first touches it, which costs the kernel microseconds, and may give back within
    seconds what lies free. What writes a gigabyte of new files would be measured with that or without, by chance."""
    with open("/proc/meminfo", encoding="ascii") as f:
        free_kib = next(int(line.split()[1]) for line in f if line.startswith("MemFree:"))
    size = min(gib << 30, free_kib * 512) & -mmap.PAGESIZE
    if size > 0:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
    return round(size / (1 << 30), 1)


def disk_written_bytes(path):
    """What the disk below a path was given to write since the machine started, by anybody; None: no disk is below it. A process' own
    count (write_bytes of /proc/PID/io) is too high: with large folios, 4 KiB that are changed count as the whole folio."""
    device = os.stat(path).st_dev
    for line in read("/proc/diskstats").splitlines():
        fields = line.split()
        if (int(fields[0]), int(fields[1])) == (os.major(device), os.minor(device)):
            return int(fields[9]) * 512
    return None


class Process:
    """A process that runs until it is stopped (server, worker) or ends by itself and prints one JSON object (client)."""

    def __init__(self, name, command, log, ready_fd=False, env=None):
        self.name, self.command, self.log = name, [str(c) for c in command], log
        self.before = {"threads": {}}
        with open(log, "ab") as errors:
            if ready_fd:
                there, here = os.pipe()
                self.popen = subprocess.Popen([*self.command, "--ready-fd", str(here)], stdout=errors, stderr=errors, pass_fds=[here], env=env)
                os.close(here)
                with os.fdopen(there) as f:
                    if not f.readline():
                        self.popen.wait()
                        raise BenchError(f"{name} did not start:\n{self.tail()}")
            else:
                self.popen = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=errors, env=env)
        self.pid = self.popen.pid

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-12:])

    def mark(self):
        """What is used from here on is counted."""
        self.before = self.used_now()

    def used_now(self):
        pids = tree_of(self.pid)
        return {"threads": {at: used for pid in pids for at, used in threads_of(pid).items()}, "anonymous_kib": sum(status_kib(p, "RssAnon") for p in pids)}

    def used(self):
        """Since mark(): "cpu_s"; "threads", for each name of a thread (seconds in the program, in the kernel); and "anonymous_kib" now."""
        now = self.used_now()
        threads, cpu_s = {}, 0
        for at, thread in now["threads"].items():
            before = self.before["threads"].get(at, Thread(thread.name))
            seconds, program, kernel = (thread.ns - before.ns) / 1e9, thread.program - before.program, thread.kernel - before.kernel
            share = kernel / (program + kernel) if program + kernel else 0
            sums = threads.setdefault(thread.name, [0, 0])
            sums[0] += seconds * (1 - share)
            sums[1] += seconds * share
            cpu_s += seconds
        return {"cpu_s": cpu_s, "threads": threads, "anonymous_kib": now["anonymous_kib"]}

    def result(self, timeout_s=600):
        """Waits for a client to end; (its JSON object, what it used: seconds in the program, in the kernel)."""
        text = self.read_all(time.monotonic() + timeout_s)
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        if self.popen.returncode != 0:
            raise BenchError(f"{self.name}: exit status {self.popen.returncode}\n{self.tail()}")
        return json.loads(text), {"cpu_s": usage.ru_utime + usage.ru_stime, "threads": {"all threads": [usage.ru_utime, usage.ru_stime]}}

    def read_all(self, deadline):
        pieces = []
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.popen.stdout], [], [], left)[0]:
                self.popen.kill()
                raise BenchError(f"{self.name}: no end in time: {' '.join(self.command)}\n{self.tail()}")
            piece = os.read(self.popen.stdout.fileno(), 65536)
            if not piece:
                self.popen.stdout.close()
                return b"".join(pieces).decode()
            pieces.append(piece)

    def alive(self):
        return self.popen.returncode is None and self.popen.poll() is None

    def stop(self, how=signal.SIGTERM, timeout_s=20):
        if self.alive():
            self.popen.send_signal(how)
            try:
                self.popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


def children_s():
    """Processor seconds of all children that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def spent_s(command):
    """Runs a command to its end; seconds of processor time that it used."""
    before = children_s()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return children_s() - before


def wait_for(condition, what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not in {timeout_s} s")
        time.sleep(0.002)


def say(text):
    print(text, file=sys.stderr, flush=True)
