#!/usr/bin/python3
"""The independent client, written from docs/PROTOCOL.md alone, against the real executables: as producer, as worker, as one who
asks, with lost messages and over a restart of the ventilator."""
import base64
import json
import os
import random
import subprocess
import sys
import threading
import unittest
import uuid

import client
import lab
from client_wire import FAILED, unpack_body

SEED = int(os.environ.get("LEAT_SEED", "1"))


class Service:
    """The client's worker on a thread of its own."""

    def __init__(self, laboratory, handlers, **options):
        self.worker = client.Worker(laboratory.endpoints["ventilator"], laboratory.endpoints["sink"], handlers, **options)
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.worker.run()
        except BaseException as error:  # shown by join()
            self.error = error

    def join(self):
        self.thread.join(lab.PATIENCE_S)
        if self.error is not None:
            raise self.error
        if self.thread.is_alive():
            raise AssertionError(f"the worker does not end: {dict(self.worker.counts)}")

    def stop(self):
        self.worker.stop()
        self.join()


class Client(unittest.TestCase):
    def setUp(self):
        self.lab = lab.Lab().__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*([AssertionError] if self.failed() else [None]), None, None))
        self.sink, self.vent = self.lab.endpoints["sink"], self.lab.endpoints["ventilator"]
        self.lab.sink()
        self.ventilator = self.lab.ventilator("--lost-after", "3s", "--ping", "300ms", "--recovery-grace", "1s")

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def results(self, ids):
        with client.Sink(self.sink) as sink:
            return sink.wait(ids, timeout_s=lab.PATIENCE_S)

    def settled(self, count):
        self.lab.wait_for(lambda: self.lab.ended() == count and self.lab.left() == 0, f"{count} jobs ended and are settled")

    # ---- producer ----

    def test_what_it_submits_runs_at_c_workers_and_comes_back(self):
        for n in (1, 2):
            self.lab.worker("--slots", "2", "--prefetch", "8", "--queues", "a,b", "--exec-shell",
                            'echo=cat; printf %s "$LEAT_HEADER_COLOUR"', "--exec-shell", "bad=echo why >&2; exit 65", name=f"w{n}")
        rng = random.Random(SEED)
        with client.Producer(self.vent, batch_jobs=50) as producer:
            expected = {}
            for n in range(400):
                payload = rng.randbytes(rng.choice((0, 1, 200, 4000)))
                id = producer.submit("ab"[n % 2], "echo", payload, headers={"colour": f"c{n}"})
                expected[id] = payload + b"c%d" % n
            bad = producer.submit("a", "bad", b"body")
            producer.flush(lab.PATIENCE_S)
            self.assertEqual((producer.accepted, producer.known), (401, 0))
            results = self.results([*expected, bad])
            self.assertEqual({id: result.output for id, result in results.items() if id != bad}, expected)
            self.assertEqual({result.status for id, result in results.items() if id != bad}, {client.SUCCEEDED})
            self.assertEqual(results[bad].status, FAILED)
            self.assertEqual((results[bad].failure, results[bad].code, results[bad].attempts), (1, 65, 1))
            self.assertIn("why", results[bad].error)
            self.assertEqual({result.worker for result in results.values()}, {"w1", "w2"})
            # The same ids once more, under another number and from another producer: known, not run.
            self.settled(401)
            with client.Producer(self.vent) as another:
                for id in [*expected][:100]:
                    another.submit("a", "echo", b"again", id=id)
                another.flush(lab.PATIENCE_S)
                self.assertEqual((another.accepted, another.known), (100, 100))
        self.settled(401)
        self.assertEqual(self.lab.stats()["sink"]["recorded_total"], 401)
        self.assertEqual(self.lab.stats()["sink"]["duplicate_total"], 0)

    def test_it_finds_its_jobs_and_is_refused_what_is_not_allowed(self):
        with client.Producer(self.vent) as producer, client.Operator(self.vent) as operator:
            later = producer.submit("a", "echo", b"x", not_before_ms=4102444800000)
            ready = producer.submit("a", "echo", b"x")
            producer.flush(lab.PATIENCE_S)
            found = operator.lookup(later)
            self.assertEqual((found.state, found.due_ms, found.queue, found.type), (1, 4102444800000, "a", "echo"))
            self.assertEqual(operator.lookup(ready).state, 2)
            self.assertIsNone(operator.lookup(uuid.uuid4()))
            with self.assertRaises(client.Refused):
                operator.control("dance")
            self.assertTrue(operator.control("ping"))
            # One bad job: nothing of its batch, everything before it, and a way to go on.
            bad = [producer.submit("a", "echo", b"y"), producer.submit("a b", "echo", b"y")]
            with self.assertRaises(client.Refused) as refused:
                producer.flush(lab.PATIENCE_S)
            self.assertIn("queue has byte 0x20 after 'a'", str(refused.exception))
            self.assertEqual([ids for _, _, ids in producer.rejected], [bad])
            self.assertIsNone(operator.lookup(bad[0]))
            producer.rejected.clear()
            after = producer.submit("a", "echo", b"z")
            producer.flush(lab.PATIENCE_S)
            self.assertEqual(operator.lookup(after).state, 2)

    # ---- worker ----

    def test_it_runs_what_the_c_producer_submits_with_retries_and_failures(self):
        attempts = {}

        def flaky(job):
            attempts.setdefault(job.payload, []).append(job.attempt)
            if job.attempt < 3:
                raise ValueError("not yet")
            return b"third time: " + job.payload

        def hopeless(job):
            raise ValueError("never")

        def forbidden(job):
            raise client.Permanent("no use")

        release = threading.Event()
        self.addCleanup(release.set)
        service = Service(self.lab, {"upper": lambda job: job.payload.upper(), "flaky": flaky, "hopeless": hopeless,
                                     "forbidden": forbidden, "hangs": lambda job: release.wait(lab.PATIENCE_S)}, slots=4, prefetch=8)
        lines = [{"type": "upper", "payload": f"payload {n}", "headers": {"n": str(n)}} for n in range(200)]
        fast = {"attempts": 3, "backoff_base": "20ms"}
        lines += [{"type": kind, "payload": f"{kind} {n}", **fast} for kind in ("flaky", "hopeless", "forbidden", "unknown")
                  for n in range(5)]
        lines += [{"type": "hangs", "payload": "hangs", "attempts": 1, "timeout": "300ms"}]
        out = os.path.join(self.lab.dir, "results")
        done = self.lab.run("leat-producer", "--json", "-", "--wait", "--deadline", "50s", "--results", out, "--ids",
                            os.path.join(self.lab.dir, "ids"), stdin="".join(json.dumps(line) + "\n" for line in lines))
        self.assertEqual(done.returncode, 1, done.err)
        ids = lab.read_ids(os.path.join(self.lab.dir, "ids"))
        results = [self.lab.result(id) for id in ids]
        self.assertEqual(set(lab.read_results(out)), set(ids))
        for line, result in zip(lines, results):
            expected = {"upper": ("succeeded", "none", 1), "flaky": ("succeeded", "none", 3), "hopeless": ("failed", "handler", 3),
                        "forbidden": ("failed", "handler", 1), "unknown": ("failed", "no_handler", 3),
                        "hangs": ("failed", "timeout", 1)}[line["type"]]
            self.assertEqual((result["state"], result["failure"], result["attempts"]), expected, result)
        self.assertEqual([result["output"] for result in results[:200]], [f"PAYLOAD {n}" for n in range(200)])
        self.assertEqual([result["headers"] for result in results[:200]], [{"n": str(n)} for n in range(200)])
        self.assertEqual(attempts, {b"flaky %d" % n: [1, 2, 3] for n in range(5)})
        self.assertEqual(results[200]["output"], "third time: flaky 0")
        self.assertIn("failed after 3 attempts: ValueError: never", results[205]["error"])
        release.set()
        self.settled(len(lines))
        service.stop()
        self.assertEqual(service.worker.errors, [])
        self.assertEqual(service.worker.counts["retried"], 5 * 2 * 3)

    def test_it_drains_on_its_own_wish_and_hands_back_what_it_did_not_start(self):
        started, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def slow(job):
            started.set()
            release.wait(lab.PATIENCE_S)
            return b"slow and done"
        service = Service(self.lab, {"job": slow}, slots=1, prefetch=4)
        ids = [self.lab.run("leat", "submit", "--type", "job").out.strip() for _ in range(5)]
        self.assertTrue(started.wait(lab.PATIENCE_S))
        self.lab.wait_for(lambda: service.worker.counts["received"] == 5, "all five are with the worker")
        service.worker.stop()
        self.lab.wait_for(lambda: sum(q["ready"] for q in self.lab.ask("queues")["queues"]) == 4, "four were handed back")
        release.set()
        service.join()
        self.assertEqual((service.worker.counts["returned"], service.worker.counts["stored"]), (4, 1))
        self.lab.wait_for(lambda: not self.lab.ask("workers")["workers"], "it said goodbye")
        self.lab.worker("--slots", "4", "--exec", "job=echo elsewhere")
        self.settled(5)
        outputs = sorted(self.lab.result(id)["output"] for id in ids)
        self.assertEqual(outputs, ["elsewhere\n"] * 4 + ["slow and done"])
        self.assertEqual({self.lab.result(id)["attempts"] for id in ids}, {1}, "what is handed back costs no attempt")

    def test_it_drains_with_the_cluster(self):
        started, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def slow(job):
            started.set()
            release.wait(lab.PATIENCE_S)
        service = Service(self.lab, {"job": slow}, slots=1)
        self.assertEqual(self.lab.run("leat", "submit", "--type", "job").returncode, 0)
        self.assertTrue(started.wait(lab.PATIENCE_S))
        with client.Operator(self.vent) as operator:
            operator.control("shutdown")
        self.lab.wait_for(lambda: service.worker.draining, "DRAIN reached it")
        self.assertTrue(self.ventilator.alive(), "the ventilator waits for its worker")
        release.set()
        service.join()
        self.assertEqual(service.worker.counts["stored"], 1)
        for process in self.lab.processes:
            self.assertEqual(process.wait(), 0, f"{process.name}: {process.log_text()}")

    # ---- faults ----

    def test_lost_messages_are_made_up_for(self):
        rng, lock = random.Random(SEED), threading.Lock()
        lost = {"producer": 0, "worker": 0}

        def drop(who, share):
            def drop(name, outgoing):
                with lock:
                    is_lost = rng.random() < share
                    lost[who] += is_lost
                return is_lost
            return drop
        runs = {}

        def job(job):
            runs[job.id] = runs.get(job.id, 0) + 1
            if job.payload == b"7" and job.attempt == 1:
                raise ValueError("once")
            return job.payload
        services = [Service(self.lab, {"job": job}, slots=2, prefetch=6, drop=drop("worker", 0.05)) for _ in range(2)]
        with client.Producer(self.vent, batch_jobs=10, silence_s=0.2, drop=drop("producer", 0.2)) as producer:
            ids = [producer.submit("default", "job", b"%d" % (n % 10), backoff_base_ms=10) for n in range(400)]
            producer.flush(lab.PATIENCE_S)
            self.assertGreater(producer.resent, 0)
        results = self.results(ids)
        self.assertEqual([results[id].output for id in ids], [b"%d" % (n % 10) for n in range(400)], f"seed {SEED}")
        for service in services:
            service.worker.drop = None
        self.settled(400)
        self.assertEqual(self.lab.stats()["sink"]["recorded_total"], 400)
        self.assertGreater(lost["producer"], 5)
        self.assertGreater(lost["worker"], 20)
        self.assertEqual(set(runs), set(ids), "no job that nobody submitted")
        for service in services:
            service.stop()

    def test_a_restart_of_the_ventilator_costs_nothing(self):
        started, release = threading.Semaphore(0), threading.Event()
        self.addCleanup(release.set)
        runs = []

        def held(job):
            runs.append(job.id)
            started.release()
            release.wait(lab.PATIENCE_S)
            return b"held"
        service = Service(self.lab, {"held": held, "echo": lambda job: job.payload}, queues=["held", "echo"], slots=3)
        with client.Producer(self.vent, batch_jobs=20) as producer:
            holding = [producer.submit("held", "held") for _ in range(2)]
            producer.flush(lab.PATIENCE_S)
            for _ in holding:
                self.assertTrue(started.acquire(timeout=lab.PATIENCE_S))
            ids = [producer.submit("echo", "echo", b"%d" % n) for n in range(500)]
            self.lab.wait_for(lambda: producer.turn(0.01) or producer.accepted > 100, "some are accepted")
            before = producer.accepted
            self.lab.kill(self.ventilator)
            ids += [producer.submit("echo", "echo", b"%d" % n) for n in range(500, 600)]
            self.lab.ventilator("--recovery-grace", "1s")
            producer.flush(lab.PATIENCE_S)
            self.assertGreaterEqual(before, 100)
            self.assertEqual(producer.accepted, 602)
        results = self.results(ids)
        self.assertEqual([results[id].output for id in ids], [b"%d" % n for n in range(600)])
        self.lab.wait_for(lambda: sum(q["leased"] for q in self.lab.ask("queues")["queues"]) == 2, "its leases are known again")
        release.set()
        self.assertEqual({result.output for result in self.results(holding).values()}, {b"held"})
        self.settled(602)
        self.assertEqual(sorted(runs), sorted(holding), "what ran over the restart did not run again")
        self.assertEqual(service.worker.counts["refused"], 0)
        self.assertEqual(self.lab.stats()["sink"]["duplicate_total"], 0)
        service.stop()

    # ---- who asks ----

    def test_json_and_msgpack_say_the_same(self):
        self.lab.worker("--slots", "2", "--exec", "good=cat", "--exec-shell", "bad=exit 65", name="w1")
        good = self.lab.run("leat", "submit", "--type", "good", "-", stdin=b"\xff\x00bytes").out.strip()
        bad = self.lab.run("leat", "submit", "--type", "bad", "what it was").out.strip()
        self.settled(2)
        self.assertEqual(self.lab.stop(self.ventilator), 0)  # so that its gauges do not change any more
        stats = client.Stats(self.lab.endpoints["stats"])

        def plain(value):
            """What JSON has instead of bytes, as bytes."""
            if isinstance(value, dict):
                if set(value) == {"$base64"}:
                    return base64.b64decode(value["$base64"], validate=True)
                return {key: plain(part) for key, part in value.items() if key not in ("age_ms", "uptime_ms")}
            return [plain(part) for part in value] if isinstance(value, list) else value

        for name, fields in (("ping", {}), ("version", {}), ("queues", {}), ("workers", {}), ("job", {"id": good}),
                             ("job", {"id": bad, "with_body": True}), ("failures", {}), ("failures", {"with_body": True, "kind": "exit"}),
                             ("failures", {"queue": "nothing"})):
            with self.subTest(name, **fields):
                self.assertEqual(plain(stats.ask(name, as_json=True, **fields)), plain(stats.ask(name, **fields)))
        text, packed = stats.ask("stats", as_json=True), stats.ask("stats")
        self.assertEqual(packed["totals"], text["totals"])
        self.assertEqual(packed["pairs"], text["pairs"])
        self.assertEqual(packed["sink"].keys(), text["sink"].keys())
        # And what they say is right.
        self.assertEqual(stats.ask("job", id=good)["output"], b"\xff\x00bytes")
        self.assertEqual((text["totals"]["succeeded"], text["totals"]["failed_by"]), (1, {"exit": 1}))
        row, = stats.ask("failures", with_body=True)["failures"]
        self.assertEqual((row["id"], row["code"]), (bad, 65))
        self.assertEqual(unpack_body(row["body"]).payload, b"what it was")
        self.assertEqual(stats.ask("version")["protocol"], 1)
        # Every bad request has its typed answer, in both.
        for code, name, fields in ((4, "dance", {}), (12, "job", {}), (12, "job", {"id": "no uuid"}), (10, "job", {"id": str(uuid.uuid4())}),
                                   (5, "failures", {"limit": 1001}), (2, "failures", {"limit": "many"}),
                                   (12, "failures", {"after": "nonsense"}), (12, "failures", {"kind": "nonsense"})):
            for as_json in (True, False):
                with self.subTest(name, as_json=as_json, **fields), self.assertRaises(client.Refused) as refused:
                    stats.ask(name, as_json=as_json, **fields)
                self.assertEqual(refused.exception.code, code, refused.exception)

    def test_its_commands_work_alone(self):
        environment = {**self.lab.env, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py")]
        work = subprocess.Popen([*command, "work", "--upper", "shout", "--slots", "2", "--once", "3"], env=environment,
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(work.kill)
        done = subprocess.run([*command, "submit", "--type", "shout", "--wait", "one", "two", "three"], env=environment,
                              capture_output=True, text=True, timeout=lab.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split()[-1] for line in done.stdout.splitlines()], ["ONE", "TWO", "THREE"])
        out, _ = work.communicate(timeout=lab.PATIENCE_S)
        self.assertEqual((work.returncode, json.loads(out)["stored"]), (0, 3))


if __name__ == "__main__":
    lab.main()
