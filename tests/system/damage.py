"""A broker on a store of which one byte was changed: it must refuse the store and say why, or serve what is whole and
tell of what is not. Used by test_damage.py; by hand, `damage.py ROLE STEP` tries every STEPth byte of each file, `damage.py ROLE OFFSET MASK`
one of data.mdb."""
import collections
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time

import zmq

import client_wire
import lab
from client_wire import (ACCEPTED, ANSWERS, CREDIT, ERROR, FOUND, HELLO, JOBS, LOOKUP, PROTOCOL_VERSION, QUERY, RESULTS, STORED,
                         SUBMIT, WELCOME, Link, new_job_id)

# Everything that a start on a damaged store may say. Each names the place.
REFUSALS = [
    r"{data}/data\.mdb is damaged: [^\n]+; --check-store lists all of it, a backup brings it back",
    r"{data}/data\.mdb is damaged or no LMDB file: MDB_[A-Z_]+: [^\n]+",
    r"{data}/data\.mdb is cut short: \d+ bytes of \d+ are there",
    r"the identity record of store {data} is damaged",
    r"{data}/journal-[01] (is damaged or no journal of leat|belongs to another store, \S+|is cut short: \d+ bytes of \d+ are there)",
    r"store {data}: the record of how far its journal is applied is damaged",
    r"batch \d+ is damaged or missing in {data}/journal-0 or {data}/journal-1, though batch \d+, which came after it, is there",
]
PAGE = 4096


class Wrong(AssertionError):
    pass


def must(condition, text):
    if not condition:
        raise Wrong(text)


