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
import concurrent.futures
import json
import os
import random
import sys
import threading
import time
import uuid

import msgpack
import zmq

PROTOCOL_VERSION = 1
RECORD_VERSION = 1

# Type numbers, as in the table of messages.
ERROR = 1
SUBMIT, ACCEPTED, BUSY, REJECTED, RESEND = 16, 17, 18, 19, 20
HELLO, WELCOME, JOBS, CREDIT, RETRY, RETURN, PING, PONG, GOODBYE, DRAIN = range(32, 42)
RESULTS, STORED = 48, 49
CONTROL, DONE, LOOKUP, FOUND = 64, 65, 66, 67
QUERY, ANSWERS, FINISHED = 80, 81, 82
NAMES = {value: name for name, value in list(globals().items()) if name.isupper() and isinstance(value, int)
         and not name.endswith("VERSION")}

STATES = {1: "scheduled", 2: "ready", 3: "leased", 4: "succeeded", 5: "failed", 6: "expired", 7: "cancelled"}
SUCCEEDED, FAILED, EXPIRED = 4, 5, 6
FAILURES = {0: "none", 1: "exit", 2: "signal", 3: "timeout", 4: "too_large", 5: "no_handler", 6: "handler", 7: "spawn",
            8: "lost", 9: "expired", 10: "malformed", 11: "killed"}
NONE, TIMEOUT, TOO_LARGE, NO_HANDLER, HANDLER, PAST_EXPIRY, MALFORMED = 0, 3, 4, 5, 6, 9, 10

UNKNOWN_SESSION, OUT_OF_ORDER = 8, 9
BATCH_ITEMS, BATCH_BYTES, QUERY_IDS = 4096, 256 << 10, 1024
ERROR_BYTES, OUTPUT_BYTES = 4096, 64 << 10


class Refused(Exception):
    """leat answered ERROR or REJECTED; `code` is from the table of errors."""

    def __init__(self, code, text):
        super().__init__(f"{text} (code {code})")
        self.code, self.text = code, text


class Permanent(Exception):
    """Raised by a handler: this job fails for good."""


Result = collections.namedtuple(
    "Result", "id queue type status failure code attempts delivery error output truncated accepted_us finished_us "
    "wait_us run_us worker headers body")
Delivery = collections.namedtuple("Delivery", "id delivery attempt queue type expires_at_ms accepted_us ready_us body")
Body = collections.namedtuple("Body", "payload timeout_ms attempts_max backoff_base_ms backoff_factor_milli "
                              "backoff_cap_ms backoff_jitter headers")
Found = collections.namedtuple("Found", "ref id state attempt deliveries due_ms queue type worker")


def take(kind, elements):
    """Extra elements at the end are for later versions."""
    return kind._make(elements[:len(kind._fields)])


