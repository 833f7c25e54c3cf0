#!/usr/bin/python3
"""Bad bytes on every socket: an error or silence, a counter, never a crash; honest peers are served throughout."""
import os
import random
import socket
import unittest

import msgpack
import zmq

import lab


class Hostile(unittest.TestCase):
    def cluster(self, laboratory):
        for name in laboratory.endpoints:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                laboratory.endpoints[name] = "tcp://127.0.0.1:%d" % probe.getsockname()[1]
                laboratory.env["LEAT_" + name.upper()] = laboratory.endpoints[name]
        return laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "echo=cat")

    def frames(self):
        rng = random.Random(int(os.environ.get("LEAT_SEED", "1")))
        for size in (0, 1, 2, 5, 100, 10000):
            yield bytes(rng.randrange(256) for _ in range(size))
        yield b"\xdd\xff\xff\xff\xff"               # an array that says it has 2^32 - 1 elements
        yield b"\x93\x01\x10\xdd\xff\xff\xff\xff"
        yield b"\x93\x01\x10\xc6\xff\xff\xff\xff"   # a bin of 4 GiB
        yield b"\x91" * 100000                      # nested deeply
        yield msgpack.packb([1])
        yield msgpack.packb([2, 0x10])              # another protocol version
        yield msgpack.packb([1, 0xEE, 1, 2, 3])     # no such type
        for kind in range(0, 0x80):
            if kind == 0x35:
                continue  # after a FOLLOW, QUIT is the ventilator's valid word; who may say it is a matter of keys
            yield msgpack.packb([1, kind])
            yield msgpack.packb([1, kind, *[2 ** 63] * 12])
            yield msgpack.packb([1, kind, *[b"\0" * 16] * 12])
            yield msgpack.packb([1, kind, b"\1" * 16, 1, [[b"\2" * 16, "q", "t", 0, 0, b"x"]]])
            yield msgpack.packb([1, kind, b"\1" * 16, 1, "name", [["default"]], 4, []])
            yield msgpack.packb([1, kind, b"\1" * 16, 1, [[1]] * 4097])

    def attack_router(self, laboratory, endpoint):
        with laboratory.context.socket(zmq.DEALER) as peer:
            peer.linger = 0
            peer.connect(endpoint)
            answers = 0
            for frame in self.frames():
                peer.send(frame)
                while peer.poll(0):
                    peer.recv_multipart()
                    answers += 1
            peer.send_multipart([b"a", b"b", b"c"])
            peer.send_multipart([b"x"] * 1000)
            peer.send(msgpack.packb([1, 0xEE]))
            while peer.poll(1000):
                answers += 1
                message = msgpack.unpackb(peer.recv_multipart()[-1])
                self.assertEqual(message[0], 1)
            self.assertGreater(answers, 10, "bad messages are answered")

    def attack_raw(self, endpoint):
        host, port = endpoint[len("tcp://"):].rsplit(":", 1)
        for data in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, bytes(range(256)) * 100,
                     b"\xff\0\0\0\0\0\0\0\1\x7f\x03\0NULL" + b"\0" * 48 + b"\xff" * 100):
            with socket.create_connection((host, int(port)), 5) as raw:
                raw.settimeout(0.2)
                try:
                    raw.sendall(data)
                    raw.recv(100)
                except OSError:
                    pass

    def attack_stats(self, laboratory, sink):
        for frame in (*list(self.frames())[:40], b"{", b"{}", b"[]", b'{"request": 7}', b'{"request": "nonsense"}',
                      b'{"request": "job"}', b'{"request": "job", "id": "x"}', b'{"request": "failures", "limit": -1}',
                      b'{"request": "failures", "after": "zz"}', b'{"request": "stats"' + b" " * 60000,
                      b"[" * 50000, msgpack.packb({"request": "nonsense"}), msgpack.packb({"request": ["stats"]}),
                      msgpack.packb({"request": "failures", "limit": 2 ** 40})):
            with laboratory.context.socket(zmq.REQ) as asker:
                asker.linger = 0
                asker.connect(laboratory.endpoints["stats"])
                asker.send(frame)
                self.assertTrue(asker.poll(5000), f"no answer to {frame[:40]!r}; {lab.alive(sink.pid)}")
                reply = asker.recv()
                reply = msgpack.unpackb(reply) if reply[:1] != b"{" else __import__("json").loads(reply)
                self.assertIn("error", reply, f"{frame[:40]!r} was accepted")
                self.assertTrue(reply["error"]["name"])

    def memory(self, process):
        with open(f"/proc/{process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def test_bad_bytes_on_every_socket_harm_nobody(self):
        with lab.Lab() as laboratory:
            sink, ventilator, worker = self.cluster(laboratory)
            producer = laboratory.background("producer", "leat-producer", "--lines", "-", "--type", "echo", "--wait",
                                             "--deadline", "100s", stdin="".join(f"{n}\n" for n in range(2000)))
            for _ in range(2):
                for name in ("ventilator", "sink"):
                    self.attack_router(laboratory, laboratory.endpoints[name])
                self.attack_stats(laboratory, sink)
                for name in laboratory.endpoints:
                    self.attack_raw(laboratory.endpoints[name])
            self.assertEqual(producer.wait(120), 0, producer.log_text())
            for process in (sink, ventilator, worker):
                self.assertTrue(process.alive(), f"{process.name}: {process.log_text()[-500:]}")
                self.assertLess(self.memory(process), 300 * 1024, f"{process.name} in KiB")
            stats = laboratory.wait_for(lambda: (lambda s: s if s["ventilator"]["malformed_total"] > 100 else None)(laboratory.stats()),
                                        "the ventilator counted them")
            self.assertGreater(stats["sink"]["refused_total"], 100)
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["successes"] >= 2000, "the sink tells of every result")

    def test_hostile_bytes_reach_a_worker_and_it_goes_on(self):
        """A false ventilator: a ROUTER that answers a worker with bad bytes; then the real one takes its place."""
        with lab.Lab() as laboratory:
            laboratory.sink()
            with laboratory.context.socket(zmq.ROUTER) as false:
                false.linger = 0
                false.bind(laboratory.endpoints["ventilator"])
                worker = laboratory.worker("--exec", "echo=cat")
                identity, hello = false.recv_multipart()
                self.assertEqual(msgpack.unpackb(hello)[1], 0x20)
                for frame in self.frames():
                    false.send_multipart([identity, frame])
                false.unbind(laboratory.endpoints["ventilator"])
            laboratory.ventilator()
            self.assertEqual(laboratory.run("leat", "submit", "--type", "echo", "--wait", "--deadline", "40s", "x").out, "x")
            self.assertTrue(worker.alive())


if __name__ == "__main__":
    lab.main()
