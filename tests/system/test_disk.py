#!/usr/bin/python3
"""Disks that fail, under the real brokers (P3, P5): EIO on the nth call, stores that were cut short, directories that are not
a store of ours, are somebody's already, or cannot be written."""
import concurrent.futures
import ctypes
import os
import re
import shutil
import subprocess
import time
import unittest

import client_wire
import lab
from client import Sink, new_job_id
from client_wire import ACCEPTED, FOUND, LOOKUP, RESULTS, STORED, SUBMIT, Link

SHIM = os.path.join(lab.BIN, "..", "tests", "failing_disk.so")
JOBS = 3  # in a batch


class VentilatorLoad:
    """Batches of jobs, each until it is acknowledged."""
    payload = b"payload " * 40

    def __init__(self, laboratory):
        self.endpoint = laboratory.endpoints["ventilator"]
        self.link = Link(self.endpoint)
        self.sender, self.number, self.batches, self.acked = os.urandom(16), 0, {}, set()

    def send(self):
        """Makes a batch and sends it once; its number, 0 when there is no connection."""
        batch = [new_job_id() for _ in range(JOBS)]
        if not self.link.send(*self.message(self.number + 1, batch)):
            return 0
        self.number += 1
        self.batches[self.number] = batch
        return self.number

    def message(self, number, ids):
        body = client_wire.pack_body(client_wire.Body(self.payload, 1000, 3, 1000, 2000, 1000, True, {}))
        return SUBMIT, self.sender, number, [[id, "default", "type", 0, 0, body] for id in ids]

    def hear(self, wait_s):
        """Takes one message, if one comes; ACCEPTED speaks of every batch up to its number."""
        got = self.link.receive(wait_s)
        if got is not None and got[0] == ACCEPTED and got[1][0] == self.sender:
            self.acked |= set(range(1, got[1][1] + 1))

    def ids(self):
        return [id for number in self.acked for id in self.batches[number]]

    def missing(self):
        """Acknowledged jobs that the ventilator does not have, asked one after the other without waiting."""
        asked = dict(enumerate(self.ids()))
        link, found, end = Link(self.endpoint), {}, time.monotonic() + lab.PATIENCE_S
        while len(found) < len(asked) and time.monotonic() < end:
            for ref, id in asked.items():
                if ref not in found:
                    link.send(LOOKUP, ref, id)
            while (got := link.receive(0.1 if len(found) < len(asked) else 0)) is not None:
                if got[0] == FOUND:
                    found[got[1][0]] = got[1][2]
        link.close()
        return [asked[ref] for ref in asked if found.get(ref, 0) == 0]


class SinkLoad(VentilatorLoad):
    payload = b"output " * 40

    def __init__(self, laboratory):
        super().__init__(laboratory)
        self.link.close()
        self.endpoint = laboratory.endpoints["sink"]
        self.link = Link(self.endpoint)

    def message(self, number, ids):
        now_us = time.time_ns() // 1000
        end = ["", self.payload, False, now_us, now_us, 1, 1, "worker", [], b""]
        return RESULTS, self.sender, number, [[id, "default", "type", 4, 0, 0, 1, 1, *end] for id in ids]

    def hear(self, wait_s):
        got = self.link.receive(wait_s)
        if got is not None and got[0] == STORED and got[1][0] == self.sender:
            self.acked.add(got[1][1])

    def missing(self):
        with Sink(self.endpoint) as sink:
            found = sink.query(self.ids(), with_output=False, timeout_s=lab.PATIENCE_S)
        return [id for id in self.ids() if id not in found]


LOADS = {"ventilator": VentilatorLoad, "sink": SinkLoad}


def start(laboratory, role, *options, **kw):
    return {"ventilator": laboratory.ventilator, "sink": laboratory.sink}[role](*options, **kw)


def data(laboratory, role):
    return os.path.join(laboratory.dir, f"{role}.data")


