#!/usr/bin/python3
"""Peers who speak the protocol and lie: credit they do not have, leases and results that are not theirs, the wrong round,
the wrong direction, the same session twice, every message cut at every byte. The lies are refused, and the jobs of the
honest are neither lost nor settled by them."""
import glob
import os
import time
import unittest

import msgpack
import zmq

import lab
from client import Operator, Producer, Sink
from client_wire import (CREDIT, ERROR, GOODBYE, HELLO, JOBS, Link, OUT_OF_ORDER, PING, PONG, RESULTS, RETRY, RETURN,
                         STORED, UNKNOWN_SESSION, WELCOME, new_job_id)
from honest import Honest, anonymous_kib, descriptors

SETTLED, FOLLOW, QUIT, ACCEPTED_TYPE = 0x33, 0x32, 0x35, 0x11
SEEDS = os.path.join(lab.ROOT, "tests", "fuzz", "corpus", "wire")
HUGE = 2 ** 64 - 1


class Talker(Link):
    """A link whose messages are never lost on the way out: it waits for the connection."""

    def send(self, kind, *fields):
        if not self.socket.poll(1000 * lab.PATIENCE_S, zmq.POLLOUT):
            raise AssertionError("no connection")
        return super().send(kind, *fields)


class Liars(unittest.TestCase):
    def answer(self, link, *kinds, seconds=lab.PATIENCE_S):
        """The fields of the next message of one of these types; others are passed over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            got = link.receive(max(0.0, end - time.monotonic()))
            if got and got[0] in kinds:
                return got
        self.fail(f"no answer of {kinds}")

    def hello(self, link, session, round=1, queues=("default",), slots=4, leases=()):
        link.send(HELLO, session, round, "liar", [[name] for name in queues], slots, list(leases))

    def jobs(self, laboratory, count, queue="default"):
        with Producer(laboratory.endpoints["ventilator"]) as producer:
            ids = [producer.submit(queue, "echo", b"%d" % n) for n in range(count)]
            producer.flush(timeout_s=30)
        return ids

    def test_credit_and_leases_that_a_worker_has_not(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            ids = self.jobs(laboratory, 20)
            honest, liar, stranger = (Talker(laboratory.endpoints["ventilator"]) for _ in range(3))
            mine, his = os.urandom(16), os.urandom(16)

            stranger.send(GOODBYE, 1, 1, "bye")
            # Nobody who has not said HELLO has a round to speak in.
            for kind, rest in ((CREDIT, (HUGE, [])), (RETRY, ([],)), (RETURN, ([],)), (PING, (0, 0))):
                stranger.send(kind, 1, 1, *rest)
                self.assertEqual(self.answer(stranger, ERROR)[1][0], UNKNOWN_SESSION, kind)

            self.hello(honest, mine)
            self.answer(honest, WELCOME)
            honest.send(CREDIT, 1, 1, 5, [])
            held = self.answer(honest, JOBS)[1][2]
            self.assertLessEqual(len(held), 5, "no more than the credit")

            # A second worker hands back, repeats and announces what the first one holds.
            self.hello(liar, his, leases=[[job[0], job[1]] for job in held])
            refused = self.answer(liar, WELCOME)[1][4]
            self.assertEqual(sorted(r[0] for r in refused), sorted(job[0] for job in held), "they are not his")
            liar.send(RETURN, 1, 1, [[job[0], job[1]] for job in held])
            liar.send(RETRY, 1, 2, [[job[0], job[1], 2, 0, 3, "I had it"] for job in held])
            liar.send(PING, 1, 3, HUGE, HUGE)
            self.answer(liar, PONG)
            # A gap in the numbers ends his round.
            liar.send(PING, 1, 9, 0, 0)
            self.assertEqual(self.answer(liar, ERROR)[1][0], OUT_OF_ORDER)
            # Credit without bound takes at most what there is, and a goodbye gives it back.
            self.hello(liar, his, round=2, slots=HUGE)
            self.answer(liar, WELCOME)
            liar.send(CREDIT, 2, 1, HUGE, [["t%d" % n, 0] for n in range(64)])
            taken = 0
            while taken < 20 - len(held):
                taken += len(self.answer(liar, JOBS)[1][2])
            self.assertEqual(taken, 20 - len(held), "and not what the honest worker holds")
            liar.send(GOODBYE, 2, 2, "bye")

            # The honest worker still holds its leases, and everything ends once.
            for link in (liar, stranger, honest):
                link.close()
            laboratory.worker("--exec", "echo=cat")
            with Sink(laboratory.endpoints["sink"]) as sink:
                results = sink.wait(ids, timeout_s=lab.PATIENCE_S)
            self.assertEqual(len(results), 20)
            # The figures follow a little later; were a job to end twice, they would go past it.
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["recorded_total"] >= 20, "20 results are recorded")
            self.assertEqual(laboratory.stats()["sink"]["recorded_total"], 20)

    def test_what_is_not_the_senders_to_say_is_refused(self):
        """SETTLED, ACCEPTED, JOBS and others from a stranger at the brokers' own sockets."""
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            ids = self.jobs(laboratory, 10)
            with Operator(laboratory.endpoints["ventilator"]) as operator:
                for name in ("ventilator", "sink"):
                    link = Talker(laboratory.endpoints[name])
                    for stream in (b"\0" * 16, os.urandom(16)):
                        link.send(SETTLED, stream, 1, [[id] for id in map(self.raw, ids)])
                        self.assertEqual(self.answer(link, ERROR)[0], ERROR)
                    for kind, fields in ((ACCEPTED_TYPE, (b"\1" * 16, HUGE, 0)), (JOBS, (1, 1, [])),
                                         (WELCOME, (b"\1" * 16, 1, 1, 1, [])), (STORED, (b"\1" * 16, 1))):
                        link.send(kind, *fields)
                        self.assertEqual(self.answer(link, ERROR)[1][2], kind)
                    link.close()
                for id in ids:
                    self.assertEqual(operator.lookup(id).state, 2, "every job is still ready")
            # Somebody else follows the sink's stream: he learns of ends, and the ventilator all the same.
            spy = Talker(laboratory.endpoints["sink"])
            spy.send(FOLLOW, b"\0" * 16, 0)
            spy.send(FOLLOW, b"\0" * 16, HUGE)
            laboratory.worker("--exec", "echo=cat")
            for _ in range(3):
                spy.send(FOLLOW, os.urandom(16), HUGE)
            laboratory.wait_for(lambda: laboratory.left() == 0, "every job is settled with the ventilator")
            spy.close()
            self.assertEqual(laboratory.ended(), 10)

    def raw(self, id):
        return id if isinstance(id, bytes) else __import__("uuid").UUID(str(id)).bytes

    def test_one_session_twice_and_one_identity_for_many(self):
        with lab.Lab() as laboratory:
            _, ventilator = laboratory.sink(), laboratory.ventilator()
            first, second = (Talker(laboratory.endpoints["ventilator"]) for _ in range(2))
            session = os.urandom(16)
            with Honest(laboratory.endpoints["ventilator"]) as honest:
                # HELLO again: in the same round, an older one, a later one, from elsewhere. Only a later one opens.
                # What two connections say has no order but that of the answers.
                for link, rounds in ((first, (1, 1)), (second, (1, 2)), (first, (1, HUGE))):
                    for round in rounds:
                        self.hello(link, session, round)
                    while self.answer(link, WELCOME)[1][1] != rounds[-1]:
                        pass
                self.hello(second, session, 3)
                # Many peers of one name, as long as names may be and as ZeroMQ itself would choose them.
                for name in (b"x", b"x" * 8, b"x" * 9, b"x" * 255, b"leat"):
                    peers = []
                    for _ in range(5):
                        peer = laboratory.context.socket(zmq.DEALER)
                        peer.linger = 0
                        peer.setsockopt(zmq.IDENTITY, name)
                        peer.connect(laboratory.endpoints["ventilator"])
                        peer.send(msgpack.packb([1, 0x40, 1, "ping", ""]))
                        peers.append(peer)
                    for peer in peers:
                        peer.poll(50)
                        peer.close()
            print(honest.check())
            first.close(), second.close()
            laboratory.worker("--exec", "echo=cat")
            count = len(honest.seconds)
            laboratory.wait_for(lambda: laboratory.ended() >= count, "the honest jobs end")
            self.assertTrue(ventilator.alive())

    def test_every_message_whole_and_cut_at_every_byte(self):
        """The message of each type that the fuzzer's corpus holds, to both brokers, while somebody honest works."""
        with lab.Lab() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "echo=cat")
            seeds = {}
            for path in sorted(glob.glob(os.path.join(SEEDS, "message_*"))):
                with open(path, "rb") as f:
                    seeds[os.path.basename(path)] = f.read()
            self.assertGreaterEqual(len(seeds), 35, "one per type")
            with Honest(laboratory.endpoints["ventilator"]) as honest:
                for round in range(2):
                    for name in ("ventilator", "sink"):
                        self.send_cut(laboratory, laboratory.endpoints[name], seeds)
                    if round == 0:
                        held = {p: (descriptors(p), anonymous_kib(p)) for p in (sink, ventilator)}
            print(honest.check())
            for process, (files, kib) in held.items():
                self.assertTrue(process.alive())
                laboratory.wait_for(lambda p=process, f=files: descriptors(p) <= f + 4, f"{process.name} lets go")
                self.assertLess(anonymous_kib(process) - kib, 16 * 1024, f"{process.name} keeps memory")
            count = len(honest.seconds)
            laboratory.wait_for(lambda: laboratory.ended() >= count, "the honest jobs end")

    def send_cut(self, laboratory, endpoint, seeds):
        cuts = [frame[:size] for frame in seeds.values() for size in range(len(frame))]
        whole = [frame for name, frame in seeds.items() if name != "message_QUIT"]  # the ventilator's valid last word
        with laboratory.context.socket(zmq.DEALER) as peer:
            peer.linger = 0
            peer.connect(endpoint)
            answers = 0
            for at, frame in enumerate(cuts + whole):
                peer.send(frame)
                # Not faster than it answers: what is measured here is not the high-water mark.
                while answers < at - 500 and peer.poll(1000 * lab.PATIENCE_S) or peer.poll(0):
                    peer.recv()
                    answers += 1
            while answers < len(cuts) and peer.poll(1000 * lab.PATIENCE_S):
                answers += peer.recv() != b""
            self.assertGreaterEqual(answers, len(cuts), "each cut message is answered")


if __name__ == "__main__":
    lab.main()
