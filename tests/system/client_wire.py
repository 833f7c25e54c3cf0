"""The bytes of the independent client (client.py): numbers, items, bodies, and a DEALER for whole messages. Written from
docs/PROTOCOL.md alone."""
import collections
import random
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
