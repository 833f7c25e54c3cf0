#!/usr/bin/python3
"""Strangers at the TCP ports who speak no ZMTP, a little of it, or too much: hundreds at a time. Honest peers are served
throughout, and when the strangers are gone, nothing of them is left: neither descriptors nor memory."""
import os
import random
import resource
import select
import socket
import struct
import time
import unittest

import msgpack

import lab
from honest import Honest, anonymous_kib, descriptors

GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\x03\0NULL" + b"\0" * 16 + b"\0" + b"\0" * 31
READY_BODY = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0"
READY = b"\x04" + bytes([len(READY_BODY)]) + READY_BODY
CLIENTS = 1000


def frame(body):
    return (b"\0" + bytes([len(body)]) if len(body) < 256 else b"\2" + struct.pack(">Q", len(body))) + body


class Floods(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        cls.files = min(hard, 4096) if hard != resource.RLIM_INFINITY else 4096
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, cls.files), hard))

    def cluster(self, laboratory):
        for name in laboratory.endpoints:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                laboratory.endpoints[name] = "tcp://127.0.0.1:%d" % probe.getsockname()[1]
                laboratory.env["LEAT_" + name.upper()] = laboratory.endpoints[name]
        sink, ventilator = laboratory.sink(), laboratory.ventilator()
        laboratory.worker("--exec", "echo=cat")
        return sink, ventilator

    def address(self, laboratory, name):
        host, port = laboratory.endpoints[name][len("tcp://"):].rsplit(":", 1)
        return host, int(port)

    def connect(self, address, data=b""):
        peer = socket.create_connection(address, 20)
        peer.settimeout(20)
        try:
            peer.sendall(data)
        except OSError:
            pass  # it has hung up already, as it may
        return peer

    def close(self, peers):
        for peer in peers:
            # A reset, so that thousands of closed connections do not wait on either side.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

    def is_flat(self, laboratory, processes, attack, warm=1):
        """The attack a few times to warm up, and again: then everything is as it was before. (Pages that malloc keeps for a
        thousand sessions of libzmq grow by 16, 10, 5, 3, 1.7, 1.1 MiB from time to time, and then no more.)"""
        for _ in range(warm):
            attack()
        before = {p: self.settled(laboratory, p, None) for p in processes}
        attack()
        for process, (files, kib) in before.items():
            files_now, kib_now = self.settled(laboratory, process, files)
            self.assertLessEqual(files_now, files + 4, f"{process.name} keeps descriptors")
            self.assertLess(kib_now - kib, 16 * 1024, f"{process.name} keeps memory: {kib} KiB before, {kib_now} after")
            self.assertTrue(process.alive())

    def settled(self, laboratory, process, wanted):
        """Descriptors and memory, when the number of the first stands still (or is what is wanted)."""
        last = [None, time.monotonic()]

        def stands_still():
            now = descriptors(process)
            if now != last[0]:
                last[:] = [now, time.monotonic()]
            return (wanted is not None and now <= wanted) or time.monotonic() - last[1] > 0.5
        laboratory.wait_for(stands_still, f"{process.name} lets go of connections")
        return descriptors(process), anonymous_kib(process)

    def test_connections_that_never_speak_are_ended_and_hinder_nobody(self):
        with lab.Lab() as laboratory:
            processes = self.cluster(laboratory)
            with Honest(laboratory.endpoints["ventilator"]) as honest:
                def attack():
                    silent = [self.connect(self.address(laboratory, name), data)
                              for name in ("ventilator", "sink")
                              for data in [b""] * 170 + [GREETING[:11]] * 40 + [GREETING] * 40]
                    # Each is told to go, without having said a word: an end of file, or a reset.
                    left, end = set(silent), time.monotonic() + lab.PATIENCE_S
                    while left and time.monotonic() < end:
                        readable = select.poll()
                        for peer in left:
                            readable.register(peer, select.POLLIN)
                        ready = {number for number, _ in readable.poll(1000)}
                        for peer in [p for p in left if p.fileno() in ready]:
                            try:
                                if not peer.recv(4096):
                                    left.discard(peer)
                            except OSError:
                                left.discard(peer)
                    self.assertFalse(left, f"{len(left)} silent connections are still open")
                    self.close(silent)
                self.is_flat(laboratory, processes, attack)
            print(honest.check())

    def test_greetings_by_the_byte_old_versions_and_noise(self):
        with lab.Lab() as laboratory:
            processes = self.cluster(laboratory)
            rng = random.Random(int(os.environ.get("LEAT_SEED", "1")))
            words = [
                b"\x01\0", b"\x01\0\x05\0hello", b"\x7f\0" + b"x" * 126,                  # ZMTP 1.0
                b"\xff\0\0\0\0\0\0\0\1\x7f\x01\x05\0\0", b"\xff\0\0\0\0\0\0\0\1\x7f\0\x05",  # ZMTP 2.0, 1.0 in 2.0's form
                GREETING[:12] + b"CURVE" + b"\0" * 47, GREETING[:12] + b"PLAIN" + b"\0" * 47,
                GREETING[:10] + b"\xff" + GREETING[11:], GREETING + b"\x04\xff" + b"\xff" * 255,
                GREETING + READY + b"\x04\0", GREETING + READY * 50, GREETING + READY + b"\x04\x05\x04PING",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 200]
            # A length of many gigabytes, as a message, as a part of one, as a command, and just over the limit.
            for flags in (2, 3, 6):
                for size in (2 ** 63 - 1, 2 ** 64 - 1, 2 ** 40, (96 << 20) + 1):
                    words.append(GREETING + READY + bytes([flags]) + struct.pack(">Q", size) + b"x" * 1000)
            with Honest(laboratory.endpoints["ventilator"]) as honest:
                def attack():
                    peers = [self.connect(self.address(laboratory, name), data)
                             for name in ("ventilator", "sink", "stats", "events") for data in words]
                    peers += [self.connect(self.address(laboratory, name), rng.randbytes(rng.randrange(1, 5000)))
                              for name in ("ventilator", "sink") for _ in range(50)]
                    slow = [self.connect(self.address(laboratory, name)) for name in ("ventilator", "sink") for _ in range(20)]
                    for at in range(len(GREETING)):
                        for peer in slow:
                            try:
                                peer.send(GREETING[at:at + 1])
                            except OSError:
                                pass
                        select.select([], [], [], 0.01)  # the point of it: a byte, and a pause
                    self.close(peers + slow)
                self.is_flat(laboratory, processes, attack)
            print(honest.check())

    def test_a_thousand_clients_that_come_at_once_again_and_again(self):
        with lab.Lab() as laboratory:
            if self.files < CLIENTS + 200:
                self.skipTest(f"only {self.files} descriptors")
            processes = self.cluster(laboratory)
            ping = frame(msgpack.packb([1, 0x40, 7, "ping", ""]))
            with Honest(laboratory.endpoints["ventilator"]) as honest:
                def attack():
                    for name in ("ventilator", "sink"):
                        address = self.address(laboratory, name)
                        peers = [self.connect(address, GREETING + READY) for _ in range(CLIENTS)]
                        for peer in peers:  # libzmq ends who speaks before it has said READY itself
                            self.assertTrue(self.reads(peer, b"Identity\0\0\0\0"), "no handshake")
                            peer.sendall(ping)
                        for peer in peers:
                            self.assertTrue(self.reads(peer, b"\x94\x01\x41\x07"), "no DONE, whose ref is 7")
                        self.close(peers)
                self.is_flat(laboratory, processes, attack, warm=3)
            print(honest.check())

    def reads(self, peer, wanted):
        data = b""
        while wanted not in data:
            more = peer.recv(4096)
            if not more:
                return False
            data += more
        return True

    def test_more_connections_than_descriptors_starve_nobody_for_long(self):
        """A broker that may open 128 files, and two hundred who want to come in and say nothing."""
        with lab.Lab() as laboratory:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
            try:
                _, ventilator = self.cluster(laboratory)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            silent = [self.connect(self.address(laboratory, "ventilator")) for _ in range(200)]
            with Honest(laboratory.endpoints["ventilator"]) as honest:  # comes after them
                laboratory.wait_for(lambda: len(honest.seconds) > 5 or honest.error, "it is served all the same")
            print(honest.check())
            self.close(silent)
            self.assertTrue(ventilator.alive())


if __name__ == "__main__":
    lab.main()
