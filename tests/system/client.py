#!/usr/bin/python3
"""A small leat client that shares no code with leat: written from docs/PROTOCOL.md alone, with python3-zmq and
python3-msgpack. It proves that the document is enough, and it is an example for other languages.

As a module:

    with Producer("tcp://127.0.0.1:5170") as producer:
        ids = [producer.submit("mail", "send", b"payload", attempts_max=5) for _ in range(1000)]
        producer.flush(timeout_s=10)                       # all of them are on the ventilator's disk
    with Sink("tcp://127.0.0.1:5171") as sink:
        results = sink.wait(ids, timeout_s=60)             # {id: Result}

    worker = Worker("tcp://127.0.0.1:5170", "tcp://127.0.0.1:5171", {"send": handler}, queues=["mail"], slots=4)
    worker.run()                                           # until DRAIN, or stop() from another thread or a handler
    handler(job) returns bytes, str or None; an exception is a failed attempt, Permanent one that is not repeated

    Stats("tcp://127.0.0.1:5172").ask("failures", queue="mail")    # a dict; as_json=True asks with JSON text
    Operator("tcp://127.0.0.1:5170").control("pause", "mail")

As a command (endpoints also from LEAT_VENTILATOR, LEAT_SINK, LEAT_STATS):

    client.py submit --queue mail --type send --wait one two three      one job per argument, or per line of stdin
    client.py work --queues mail --upper send --slots 2 --once 3        TYPE that returns its payload in upper case
    client.py stats failures queue=mail
    client.py control pause mail

For system tests: start the executables with tests/system/lab.py, and drive this module from the test's own process (every
class takes an endpoint and opens a context of its own; Worker.run may be put on a thread) or as a command. Faults for
tests: Worker(drop=lambda name, outgoing: bool) loses messages on purpose. Everything raises Refused when leat answers with
ERROR or REJECTED, and TimeoutError when the time is up.
"""
import argparse
import collections
import json
import os
import random
import sys
import time
import uuid

import msgpack
import zmq

from client_wire import (
    ACCEPTED, ANSWERS, BATCH_BYTES, BATCH_ITEMS, BUSY, Body, CONTROL, DONE, ERROR, FAILURES, FOUND, Found,
    JOBS, LOOKUP, Link, QUERY, QUERY_IDS, REJECTED, RESEND, Refused, Result, STATES, SUBMIT, SUCCEEDED,
    job_id, new_job_id, pack_body, take)
from client_worker import Job, Permanent, Worker  # noqa: F401, this module is the one to import


class Closing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.link.close()


