#!/usr/bin/python3
"""Backup while running and restore, as docs/OPERATIONS.md tells it: --copy-store of the ventilator, then of the sink."""
import os
import shutil
import signal
import subprocess
import unittest

import lab

ROLES = ("ventilator", "sink")


class Backup(unittest.TestCase):
    def stored(self, laboratory, role, table):
        """Rows in the data.mdb of a role, which is a second or so behind its journal."""
        out = subprocess.run(["mdb_stat", "-s", table, os.path.join(laboratory.dir, role + ".data")], capture_output=True, text=True, check=True)
        return int(out.stdout.split("Entries:")[1])

    def place(self, laboratory, role):
        return os.path.join(laboratory.dir, "backup", role)

    def copying(self, laboratory, role):
        os.makedirs(os.path.join(laboratory.dir, "backup"), exist_ok=True)
        return ("leat-" + role, "--copy-store", self.place(laboratory, role), "--data", os.path.join(laboratory.dir, role + ".data"))

    def copy(self, laboratory, role):
        shutil.rmtree(self.place(laboratory, role), ignore_errors=True)
        done = laboratory.run(*self.copying(laboratory, role))
        self.assertEqual((done.returncode, done.out, done.err), (0, "", ""))

    def restore(self, laboratory, role):
        data = os.path.join(laboratory.dir, role + ".data")
        shutil.rmtree(data)
        shutil.copytree(self.place(laboratory, role), data)

    def submit(self, laboratory, count, ids):
        done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--ids", ids, stdin="".join(f"{n}\n" for n in range(count)))
        self.assertEqual(done.returncode, 0, done.err)
        return lab.read_ids(os.path.join(laboratory.dir, ids))

    def settled(self, laboratory):
        return laboratory.wait_for(lambda: laboratory.left() == 0, "nothing is left")

    def outputs(self, laboratory, ids):
        found = {job: laboratory.result(job) for job in ids}
        self.assertEqual({row.get("state") for row in found.values()}, {"succeeded"})
        return {job: row["output"] for job, row in found.items()}

    def test_what_was_acknowledged_before_a_backup_has_one_result_after_its_restore(self):
        with lab.Lab() as laboratory:
            brokers = [laboratory.sink(), laboratory.ventilator()]
            handler = ("--slots", "4", "--queues", "default,late", "--exec-shell", "job=cat; date +%s%N")
            worker = laboratory.worker(*handler)
            self.assertEqual(laboratory.run("leat", "pause", "late").returncode, 0)  # jobs that wait, however quick the others are
            before = self.submit(laboratory, 300, "before")
            laboratory.wait_for(lambda: laboratory.ended() >= 50, "some have ended")
            load = laboratory.background("load", "leat-producer", "--every", "5ms", "--count", "300", "--queue", "late", "--type", "job", "--wait",
                                         "--quiet")
            self.copy(laboratory, "ventilator")
            self.copy(laboratory, "sink")
            self.assertEqual(laboratory.run("leat", "resume", "late").returncode, 0)
            self.assertEqual(load.wait(), 0, load.log_text())
            self.settled(laboratory)
            for process in (*brokers, worker):
                laboratory.kill(process)
            for role in ROLES:
                self.restore(laboratory, role)
            laboratory.sink(), laboratory.ventilator()
            kept = laboratory.ended()  # before anybody works
            self.assertGreaterEqual(kept, 50)
            self.assertLess(kept, 600, "the backup was made while jobs waited")
            laboratory.worker(*handler)
            self.assertEqual(laboratory.run("leat", "resume", "late").returncode, 0)
            self.settled(laboratory)
            laboratory.wait_for(lambda: laboratory.left() == 0 and laboratory.ended() >= 300, "everything ended")
            self.outputs(laboratory, before)
            self.assertEqual(laboratory.run("leat", "submit", "--type", "job", "--wait", "new").returncode, 0, "new jobs find a cluster that works")

    def test_a_ventilator_that_goes_back_alone_gives_no_job_a_second_result(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator()
            ids = self.submit(laboratory, 50, "ids")
            self.copy(laboratory, "ventilator")
            laboratory.worker("--slots", "4", "--exec-shell", "job=cat; date +%s%N")
            laboratory.wait_for(lambda: laboratory.ended() == 50, "all ended")
            self.settled(laboratory)
            first = self.outputs(laboratory, ids)
            laboratory.kill(ventilator)
            self.restore(laboratory, "ventilator")
            laboratory.ventilator()
            laboratory.wait_for(lambda: laboratory.left() == 0 and laboratory.ended() == 50, "its jobs are settled again")
            self.assertEqual(self.outputs(laboratory, ids), first)

    def test_a_sink_that_goes_back_alone_takes_new_results(self):
        with lab.Lab() as laboratory:
            sink = laboratory.sink()
            laboratory.ventilator(), laboratory.worker("--exec", "job=cat")
            first = self.submit(laboratory, 20, "first")
            laboratory.wait_for(lambda: laboratory.ended() == 20 and laboratory.left() == 0, "the first ended")
            self.copy(laboratory, "sink")
            self.submit(laboratory, 20, "lost")
            laboratory.wait_for(lambda: laboratory.ended() == 40 and laboratory.left() == 0, "the second ended")
            laboratory.kill(sink)
            self.restore(laboratory, "sink")
            laboratory.sink()
            third = self.submit(laboratory, 20, "third")
            laboratory.wait_for(lambda: laboratory.ended() == 40 and laboratory.left() == 0, "new jobs end")
            self.outputs(laboratory, first + third)

    def stop_before_it_is_stored(self, laboratory, sink):
        """Stops the sink when it has said that it has a result and data.mdb has not; what `leat submit` said."""
        for n in range(20):
            before = self.stored(laboratory, "sink", "results")
            done = laboratory.run("leat", "submit", "--type", "job", "--wait", str(n))
            laboratory.kill(sink, signal.SIGSTOP)
            if done.returncode == 0 and self.stored(laboratory, "sink", "results") == before:
                return done
            laboratory.kill(sink, signal.SIGCONT)
        self.fail("data.mdb has every result at once")

    def test_a_copy_waits_for_what_is_in_the_journal_alone(self):
        with lab.Lab() as laboratory:
            sink = laboratory.sink()
            laboratory.ventilator(), laboratory.worker("--exec", "job=cat")
            self.stop_before_it_is_stored(laboratory, sink)
            copying = laboratory.background("copy", *self.copying(laboratory, "sink"))
            with self.assertRaises(subprocess.TimeoutExpired):
                copying.wait(1)
            laboratory.kill(sink, signal.SIGCONT)
            self.assertEqual(copying.wait(), 0, copying.log_text())
            ended = self.stored(laboratory, "sink", "results")
            laboratory.kill(sink)
            self.restore(laboratory, "sink")
            laboratory.sink()
            laboratory.wait_for(lambda: laboratory.ended() == ended, "the copy has what was in the journal alone")

    def test_without_a_broker_only_a_journal_that_is_not_needed_lets_itself_be_left_out(self):
        with lab.Lab() as laboratory:
            sink = laboratory.sink()
            laboratory.ventilator(), laboratory.worker("--exec", "job=cat")
            self.stop_before_it_is_stored(laboratory, sink)
            laboratory.kill(sink)
            done = laboratory.run(*self.copying(laboratory, "sink"))
            self.assertEqual((done.returncode, done.err), (2, "leat-sink: cannot copy: nobody runs that would bring to "
                             f"{laboratory.dir}/sink.data/data.mdb what is in its journal alone: start the broker, or copy the whole directory\n"))
            again = laboratory.sink()
            laboratory.wait_for(lambda: laboratory.ended() >= 1, "the journal is read")
            ended = laboratory.ended()
            self.assertEqual(laboratory.stop(again), 0)
            self.copy(laboratory, "sink")
            self.restore(laboratory, "sink")
            laboratory.sink()
            laboratory.wait_for(lambda: laboratory.ended() == ended, "what was in the journal alone is there")

    def test_what_cannot_be_copied_is_named(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            data, place = os.path.join(laboratory.dir, "sink.data"), self.place(laboratory, "sink")
            self.copy(laboratory, "sink")
            cases = {
                f"{place}/data.mdb is there already": ("leat-sink", "--copy-store", place, "--data", data),
                f"{laboratory.dir} holds no store": ("leat-sink", "--copy-store", place, "--data", laboratory.dir),
                f"{data} is the store of a sink, not of a ventilator": ("leat-ventilator", "--copy-store", place, "--data", data),
            }
            for text, command in cases.items():
                done = laboratory.run(*command)
                self.assertEqual((done.returncode, done.err), (2, f"{command[0]}: cannot copy: {text}\n"))
            done = laboratory.run("leat-sink", "--copy-store", "/dev/null/x", "--data", data)
            self.assertEqual((done.returncode, done.err), (74, "leat-sink: cannot copy: cannot make directory /dev/null/x: Not a directory\n"))

    def test_the_sink_copied_first_would_lose_what_ended_in_between(self):
        """Why the order matters: the result came after the one copy, and the job was gone before the other."""
        with lab.Lab() as laboratory:
            brokers = [laboratory.sink(), laboratory.ventilator()]
            job = self.submit(laboratory, 1, "ids")[0]
            self.copy(laboratory, "sink")
            worker = laboratory.worker("--exec", "job=cat")
            laboratory.wait_for(lambda: laboratory.ended() == 1 and laboratory.left() == 0, "it ended")
            self.copy(laboratory, "ventilator")
            for process in (*brokers, worker):
                laboratory.kill(process)
            for role in ROLES:
                self.restore(laboratory, role)
            laboratory.sink(), laboratory.ventilator()
            self.assertIn("is not known", laboratory.run("leat", "result", job).err)


if __name__ == "__main__":
    lab.main()
