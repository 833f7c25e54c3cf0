"""Hosts on a network that can be made as bad as one likes: each is a network namespace with one address, its cable (a veth) ends
in the *wire*, a process that passes packets on, late, twice, in another order, or not at all, per direction, by a seed.

    with Network(("brokers", "one", "two"), seed=1) as network:
        network.command("one", [...])                                  the same command, to be run on that host
        network.spoil("one", "brokers", loss=0.1, delay_ms=20, jitter_ms=20, duplicate=0.05)
        network.spoil("brokers", "one", cut=True)                      one way only
        network.spoil("two", "brokers", mute=True)                     FIN and RST get lost: whoever dies is silent
        network.heal()

Why not tc netem and nftables: kernels often come without the former (this needs veth and packet sockets only), and here each
packet's fate follows from a seed. The namespaces have no names and no mounts: they live as long as the processes that hold
them, so nothing is left however a test ends. Needs root, or a user namespace of one's own; see `Unavailable`.
"""
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
FIN_OR_RST = 0x05
GOOD = {"loss": 0.0, "delay_ms": 0.0, "jitter_ms": 0.0, "duplicate": 0.0, "cut": False, "mute": False}


class Unavailable(Exception):
    """This machine cannot make such a network; the text says what is missing."""


def address(number):
    return f"10.77.0.{number}"


# ---- the process that holds a host's namespace ----


def hold():
    """Makes a namespace, says so, and lives until its standard input ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        print(f"unshare: {os.strerror(ctypes.get_errno())}", flush=True)
        return 1
    print("ready", flush=True)
    sys.stdin.read()
    return 0


# ---- the wire ----


class Wire:
    """In a namespace of its own, where all cables end as cable1, cable2, ... Reads orders from standard input, a line each:
    [from, to, {fault: value}]."""

    def __init__(self, hosts, seed):
        self.rng = random.Random(seed)
        self.serial = 0
        self.later = []   # heap of (time, serial, to, frame)
        self.faults = {(a, b): dict(GOOD) for a in range(1, hosts + 1) for b in range(1, hosts + 1)}
        self.cables = {}
        for host in range(1, hosts + 1):
            cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            cable.bind((f"cable{host}", 0))
            cable.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            cable.setblocking(False)
            self.cables[host] = cable

    @staticmethod
    def target(frame):
        """The host that an IPv4 packet or an ARP question or answer is for; None: not ours."""
        kind = frame[12:14]
        if kind == b"\x08\x00" and len(frame) >= 34:
            return frame[33]
        if kind == b"\x08\x06" and len(frame) >= 42:
            return frame[41]
        return None

    @staticmethod
    def ends_connection(frame):
        if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
            return False
        tcp = 14 + 4 * (frame[14] & 0xf)
        return bool(frame[tcp + 13] & FIN_OR_RST)

    def take(self, host):
        for _ in range(64):
            try:
                frame, origin = self.cables[host].recvfrom(65536)
            except BlockingIOError:
                return
            if origin[2] == socket.PACKET_OUTGOING:
                continue  # what was put here ourselves
            target = self.target(frame)
            if target in self.cables and target != host:
                self.judge(host, target, frame)

    def judge(self, host, target, frame):
        fault, rng = self.faults[host, target], self.rng
        if fault["cut"] or rng.random() < fault["loss"] or (fault["mute"] and self.ends_connection(frame)):
            return
        for _ in range(2 if rng.random() < fault["duplicate"] else 1):
            delay_s = (fault["delay_ms"] + rng.random() * fault["jitter_ms"]) / 1000
            self.serial += 1
            if delay_s == 0:
                self.put(target, frame)
            elif len(self.later) < 50000:
                heapq.heappush(self.later, (time.monotonic() + delay_s, self.serial, target, frame))

    def put(self, target, frame):
        try:
            self.cables[target].send(frame)
        except OSError:
            pass  # a full queue, as any wire has

    def run(self):
        poller = select.poll()
        hosts = {cable.fileno(): host for host, cable in self.cables.items()}
        for fd in (0, *hosts):
            poller.register(fd, select.POLLIN)
        print("ready", flush=True)
        while True:
            wait_ms = max(0, (self.later[0][0] - time.monotonic()) * 1000) if self.later else None
            for fd, _ in poller.poll(wait_ms):
                if fd != 0:
                    self.take(hosts[fd])
                    continue
                line = sys.stdin.buffer.readline()
                if not line:
                    return 0
                host, target, fault = json.loads(line)
                self.faults[host, target].update(fault)
                print("done", flush=True)
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                _, _, target, frame = heapq.heappop(self.later)
                self.put(target, frame)


def checksums_in_software(interface):
    """The kernel leaves the checksums of what it sends over a veth to the other end, which here is no kernel; that also ends
    segmentation by the device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
        request = ctypes.create_string_buffer(struct.pack("16sP", interface.encode(), ctypes.addressof(value)) + bytes(16))
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


