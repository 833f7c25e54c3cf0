#!/usr/bin/python3
"""Limits at their edges, with the real executables: what is just small enough passes unchanged, one more is refused by name."""
import hashlib
import os
import random
import unittest

import lab

PLUGIN = os.path.join(lab.BIN, "..", "lib", "example_handlers.so")
MIB = 1 << 20


class Limits(unittest.TestCase):
    def file(self, laboratory, name, size_bytes):
        """A file of that many bytes in which nothing repeats; its content."""
        content = random.Random(size_bytes).randbytes(size_bytes)
        with open(os.path.join(laboratory.dir, name), "wb") as f:
            f.write(content)
        return content

    def submit_file(self, laboratory, kind, name, *options, timeout=lab.PATIENCE_S):
        with open(os.path.join(laboratory.dir, name), "rb") as f:
            return laboratory.run("leat", "submit", "--type", kind, "--wait", *options, "-", stdin=f.read(), timeout=timeout)

    def test_a_payload_of_exactly_the_default_limit_passes_unchanged_through_both_kinds_of_handlers(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "cat=cat", "--plugin", PLUGIN, "--max-result", "1MiB")
            content = self.file(laboratory, "most", MIB)
            for kind in ("cat", "echo"):
                done = self.submit_file(laboratory, kind, "most")
                self.assertEqual(done.returncode, 0, done.err)
                self.assertEqual(done.stdout, content, kind)

    def test_who_asks_for_a_result_that_was_removed_is_told_so_each_time(self):
        with lab.Lab() as laboratory:
            laboratory.sink("--keep-results-count", "20"), laboratory.ventilator()
            laboratory.worker("--slots", "4", "--exec", "job=true")
            done = laboratory.run("leat-producer", "--lines", "-", "--type", "job", "--ids", "ids", stdin="1\n" * 100)
            self.assertEqual(done.returncode, 0, done.err)

            def removed():
                sink = laboratory.stats()["sink"]
                return sink["successes"] == 20 and sink["removed_total"] == 80
            laboratory.wait_for(removed, "all but twenty results are removed")
            with open(laboratory.dir + "/ids") as f:
                answers = [laboratory.ask({"request": "job", "id": line.split("\t")[0]}) for line in f]
            self.assertEqual(sum(answer.get("state") == "succeeded" for answer in answers), 20)
            self.assertEqual(sum("its result is too old" in answer["error"]["text"] for answer in answers if "reply" not in answer), 80)

    def test_one_byte_more_is_refused_and_the_error_names_limit_and_value(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            self.file(laboratory, "much", MIB + 1)
            done = self.submit_file(laboratory, "cat", "much")
            self.assertEqual((done.returncode, done.err.count("\n")), (2, 1), done.err)
            self.assertIn("payload is 1048577 bytes, the limit is 1048576", done.err)
            # Who was told of a higher limit is refused by the ventilator, which weighs the whole body.
            self.file(laboratory, "more", MIB + 30000)
            done = self.submit_file(laboratory, "cat", "more", "--max-payload", "2MiB")
            self.assertEqual(done.returncode, 1, done.err)
            self.assertRegex(done.err, r"body is 10786\d\d bytes, the limit is \d+ \(payload 1048576")
            os.mkdir(os.path.join(laboratory.dir, "files"))
            os.rename(os.path.join(laboratory.dir, "much"), os.path.join(laboratory.dir, "files", "much"))
            done = laboratory.run("leat-producer", "--files", "files", "--type", "cat", "--wait")
            self.assertEqual(done.returncode, 1, done.err)
            self.assertRegex(done.err, "files/much: .*1048577.*1048576")
            self.assertEqual(laboratory.ended(), 0)

    def test_with_the_limit_raised_a_payload_of_64_mib_passes(self):
        with lab.Lab() as laboratory:
            laboratory.sink()
            laboratory.ventilator("--max-payload", "64MiB")
            # Compared by the handlers themselves: results end at 16 MiB.
            laboratory.worker("--slots", "1", "--exec", "sum=sha256sum", "--plugin", PLUGIN)
            content = self.file(laboratory, "most", 64 * MIB)
            done = self.submit_file(laboratory, "sum", "most", "--max-payload", "64MiB")
            self.assertEqual(done.returncode, 0, done.err)
            self.assertEqual(done.out.split()[0], hashlib.sha256(content).hexdigest())
            done = self.submit_file(laboratory, "words", "most", "--max-payload", "64MiB")
            self.assertEqual((done.returncode, int(done.out)), (0, len(content.split())), done.err)
            done = laboratory.run("leat-ventilator", "--max-payload", str(64 * MIB + 1), "--data", "other")
            self.assertEqual(done.returncode, 2, done.err)
            self.assertIn("64", done.err)

    def test_results_that_are_too_large_are_cut_and_flagged_or_a_failure_by_kind_of_handler(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec", "cat=cat", "--plugin", PLUGIN)  # 64 KiB
            for size, cut in ((65536, False), (65537, True)):
                content = self.file(laboratory, "payload", size)
                done = self.submit_file(laboratory, "cat", "payload")
                self.assertEqual(done.returncode, 0, done.err)
                self.assertEqual(done.stdout, content[:65536])
                self.assertEqual("cut at the worker's limit" in done.err, cut, done.err)
                done = self.submit_file(laboratory, "echo", "payload", "--attempts", "1")
                self.assertEqual(done.returncode, 1 if cut else 0, done.err)
            failure, = laboratory.failures()
            self.assertEqual((failure["failure"], failure["attempts"]), ("too_large", 1))
            self.assertIn("65536", failure["error"])

    def test_headers_at_their_limits_reach_handler_and_result_and_above_they_are_refused(self):
        with lab.Lab() as laboratory:
            laboratory.sink(), laboratory.ventilator()
            laboratory.worker("--exec-shell", "job=env | grep -c ^LEAT_HEADER_; printf %s \"$LEAT_HEADER_LONG\" | wc -c")
            headers = [f"h{i}=v" for i in range(31)] + ["long=" + "x" * 4096]
            options = sum((["--header", h] for h in headers), [])
            done = laboratory.run("leat", "submit", "--type", "job", "--wait", *options)
            self.assertEqual((done.returncode, done.out.split()), (0, ["32", "4096"]), done.err)
            for more, names in (([*headers, "h=v"], ("33", "32")), (["long=" + "x" * 4097], ("long", "4097", "4096")),
                                (["n" * 65 + "=v"], ("65", "64")), ([f"{c}=" + "x" * 4096 for c in "abcde"], ("16384",))):
                for command in (["leat", "submit"], ["leat-producer", "--lines", "-"]):
                    done = laboratory.run(*command, "--type", "job", *sum((["--header", h] for h in more), []), stdin="x\n")
                    self.assertEqual((done.returncode, done.err.count("\n")), (2, 1), done.err[:200])
                    for name in names:
                        self.assertIn(name, done.err)

    def test_under_a_limit_of_memory_each_program_runs_or_says_in_one_line_why_it_cannot(self):
        with lab.Lab() as laboratory:
            for start in (laboratory.ventilator, laboratory.sink, lambda **kw: laboratory.worker("--exec", "job=true", **kw)):
                began = []
                for mib in (16, 48, 80, 112, 200):
                    limits = ("/bin/sh", "-c", f'ulimit -s 8192; ulimit -d {mib * 1024}; exec "$@"', "sh")
                    process = start(prefix=limits, must_start=False)
                    began.append("event=ready" in process.log_text())
                    if began[-1]:
                        self.assertEqual(laboratory.stop(process), 0, process.log_text())
                    else:
                        self.assertEqual(process.wait(), 75, process.log_text())
                        self.assertRegex(process.log_text(), r"^leat-\w+: cannot start: \d+ MiB of memory .* ulimit -d.*\n$")
                self.assertEqual((began[0], began[-1], sorted(began)), (False, True, began))


if __name__ == "__main__":
    lab.main()
