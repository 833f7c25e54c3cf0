#!/usr/bin/python3
"""Several hosts with everything encrypted: ventilator, sink, producer and workers on hosts of their own (network.py), over links that
lose, delay and reorder; workers join, leave, are cut off and come back; the brokers move to another address behind their name. Every
job has exactly one result, and nothing of it can be read on the wire. Needs root; where the machine cannot make such a network, each
test fails and says what is missing."""
import ctypes
import os
import subprocess
import sys
import time
import unittest

import zmq

import lab
import private_mounts
from network import Network
from secure import Peer, SecureLab

HOSTS = ("old", "new", "one", "two", "three", "producer")
NAME = "broker.leat.test"
# Nothing else on the wire looks like this.
MARKER = "marker-of-the-payloads-7f3a"
JOBS = 1500
MS_BIND = 4096


class Listener:
    """Looks at every packet that a host sends and receives, in the clear, for some bytes."""

    def __init__(self, network, host, needle):
        self.process = subprocess.Popen(network.command(host, [sys.executable, os.path.abspath(__file__), "listen", needle]),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n"

    def end(self):
        """(packets, packets with the bytes)"""
        out, _ = self.process.communicate("", timeout=lab.PATIENCE_S)
        return tuple(int(word) for word in out.split())


def listen(needle):
    import select
    import socket
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
        wire.bind(("net0", 0))
        wire.setblocking(False)
        print("listening", flush=True)
        packets = found = 0
        while True:
            readable, _, _ = select.select([wire, sys.stdin], [], [])
            while True:
                try:
                    frame = wire.recv(65536)
                except BlockingIOError:
                    break
                packets += 1
                found += needle.encode() in frame
            if sys.stdin in readable:
                print(packets, found)
                return


class Hosts(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("LEAT_SEED", "1"))
        print(f"LEAT_SEED={self.seed}")
        self.lab = SecureLab(None).__enter__()
        self.addCleanup(lambda: self.lab.__exit__(*([AssertionError] if self.failed() else [None]), None, None))
        self.network = Network(HOSTS, self.seed)
        self.network.__enter__()
        self.addCleanup(self.network.__exit__)
        # Questions and events stay on this host, where paths are the same in all namespaces.
        self.lab.set_endpoint("ventilator", f"tcp://{NAME}:5170")
        self.lab.set_endpoint("sink", f"tcp://{NAME}:5171")
        self.hosts_file = os.path.join(self.lab.dir, "hosts")
        self.name_is("old")
        if not os.path.exists("/etc/hosts"):  # as in a bare tree; something must be there to be covered
            open("/etc/hosts", "w").close()
            self.addCleanup(os.remove, "/etc/hosts")
        private_mounts.check(private_mounts.libc.mount(self.hosts_file.encode(), b"/etc/hosts", None, MS_BIND, None), "no /etc/hosts of its own")
        self.addCleanup(private_mounts.unmount, "/etc/hosts")
        for host in HOSTS:
            for target in HOSTS:
                if host != target:
                    self.network.spoil(host, target, loss=0.01, delay_ms=2, jitter_ms=6, duplicate=0.01)

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def name_is(self, host):
        """In place: the file is mounted."""
        with open(self.hosts_file, "w") as f:
            f.write(f"127.0.0.1 localhost\n{self.network.address(host)} {NAME}\n")

    def on(self, host):
        return self.network.command(host, [])

    def brokers(self, host):
        clear = dict(self.lab.endpoints)
        try:
            for name, port in (("ventilator", 5170), ("sink", 5171)):
                self.lab.endpoints[name] = f"tcp://0.0.0.0:{port}"
            return (self.lab.sink(prefix=self.on(host)),
                    self.lab.ventilator("--lost-after", "3s", "--ping", "500ms", "--recovery-grace", "1s", "--deliveries", "100", prefix=self.on(host)))
        finally:
            self.lab.endpoints.update(clear)

    def worker(self, host, name=None):
        name = name or host
        self.lab.key(name, "worker")
        return self.lab.worker("--slots", "2", "--prefetch", "8", "--exec-shell", "job=sleep 0.01; cat", name=name, key=name, prefix=self.on(host))

    def reach(self, share):
        self.lab.wait_for(lambda: self.lab.ended() >= share, f"{share} jobs ended")

    def test_a_cluster_over_hosts_bears_what_networks_and_people_do_to_it(self):
        sink, ventilator = self.brokers("old")
        listener = Listener(self.network, "one", MARKER)
        one, two = self.worker("one"), self.worker("two")
        results = os.path.join(self.lab.dir, "results")
        producer = self.lab.background("producer", "leat-producer", "--lines", "-", "--type", "job", "--wait", "--deadline", "120s", "--results", results,
                                       stdin="".join(f"{MARKER} {n}\n" for n in range(JOBS)), env=self.lab.with_key("producer"),
                                       prefix=self.on("producer"))
        self.reach(50)
        three = self.worker("three")                      # joins
        self.reach(150)
        self.assertEqual(self.lab.stop(three), 0)         # leaves
        self.reach(250)
        for target in ("old", "new"):                     # is cut off for longer than what counts as lost, and comes back
            self.network.spoil_both("one", target, cut=True)
        self.lab.wait_for(lambda: "event=worker_lost" in ventilator.log_text(), "the worker is given up")
        for target in ("old", "new"):
            self.network.spoil_both("one", target, cut=False)
        self.lab.wait_for(lambda: ventilator.log_text().count("name=one") >= 3, "the worker is back")
        self.lab.kill(two)                                # dies
        self.worker("two", "again")
        self.reach(450)

        for host in HOSTS:                                # the old host loses its power: no FIN, no RST
            if host != "old":
                self.network.spoil_both("old", host, cut=True)
        for process in (ventilator, sink):
            self.lab.kill(process)
        self.name_is("new")
        before, begun = 450, time.monotonic()
        sink, ventilator = self.brokers("new")            # their disks come along; their key, too
        self.lab.wait_for(lambda: self.lab.ended() >= before + 100, "workers have found the brokers at their new address")
        print(f"work went on {time.monotonic() - begun:.1f} s after the move")

        with self.stranger("three") as stranger:
            self.assertEqual(stranger.stdout.readline(), "refused\n")
            stranger.communicate(timeout=lab.PATIENCE_S)
        self.assertEqual(producer.wait(150), 0, producer.log_text())
        got = lab.read_results(results)
        self.assertEqual(len(got), JOBS)
        self.assertEqual({row["output"] for row in got.values()}, {f"{MARKER} {n}" for n in range(JOBS)})
        self.lab.wait_for(lambda: self.lab.left() == 0, "the ventilator is empty")
        self.lab.wait_for(lambda: self.lab.ended() == JOBS, "one result for each")
        self.assertTrue(one.alive())

        self.say_in_the_clear("one")
        packets, found = listener.end()
        self.assertGreater(packets, 100)
        self.assertEqual(found, 1, "the listener reads what is in the clear, and nothing else of it was")

    def say_in_the_clear(self, host):
        """One frame that the listener must find, so that it is known to see; for nobody, so that no ARP comes before it."""
        program = ("import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('net0', 0)); "
                   f"s.send(bytes(12) + b'\\x88\\xb5{MARKER}' + bytes(60))")
        subprocess.run(self.network.command(host, [sys.executable, "-c", program]), check=True, timeout=lab.PATIENCE_S)

    def stranger(self, host):
        """Knocks without a key, from a host of the network."""
        return subprocess.Popen(self.network.command(host, [sys.executable, os.path.abspath(__file__), "knock", f"tcp://{self.network.address('new')}:5170"]),
                                stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        listen(sys.argv[2])
    elif sys.argv[1:2] == ["knock"]:
        with Peer(zmq.DEALER, sys.argv[2]) as peer:
            print("admitted" if peer.gets_in() else "refused", flush=True)
    else:
        private_mounts.enter()
        lab.main()