class FailingCalls(unittest.TestCase):
    """P5. One laboratory per failure: load until the nth call fails; then nothing is acknowledged any more, the process ends at
    once with status 74 and says what failed; on a healthy disk it starts again and has all that was acknowledged."""

    MESSAGE = r"(cannot (commit to|open|write to|begin) (the )?store \S+|cannot (write|flush) \S+|cannot flush directory \S+): Input/output error"

    def one(self, role, call, n):
        """How long the process lived after the failure, seconds."""
        where = f"{role}, {call} {n}"
        with lab.Lab() as laboratory:
            told = os.path.join(laboratory.dir, "told")
            options = ["--max-payload", "16MiB"] if role == "ventilator" else []
            process = start(laboratory, role, *options, must_start=False, env={
                "LD_PRELOAD": SHIM, "LEAT_FAIL_BELOW": data(laboratory, role), "LEAT_FAIL_CALL": call,
                "LEAT_FAIL_AT": str(n), "LEAT_FAIL_TOLD": told})
            load = LOADS[role](laboratory)
            late = []
            limit = 20000 if call == "writev" else 100 + 10 * n  # LMDB gets what the journal has about once in a second
            while process.alive():
                self.assertLess(load.number, limit, f"{where}: it goes on")
                has_failed = os.path.exists(told)
                number = load.send()
                if number == 0:
                    load.hear(0.005)
                    continue
                if has_failed:
                    late.append(number)
                until = time.monotonic() + (0.02 if has_failed else 10)
                while number not in load.acked and time.monotonic() < until and process.alive() and os.path.exists(told) == has_failed:
                    load.hear(0.005)
            died = time.monotonic()
            load.hear(0)
            self.assertTrue(os.path.exists(told), f"{where}: it ended without a failure: {process.log_text()}")
            self.assertEqual(process.wait(), 74, f"{where}: {process.log_text()}")
            self.assertRegex(process.log_text(), self.MESSAGE, where)
            self.assertIn(data(laboratory, role), process.log_text(), where)
            with open(told) as f:
                when, path = f.read().split()
            # The journal takes batches until LMDB's failure is known; what is acknowledged is there, as the end of this shows.
            self.assertFalse("journal-" in path and load.acked & set(late), f"{where}: acknowledged after the failure")
            lived = died - int(when) / 1e9
            start(laboratory, role)
            self.assertEqual(load.missing(), [], f"{where}: acknowledged jobs are missing")
            load.link.close()
            return lived, len(load.acked)

    def each(self, role, call, numbers):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda n: self.one(role, call, n), numbers))
        lived = sorted(lived for lived, _ in outcomes)
        self.assertLess(lived[len(lived) // 2], 1.0, "it ends within a second")
        self.assertLess(lived[-1], 5.0, "and on a machine that is busy not much later")
        return max(acked for _, acked in outcomes)

    def test_ventilator_nth_fdatasync(self):
        self.assertGreater(self.each("ventilator", "fdatasync", range(1, 25)), 10)

    def test_ventilator_nth_pwrite(self):
        self.assertGreater(self.each("ventilator", "pwrite", range(1, 25)), 5)

    def test_ventilator_nth_writev(self):
        self.assertGreater(self.each("ventilator", "writev", range(1, 6)), 5)

    def test_ventilator_nth_fsync(self):
        self.each("ventilator", "fsync", range(1, 3))

    def test_sink_nth_fdatasync(self):
        self.assertGreater(self.each("sink", "fdatasync", range(1, 25)), 10)

    def test_sink_nth_pwrite(self):
        self.assertGreater(self.each("sink", "pwrite", range(1, 25)), 5)

    def test_sink_nth_writev(self):
        self.assertGreater(self.each("sink", "writev", range(1, 6)), 5)

    def test_sink_nth_fsync(self):
        self.each("sink", "fsync", range(1, 3))

    def test_a_device_that_dies_when_blocks_are_wanted_is_no_full_disk(self):
        """Nothing works any more, taking blocks for large batches neither."""
        for role in LOADS:
            whole = LOADS[role].payload
            LOADS[role].payload = b"x" * (6 << 20)
            try:
                self.each(role, "device", range(8, 30, 3))
            finally:
                LOADS[role].payload = whole

    def test_nothing_depends_on_msync(self):
        """The map is only read: what must be durable goes through the calls above."""
        for role in LOADS:
            with lab.Lab() as laboratory:
                told = os.path.join(laboratory.dir, "told")
                process = start(laboratory, role, env={"LD_PRELOAD": SHIM, "LEAT_FAIL_BELOW": data(laboratory, role),
                                                       "LEAT_FAIL_CALL": "msync", "LEAT_FAIL_AT": "1", "LEAT_FAIL_TOLD": told})
                load = LOADS[role](laboratory)
                for _ in range(20):
                    number = laboratory.wait_for(load.send, "the batch is sent")
                    laboratory.wait_for(lambda: load.hear(0.01) or number in load.acked, "the batch is acknowledged")
                self.assertTrue(process.alive())
                self.assertFalse(os.path.exists(told), "msync was called")
                load.link.close()


def pages_bytes(path):
    """The bytes that a store's file must have: each of LMDB's two first pages says which page was the last at its commit
    (mm_last_pg, at byte 136), and a store that only grows has the greater one in the later."""
    with open(path, "rb") as f:
        start = f.read(8192)
    last = max(int.from_bytes(start[at + 136:at + 144], "little") for at in (0, 4096))
    return 4096 * (last + 1)


class Directories(unittest.TestCase):
    """P3. What is not a whole store of this role is refused at the start, with a message and a status of its own."""

    def filled(self, laboratory, role, batches=12):
        """A store with acknowledged jobs, whose process was killed; the load."""
        process = start(laboratory, role)
        load = LOADS[role](laboratory)
        for _ in range(batches):
            number = laboratory.wait_for(load.send, "the batch is sent")
            laboratory.wait_for(lambda: load.hear(0.01) or number in load.acked, "the batch is acknowledged")
        laboratory.kill(process)
        load.link.close()
        return load

    def refused(self, laboratory, role, status, message, directory=None, prefix=()):
        """The role does not start on the directory, and says exactly this."""
        directory = directory or data(laboratory, role)
        command = [*prefix, os.path.join(lab.BIN, f"leat-{role}"), "--data", directory]
        done = subprocess.run(command, env=laboratory.env, cwd=laboratory.dir, capture_output=True, text=True, timeout=lab.PATIENCE_S)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, f"^leat-{role}: cannot start: {message}\n$")

    def test_a_store_cut_short_anywhere_is_refused_or_whole(self):
        for role in LOADS:
            with lab.Lab() as laboratory:
                load = self.filled(laboratory, role)
                path, whole = data(laboratory, role), data(laboratory, role) + ".whole"
                used = pages_bytes(os.path.join(path, "data.mdb"))
                os.rename(path, whole)
                with open(os.path.join(whole, "data.mdb"), "rb") as f:
                    content = f.read(used)
                shutil.copytree(whole, path, ignore=shutil.ignore_patterns("data.mdb", "lock.mdb"))
                offsets = sorted({*range(0, 8192, 511), *range(0, used, 4096), *range(4095, used, 4096), *range(4097, used, 12288)})
                for offset in offsets:
                    with self.subTest(role=role, offset=offset), open(os.path.join(path, "data.mdb"), "wb") as f:
                        f.write(content[:offset])
                        f.flush()
                        file = re.escape(path) + "/data.mdb"
                        message = f"{file} is empty, but store [0-9a-f-]{{36}} lived here; to begin an empty one, remove {re.escape(path)}/leat.lock" \
                            if offset == 0 else f"{file} is (damaged or no LMDB file: .*|cut short: {offset} bytes of {used} are there)"
                        self.refused(laboratory, role, 74, message)
                for offset in (used, used + 1, used + 5000):  # what lies behind the last page is room, and nothing else
                    with open(os.path.join(path, "data.mdb"), "wb") as f:
                        f.write(content)
                        f.truncate(offset)
                    process = start(laboratory, role)
                    self.assertEqual(load.missing(), [], f"{role}: whole with {offset} bytes")
                    laboratory.kill(process)

    def test_a_missing_file_is_no_empty_store(self):
        for role in LOADS:
            with lab.Lab() as laboratory:
                self.filled(laboratory, role, 1)
                os.unlink(os.path.join(data(laboratory, role), "data.mdb"))
                directory = re.escape(data(laboratory, role))
                self.refused(laboratory, role, 74, f"{directory}/data.mdb is missing, but store [0-9a-f-]{{36}} lived here; to begin an empty one, "
                             f"remove {directory}/leat.lock")

    def test_the_store_of_the_other_role_is_refused(self):
        with lab.Lab() as laboratory:
            for role, other in (("ventilator", "sink"), ("sink", "ventilator")):
                self.filled(laboratory, other, 1)
                directory = data(laboratory, other)
                self.refused(laboratory, role, 2, f"{re.escape(directory)} is the store of a {other}, not of a {role}", directory)

    def test_foreign_files_are_refused_and_left_as_they_are(self):
        with lab.Lab() as laboratory:
            for role in LOADS:
                directory = data(laboratory, role)
                os.mkdir(directory)
                with open(os.path.join(directory, "data.mdb"), "w") as f:
                    f.write("these are my notes\n" * 1000)
                self.refused(laboratory, role, 74, f"{re.escape(directory)}/data.mdb is damaged or no LMDB file: MDB_INVALID: File is not an LMDB file")
                with open(os.path.join(directory, "data.mdb")) as f:
                    self.assertEqual(f.read(), "these are my notes\n" * 1000)
                self.refused(laboratory, role, 74, f"{re.escape(directory)}/data.mdb is no directory", os.path.join(directory, "data.mdb"))

    def test_an_lmdb_of_another_program_is_refused_and_left_as_it_is(self):
        lmdb = ctypes.CDLL("liblmdb.so.0")

        def must(rc):
            self.assertEqual(rc, 0)
        with lab.Lab() as laboratory:
            for role in LOADS:
                directory = data(laboratory, role)
                os.mkdir(directory)
                env, txn, table = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint()
                value = (ctypes.c_size_t * 2)(6, ctypes.addressof(text := ctypes.create_string_buffer(b"foreign")))
                must(lmdb.mdb_env_create(ctypes.byref(env)))
                must(lmdb.mdb_env_open(env, directory.encode(), 0, 0o600))
                must(lmdb.mdb_txn_begin(env, None, 0, ctypes.byref(txn)))
                must(lmdb.mdb_dbi_open(txn, None, 0, ctypes.byref(table)))
                must(lmdb.mdb_put(txn, table, value, value, 0))
                must(lmdb.mdb_txn_commit(txn))
                lmdb.mdb_env_close(env)
                del text
                with open(os.path.join(directory, "data.mdb"), "rb") as f:
                    before = f.read()
                self.refused(laboratory, role, 2, f"{re.escape(directory)}/data.mdb is no store of leat")
                with open(os.path.join(directory, "data.mdb"), "rb") as f:
                    self.assertEqual(f.read(), before)

    def test_of_two_on_one_directory_one_works_and_the_other_names_it(self):
        with lab.Lab() as laboratory:
            for role in LOADS:
                process = start(laboratory, role)
                self.refused(laboratory, role, 75, f"store {re.escape(data(laboratory, role))} is in use by process {process.pid}")
                laboratory.kill(process)
                start(laboratory, role)  # what a killed one leaves is no lock

    def test_of_many_that_start_at_once_on_one_directory_one_lives(self):
        with lab.Lab() as laboratory:
            for role in LOADS:
                for _ in range(3):
                    many = [laboratory.spawn(f"{role}{n}", [f"leat-{role}", "--data", data(laboratory, role), "--listen", f"ipc://{laboratory.dir}/{role}{n}",
                                                            *(["--stats", f"ipc://{laboratory.dir}/stats{n}", "--events", f"ipc://{laboratory.dir}/events{n}"]
                                                              if role == "sink" else [])], ready=False) for n in range(5)]
                    alive = laboratory.wait_for(lambda: (lambda left: left if len(left) == 1 else None)([p for p in many if p.alive()]), "four of five ended")
                    laboratory.wait_for(lambda: "event=ready" in alive[0].log_text(), "the one that is left works")
                    for process in many:
                        if process is not alive[0]:
                            self.assertEqual(process.wait(), 75, process.log_text())
                            self.assertIn("is in use by", process.log_text())
                    laboratory.kill(alive[0])

    def test_a_directory_that_cannot_be_written_is_named(self):
        # root may write everywhere; without these capabilities it is bound by the modes like everybody.
        plain = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
        with lab.Lab() as laboratory:
            for role in LOADS:
                self.filled(laboratory, role, 1)
                directory = data(laboratory, role)
                os.chmod(os.path.join(directory, "leat.lock"), 0o400)
                self.refused(laboratory, role, 74, f"cannot open {re.escape(directory)}/leat.lock: Permission denied", prefix=plain)
                os.chmod(os.path.join(directory, "leat.lock"), 0o600)
                os.chmod(os.path.join(directory, "data.mdb"), 0o400)
                self.refused(laboratory, role, 74, f"cannot open store {re.escape(directory)}: Permission denied", prefix=plain)
                os.chmod(os.path.join(directory, "data.mdb"), 0o600)
                empty = os.path.join(laboratory.dir, f"{role}.empty")
                os.mkdir(empty)
                os.chmod(empty, 0o500)
                self.refused(laboratory, role, 74, f"cannot open {re.escape(empty)}/leat.lock: Permission denied", empty, plain)
                self.refused(laboratory, role, 74, f"cannot make directory {re.escape(empty)}/deep: Permission denied", empty + "/deep", plain)
                start(laboratory, role)  # and with the right modes it is as it was


if __name__ == "__main__":
    lab.main()
