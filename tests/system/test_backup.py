#!/usr/bin/python3
"""Backup while running and restore, as docs/OPERATIONS.md tells it: mdb_copy of the ventilator's store, then of the sink's."""
import os
import shutil
import subprocess
import unittest

import lab

ROLES = ("ventilator", "sink")


class Backup(unittest.TestCase):
    def known(self, laboratory):
        """Ids in the ventilator's data.mdb, which is a second or so behind its journal."""
        out = subprocess.run(["mdb_stat", "-s", "ids", os.path.join(laboratory.dir, "ventilator.data")], capture_output=True, text=True, check=True)
        return int(out.stdout.split("Entries:")[1])

    def copy(self, laboratory, role):
        place = os.path.join(laboratory.dir, "backup", role)
        shutil.rmtree(place, ignore_errors=True)
        os.makedirs(place, mode=0o700)
        done = subprocess.run(["mdb_copy", os.path.join(laboratory.dir, role + ".data"), place], capture_output=True, text=True,
                              timeout=lab.PATIENCE_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def restore(self, laboratory, role):
        data = os.path.join(laboratory.dir, role + ".data")
        shutil.rmtree(data)
        shutil.copytree(os.path.join(laboratory.dir, "backup", role), data)

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
            handler = ("--slots", "4", "--exec-shell", "job=cat; date +%s%N")
            worker = laboratory.worker(*handler)
            before = self.submit(laboratory, 300, "before")
            laboratory.wait_for(lambda: laboratory.ended() >= 50 and self.known(laboratory) >= 300, "some have ended, all are in the data")
            load = laboratory.background("load", "leat-producer", "--every", "5ms", "--count", "300", "--type", "job", "--wait", "--quiet")
            self.copy(laboratory, "ventilator")
            ended = laboratory.ended()
            self.copy(laboratory, "sink")
            self.assertLess(ended, 600, "the backup was made while jobs waited")
            self.assertEqual(load.wait(), 0, load.log_text())
            self.settled(laboratory)
            for process in (*brokers, worker):
                laboratory.kill(process)
            for role in ROLES:
                self.restore(laboratory, role)
            laboratory.sink(), laboratory.ventilator()
            kept = laboratory.ended()  # before anybody works
            self.assertGreaterEqual(kept, 50)
            self.assertLess(kept, 600)
            laboratory.worker(*handler)
            self.settled(laboratory)
            laboratory.wait_for(lambda: laboratory.left() == 0 and laboratory.ended() >= 300, "everything ended")
            self.outputs(laboratory, before)
            self.assertEqual(laboratory.run("leat", "submit", "--type", "job", "--wait", "new").returncode, 0, "new jobs find a cluster that works")

    def test_a_ventilator_that_goes_back_alone_gives_no_job_a_second_result(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator()
            ids = self.submit(laboratory, 50, "ids")
            laboratory.wait_for(lambda: self.known(laboratory) >= 50, "they are in the data")
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