# ---- the test's side ----


class Network:
    def __init__(self, hosts, seed=1):
        self.numbers = {host: number for number, host in enumerate(hosts, 1)}
        self.seed = seed
        self.holders = {}
        self.wire = None

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in [self.wire, *self.holders.values()]:
            if process is not None:
                process.stdin.close()
                process.stdout.close()
        for process in [self.wire, *self.holders.values()]:
            if process is not None and process.wait(10) is None:
                process.kill()

    def start(self, arguments, prefix=()):
        process = subprocess.Popen([*prefix, sys.executable, os.path.abspath(__file__), *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        word = process.stdout.readline().strip()
        if word != "ready":
            process.stdin.close()
            process.stdout.close()
            process.wait()
            raise Unavailable(f"this machine cannot make network namespaces ({word or 'nothing said'}): it takes root (CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW), "
                              "and a kernel with CONFIG_NET_NS, CONFIG_VETH and CONFIG_PACKET")
        return process

    def ip(self, where, *arguments):
        done = subprocess.run([*self.inside(where), "ip", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()} (it takes root, and a kernel with CONFIG_VETH)")

    def inside(self, host):
        return ["nsenter", f"--net=/proc/{self.holders[host].pid}/ns/net"]

    def build(self):
        for host in ("the wire", *self.numbers):
            self.holders[host] = self.start(["hold"])
        for host, number in self.numbers.items():
            cable = f"cable{number}"
            self.ip("the wire", "link", "add", cable, "type", "veth", "peer", "name", "net0", "netns", str(self.holders[host].pid))
            self.ip("the wire", "link", "set", cable, "up")
            self.ip(host, "addr", "add", f"{address(number)}/24", "dev", "net0")
            self.ip(host, "link", "set", "net0", "up")
            self.ip(host, "link", "set", "lo", "up")
            done = subprocess.run([*self.inside(host), sys.executable, os.path.abspath(__file__), "checksums", "net0"], capture_output=True, text=True)
            if done.returncode != 0:
                raise Unavailable(f"checksums of a veth cannot be set: {done.stderr.strip()}")
        self.wire = self.start(["wire", str(len(self.numbers)), str(self.seed)], self.inside("the wire"))

    def address(self, host):
        return address(self.numbers[host])

    def command(self, host, command):
        return [*self.inside(host), *command]

    def spoil(self, host, target, **fault):
        """From one host to another; what is not named stays as it is."""
        self.wire.stdin.write(json.dumps([self.numbers[host], self.numbers[target], fault]) + "\n")
        self.wire.stdin.flush()
        assert self.wire.stdout.readline() == "done\n"

    def spoil_both(self, host, target, **fault):
        self.spoil(host, target, **fault)
        self.spoil(target, host, **fault)

    def heal(self):
        for host in self.numbers:
            for target in self.numbers:
                if host != target:
                    self.spoil(host, target, **GOOD)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        sys.exit(hold())
    if sys.argv[1] == "checksums":
        sys.exit(checksums_in_software(sys.argv[2]))
    sys.exit(Wire(int(sys.argv[2]), int(sys.argv[3])).run())
