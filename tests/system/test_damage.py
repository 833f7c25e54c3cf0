#!/usr/bin/python3
"""One changed byte in a store, under the real brokers (P3): the start is refused with a reason, or everything that is whole is
served and what is not ends as damaged. Bytes are taken from all of the file; `damage.py ventilator 1` takes each.
Stores that are cut short are in test_disk.py."""
import os
import re
import shutil
import subprocess
import unittest

import damage
import lab

TRIALS = 230  # of each role, in data.mdb; in other files a tenth of them


class ChangedBytes(unittest.TestCase):
    def each(self, role):
        with lab.Lab() as laboratory:
            store = damage.STORES[role](laboratory)
            for name, content in store.files.items():
                size = len(content.rstrip(b"\0"))
                # Odd, so that every place within a page and within a word is met.
                step = size // (TRIALS if name == "data.mdb" else min(TRIALS // 10, size)) | 1
                offsets = set(range(step // 2, size, step))
                if name == "data.mdb":  # and the flags of every other page, so that some are met that must be found
                    offsets |= set(range(2 * damage.PAGE + 10, size, 2 * damage.PAGE))
                outcomes, failures = damage.try_bytes(store, ((name, offset) for offset in sorted(offsets)))
                print(f"{role}, {name}: {len(offsets)} of {size} bytes: {dict(outcomes)}", flush=True)
                self.assertEqual(failures, [])
                if name == "data.mdb":
                    self.assertGreater(min(outcomes["refused"], outcomes["served"], outcomes["damaged"]), 0)

    def test_a_ventilator_refuses_or_serves_what_is_whole(self):
        self.each("ventilator")

    def test_a_sink_refuses_or_serves_what_is_whole(self):
        self.each("sink")

    def killed(self, role, trials):
        """The broker was killed before data.mdb had what it acknowledged. (Later records and gaps tell of damage in all but the last.)"""
        with lab.Lab() as laboratory:
            store = damage.STORES[role](laboratory, killed=True)
            outcomes = {}
            for name in ("journal-0", "journal-1"):
                size = len(store.files[name].rstrip(b"\0"))
                step = size // min(trials, size) | 1
                outcomes[name], failures = damage.try_bytes(store, ((name, offset) for offset in range(step // 2, size, step)))
                print(f"killed {role}, {name}: every {step}th of {size} bytes: {dict(outcomes[name])}", flush=True)
                self.assertEqual(failures, [])
            both = outcomes["journal-0"] + outcomes["journal-1"]
            self.assertGreater(both["refused"], both["cut"])

    def test_a_journal_of_the_ventilator_that_is_needed_is_refused_or_whole_but_for_its_last_record(self):
        self.killed("ventilator", TRIALS // 6)

    def test_a_journal_of_the_sink_that_is_needed_is_refused_or_whole_but_for_its_last_record(self):
        self.killed("sink", TRIALS // 6)


class CheckStore(unittest.TestCase):
    """--check-store of a broker that does not run."""

    def check(self, laboratory, role, directory=None):
        directory = directory or os.path.join(laboratory.dir, f"{role}.data")
        done = subprocess.run([os.path.join(lab.BIN, f"leat-{role}"), "--check-store", "--data", directory], env=laboratory.env,
                              capture_output=True, text=True, timeout=lab.PATIENCE_S, check=False)
        return done.returncode, done.stdout.replace(directory, "DIR"), done.stderr.replace(directory, "DIR")

    def test_a_whole_store_is_in_order_and_left_as_it_is(self):
        for role, make in damage.STORES.items():
            with lab.Lab() as laboratory:
                make(laboratory)
                status, out, err = self.check(laboratory, role)
                self.assertEqual((status, err), (0, ""))
                self.assertRegex(out, r"^DIR is in order: \d+ rows, \d+ pages in use, \d+ free\n$")

    def test_rows_are_named_and_pages_are_found_first(self):
        """The same store with a changed row, and with a changed page head; everything is told, not only the first."""
        for role, table in (("ventilator", "(ready|bodies)"), ("sink", "results")):
            with lab.Lab() as laboratory:
                store = damage.STORES[role](laboratory)
                path, content = os.path.join(laboratory.dir, f"{role}.data", "data.mdb"), bytearray(store.files["data.mdb"])
                for id, known in list((store.bodies if role == "ventilator" else store.outputs).items())[:6]:
                    # Of large values the middle; old copies of the page may have it, too.
                    for found in re.finditer(re.escape(known[-16:]), bytes(content)):
                        content[found.start()] ^= 1
                with open(path, "wb") as f:
                    f.write(content)
                status, out, err = self.check(laboratory, role)
                self.assertEqual((status, err), (74, ""), out)
                lines = out.splitlines()
                self.assertGreaterEqual(len(lines), 6)
                for line in lines[:-1]:
                    self.assertRegex(line, rf"^DIR: table {table}: the row of job [0-9a-f-]{{36}} is damaged$")
                self.assertEqual(lines[-1], f"DIR is damaged: {len(lines) - 1} findings")
                for page in range(2 * damage.PAGE, len(content), damage.PAGE):
                    content[page + 10] ^= 0x40
                with open(path, "wb") as f:
                    f.write(content)
                status, out, err = self.check(laboratory, role)
                self.assertEqual((status, err), (74, ""), out)
                self.assertNotIn("the row of", out)
                self.assertRegex(out, r"page \d+: it is of another kind than its place demands\n")

    def test_what_cannot_be_checked_is_named(self):
        with lab.Lab() as laboratory:
            for role in damage.STORES:
                absent, empty = os.path.join(laboratory.dir, "absent"), os.path.join(laboratory.dir, f"{role}.empty")
                os.mkdir(empty)
                self.assertEqual(self.check(laboratory, role, absent),
                                 (74, "", f"leat-{role}: cannot check: cannot read directory DIR: No such file or directory\n"))
                self.assertFalse(os.path.exists(absent))
                self.assertEqual(self.check(laboratory, role, empty), (2, "", f"leat-{role}: cannot check: there is no store in DIR\n"))
                self.assertFalse(os.path.exists(os.path.join(empty, "data.mdb")))
                process = getattr(laboratory, role)()
                self.assertEqual(self.check(laboratory, role), (75, "", f"leat-{role}: cannot check: store DIR is in use by process {process.pid}\n"))
                laboratory.kill(process)
                self.assertEqual(self.check(laboratory, role)[0], 0)
                other = {"ventilator": "sink", "sink": "ventilator"}[role]
                shutil.rmtree(empty)
                shutil.copytree(os.path.join(laboratory.dir, f"{role}.data"), empty)
                self.assertEqual(self.check(laboratory, other, empty), (2, "", f"leat-{other}: cannot check: DIR is the store of a {role}, not of a {other}\n"))


if __name__ == "__main__":
    lab.main()