class Producer(Closing):
    """Numbers batches, keeps each until it is acknowledged. Rules 1 to 5 under "Producer"."""

    WINDOW_BATCHES = 8

    def __init__(self, endpoint, batch_jobs=500, silence_s=1.0, drop=None):
        self.link = Link(endpoint, drop)
        self.batch_jobs, self.silence_s = batch_jobs, silence_s
        self.queue = collections.deque()      # jobs that are in no batch yet
        self.flight = collections.deque()     # [number, jobs], oldest first
        self.rejected = []                    # (code, text, ids)
        self.known = self.accepted = self.busy = self.resent = 0
        self.number_anew()

    def number_anew(self):
        self.producer = random.SystemRandom().randbytes(16)
        for number, batch in enumerate(self.flight, 1):
            batch[0] = number
        self.next_number = len(self.flight) + 1
        self.start_over()

    def start_over(self, position=0):
        """The batches from here on are to be sent, once more or for the first time."""
        self.unsent = position
        self.hold_until = 0.0
        self.last_resend = None
        self.repeat_s = self.silence_s
        self.repeat_at = time.monotonic() + self.repeat_s

    def submit(self, queue, kind, payload=b"", id=None, not_before_ms=0, expires_at_ms=0, timeout_ms=60000,
               attempts_max=3, backoff_base_ms=1000, backoff_factor_milli=2000, backoff_cap_ms=300000,
               backoff_jitter=True, headers=None):
        """Returns the job's id, 16 bytes. The job is on disk after flush()."""
        if isinstance(payload, str):
            payload = payload.encode()
        body = Body(payload, timeout_ms, attempts_max, backoff_base_ms, backoff_factor_milli, backoff_cap_ms,
                    backoff_jitter, headers or {})
        id = new_job_id() if id is None else job_id(id)
        self.queue.append([id, queue, kind, not_before_ms, expires_at_ms, pack_body(body)])
        if len(self.queue) >= self.batch_jobs:
            self.turn(0)
        return id

    def pending(self):
        return len(self.queue) + sum(len(jobs) for _, jobs in self.flight)

    def flush(self, timeout_s=30.0):
        deadline = time.monotonic() + timeout_s
        while self.pending() > 0:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{self.pending()} jobs are not acknowledged after {timeout_s:g} s")
            self.turn(0.2)
        if self.rejected:
            code, text, _ = self.rejected[0]
            raise Refused(code, text)

    def form_batches(self):
        while self.queue and len(self.flight) < self.WINDOW_BATCHES:
            jobs, size = [], 0
            while self.queue and len(jobs) < min(self.batch_jobs, BATCH_ITEMS) and size < BATCH_BYTES:
                jobs.append(self.queue.popleft())
                size += len(jobs[-1][5])
            self.flight.append([self.next_number, jobs])
            self.next_number += 1

    def turn(self, wait_s):
        self.form_batches()
        now = time.monotonic()
        if self.flight and now >= self.repeat_at:
            self.resent += len(self.flight)
            repeat_s = min(2 * self.repeat_s, 8 * self.silence_s)
            self.start_over()
            self.repeat_s, self.repeat_at = repeat_s, now + repeat_s
        while self.unsent < len(self.flight) and now >= self.hold_until:
            if not self.link.send(SUBMIT, self.producer, *self.flight[self.unsent]):
                wait_s = min(wait_s, 0.02)
                break
            self.unsent += 1
        got = self.link.receive(wait_s)
        while got is not None:
            self.take_answer(*got)
            got = self.link.receive()

    def forget_up_to(self, number):
        while self.flight and self.flight[0][0] <= number:
            self.accepted += len(self.flight.popleft()[1])
            self.unsent = max(0, self.unsent - 1)

    def position(self, number):
        return next((at for at, batch in enumerate(self.flight) if batch[0] == number), None)

    def take_answer(self, kind, fields):
        if kind == ERROR:
            raise Refused(fields[0], fields[1])
        if kind not in (ACCEPTED, BUSY, REJECTED, RESEND) or fields[0] != self.producer:
            return  # of a numbering that is over
        number = fields[1]
        at = self.position(number)
        if kind == ACCEPTED and at is not None:
            self.known += fields[2]
            self.forget_up_to(number)
            self.last_resend = None
            self.repeat_s = self.silence_s
            self.repeat_at = time.monotonic() + self.repeat_s
        elif kind == BUSY and at is not None:
            self.busy += 1
            self.start_over(at)
            self.hold_until = time.monotonic() + fields[2] / 1000
            self.repeat_at += fields[2] / 1000
        elif kind == REJECTED and at is not None:
            self.forget_up_to(number - 1)
            jobs = self.flight.popleft()[1]
            self.rejected.append((fields[2], fields[3], [job[0] for job in jobs]))
            self.number_anew()
        elif kind == RESEND and at is not None:
            self.forget_up_to(number - 1)
            if self.last_resend != number:
                self.resent += len(self.flight)
                self.start_over()
                self.last_resend = number
        elif kind == RESEND and self.flight and number == 1:
            self.number_anew()


class Sink(Closing):
    """Asks the sink's results socket."""

    def __init__(self, endpoint):
        self.link = Link(endpoint)
        self.ref = random.getrandbits(32)

    def query(self, ids, with_output=True, timeout_s=10.0):
        """{id: Result} of those that are there."""
        ids = [job_id(id) for id in ids]
        found, at = {}, 0
        while at < len(ids):
            self.ref += 1
            part = [[id] for id in ids[at:at + QUERY_IDS]]
            answers = self.link.call(QUERY, ANSWERS, self.ref, with_output, part, timeout_s=timeout_s)
            for item in answers[1]:
                result = take(Result, item)
                found[result.id] = result._replace(headers={header[0]: header[1] for header in result.headers})
            at += max(1, answers[2])
        return found

    def wait(self, ids, timeout_s=60.0, with_output=True, every_s=0.1):
        """{id: Result} of all; TimeoutError says how many are missing."""
        missing = {job_id(id) for id in ids}
        done, deadline = {}, time.monotonic() + timeout_s
        while missing:
            done.update(self.query(missing, with_output, max(0.1, deadline - time.monotonic())))
            missing -= done.keys()
            if missing and time.monotonic() >= deadline:
                raise TimeoutError(f"{len(missing)} of {len(done) + len(missing)} jobs have no result")
            if missing:
                self.link.receive(every_s)
        return done


class Operator(Closing):
    def __init__(self, endpoint):
        self.link = Link(endpoint)
        self.ref = random.getrandbits(32)

    def control(self, verb, argument="", timeout_s=10.0):
        self.ref += 1
        return self.link.call(CONTROL, DONE, self.ref, verb, argument, timeout_s=timeout_s)[1]

    def lookup(self, id, timeout_s=10.0):
        """A Found, or None when the job is not at the ventilator."""
        self.ref += 1
        found = take(Found, self.link.call(LOOKUP, FOUND, self.ref, job_id(id), timeout_s=timeout_s))
        return found if found.state != 0 else None


