"""A laboratory with keys: brokers on TCP with CURVE, key files in a directory, peers in Python with any key or none.

    with SecureLab() as lab:
        lab.sink(); lab.ventilator(); lab.worker("--exec", "echo=cat")
        lab.key("alice", "producer")
        peer = lab.peer("ventilator", "alice")     a DEALER with her key
        lab.revoke("alice")
"""
import json
import os
import socket

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

import lab
from client_wire import PROTOCOL_VERSION

FORBIDDEN = 21
# Events of a handshake that ends, well or badly.
SUCCEEDED = zmq.EVENT_HANDSHAKE_SUCCEEDED
FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH


def read_key(path):
    """(public, secret or None) of a key file."""
    values = {}
    with open(path) as f:
        for line in f:
            name, equals, value = line.strip().partition(" = ")
            if equals:
                values[name] = value.strip('"').encode()
    return values["public-key"], values.get("secret-key")


class Peer:
    """A socket whose handshakes are counted. `key`: (public, secret) or None for the NULL mechanism."""

    def __init__(self, kind, endpoint, key=None, server=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.linger = 0
        self.socket.reconnect_ivl = 50
        if key is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = key
            self.socket.curve_serverkey = server
        if kind == zmq.SUB:
            self.socket.subscribe(b"")
        self.monitor = self.socket.get_monitor_socket(SUCCEEDED | FAILED)
        self.succeeded = self.failed = 0
        self.socket.connect(endpoint)

    def close(self):
        self.socket.disable_monitor()
        self.context.destroy(linger=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def count(self, wait_s=0.0):
        """Takes note of the handshakes that have ended; waits for the first."""
        wait_ms = int(1000 * wait_s)
        while self.monitor.poll(wait_ms):
            if recv_monitor_message(self.monitor)["event"] == SUCCEEDED:
                self.succeeded += 1
            else:
                self.failed += 1
            wait_ms = 0
        return self.succeeded, self.failed

    def gets_in(self):
        """Whether its next handshake succeeds."""
        before = self.succeeded, self.failed
        self.count(lab.PATIENCE_S)
        assert (self.succeeded, self.failed) != before, "no handshake has ended"
        return self.succeeded > before[0]

    def send(self, kind, *fields):
        self.socket.send(msgpack.packb([PROTOCOL_VERSION, kind, *fields]))

    def receive(self, timeout_s=lab.PATIENCE_S):
        """(type, fields); None when nothing comes."""
        if not self.socket.poll(int(1000 * timeout_s)):
            return None
        _, kind, *fields = msgpack.unpackb(self.socket.recv())
        return kind, fields


def send_old_greeting(endpoint, version):
    """Speaks ZMTP 1.0 or 2.0 with a message; True when the other end hangs up without a word of its own after it."""
    host, port = endpoint[len("tcp://"):].rsplit(":", 1)
    hello = {1: b"\x01\x00\x06\x00hello", 2: b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\x00\x00\x00\x05hello"}[version]
    with socket.create_connection((host, int(port)), lab.PATIENCE_S) as raw:
        raw.settimeout(lab.PATIENCE_S)
        try:
            raw.sendall(hello)
            while raw.recv(1000):
                pass
        except ConnectionError:
            pass
        return True


class SecureLab(lab.Lab):
    def __init__(self, host="127.0.0.1"):
        """On TCP ports of this address; None: on ipc, where keys count as well."""
        super().__init__()
        self.keys = os.path.join(self.dir, "keys")
        self.private = os.path.join(self.dir, "private")
        for name in self.endpoints if host is not None else ():
            with socket.socket() as probe:
                probe.bind((host, 0))
                self.set_endpoint(name, f"tcp://{host}:{probe.getsockname()[1]}")
        self.key("broker", "broker")
        self.server = read_key(self.path("broker.pub"))[0]
        self.env["LEAT_SERVER_KEY"] = self.path("broker.pub")
        for role in ("operator", "producer", "worker"):
            self.key(role, role)

    def set_endpoint(self, name, endpoint):
        self.endpoints[name] = endpoint
        self.env["LEAT_" + name.upper()] = endpoint

    def path(self, file):
        return os.path.join(self.private if file.endswith(".key") else self.keys, file)

    def key(self, name, role, queues=None):
        """Makes a pair as its owner does, and brings the public half to the brokers."""
        for command in (["new", name, "--directory", self.private], ["add", os.path.join(self.private, name + ".pub"), "--directory", self.keys]):
            done = self.run("leat", "keys", *command, "--role", role, *(["--queues", queues] if queues else []))
            assert done.returncode == 0, done.err
        for process in self.processes:  # who is refused waits for 5 s, so nobody shall come too early
            if process.name in ("ventilator", "sink") and process.alive():
                self.wait_for(lambda: f"event=key_known name={name} " in process.log_text(), f"the {process.name} knows {name}")
        return self.path(name + ".key")

    def revoke(self, name):
        done = self.run("leat", "keys", "revoke", name, "--directory", self.keys)
        assert done.returncode == 0, done.err

    def with_key(self, name, env=None):
        return {**(env or {}), "LEAT_KEY": self.path(name + ".key")}

    def broker_env(self, env=None):
        return self.with_key("broker", {"LEAT_KEYS": self.keys, **(env or {})})

    def ventilator(self, *options, env=None, **kw):
        return super().ventilator(*options, env=self.broker_env(env), **kw)

    def sink(self, *options, env=None, **kw):
        return super().sink(*options, env=self.broker_env(env), **kw)

    def worker(self, *options, key="worker", env=None, **kw):
        return super().worker(*options, env=self.with_key(key, env), **kw)

    def leat(self, key, *arguments, **kw):
        return self.run(*arguments, env=self.with_key(key), **kw)

    def peer(self, where, key, kind=zmq.DEALER):
        """A socket with the named key; None: without one."""
        pair = None if key is None else read_key(self.path(key + ".key"))
        return Peer(kind, self.endpoints[where], pair, self.server)

    def ask(self, request, timeout=10, key="operator"):
        with self.peer("stats", key, zmq.REQ) as peer:
            peer.socket.send(json.dumps({"request": request} if isinstance(request, str) else request).encode())
            assert peer.socket.poll(int(1000 * timeout)), f"no answer to {request!r} within {timeout} s"
            return json.loads(peer.socket.recv())
