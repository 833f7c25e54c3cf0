#!/usr/bin/python3
"""Every way in which a process ends, with executables built with the address sanitizer (scripts/test sanitizers): nothing
leaks, nothing is touched that was freed, and the status is the one that is promised. With other builds it tests the
statuses alone."""
import os
import signal
import unittest

import lab

OPTIONS = "detect_leaks=1:exitcode=99:abort_on_error=0:halt_on_error=1"


class Exits(unittest.TestCase):
    def laboratory(self):
        laboratory = lab.Lab()
        laboratory.env["ASAN_OPTIONS"] = OPTIONS
        laboratory.env["LSAN_OPTIONS"] = "exitcode=99"
        laboratory.env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
        return laboratory

    def clean(self, text):
        for word in ("Sanitizer", "runtime error"):
            self.assertNotIn(word, text, text[-4000:])

    def ends(self, process, status):
        """It ends with this status, and no sanitizer has said a word."""
        self.assertEqual(process.wait(lab.PATIENCE_S), status, process.log_text()[-3000:])
        self.clean(process.log_text())

    def runs(self, laboratory, status, *arguments, says="", **kw):
        done = laboratory.run(*arguments, **kw)
        self.clean(done.err + done.out)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.err[-3000:]}")
        self.assertIn(says, done.err)
        return done

    def test_work_done_and_a_signal(self):
        with self.laboratory() as laboratory:
            sink, ventilator = laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--exec", "echo=cat", "--exec", "fail=false", "--slots", "2")
            self.runs(laboratory, 0, "leat-producer", "--lines", "-", "--type", "echo", "--wait", "--quiet",
                      stdin="".join(f"{n}\n" for n in range(50)))
            self.runs(laboratory, 1, "leat-producer", "--lines", "-", "--type", "fail", "--attempts", "1", "--wait", "--quiet",
                      stdin="x\n")
            self.runs(laboratory, 0, "leat", "submit", "--type", "echo", "--wait", "word")
            for command in ("stats", "queues", "workers", "failures", "ping"):
                self.runs(laboratory, 0, "leat", command)
            for process in (worker, ventilator, sink):
                process.popen.send_signal(signal.SIGTERM)
                self.ends(process, 0)

    def test_a_second_signal_and_a_shutdown(self):
        with self.laboratory() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            worker = laboratory.worker("--exec", "slow=sleep 60", "--drain", "50s")
            self.runs(laboratory, 0, "leat", "submit", "--type", "slow", "x")
            laboratory.wait_for(lambda: any(w["busy"] for w in laboratory.ask("workers")["workers"]), "it runs")
            worker.popen.send_signal(signal.SIGTERM)
            laboratory.wait_for(lambda: "drain" in worker.log_text(), "it drains")
            worker.popen.send_signal(signal.SIGTERM)
            worker.wait(lab.PATIENCE_S)
            self.clean(worker.log_text())
            self.runs(laboratory, 0, "leat", "shutdown")
            for process in laboratory.processes:
                if process is not worker:
                    self.ends(process, 0)

    def test_what_cannot_start(self):
        with self.laboratory() as laboratory:
            for program in ("leat-ventilator", "leat-sink", "leat-worker", "leat-producer", "leat"):
                self.runs(laboratory, 0, program, "--help")
                self.runs(laboratory, 0, program, "--version")
                self.runs(laboratory, 2, program, "--nonsense")
            data = os.path.join(laboratory.dir, "v.data")
            self.runs(laboratory, 2, "leat-producer", "--lines", "-", says="--type")
            self.runs(laboratory, 2, "leat-producer", "--lines", "-", "--type", "a b", says="type")
            self.runs(laboratory, 2, "leat-worker", "--exec", "nonsense", says="TYPE=command")
            self.runs(laboratory, 2, "leat-worker", "--exec", "x=no-such-program-anywhere", says="no such program")
            self.runs(laboratory, 2, "leat-ventilator", "--lost-after", "soon", "--data", data, says="soon")
            # Cannot bind: the place is taken by somebody else's directory.
            taken = os.path.join(laboratory.dir, "taken")
            os.mkdir(taken)
            for name in ("ventilator", "sink"):
                done = laboratory.run(f"leat-{name}", "--listen", f"ipc://{taken}", "--data", data + name)
                self.clean(done.err)
                self.assertGreater(done.returncode, 0)
                self.assertNotEqual(done.returncode, 99, done.err)
                self.assertIn(taken, done.err)

    def test_a_store_that_is_locked_or_damaged_or_somebody_elses(self):
        with self.laboratory() as laboratory:
            for name in ("ventilator", "sink"):
                first = getattr(laboratory, name)()
                data = os.path.join(laboratory.dir, f"{name}.data")
                other = ["--listen", f"ipc://{laboratory.dir}/other", "--data", data]
                locked = laboratory.run(f"leat-{name}", *other)
                self.clean(locked.err)
                self.assertGreater(locked.returncode, 0)
                self.assertIn(data, locked.err)
                laboratory.kill(first)
                foreign = laboratory.run("leat-sink" if name == "ventilator" else "leat-ventilator", *other)
                self.clean(foreign.err)
                self.assertGreater(foreign.returncode, 0)
                with open(os.path.join(data, "data.mdb"), "r+b") as f:
                    f.write(b"\xff" * 8192)  # both meta pages
                damaged = laboratory.run(f"leat-{name}", *other)
                self.clean(damaged.err)
                self.assertGreater(damaged.returncode, 0)
                self.assertIn(data, damaged.err)

    def test_nobody_is_there(self):
        with self.laboratory() as laboratory:
            for command in (("leat", "ping"), ("leat", "stats"), ("leat", "submit", "--type", "x", "--deadline", "1s", "y"),
                            ("leat-producer", "--lines", "-", "--type", "x", "--deadline", "1s", "--quiet")):
                done = laboratory.run(*command, stdin="line\n")
                self.clean(done.err)
                self.assertGreater(done.returncode, 0, command)
            worker = laboratory.worker("--exec", "echo=cat")
            worker.popen.send_signal(signal.SIGTERM)
            worker.wait(lab.PATIENCE_S)
            self.clean(worker.log_text())


if __name__ == "__main__":
    lab.main()
