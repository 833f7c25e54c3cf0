#!/usr/bin/python3
"""Who gets in, and what each may do once inside: strangers in every phase, every role with every message, revoked keys, floods."""
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import unittest
import uuid

import zmq

import lab
from client_wire import (ACCEPTED, CONTROL, CREDIT, DONE, ERROR, GOODBYE, HELLO, JOBS, LOOKUP, PING, QUERY, REJECTED, RESULTS, RETRY,
                         RETURN, SUBMIT, WELCOME, new_job_id, pack_body, Body)
from secure import FORBIDDEN, Peer, SecureLab, read_key, send_old_greeting

FOLLOW, GAUGES, QUIT, RERUN = 0x32, 0x34, 0x35, 0x53
REVOKED_WITHIN_S = 5.0
FLOOD = 10000


def a_body():
    return pack_body(Body(b"payload", 60000, 1, 1000, 2000, 60000, True, {}))


def submission(queue="default", kind="echo"):
    return [new_job_id(), queue, kind, 0, 0, a_body()]


class Strangers(unittest.TestCase):
    def strangers(self, laboratory):
        """One of each kind for every socket of both brokers: no key, an unknown key, a known key and another server's key."""
        unknown, elsewhere = zmq.curve_keypair(), zmq.curve_keypair()[0]
        pair = read_key(laboratory.path("worker.key"))
        for where, kind in (("ventilator", zmq.DEALER), ("sink", zmq.DEALER), ("stats", zmq.REQ), ("events", zmq.SUB)):
            for name, key, server in (("no key", None, None), ("unknown key", unknown, laboratory.server), ("known key, other server", pair, elsewhere)):
                peer = Peer(kind, laboratory.endpoints[where], key, server)
                peer.kind, peer.endpoint = name, laboratory.endpoints[where]
                yield peer

    def refuse_all(self, laboratory, brokers):
        """New strangers knock at every socket; none gets in. Those without CURVE are cut off, who has an unknown key is refused by the guard."""
        before = {broker.name: broker.log_text().count("stranger_refused") for broker in brokers}
        doors = {"ventilator": 1, "sink": 3}
        strangers = list(self.strangers(laboratory))
        try:
            for stranger in strangers:
                if stranger.kind == "no key":
                    self.assertFalse(stranger.gets_in())
            for broker in brokers:
                laboratory.wait_for(lambda: broker.log_text().count("stranger_refused") >= before[broker.name] + doors[broker.name],
                                    f"{broker.name} has refused the unknown key")
            for stranger in strangers:
                self.assertEqual(stranger.count()[0], 0, f"{stranger.kind} at {stranger.endpoint}")
        finally:
            for stranger in strangers:
                stranger.close()

    def test_nobody_unknown_gets_in_before_ready_while_running_draining_or_after_sigterm(self):
        with SecureLab() as laboratory:
            strangers = list(self.strangers(laboratory))  # they are there before anybody listens, and until nobody does
            try:
                sink, ventilator = brokers = laboratory.sink(), laboratory.ventilator()
                worker = laboratory.worker("--exec-shell", "slow=while [ ! -e go ]; do sleep 0.05; done")
                self.refuse_all(laboratory, brokers)
                for version in (1, 2):
                    for where in laboratory.endpoints:
                        send_old_greeting(laboratory.endpoints[where], version)

                self.assertEqual(laboratory.leat("producer", "leat", "submit", "--type", "slow").returncode, 0)
                laboratory.wait_for(lambda: any(w["busy"] for w in laboratory.ask("workers")["workers"]), "the slow job runs")
                self.assertEqual(laboratory.leat("operator", "leat", "shutdown").returncode, 0)
                laboratory.wait_for(lambda: "event=draining" in ventilator.log_text(), "the ventilator drains")
                self.refuse_all(laboratory, brokers)
                self.assertTrue(ventilator.alive() and sink.alive() and worker.alive(), "all of that while the worker was busy")
                open(os.path.join(laboratory.dir, "go"), "w").close()
                for process in (worker, ventilator, sink):
                    self.assertEqual(process.wait(), 0, process.log_text()[-800:])

                brokers = laboratory.sink(), laboratory.ventilator()
                self.refuse_all(laboratory, brokers)
                for process in brokers:
                    process.popen.send_signal(signal.SIGTERM)
                for process in brokers:
                    self.assertEqual(process.wait(), 0)
                for stranger in strangers:
                    self.assertEqual(stranger.count()[0], 0, f"{stranger.kind} at {stranger.endpoint}")
            finally:
                for stranger in strangers:
                    stranger.close()

    def test_keys_that_are_wrong_are_refused_by_name(self):
        with SecureLab() as laboratory:
            readable = laboratory.key("readable", "broker")
            os.chmod(readable, 0o644)
            programs = (["leat-sink", "--keys", laboratory.keys], ["leat-ventilator", "--keys", laboratory.keys],
                        ["leat-worker", "--exec", "echo=cat"], ["leat-producer", "--lines", "-", "--type", "echo"],
                        ["leat", "stats"], ["leat", "submit", "--type", "echo"], ["leat", "ping"])
            for program in programs:
                done = laboratory.run(*program, "--key", readable)
                self.assertIn(done.returncode, (1, 2), program)
                self.assertIn(readable, done.err)
                self.assertIn("0644", done.err)
            for program, missing in (([*programs[0], "--data", "d"], "--key"), (["leat-ventilator", "--key", readable, "--data", "e"], "--keys"),
                                     (["leat", "stats"], "--key")):
                done = laboratory.run(*program)
                self.assertEqual(done.returncode, 2, done.err)
                self.assertIn(missing, done.err)
            laboratory.sink()
            laboratory.ventilator()
            stranger = laboratory.run("leat", "keys", "new", "stranger", "--role", "operator").out.split()[0]
            for program in (["leat", "submit", "--type", "echo"], ["leat", "stats"], ["leat", "pause", "q"], ["leat", "ping"]):
                done = laboratory.run(*program, "--key", os.path.join(laboratory.dir, stranger))
                self.assertEqual((done.returncode, "is this key known there" in done.err), (1, True), done.err)
            done = laboratory.run("leat-sink", "--key", laboratory.path("broker.key"), "--keys", "/nowhere", "--data", "d")
            self.assertEqual(done.returncode, 2)
            self.assertIn("/nowhere", done.err)

    def test_leat_keys_makes_lists_shows_and_revokes(self):
        with SecureLab() as laboratory:
            new = laboratory.run("leat", "keys", "new", "alice", "--role", "producer", "--queues", "mail,thumbs")
            self.assertEqual(new.out, "leat-keys/alice.key\nleat-keys/alice.pub\n")
            self.assertEqual(os.stat(os.path.join(laboratory.dir, "leat-keys/alice.key")).st_mode & 0o777, 0o600)
            shown = laboratory.run("leat", "keys", "show", "alice").out.strip()
            self.assertEqual(len(shown), 40)
            self.assertRegex(laboratory.run("leat", "keys", "list").out, r"alice +producer +mail,thumbs +" + re.escape(shown[:8]) + r" +here")
            self.assertEqual(laboratory.run("leat", "keys", "new", "alice", "--role", "producer").returncode, 1)
            for wrong in (["new", "bob"], ["new", "a/b", "--role", "worker"], ["new", "bob", "--role", "king"], ["new"], ["list", "x"], ["steal", "x"],
                          ["new", "bob", "--role", "operator", "--queues", "a"], ["new", "bob", "--role", "worker", "--queues", "a,,b"]):
                done = laboratory.run("leat", "keys", *wrong)
                self.assertEqual((done.returncode, done.err.count("\n")), (2, 1), f"{wrong}: {done.err}")
            added = laboratory.run("leat", "keys", "add", "leat-keys/alice.key", "bob", "--role", "worker", "--directory", "brokers")
            self.assertEqual(added.returncode, 0, added.err)
            with open(os.path.join(laboratory.dir, "brokers/bob.pub")) as f:
                text = f.read()
            self.assertIn('role = "worker"', text)
            self.assertNotIn("secret", text)
            self.assertEqual(laboratory.run("leat", "keys", "revoke", "bob", "--directory", "brokers").returncode, 0)
            self.assertEqual(os.listdir(os.path.join(laboratory.dir, "brokers")), [])
            self.assertEqual(laboratory.run("leat", "keys", "revoke", "bob", "--directory", "brokers").returncode, 1)