class Trial:
    """One broker on a copy of the store with one byte changed. Sockets and files are its own."""

    def __init__(self, store, number):
        self.store, self.dir = store, os.path.join(store.laboratory.dir, f"trial{number}")
        self.data = os.path.join(self.dir, "data")
        os.makedirs(self.data, mode=0o700)
        self.endpoints = {name: f"ipc://{self.dir}/{name}" for name in ("ventilator", "sink", "stats", "events")}
        self.log = os.path.join(self.dir, "log")

    def plant(self, file, offset, mask):
        for name, content in self.store.files.items():
            if name == file:
                content = content[:offset] + bytes([content[offset] ^ mask]) + content[offset + 1:]
            with open(os.path.join(self.data, name), "wb") as f:
                f.write(content.rstrip(b"\0"))  # room that was taken ahead stays a hole
                f.truncate(len(content))

    def start(self):
        role, data = self.store.role, ["--data", self.data]
        command = {
            "ventilator": ["--listen", self.endpoints["ventilator"], "--sink", self.endpoints["sink"], "--recovery-grace", "0"],
            "sink": ["--listen", self.endpoints["sink"], "--stats", self.endpoints["stats"], "--events", self.endpoints["events"]],
        }[role]
        with open(self.log, "wb") as out:
            self.popen = subprocess.Popen([os.path.join(lab.BIN, f"leat-{role}"), *command, *data], stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=out, env=self.store.laboratory.env, cwd=self.dir)

    def log_text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def check_refusal(self):
        """It has ended by itself: with status 74, and for a reason."""
        status, text = self.popen.returncode, self.log_text()
        must(status == 74, f"status {status}: {text}")
        said = re.search(r"^leat-\w+: cannot start: (.*)\n\Z", text, re.M)
        must(said is not None, f"no reason: {text}")
        patterns = REFUSALS + self.store.refusals
        must(any(re.fullmatch(p.format(data=re.escape(self.data)), said.group(1)) for p in patterns), f"not a reason: {said.group(1)}")

    def has_damage(self):
        """What --check-store thinks of it, once the broker has ended."""
        done = subprocess.run([os.path.join(lab.BIN, f"leat-{self.store.role}"), "--check-store", "--data", self.data], capture_output=True,
                              text=True, timeout=lab.PATIENCE_S, check=False, env=self.store.laboratory.env)
        must(done.returncode in (0, 74), f"--check-store ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.returncode == 74

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def run(self):
        """refused, damaged (served, but for what it told of) or served."""
        self.start()
        try:
            outcome = self.store.serve(self)
            if outcome is None:
                self.check_refusal()
                return "refused"
            must(self.popen.poll() is None, f"it ended with status {self.popen.returncode}: {self.log_text()}")
            return outcome
        except Wrong as wrong:
            raise Wrong(f"{wrong}\n{self.log_text()[-3000:]}") from None
        finally:
            self.end()


class Store:
    """The files of a small store of one role, made by the real broker, and what it holds."""

    def __init__(self, laboratory, fill, killed=False):
        self.laboratory, self.trials, self.killed = laboratory, itertools.count(1), killed
        process = {"ventilator": laboratory.ventilator, "sink": laboratory.sink}[self.role]()
        fill(self)
        if killed:
            laboratory.kill(process)  # what was acknowledged last is in the journal alone
        else:
            laboratory.stop(process)  # in order: data.mdb has everything, the journal nothing that is needed
        self.files = {}
        data = os.path.join(laboratory.dir, f"{self.role}.data")
        for name in sorted(set(os.listdir(data)) - {"lock.mdb"}):
            with open(os.path.join(data, name), "rb") as f:
                self.files[name] = f.read()
        self.files["data.mdb"] = self.files["data.mdb"][:pages_bytes(self.files["data.mdb"])]

    def try_byte(self, file, offset, mask):
        trial = Trial(self, next(self.trials))
        trial.plant(file, offset, mask)
        try:
            return trial.run()
        except Wrong as wrong:
            raise Wrong(f"{self.role}: {file}, byte {offset} (page {offset // PAGE}, {offset % PAGE} in it) changed by 0x{mask:02x}: {wrong}") from None
        finally:
            shutil.rmtree(trial.dir, ignore_errors=True)


def pages_bytes(content):
    """As far as LMDB's pages go: see pages_bytes in test_disk.py."""
    last = max(int.from_bytes(content[at + 136:at + 144], "little") for at in (0, PAGE))
    return PAGE * (last + 1)


def send_until(link, kind, fields, answered):
    """Sends again and again until a message comes for which answered(kind, fields) is true."""
    end = time.monotonic() + lab.PATIENCE_S
    while time.monotonic() < end:
        link.send(kind, *fields)
        again = time.monotonic() + 1
        while time.monotonic() < again:
            got = link.receive(0.05)
            if got is not None and answered(*got):
                return got
    raise Wrong(f"no answer to {client_wire.NAMES[kind]}")


class VentilatorStore(Store):
    role = "ventilator"
    refusals = [
        r"table (lanes|queues): [^\n]+",
        r"table ready: two jobs of lane \d+ have the number \d+: a key is damaged",
        r"a job is in lane \d+, which is not in table lanes",
        r"(the )?(sealed )?record [^\n]+",
    ]

    def __init__(self, laboratory, killed=False):
        self.bodies, self.waiting, self.last = {}, set(), set()
        super().__init__(laboratory, VentilatorStore.fill, killed)

    def fill(self):
        """Ready jobs of two types with bodies of all sizes, some that expire, some that wait for their time."""
        rng, producer, far_ms = random.Random(1), os.urandom(16), int(time.time() * 1000) + 10**9
        link = Link(self.laboratory.endpoints["ventilator"])
        for batch in range(1, 13):
            jobs = []
            for n in range(3):
                size = [20, 300, 1500, 6000][(batch + n) % 4 if n == 0 else n % 2]
                body = client_wire.pack_body(client_wire.Body(rng.randbytes(size), 1000, 3, 1000, 2000, 1000, True, {}))
                id, late = new_job_id(), n == 2 and batch % 3 == 0
                jobs.append([id, "default", ["one", "two"][n % 2], far_ms + batch if late else 0, 2 * far_ms if n == 1 else 0, body])
                self.bodies[id] = body
                if late:
                    self.waiting.add(id)
            send_until(link, SUBMIT, (producer, batch, jobs), lambda kind, f, b=batch: kind == ACCEPTED and f[1] >= b)
            self.last = {job[0] for job in jobs}
        link.close()

    def serve(self, trial):
        """A worker and a sink of its own: every ready job comes with its body, or ends as damaged; None: it has ended."""
        sink = zmq.Context.instance().socket(zmq.ROUTER)
        sink.setsockopt(zmq.LINGER, 0)
        sink.bind(trial.endpoints["sink"])
        link = Link(trial.endpoints["ventilator"])
        link.socket.setsockopt(zmq.LINGER, 0)
        try:
            return self.work(trial, sink, link)
        finally:
            sink.close()
            link.close()

    def work(self, trial, sink, link):
        session, welcome, told, came, ended, end = os.urandom(16), False, 0.0, set(), set(), time.monotonic() + lab.PATIENCE_S
        look_at = time.monotonic() + 1
        poller = zmq.Poller()
        poller.register(sink, zmq.POLLIN)
        poller.register(link.socket, zmq.POLLIN)
        ready = set(self.bodies) - self.waiting
        while ready - came - ended:
            if trial.popen.poll() is not None:
                return None
            must(time.monotonic() < end, f"{len(ready - came - ended)} of {len(ready)} jobs neither came nor ended")
            if self.killed and time.monotonic() > look_at and self.lacks_last(link, ready - came - ended):
                return "cut"
            if not welcome and time.monotonic() > told:
                told = time.monotonic() + (0.3 if link.send(HELLO, session, 1, "worker", [["default"]], 1000, []) else 0.01)
            for socket, _ in poller.poll(10):
                if socket is sink:
                    ended |= self.take_results(sink.recv_multipart()[-1])
                    continue
                kind, fields = link.receive()
                if kind == WELCOME and not welcome:
                    welcome = True
                    link.send(CREDIT, 1, 1, 1000, [])
                elif kind == JOBS:
                    came |= self.take_jobs(fields[2])
        must(not came & ended, "a job came and has ended")
        return "damaged" if self.look_at_waiting(trial, link) or ended else "served"

    def lacks_last(self, link, missing):
        """Of a journal the very last record may be gone: damage looks there as a record that was being written when the power went."""
        return missing <= self.last and all(self.state(link, ref, id) == 0 for ref, id in enumerate(self.last, 100))

    def state(self, link, ref, id):
        """0: not known; None: the ventilator cannot say."""
        got = send_until(link, LOOKUP, (ref, id), lambda kind, f: kind == ERROR or (kind == FOUND and f[0] == ref))
        return None if got[0] == ERROR else got[1][2]

    def take_jobs(self, jobs):
        for item in jobs:
            job = client_wire.take(client_wire.Delivery, item)
            must(job.id in self.bodies, f"a job {job.id.hex()} that nobody submitted")
            must(job.body == self.bodies[job.id], f"job {job.id.hex()} has another body")
            must(job.id not in self.waiting, "a job came before its time")
        return {item[0] for item in jobs}

    def take_results(self, frame):
        version, kind, *fields = client_wire.msgpack.unpackb(frame)
        must(version == PROTOCOL_VERSION, "another version")
        if kind != RESULTS:
            return set()
        for item in fields[2]:
            must(item[0] in self.bodies, f"a result of job {item[0].hex()} that nobody submitted")
            must(item[3:5] == [client_wire.FAILED, client_wire.MALFORMED], f"a job ended otherwise than damaged: {item}")
        return {item[0] for item in fields[2]}

    def look_at_waiting(self, trial, link):
        """Jobs that wait for their time are still known, or the check knows that they are damaged."""
        unknown = sum(self.state(link, ref, id) != 1 for ref, id in enumerate(self.waiting, 1))
        if unknown:
            trial.end()
            must(trial.has_damage(), f"{unknown} jobs that wait are not known")
            trial.start()
        return unknown


class SinkStore(Store):
    role = "sink"
    refusals = [r"(the )?(sealed )?record [^\n]+", r"table \w+: [^\n]+"]

    def __init__(self, laboratory, killed=False):
        self.outputs, self.last = {}, set()
        super().__init__(laboratory, SinkStore.fill, killed)

    def fill(self):
        rng, worker, now_us = random.Random(2), os.urandom(16), time.time_ns() // 1000
        link = Link(self.laboratory.endpoints["sink"])
        for batch in range(1, 13):
            results = []
            for n in range(3):
                output = rng.randbytes([20, 300, 1500, 6000][(batch + n) % 4 if n == 0 else n % 2])
                id, failed = new_job_id(), n == 2
                end = ["it failed" if failed else "", output, False, now_us, now_us, 1, 1, "worker", [], b"body" if failed else b""]
                results.append([id, "default", "type", 5 if failed else 4, 1 if failed else 0, 1 if failed else 0, 1, 1, *end])
                self.outputs[id] = output
            send_until(link, RESULTS, (worker, batch, results), lambda kind, f, b=batch: kind == STORED and f[1] == b)
            self.last = {result[0] for result in results}
        link.close()

    def serve(self, trial):
        """Every result comes with its output; one that does not is told as damaged, or the check knows it."""
        link = Link(trial.endpoints["sink"])
        link.socket.setsockopt(zmq.LINGER, 0)
        try:
            found, again, end = None, 0.0, time.monotonic() + lab.PATIENCE_S
            while found is None:
                if trial.popen.poll() is not None:
                    return None
                must(time.monotonic() < end, "the sink does not answer")
                if time.monotonic() > again:
                    again = time.monotonic() + (0.5 if link.send(QUERY, 1, True, [[id] for id in self.outputs]) else 0.01)
                got = link.receive(0.01)
                if got is not None and got[0] == ANSWERS:
                    must(got[1][2] == len(self.outputs), "it looked at fewer results")
                    found = got[1][1]
        finally:
            link.close()
        for item in found:
            must(item[0] in self.outputs, f"a result {item[0].hex()} that nobody stored")
            must(item[9] == self.outputs[item[0]], f"result {item[0].hex()} has another output")
        if len(found) == len(self.outputs):
            return "served"
        if self.killed and set(self.outputs) - {item[0] for item in found} == self.last:
            return "cut"  # as lacks_last of the ventilator's
        trial.end()
        must(trial.has_damage(), f"{len(self.outputs) - len(found)} results are missing")
        trial.start()
        return "damaged"


STORES = {"ventilator": VentilatorStore, "sink": SinkStore}


def masks(offset):
    """One bit, another one at each byte; every fourth time all of them."""
    return 0xff if offset % 4 == 3 else 1 << (offset // 4 % 8)


def try_bytes(store, places, threads=4):
    """Tries each (file, offset); how often there was which outcome, and the first few failures as text."""
    places, lock = iter(places), threading.Lock()
    outcomes, failures = collections.Counter(), []

    def work():
        while len(failures) < 5:
            with lock:
                place = next(places, None)
            if place is None:
                return
            try:
                outcomes[store.try_byte(*place, masks(place[1]))] += 1
            except Exception as error:  # whatever went wrong, it is this byte's
                failures.append(str(error) if isinstance(error, Wrong) else f"{place}: {error!r}")
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return outcomes, failures


def main():
    role = sys.argv[1]
    with lab.Lab() as laboratory:
        store = STORES[role](laboratory)
        if len(sys.argv) > 3:
            print(store.try_byte("data.mdb", int(sys.argv[2], 0), int(sys.argv[3], 0)))
            return 0
        step = int(sys.argv[2]) if len(sys.argv) > 2 else 1
        for name, content in store.files.items():
            outcomes, failures = try_bytes(store, ((name, offset) for offset in range(0, len(content), step)))
            print(f"{role}, {name}: every {step}th of {len(content)} bytes: {dict(outcomes)}, {len(failures)} failures", flush=True)
            for failure in failures:
                print(failure, flush=True)
        return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