def new_job_id():
    """UUIDv7, RFC 9562."""
    value = (int(time.time() * 1000) & (1 << 48) - 1) << 80 | random.SystemRandom().getrandbits(80)
    value = value & ~(0xf << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return value.to_bytes(16, "big")


def job_id(value):
    return value if isinstance(value, bytes) else uuid.UUID(str(value)).bytes


def cut_text(text, size):
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore")


def pack_body(body):
    headers = [[name, value] for name, value in body.headers.items()]
    return msgpack.packb([RECORD_VERSION, *body[:-1], headers])


def unpack_body(data):
    fields = msgpack.unpackb(data)
    if fields[0] != RECORD_VERSION:
        raise ValueError(f"record version {fields[0]}")
    body = take(Body, fields[1:])
    return body._replace(headers={header[0]: header[1] for header in body.headers})


class Link:
    """A DEALER that sends and receives whole messages and never blocks."""

    def __init__(self, endpoint, drop=None):
        self.context = zmq.Context()
        self.drop = drop
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.connect(endpoint)

    def close(self):
        self.socket.close()
        self.context.term()

    def send(self, kind, *fields):
        """False: not sent, and that is the same as lost."""
        if self.drop is not None and self.drop(NAMES[kind], True):
            return True
        try:
            self.socket.send(msgpack.packb([PROTOCOL_VERSION, kind, *fields]), zmq.NOBLOCK)
            return True
        except zmq.Again:
            return False

    def receive(self, timeout_s=0.0):
        """(type, fields), or None when nothing comes."""
        deadline = time.monotonic() + timeout_s
        while self.socket.poll(max(0, int(1000 * (deadline - time.monotonic())))):
            version, kind, *fields = msgpack.unpackb(self.socket.recv())
            if version != PROTOCOL_VERSION:
                raise Refused(3, f"the other end speaks version {version}")
            if self.drop is None or not self.drop(NAMES.get(kind, "?"), False):
                return kind, fields
        return None

    def call(self, kind, answer_kind, ref, *fields, timeout_s=10.0):
        """One request with a `ref`, repeated until its answer comes. For requests that may be done twice."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            sent = self.send(kind, ref, *fields)
            again = min(deadline, time.monotonic() + (1.0 if sent else 0.02))
            while (left := again - time.monotonic()) > 0:
                got = self.receive(left)
                if got is None:
                    continue
                if got[0] == answer_kind and got[1][0] == ref:
                    return got[1]
                if got[0] == ERROR and got[1][3] == ref:
                    raise Refused(got[1][0], got[1][1])
        raise TimeoutError(f"no answer to {NAMES[kind]} within {timeout_s:g} s")


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


class Job:
    """What a handler gets."""

    def __init__(self, delivery, body):
        self.id, self.queue, self.type, self.attempt = delivery.id, delivery.queue, delivery.type, delivery.attempt
        self.delivery, self.payload, self.headers = delivery.delivery, body.payload, body.headers
        self.timeout_ms, self.attempts_max = body.timeout_ms, body.attempts_max


class Lease:
    """One delivery, from JOBS until nobody needs to hear of it. Place: queued, running, retrying, finished."""

    def __init__(self, delivery):
        self.delivery = delivery
        self.key = (delivery.id, delivery.delivery)
        self.place = "queued"
        self.body = None
        self.refused = False
        self.future = None
        self.begun_wall = self.begun = self.due = 0.0
        self.pings_before = None  # retrying: PINGs that went out before its RETRY; None: not sent in this round


class Worker:
    """Runs Python callables. Rules under "Worker". Handlers run on threads, which cannot be killed: after a timeout the
    attempt counts as failed at once, and its slot is free when the handler returns."""

    def __init__(self, ventilator, sink, handlers, queues=("default",), slots=1, prefetch=0, name=None, drop=None,
                 output_bytes_max=OUTPUT_BYTES):
        self.endpoints = (ventilator, sink)
        self.handlers, self.queues, self.slots, self.prefetch = handlers, list(queues), slots, prefetch
        self.name = name or f"{os.uname().nodename}:{os.getpid()}-python"
        self.drop, self.output_bytes_max = drop, output_bytes_max
        self.session = random.SystemRandom().randbytes(16)
        self.round = 0
        self.open = False
        self.leases = {}
        self.abandoned = set()     # futures of attempts that timed out and still hold a slot
        self.waiting = []          # (lease, result) in no batch yet
        self.batches = {}          # number: [pairs, send again at, wait]
        self.last_batch = 0
        self.draining = False
        self.stopping = threading.Event()
        self.wake_address = f"inproc://wake-{self.session.hex()}"
        self.local = threading.local()
        self.wakers, self.wakers_lock = [], threading.Lock()
        self.counts = collections.Counter()
        self.errors = []           # (code, text) of ERRORs that are not about the order of messages

    # ---- life ----

    def run(self, until=None):
        """Until drained. `until(worker)` is looked at every turn; when it is true the worker drains."""
        self.ventilator = Link(self.endpoints[0], self.drop)
        self.sink = Link(self.endpoints[1], self.drop)
        self.wake = self.ventilator.context.socket(zmq.PULL)
        self.wake.bind(self.wake_address)
        self.poller = zmq.Poller()
        for socket in (self.ventilator.socket, self.sink.socket, self.wake):
            self.poller.register(socket, zmq.POLLIN)
        self.threads = concurrent.futures.ThreadPoolExecutor(self.slots)
        self.hello_at, self.hellos, self.said_hello = 0.0, 0, 0.0
        self.ping_s, self.lost_s = 1.0, 5.0
        try:
            while not self.turn():
                if self.stopping.is_set() or (until is not None and until(self)):
                    self.draining = True
            if self.open:
                self.say(GOODBYE, "drained")
        finally:
            self.threads.shutdown(wait=True)
            for socket in self.wakers + [self.wake]:
                socket.close(0)
            self.ventilator.close()
            self.sink.close()

    def stop(self):
        """From any thread: drain and return."""
        self.stopping.set()

    def turn(self):
        """One look at everything; true when there is nothing left to do."""
        for socket, _ in self.poller.poll(int(1000 * self.patience_s())):
            if socket is self.wake:
                self.wake.recv()
        while (got := self.ventilator.receive()) is not None:
            self.heard = time.monotonic()
            self.take_ventilator(*got)
        while (got := self.sink.receive()) is not None:
            self.take_sink(*got)
        self.end_attempts()
        self.start_attempts()
        self.keep_in_touch()
        self.send_results()
        idle = not self.leases and not self.waiting and not self.batches
        return self.draining and idle

    def patience_s(self):
        now, at = time.monotonic(), [time.monotonic() + 0.1]
        at.append(self.ping_at if self.open else self.hello_at)
        at += [batch[1] for batch in self.batches.values()]
        at += [lease.begun + lease.body.timeout_ms / 1000 for lease in self.placed("running")]
        return max(0.0, min(at) - now)

    def placed(self, place):
        return [lease for lease in self.leases.values() if lease.place == place]

    # ---- the session ----

    def say(self, kind, *fields):
        """A numbered message of this round."""
        self.sent_number += 1
        self.ventilator.send(kind, self.round, self.sent_number, *fields)

    def new_round(self, later_s=0.0):
        self.open = False
        self.hello_at = max(time.monotonic() + later_s, self.said_hello + 0.1)

    def say_hello(self):
        now = time.monotonic()
        held = [list(lease.key) for lease in self.leases.values() if not lease.refused]
        queues = [[queue] for queue in self.queues]
        if not self.ventilator.send(HELLO, self.session, self.round + 1, self.name, queues, self.slots, held):
            self.hello_at = now + 0.05
            return
        self.round += 1
        self.sent_number = self.received_number = self.received = self.granted = self.pings = self.pongs = 0
        for lease in self.placed("retrying"):
            lease.pings_before = None
        self.said_hello = now
        self.hello_at = now + min(5.0, 1.0 * 2 ** self.hellos) * random.uniform(0.5, 1.0)
        self.hellos = min(self.hellos + 1, 3)

    def keep_in_touch(self):
        now = time.monotonic()
        if self.open and now >= self.heard + self.lost_s:
            self.new_round()
        if not self.open:
            if self.draining:
                self.give_up_unheard()
            elif now >= self.hello_at:
                self.say_hello()
            return
        if self.draining:
            queued = self.placed("queued")
            if queued:
                self.say(RETURN, [list(lease.key) for lease in queued])
                self.counts["returned"] += len(queued)
            for lease in queued:
                del self.leases[lease.key]
        repeats = [lease for lease in self.placed("retrying") if lease.pings_before is None]
        for at in range(0, len(repeats), BATCH_ITEMS):
            self.say_retry(repeats[at:at + BATCH_ITEMS], now)
        busy = len(self.placed("running")) + len(self.abandoned)
        room = self.slots + self.prefetch - busy - len(self.placed("queued"))
        total = self.received + (0 if self.draining else max(0, room))
        if total != self.granted:
            self.granted = total
            self.say(CREDIT, total, [])
        unconfirmed = any(lease.pings_before is not None for lease in self.placed("retrying"))
        if now >= self.ping_at or (unconfirmed and self.pings == self.pongs):
            self.say(PING, busy, len(self.placed("finished")))
            self.pings += 1
            self.ping_at = now + self.ping_s

    def give_up_unheard(self):
        """Ending, with no round open: the ventilator takes these jobs back by itself when it notices our silence."""
        for lease in self.placed("queued") + self.placed("retrying"):
            del self.leases[lease.key]

    def say_retry(self, leases, now):
        items = []
        for lease in leases:
            delay_ms = max(0, int(1000 * (lease.due - now)))
            items.append([*lease.key, lease.delivery.attempt, delay_ms])
            lease.pings_before = self.pings
        self.say(RETRY, items)

    def take_ventilator(self, kind, fields):
        if kind == WELCOME:
            self.take_welcome(fields)
        elif kind == ERROR:
            if fields[0] in (UNKNOWN_SESSION, OUT_OF_ORDER):
                if self.open:
                    self.new_round()
            else:
                self.errors.append((fields[0], fields[1]))
        elif kind in (JOBS, PONG, DRAIN, GOODBYE) and self.is_next(fields[0], fields[1]):
            if kind == JOBS:
                for item in fields[2]:
                    self.take_job(take(Delivery, item))
            elif kind == PONG:
                self.take_pong()
            elif kind == DRAIN:
                self.draining = True
            else:
                self.new_round(random.uniform(0.2, 0.6))

    def is_next(self, round, number):
        if not self.open or round != self.round or number <= self.received_number:
            return False
        if number != self.received_number + 1:
            self.counts["gaps"] += 1
            self.new_round()
            return False
        self.received_number = number
        return True

    def take_welcome(self, fields):
        session, round, ping_ms, lost_after_ms, refused = fields[:5]
        if self.open or session != self.session or round != self.round:
            return
        self.open, self.hellos = True, 0
        self.ping_s, self.lost_s = ping_ms / 1000, lost_after_ms / 1000
        self.ping_at = time.monotonic() + self.ping_s
        for item in refused:
            lease = self.leases.get((item[0], item[1]))
            if lease is None:
                continue
            lease.refused = True
            self.counts["refused"] += 1
            if lease.place in ("queued", "retrying"):
                del self.leases[lease.key]

    def take_pong(self):
        if self.pongs < self.pings:
            self.pongs += 1
        for lease in self.placed("retrying"):
            if lease.pings_before is not None and lease.pings_before < self.pongs:
                del self.leases[lease.key]  # on the ventilator's disk

    # ---- attempts ----

    def take_job(self, delivery):
        self.received += 1
        self.counts["received"] += 1
        lease = Lease(delivery)
        if lease.key in self.leases:
            return
        self.leases[lease.key] = lease
        try:
            lease.body = unpack_body(delivery.body)
        except Exception as error:  # whatever is wrong with foreign bytes
            self.finish(lease, FAILED, MALFORMED, f"the body cannot be read: {error}", attempts=delivery.attempt - 1)

    def start_attempts(self):
        free = self.slots - len(self.placed("running")) - len(self.abandoned)
        for lease in self.placed("queued"):
            expires_ms = lease.delivery.expires_at_ms
            if expires_ms != 0 and time.time() * 1000 >= expires_ms:
                self.finish(lease, EXPIRED, PAST_EXPIRY, "expired before it started",
                            attempts=lease.delivery.attempt - 1)
            elif self.draining or free <= 0:
                continue
            elif lease.delivery.type not in self.handlers:
                self.attempt_failed(lease, NO_HANDLER, f"no handler for type '{lease.delivery.type}' here")
            else:
                free -= 1
                lease.place = "running"
                lease.begun, lease.begun_wall = time.monotonic(), time.time()
                handler = self.handlers[lease.delivery.type]
                lease.future = self.threads.submit(handler, Job(lease.delivery, lease.body))
                lease.future.add_done_callback(lambda _: self.wake_up())

    def wake_up(self):
        """On the thread of a handler: each has a socket of its own, since sockets may not be shared."""
        if not hasattr(self.local, "socket"):
            self.local.socket = self.ventilator.context.socket(zmq.PUSH)
            self.local.socket.connect(self.wake_address)
            with self.wakers_lock:
                self.wakers.append(self.local.socket)
        self.local.socket.send(b"")

    def end_attempts(self):
        self.abandoned = {future for future in self.abandoned if not future.done()}
        for lease in self.placed("running"):
            timeout_s = lease.body.timeout_ms / 1000
            if lease.future.done():
                self.take_outcome(lease)
            elif time.monotonic() >= lease.begun + timeout_s:
                self.abandoned.add(lease.future)
                self.attempt_failed(lease, TIMEOUT, f"timeout after {timeout_s:g} s")

    def take_outcome(self, lease):
        error = lease.future.exception()
        if error is not None:
            text = f"{type(error).__name__}: {error}"
            self.attempt_failed(lease, HANDLER, text, permanent=isinstance(error, Permanent))
            return
        output = lease.future.result()
        output = b"" if output is None else output.encode() if isinstance(output, str) else output
        if not isinstance(output, bytes):
            text = f"the handler returned {type(output).__name__}, not bytes, str or None"
            self.attempt_failed(lease, HANDLER, text, permanent=True)
        elif len(output) > self.output_bytes_max:
            text = f"output is {len(output)} bytes, limit is {self.output_bytes_max}"
            self.attempt_failed(lease, TOO_LARGE, text, permanent=True)
        else:
            self.finish(lease, SUCCEEDED, NONE, "", output)

    def attempt_failed(self, lease, failure, text, permanent=False):
        attempt, body = lease.delivery.attempt, lease.body
        if permanent or attempt >= body.attempts_max:
            plural = "" if attempt == 1 else "s"
            self.finish(lease, FAILED, failure, f"failed after {attempt} attempt{plural}: {text}")
        elif lease.refused:
            del self.leases[lease.key]
        else:
            lease.place, lease.pings_before = "retrying", None
            lease.due = time.monotonic() + self.delay_ms(attempt, body) / 1000
            self.counts["retried"] += 1

    @staticmethod
    def delay_ms(attempt, body):
        bound = body.backoff_base_ms
        for _ in range(attempt - 1):
            if bound >= body.backoff_cap_ms:
                break
            bound = bound * body.backoff_factor_milli // 1000
        bound = min(bound, body.backoff_cap_ms)
        return random.randint(0, bound) if body.backoff_jitter else bound

    # ---- results ----

    def finish(self, lease, status, failure, text, output=b"", attempts=None):
        d = lease.delivery
        wall = time.time()
        begun = lease.begun_wall or wall
        headers = [[name, value] for name, value in lease.body.headers.items()] if lease.body else []
        run_s = time.monotonic() - lease.begun if lease.begun else 0.0
        result = [d.id, d.queue, d.type, status, failure, 0, d.attempt if attempts is None else attempts, d.delivery,
                  cut_text(text, ERROR_BYTES), output, False, d.accepted_us, int(wall * 1e6),
                  max(0, int(begun * 1e6) - d.ready_us), int(run_s * 1e6), self.name, headers,
                  b"" if status == SUCCEEDED else d.body]
        lease.place = "finished"
        self.waiting.append((lease, result))
        self.counts[STATES[status]] += 1

    def send_results(self):
        now = time.monotonic()
        while self.waiting and len(self.batches) < 4:
            pairs, size = [], 0
            while self.waiting and len(pairs) < BATCH_ITEMS and size < BATCH_BYTES:
                pairs.append(self.waiting.pop(0))
                size += len(pairs[-1][1][9]) + len(pairs[-1][1][17])
            self.last_batch += 1
            self.batches[self.last_batch] = [pairs, now, 1.0]
        for number, batch in self.batches.items():
            if now >= batch[1]:
                sent = self.sink.send(RESULTS, self.session, number, [result for _, result in batch[0]])
                batch[1] = now + (batch[2] if sent else 0.05)
                batch[2] = min(5.0, 2 * batch[2]) if sent else batch[2]

    def take_sink(self, kind, fields):
        if kind == STORED and fields[0] == self.session:
            self.forget_batch(fields[1])
        elif kind == BUSY and fields[0] == self.session and fields[1] in self.batches:
            self.batches[fields[1]][1] = time.monotonic() + fields[2] / 1000
        elif kind == ERROR:
            self.errors.append((fields[0], fields[1]))
            if fields[2] == RESULTS:
                self.forget_batch(fields[3])

    def forget_batch(self, number):
        for lease, _ in self.batches.pop(number, [[]])[0]:
            del self.leases[lease.key]
            self.counts["stored"] += 1


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
