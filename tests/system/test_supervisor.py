#!/usr/bin/python3
"""Plays systemd's part: a notification socket of its own that hears READY=1, WATCHDOG=1 and STOPPING=1 (sd_notify(3))."""
import os
import signal
import socket
import time
import unittest

import lab

EVERY_S = 0.2  # half of WATCHDOG_USEC
ROLES = ("sink", "ventilator", "worker")


class Supervisor:
    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard = []

    def hear(self, seconds):
        """The next datagram, as a dictionary; None when none comes in time."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            text = self.socket.recv(65536).decode()
        except (TimeoutError, BlockingIOError):
            return None
        word = dict(line.split("=", 1) for line in text.splitlines())
        self.heard.append(word)
        return word

    def wait_for(self, name):
        end = time.monotonic() + lab.PATIENCE_S
        while time.monotonic() < end:
            word = self.hear(end - time.monotonic())
            if word and name in word:
                return word
        raise AssertionError(f"no {name} came, only {self.heard}")

    def forget(self):
        """Everything that has been sent by now."""
        while self.hear(0.001):
            pass

    def close(self):
        self.socket.close()


def start(laboratory, role, **env):
    """A process of the role with a supervisor of its own."""
    address = os.path.join(laboratory.dir, f"notify.{role}")
    supervisor = Supervisor(address)
    options = {"worker": ("--exec", "env=env")}.get(role, ())
    process = getattr(laboratory, role)(*options, env={
        "NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(int(2 * EVERY_S * 1e6)), **env})
    return process, supervisor


class Supervised(unittest.TestCase):
    def test_every_process_says_that_it_is_ready_lives_and_stops(self):
        with lab.Lab() as laboratory:
            for role in ROLES:
                process, supervisor = start(laboratory, role)
                ready = supervisor.wait_for("READY")
                self.assertEqual(ready["READY"], "1")
                self.assertEqual(ready["STATUS"], {"worker": "ready"}.get(role, ready["STATUS"]))
                if role != "worker":
                    self.assertIn(laboratory.endpoints[role], ready["STATUS"])
                for _ in range(3):
                    self.assertEqual(supervisor.wait_for("WATCHDOG")["WATCHDOG"], "1")
                self.assertEqual(laboratory.stop(process), 0, process.log_text())
                self.assertEqual(supervisor.wait_for("STOPPING")["STOPPING"], "1")
                self.assertLess([list(w)[0] for w in supervisor.heard].index("READY"), 1, "nothing comes before READY")
                supervisor.close()

    def test_a_process_that_does_not_run_is_not_said_to_live(self):
        with lab.Lab() as laboratory:
            for role in ROLES:
                process, supervisor = start(laboratory, role)
                supervisor.wait_for("WATCHDOG")
                laboratory.kill(process, signal.SIGSTOP)
                laboratory.wait_for(lambda: open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T",
                                    "it is stopped")
                supervisor.forget()
                self.assertIsNone(supervisor.hear(6 * EVERY_S), f"{role} is stopped and says that it lives")
                laboratory.kill(process, signal.SIGCONT)
                supervisor.wait_for("WATCHDOG")
                supervisor.close()

    def test_a_shutdown_of_the_cluster_is_told(self):
        with lab.Lab() as laboratory:
            started = [start(laboratory, role) for role in ROLES]
            laboratory.wait_for(lambda: laboratory.ask("workers")["workers"], "the worker is known")
            self.assertEqual(laboratory.run("leat", "shutdown").returncode, 0)
            for process, supervisor in started:
                supervisor.wait_for("STOPPING")
                self.assertEqual(process.wait(), 0)
                supervisor.close()

    def test_what_a_process_starts_cannot_speak_for_it(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            _, supervisor = start(laboratory, "worker")
            done = laboratory.run("leat", "submit", "--type", "env", "--wait")
            self.assertEqual(done.returncode, 0, done.err)
            self.assertIn("LEAT_JOB_ID", done.out)
            for name in ("NOTIFY_SOCKET", "WATCHDOG_"):
                self.assertNotIn(name, done.out)
            supervisor.close()

    def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(self):
        with lab.Lab() as laboratory:
            _, supervisor = start(laboratory, "sink", WATCHDOG_PID="1")
            supervisor.wait_for("READY")
            self.assertIsNone(supervisor.hear(4 * EVERY_S))
            supervisor.close()

    def test_a_supervisor_that_cannot_be_told_is_named(self):
        with lab.Lab() as laboratory:
            done = laboratory.run("leat-sink", "--listen", laboratory.endpoints["sink"], "--stats",
                                  laboratory.endpoints["stats"], "--events", laboratory.endpoints["events"],
                                  "--data", "sink.data", env={"NOTIFY_SOCKET": "/nonexistent/notify"})
            self.assertEqual(done.returncode, 74)
            self.assertIn("leat-sink: cannot start: cannot tell NOTIFY_SOCKET: No such file or directory", done.err)


if __name__ == "__main__":
    lab.main()