class Roles(unittest.TestCase):
    def rights(self):
        """(where, message, roles that may send it), all of them."""
        session, result = b"\1" * 16, [new_job_id(), "default", "echo", 4, 0, 0, 1, 1, "", b"", False, 1, 1, 0, 0, "w", [], b""]
        return (
            ("ventilator", (SUBMIT, b"\2" * 16, 1, [submission()]), "producer operator"),
            ("ventilator", (HELLO, session, 1, "name", [["default"]], 1, []), "worker"),
            ("ventilator", (CREDIT, 1, 1, 0, []), "worker"),
            ("ventilator", (RETRY, 1, 2, []), "worker"),
            ("ventilator", (RETURN, 1, 3, []), "worker"),
            ("ventilator", (PING, 1, 4, 0, 0), "worker"),
            ("ventilator", (GOODBYE, 1, 5, "bye"), "worker"),
            ("ventilator", (CONTROL, 9, "ping", ""), "producer worker operator broker"),
            ("ventilator", (CONTROL, 9, "pause", "q"), "operator"),
            ("ventilator", (CONTROL, 9, "resume", "q"), "operator"),
            ("ventilator", (LOOKUP, 9, new_job_id()), "producer operator"),
            ("sink", (RESULTS, session, 1, [result]), "worker broker"),
            ("sink", (QUERY, 9, True, [[result[0]]]), "producer operator"),
            ("sink", (RERUN, 9, [[result[0]]]), "operator"),
            ("sink", (CONTROL, 9, "ping", ""), "producer worker operator broker"),
            ("sink", (QUIT, 0), "broker"),
            ("sink", (GAUGES, [], [], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "broker"),
            ("sink", (FOLLOW, b"\0" * 16, 0), "broker"),
        )

    def is_forbidden(self, peer, message):
        """Whether the message is answered with FORBIDDEN; a ping behind it says when all answers have come."""
        peer.send(*message)
        peer.send(CONTROL, 77, "ping", "")
        forbidden = False
        while True:
            answer = peer.receive()
            self.assertIsNotNone(answer, message)
            kind, fields = answer
            if kind == DONE and fields[0] == 77:
                return forbidden
            code = fields[0] if kind == ERROR else fields[2] if kind == REJECTED else 0
            if code == FORBIDDEN:
                forbidden = True
                self.assertIn("key '", fields[1] if kind == ERROR else fields[3])

    def test_each_role_may_send_its_messages_and_no_others(self):
        with SecureLab() as laboratory:
            laboratory.sink()
            laboratory.ventilator()
            peers = {(where, role): laboratory.peer(where, role) for where in ("ventilator", "sink")
                     for role in ("producer", "worker", "operator", "broker")}
            refused = 0
            for where, message, roles in self.rights():
                for role in ("producer", "worker", "operator", "broker"):
                    got = self.is_forbidden(peers[where, role], message)
                    self.assertEqual(got, role not in roles.split(), f"{role} sends {message} to the {where}")
                    refused += got
            for role in ("producer", "worker", "broker"):
                self.assertTrue(self.is_forbidden(peers["ventilator", role], (CONTROL, 9, "shutdown", "")))
            for peer in peers.values():
                peer.close()
            counted = laboratory.wait_for(
                lambda: (lambda s: s if s["ventilator"] and s["ventilator"]["forbidden_total"] + s["sink"]["forbidden_total"] >= refused + 3 else None)(
                    laboratory.stats()), "both brokers have counted them")
            self.assertEqual(counted["ventilator"]["forbidden_total"] + counted["sink"]["forbidden_total"], refused + 3)

    def test_requests_and_events_are_for_those_who_may_read_them(self):
        with SecureLab() as laboratory:
            laboratory.sink()
            laboratory.ventilator()
            laboratory.key("mailer", "producer", "mail")
            laboratory.worker("--exec", "echo=cat", "--queues", "mail,default")
            done = laboratory.leat("mailer", "leat-producer", "--lines", "-", "--type", "echo", "--queue", "mail", "--wait", "--quiet", "--ids", "ids",
                                   stdin="x\n")
            self.assertEqual(done.returncode, 0, done.err)
            job = lab.read_ids(os.path.join(laboratory.dir, "ids"))[0]
            done = laboratory.leat("mailer", "leat", "submit", "--type", "echo", "--queue", "default")
            self.assertEqual(done.returncode, 1)
            self.assertIn("queue 'default'", done.err)
            laboratory.key("other", "producer", "default")
            for key, request, error in (("operator", {"request": "job", "id": job}, None), ("producer", {"request": "job", "id": job}, None),
                                        ("mailer", {"request": "job", "id": job}, None), ("other", {"request": "job", "id": job}, "NOT_FOUND"),
                                        ("worker", {"request": "job", "id": job}, "FORBIDDEN"), ("broker", {"request": "job", "id": job}, "FORBIDDEN"),
                                        ("worker", {"request": "failures"}, "FORBIDDEN"), ("mailer", {"request": "failures"}, "FORBIDDEN"),
                                        ("mailer", {"request": "failures", "queue": "mail"}, None), ("worker", {"request": "workers"}, None)):
                reply = laboratory.ask(request, timeout=lab.PATIENCE_S, key=key)
                name = reply["error"]["name"] if isinstance(reply.get("error"), dict) else None
                self.assertEqual(name, error, f"{key}: {request}")
            may = {"operator": True, "producer": True, "mailer": False, "worker": False, "broker": False}
            subscribers = {key: laboratory.peer("events", key, zmq.SUB) for key in may}
            for key, subscriber in subscribers.items():  # at one time: who is refused waits for 5 s
                self.assertEqual(subscriber.gets_in(), may[key], key)
                subscriber.close()


class Revoking(unittest.TestCase):
    def assert_soon(self, condition, what):
        """Within the five seconds that are promised, and as much again for a slow machine; the time."""
        begun = time.monotonic()
        while not condition():
            self.assertLess(time.monotonic() - begun, 2 * REVOKED_WITHIN_S, what)
            select.select([], [], [], 0.05)
        return time.monotonic() - begun

    def test_a_revoked_key_loses_its_rights_though_it_is_connected(self):
        with SecureLab() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator("--lost-after", "60s")
            for name, role in (("bad-worker", "worker"), ("bad-producer", "producer"), ("bad-operator", "operator")):
                laboratory.key(name, role)
            bad = self.worker_of(laboratory, "bad-worker")
            with bad, laboratory.peer("ventilator", "bad-producer") as producer, laboratory.peer("stats", "bad-operator", zmq.REQ) as asker, \
                    laboratory.peer("events", "bad-operator", zmq.SUB) as spy, laboratory.peer("events", "operator", zmq.SUB) as honest:
                self.assertTrue(spy.gets_in() and honest.gets_in())
                producer.send(SUBMIT, b"\3" * 16, 1, [submission(), submission()])
                self.assertEqual(producer.receive()[0], ACCEPTED)
                self.assertEqual(self.next_of(bad, JOBS)[0], JOBS)  # it holds both jobs, and has credit for more

                begun = time.monotonic()
                for name in ("bad-worker", "bad-producer", "bad-operator"):
                    laboratory.revoke(name)
                times = [self.assert_soon(lambda: self.is_refused(producer), "the producer")]
                producer.send(CONTROL, 1, "ping", "")
                self.assertEqual(producer.receive()[1][0], FORBIDDEN)
                self.assert_soon(lambda: self.is_refused_request(asker), "the operator")
                self.assertTrue(laboratory.wait_for(lambda: "worker_lost" in ventilator.log_text(), timeout=2 * REVOKED_WITHIN_S))
                self.assertLess(time.monotonic() - begun, 3 * REVOKED_WITHIN_S)

                laboratory.worker("--exec", "echo=cat", name="good")
                self.assertTrue(laboratory.wait_for(lambda: laboratory.ended() >= 2, "the jobs of the bad worker run at the good one"))
                bad.send(PING, 1, 99, 0, 0)
                self.assertEqual(self.next_of(bad, ERROR)[1][0], FORBIDDEN)
                # honest subscribers come back by themselves and hear what comes now; the spy does not
                laboratory.wait_for(lambda: self.hears(laboratory, honest), "the honest subscriber hears events again")
                self.assertFalse(spy.socket.poll(0) and self.heard_since(spy, self.last_event))
                self.assertFalse(spy.gets_in())
            for name in ("bad-worker", "bad-producer", "bad-operator"):
                self.assertIn(f"event=key_revoked name={name}", ventilator.log_text())

    def worker_of(self, laboratory, key):
        """A worker in Python with much credit."""
        peer = laboratory.peer("ventilator", key)
        self.assertTrue(peer.gets_in())
        peer.send(HELLO, b"\4" * 16, 1, key, [["default"]], 4, [])
        self.assertEqual(self.next_of(peer, WELCOME)[0], WELCOME)
        peer.send(CREDIT, 1, 1, 100, [])
        return peer

    def next_of(self, peer, kind):
        while True:
            answer = peer.receive()
            self.assertIsNotNone(answer)
            if answer[0] == kind:
                return answer

    def is_refused(self, producer):
        self.batch = getattr(self, "batch", 1) + 1
        producer.send(SUBMIT, b"\3" * 16, self.batch, [submission()])
        kind, fields = producer.receive()
        return kind == REJECTED and fields[2] == FORBIDDEN

    def is_refused_request(self, asker):
        asker.socket.send(b'{"request": "stats"}')
        self.assertTrue(asker.socket.poll(10000))
        return json.loads(asker.socket.recv()).get("error", {}).get("name") == "FORBIDDEN"

    def hears(self, laboratory, subscriber):
        self.last_event = laboratory.leat("producer", "leat", "submit", "--type", "echo").out.strip()
        end = time.monotonic() + 2
        while subscriber.socket.poll(max(0, int(1000 * (end - time.monotonic())))):
            subscriber.socket.recv_multipart()
            return True
        return False

    def heard_since(self, subscriber, job):
        while subscriber.socket.poll(0):
            if uuid.UUID(job).bytes in subscriber.socket.recv_multipart()[1]:
                return True
        return False


def flood(host, port, count):
    """Opens `count` connections, most of them silent, some sending a greeting byte by byte; says how many stand; until stdin ends."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE" + b"\0" * 47
    sockets = []

    def open_one():
        raw = socket.socket()
        raw.setblocking(False)
        raw.connect_ex((host, port))
        return [raw, 0]

    for _ in range(count):
        sockets.append(open_one())
    print("flooding", flush=True)
    turn = 0
    while not select.select([sys.stdin], [], [], 0.2)[0]:
        turn += 1
        for i, (raw, sent) in enumerate(sockets):
            if i % 4 == 0:  # a slow one: a byte a turn
                try:
                    raw.send(greeting[sent:sent + 1])
                    sockets[i][1] = (sent + 1) % len(greeting)
                    continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
            elif (i + turn) % 10 or raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                try:
                    if raw.recv(100) != b"":
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
            raw.close()  # cut off: it comes again
            sockets[i] = open_one()


class Floods(unittest.TestCase):
    def descriptors(self, process):
        return len(os.listdir(f"/proc/{process.pid}/fd"))

    def memory_mib(self, process):
        with open(f"/proc/{process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) // 1024

    def start_flood(self, endpoint):
        host, port = endpoint[len("tcp://"):].rsplit(":", 1)
        share = min(2500, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 50)
        processes = []
        for first in range(0, FLOOD, share):
            processes.append(subprocess.Popen([sys.executable, os.path.abspath(__file__), "flood", host, port, str(min(share, FLOOD - first))],
                                              stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for process in processes:
            self.assertEqual(process.stdout.readline(), b"flooding\n")
        return processes

    def test_ten_thousand_half_open_and_slow_connections_harm_nobody(self):
        with SecureLab() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--exec", "echo=cat", "--slots", "4")
            # who is connected before the flood works through it
            producer = laboratory.background("producer", "leat-producer", "--every", "20ms", "--count", "400", "--payload", "x", "--type", "echo", "--wait",
                                             "--deadline", "60s", env=laboratory.with_key("producer"))
            laboratory.wait_for(lambda: laboratory.ended() > 10, "the honest peers are at work")
            calm = self.descriptors(ventilator)
            processes = self.start_flood(laboratory.endpoints["ventilator"])
            try:
                most = 0
                end = time.monotonic() + 7  # longer than a half-open connection lives
                while time.monotonic() < end or producer.alive():
                    most = max(most, self.descriptors(ventilator))
                    self.assertLess(self.memory_mib(ventilator), 300)
                    select.select([], [], [], 0.1)
                    self.assertLess(time.monotonic(), end + lab.PATIENCE_S, producer.log_text()[-300:])
                self.assertEqual(producer.wait(), 0, producer.log_text()[-500:])
                self.assertGreater(most, calm + 100, "the flood has reached it")
                self.assertLess(most, calm + 2 * 1024 + 300, "the doors keep descriptors bounded")
                self.assertIn("door_closed", ventilator.log_text())
                self.assertNotIn("worker_lost", ventilator.log_text())
            finally:
                for process in processes:
                    process.stdin.close()
                for process in processes:
                    process.kill()
                    process.wait()
                    process.stdout.close()
            for process in (sink, ventilator, worker):
                self.assertTrue(process.alive(), process.log_text()[-500:])
            # and when it is over, everybody gets in again
            laboratory.wait_for(lambda: laboratory.leat("producer", "leat", "ping", "ventilator").returncode == 0, "a new peer is served")
            laboratory.wait_for(lambda: self.descriptors(ventilator) < calm + 50, "and all of its descriptors are free again")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "flood":
        flood(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        lab.main()
