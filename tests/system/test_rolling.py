#!/usr/bin/python3
"""A rolling change: every process of a working cluster is replaced, one after the other, by a newer build. And what versions
that do not fit say to each other.

The newer builds are made here, from the same sources: 0.2.0, which speaks the same protocol, and 9.0.0, which does not and
whose stores are of another version."""
import os
import re
import subprocess
import unittest

import lab

NEWER, FOREIGN = "0.2.0", "9.0.0"


def build(version, *flags):
    """The programs of the sources under another version, installed to a prefix of their own; where they are."""
    place = os.path.join(os.path.dirname(os.path.dirname(lab.BIN)), "version-" + version)
    prefix = os.path.join(place, "prefix")
    steps = [["cmake", "-S", lab.ROOT, "-B", place, "-G", "Ninja", f"-DLEAT_VERSION={version}", "-DCMAKE_BUILD_TYPE=None",
              "-DCMAKE_C_FLAGS=" + " ".join(["-O0", *flags]), f"-DCMAKE_INSTALL_PREFIX={prefix}"],
             ["cmake", "--build", place, "--target", "programs", "manuals"]]
    steps += [["cmake", "--install", place, "--component", c] for c in ("ventilator", "sink", "worker", "tools")]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=400, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(step)}:\n{(done.stdout + done.stderr)[-2000:]}")
    return os.path.join(prefix, "bin")


class Rolling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.newer = build(NEWER)

    def moved_on(self, laboratory, more=60):
        """Waits until so many more jobs have ended than now: what was changed last works."""
        before = laboratory.ended()
        laboratory.wait_for(lambda: laboratory.ended() >= before + more, f"{more} more jobs end")

    def talk(self, laboratory, expected):
        """Both builds' tools speak with whatever runs now."""
        for place in (lab.BIN, self.newer):
            laboratory.bin = place
            done = laboratory.run("leat", "ping", "ventilator")
            self.assertIn(f"leat-ventilator {expected}", done.out, done.err)
            self.assertEqual(laboratory.run("leat", "queues").returncode, 0)
            self.assertEqual(laboratory.run("leat", "submit", "--type", "job", "--wait", "hello").out, "hello")
        laboratory.bin = self.newer

    def test_every_process_is_replaced_under_load_and_no_job_is_lost(self):
        with lab.Lab() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            handler = ("--slots", "2", "--exec-shell", "job=sleep 0.01; exec cat")
            workers = [laboratory.worker(*handler, name=f"old{n}") for n in range(3)]
            results, stop = os.path.join(laboratory.dir, "results"), 1200
            producer = laboratory.background("producer", "leat-producer", "--every", "10ms", "--count", str(stop), "--type", "job",
                                             "--wait", "--results", results, "--ids", "ids")
            laboratory.wait_for(lambda: laboratory.ended() >= 50, "the cluster works")
            self.talk(laboratory, "0.1.0")

            laboratory.bin = self.newer
            self.assertEqual(laboratory.stop(ventilator), 0, ventilator.log_text())
            ventilator = laboratory.ventilator()
            self.assertIn(f"version={NEWER}", ventilator.log_text())
            self.moved_on(laboratory)
            self.talk(laboratory, NEWER)

            self.assertEqual(laboratory.stop(sink), 0, sink.log_text())
            sink = laboratory.sink()
            self.moved_on(laboratory)
            for number, worker in enumerate(workers):
                laboratory.worker(*handler, name=f"new{number}")
                self.assertEqual(laboratory.stop(worker), 0, worker.log_text())
                self.moved_on(laboratory, 30)
            laboratory.wait_for(lambda: {w["name"] for w in laboratory.ask("workers")["workers"]} == {"new0", "new1", "new2"},
                                "only the new workers are left")
            self.talk(laboratory, NEWER)
            self.assertEqual(laboratory.ask("version")["version"], NEWER)

            self.assertIsNone(producer.popen.poll(), "the load lasted until the last change")
            self.assertEqual(producer.wait(), 0, producer.log_text())
            found = lab.read_results(results)
            self.assertEqual(set(found), set(lab.read_ids(os.path.join(laboratory.dir, "ids"))))
            self.assertEqual((len(found), {r["status"] for r in found.values()}), (stop, {"succeeded"}))
            laboratory.wait_for(lambda: laboratory.left() == 0, "nothing is left")
            # One result per job: those of the producer and of six talks with two tools each.
            self.assertEqual(laboratory.ended(), stop + 6)
            self.assertFalse(re.search(r"level=error|job_lost_too_often|worker_lost", ventilator.log_text() + sink.log_text()))

    def test_a_change_can_be_taken_back(self):
        with lab.Lab() as laboratory:
            laboratory.bin = self.newer
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            ids = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--ids", "-", stdin="1\n2\n3\n")
            self.assertEqual(ids.returncode, 0, ids.err)
            self.assertEqual((laboratory.stop(ventilator), laboratory.stop(sink)), (0, 0))
            laboratory.bin = lab.BIN
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "job=cat")
            laboratory.wait_for(lambda: laboratory.ended() == 3 and laboratory.left() == 0, "what the newer took, the older runs")


