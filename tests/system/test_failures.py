#!/usr/bin/python3
"""What people see of failed jobs, and how these are run again: many, large ones, and some that cannot be."""
import os
import unittest

import lab


class Failures(unittest.TestCase):
    def test_hundreds_of_failures_are_run_again_once(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--exec", "job=sh -c 'exit 65'", "--slots", "4")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--wait", stdin="".join(f"{i}\n" for i in range(600)))
            self.assertEqual(done.returncode, 1, done.err)
            self.assertEqual(laboratory.stop(worker), 0)
            laboratory.worker("--exec", "job=cat", "--slots", "4")
            done = laboratory.run("leat", "retry", "--all")
            self.assertEqual((done.returncode, len(set(done.out.splitlines()))), (0, 600), done.err)
            laboratory.wait_for(lambda: laboratory.stats()["sink"]["successes"] == 600, "600 successes")
            self.assertEqual(laboratory.run("leat", "failures").out, "no failures\n")
            self.assertEqual(laboratory.run("leat", "retry", "--all").err, "0 jobs run again\n")
            old, new = done.out.split()[:2]
            done = laboratory.run("leat", "retry", old)
            self.assertEqual((done.returncode, done.out), (1, ""))
            self.assertIn(f"was run again already, as {new}: succeeded", done.err)

    def test_large_jobs_are_run_again_whatever_the_window(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "job=sh -c 'exit 65'")
            files = os.path.join(laboratory.dir, "files")
            os.mkdir(files)
            for i in range(80):
                with open(os.path.join(files, str(i)), "wb") as f:
                    f.write(bytes(1000000))
            laboratory.run("leat-producer", "--files", files, "--type", "job", "--wait", "--quiet")
            ids = [row["id"] for row in laboratory.failures()]
            self.assertEqual(len(ids), 80)
            done = laboratory.run("leat", "retry", *ids)
            self.assertEqual((done.returncode, done.err), (0, "80 jobs run again\n"))

    def test_a_failure_that_cannot_be_run_again_does_not_keep_back_the_others(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            ventilator = laboratory.ventilator("--max-payload", "4MiB")
            laboratory.worker("--exec", "job=sh -c 'exit 65'")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--max-payload", "4MiB", "--wait", "--quiet",
                                  stdin="a\n" + "x" * 2000000 + "\nb\n")
            self.assertEqual((done.returncode, len(laboratory.failures())), (1, 3), done.err)
            laboratory.stop(ventilator)
            laboratory.ventilator("--max-payload", "1MiB")
            done = laboratory.run("leat", "retry", "--all")
            self.assertEqual((done.returncode, len(done.out.splitlines())), (1, 2), done.err)
            self.assertIn("the limit is", done.err)
            self.assertEqual([row["rerun"] for row in laboratory.failures(reruns=True)][:3].count(True), 2)

    def test_what_a_handler_writes_cannot_steer_the_terminal(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "job=sh -c 'printf \"\\033[2Jred\\r\\302\\233x\" >&2; exit 65'")
            submitted = laboratory.run("leat", "submit", "--type", "job", "--wait")
            job = submitted.err.split()[0]
            for done in (submitted, laboratory.run("leat", "failures"), laboratory.run("leat", "result", job)):
                self.assertNotRegex(done.out + done.err, "[\x00-\x08\x0b-\x1f\x7f-\x9f]")
                self.assertIn("?[2Jred?", done.out + done.err)

    def test_output_that_is_cut_is_said_and_nothing_else_gets_into_it(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator(), laboratory.worker("--exec", "big=head -c 100 /dev/zero", "--max-result", "10B")
            done = laboratory.run("leat", "submit", "--type", "big", "--wait")
            self.assertEqual((done.returncode, done.out), (0, "\0" * 10))
            self.assertIn("cut at the worker's limit", done.err)
            done = laboratory.run("leat", "result", "--output", done.err.split()[0])
            self.assertEqual((done.returncode, done.out), (0, "\0" * 10))
            self.assertIn("cut at the worker's limit", done.err)
            waiting = laboratory.run("leat", "submit", "--type", "big", "--delay", "1h").out.strip()
            done = laboratory.run("leat", "result", "--output", waiting)
            self.assertEqual((done.returncode, done.out), (1, ""))
            self.assertIn("has not ended: it is scheduled", done.err)


if __name__ == "__main__":
    lab.main()