class Stats:
    """REQ to the stats socket, as msgpack or as JSON text."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def ask(self, request, as_json=False, timeout_s=3.0, **fields):
        message = {"request": request, **fields}
        reply = self.ask_raw(json.dumps(message).encode() if as_json else msgpack.packb(message), timeout_s)
        reply = json.loads(reply) if as_json else msgpack.unpackb(reply)
        if "reply" not in reply:  # only an error has none; "error" alone may be a job's
            raise Refused(reply["error"]["code"], reply["error"]["text"])
        return reply

    def ask_raw(self, frame, timeout_s=3.0):
        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(self.endpoint)
            socket.send(frame)
            if not socket.poll(int(1000 * timeout_s)):
                raise TimeoutError(f"no answer from {self.endpoint}")
            return socket.recv()


# ---- the command ----


def show(result):
    output = result.output.decode("utf-8", "replace").rstrip("\n")
    detail = output if result.status == SUCCEEDED else f"{FAILURES.get(result.failure)}: {result.error}"
    print(f"{uuid.UUID(bytes=result.id)} {STATES.get(result.status)} attempts={result.attempts} {detail}")


def command_submit(args):
    payloads = args.payloads or [line.rstrip("\n") for line in sys.stdin]
    with Producer(args.ventilator) as producer:
        ids = [producer.submit(args.queue, args.type, payload, timeout_ms=args.timeout_ms,
                               attempts_max=args.attempts) for payload in payloads]
        producer.flush(args.deadline)
    if not args.wait:
        for id in ids:
            print(uuid.UUID(bytes=id))
        return 0
    with Sink(args.sink) as sink:
        results = sink.wait(ids, args.deadline)
    for id in ids:
        show(results[id])
    return 0 if all(result.status == SUCCEEDED for result in results.values()) else 1


def command_work(args):
    handlers = {kind: (lambda job: job.payload) for kind in args.echo}
    handlers.update({kind: (lambda job: job.payload.upper()) for kind in args.upper})
    worker = Worker(args.ventilator, args.sink, handlers, args.queues.split(","), args.slots)
    try:
        worker.run(until=lambda w: args.once and w.counts["stored"] >= args.once)
    except KeyboardInterrupt:
        return 1
    print(json.dumps(worker.counts))
    return 0


def command_stats(args):
    fields = dict(field.split("=", 1) for field in args.fields)
    fields = {key: int(value) if key == "limit" else value for key, value in fields.items()}
    print(json.dumps(Stats(args.stats).ask(args.request, as_json=True, **fields), indent=2))
    return 0


def command_control(args):
    with Operator(args.ventilator) as operator:
        print(operator.control(args.verb, args.argument))
    return 0


def main():
    parser = argparse.ArgumentParser(description="A leat client written from docs/PROTOCOL.md alone.")
    for name, port in (("ventilator", 5170), ("sink", 5171), ("stats", 5172)):
        parser.add_argument("--" + name, default=os.environ.get("LEAT_" + name.upper(), f"tcp://127.0.0.1:{port}"))
    commands = parser.add_subparsers(required=True)
    submit = commands.add_parser("submit")
    submit.set_defaults(run=command_submit)
    submit.add_argument("--queue", default="default")
    submit.add_argument("--type", required=True)
    submit.add_argument("--timeout-ms", type=int, default=60000)
    submit.add_argument("--attempts", type=int, default=3)
    submit.add_argument("--wait", action="store_true")
    submit.add_argument("--deadline", type=float, default=60.0)
    submit.add_argument("payloads", nargs="*")
    work = commands.add_parser("work")
    work.set_defaults(run=command_work)
    work.add_argument("--queues", default="default")
    work.add_argument("--slots", type=int, default=1)
    work.add_argument("--echo", action="append", default=[], metavar="TYPE")
    work.add_argument("--upper", action="append", default=[], metavar="TYPE")
    work.add_argument("--once", type=int, default=0, metavar="N", help="drain after N results")
    stats = commands.add_parser("stats")
    stats.set_defaults(run=command_stats)
    stats.add_argument("request", nargs="?", default="stats")
    stats.add_argument("fields", nargs="*", metavar="KEY=VALUE")
    control = commands.add_parser("control")
    control.set_defaults(run=command_control)
    control.add_argument("verb")
    control.add_argument("argument", nargs="?", default="")
    args = parser.parse_args()
    try:
        return args.run(args)
    except (Refused, TimeoutError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