class Versions(unittest.TestCase):
    """Older and newer that do not fit."""
    @classmethod
    def setUpClass(cls):
        cls.foreign = build(FOREIGN, "-DLEAT_PROTOCOL_VERSION=9", "-DLEAT_STORE_VERSION=9")

    def check_refusals(self, brokers, others, theirs, ours):
        with lab.Lab() as laboratory:
            laboratory.bin = brokers
            laboratory.sink()
            ventilator = laboratory.ventilator()
            laboratory.bin = others
            says = f"protocol version {ours} is not spoken here, but {theirs}: the older side must be upgraded"
            worker = laboratory.worker("--exec", "job=cat")
            laboratory.wait_for(lambda: says in worker.log_text(), "the worker says why it gets nothing")
            self.assertIn(says, ventilator.log_text())
            done = laboratory.run("leat", "ping", "ventilator")
            self.assertEqual((done.returncode, done.err), (1, f"leat: the ventilator refuses: {says}\n"))
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--deadline", "2s", stdin="1\n")
            self.assertEqual(done.returncode, 3)
            self.assertIn(says, done.err)
            self.assertTrue(worker.alive(), "a worker waits for a ventilator that it understands")

    def test_a_newer_worker_and_producer_are_refused_by_an_older_ventilator_with_words(self):
        self.check_refusals(lab.BIN, self.foreign, theirs=1, ours=9)

    def test_an_older_worker_and_producer_are_refused_by_a_newer_ventilator_with_words(self):
        self.check_refusals(self.foreign, lab.BIN, theirs=9, ours=1)

    def test_a_store_of_another_version_is_refused_and_left_as_it_is(self):
        for brokers, others, says in ((self.foreign, lab.BIN, "from a newer leat"), (lab.BIN, self.foreign, "from an older leat")):
            for role, program in (("sink", "leat-sink"), ("ventilator", "leat-ventilator")):
                with lab.Lab() as laboratory:
                    laboratory.bin = brokers
                    process = getattr(laboratory, role)()
                    self.assertEqual(laboratory.stop(process), 0)
                    data = os.path.join(laboratory.dir, role + ".data")
                    with open(os.path.join(data, "data.mdb"), "rb") as f:
                        before = f.read()
                    laboratory.bin = others
                    done = laboratory.run(program, "--listen", laboratory.endpoints[role], "--data", data)
                    self.assertEqual(done.returncode, 2, done.err)
                    self.assertRegex(done.err, rf"^{program}: cannot start: store .* is of version \d+, {says}")
                    with open(os.path.join(data, "data.mdb"), "rb") as f:
                        self.assertEqual(f.read(), before)
                    laboratory.bin = brokers
                    getattr(laboratory, role)()


if __name__ == "__main__":
    lab.main()
