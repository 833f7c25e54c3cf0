#!/usr/bin/python3
"""Notices when a stage becomes more expensive, by instructions, so that neither the machine nor its load matter.

    guard.py PROGRAM             compares with baseline.txt: a stage that takes a third more fails
    guard.py PROGRAM --renew     writes baseline.txt anew
    guard.py PROGRAM --where STAGE     its most expensive functions

Runs each stage of leat_guard under callgrind and adds up what leat's own code executes (for lmdb, liblmdb's too) per job. The C
library is left out: which of its memcpy runs depends on the processor."""
import os
import platform
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "baseline.txt")
LIMIT = 4 / 3
BATCHES = 24
# Counted as a whole, because another thread works for them: the difference of a long run and a short one.
WHOLE = {"lmdb": (8, 24), "journal": (32, 64)}
OBJECTS = {"lmdb": r"/(leat_guard|liblmdb\.so[^/]*)$"}
OWN = r"/leat_guard$"
RENEW = "scripts/test guard --renew"


def numbered(names, text):
    """callgrind writes a name once, "(7) name", and later "(7)"."""
    match = re.match(r"\((\d+)\)(?: (.*))?$", text)
    if match is None:
        return text
    if match.group(2) is not None:
        names[match.group(1)] = match.group(2)
    return names.get(match.group(1), "?")


def costs(path, objects):
    """{function: instructions of its own} of one callgrind file, for functions of these objects."""
    found, object_names, function_names = {}, {}, {}
    counts, function, after_call = False, "?", False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            line = line.rstrip("\n")
            key, _, value = line.partition("=")
            if key == "ob":
                counts = re.search(objects, numbered(object_names, value)) is not None
            elif key == "fn":
                function = numbered(function_names, value)
            elif key == "cob":
                numbered(object_names, value)
            elif key == "cfn":
                numbered(function_names, value)
            elif key == "calls":
                after_call = True
            elif re.match(r"[+\-*\d]", line):
                if counts and not after_call:
                    found[function] = found.get(function, 0) + int(line.split()[1])
                after_call = False
    return found


def run(program, stage, batches, folder):
    out = os.path.join(folder, f"{stage}.{batches}")
    toggle = [] if stage in WHOLE else ["--toggle-collect=guard_counted*"]
    env = {**os.environ, "TMPDIR": folder}
    done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *toggle, program, stage, str(batches)],
                          capture_output=True, text=True, env=env, timeout=240, check=False)
    if done.returncode != 0:
        sys.exit(f"guard: {stage}: status {done.returncode}\n{done.stderr[-2000:]}")
    return costs(out, OBJECTS.get(stage, OWN)), int(done.stdout)


def measure(program, stage, folder):
    """{function: instructions per job}."""
    if stage not in WHOLE:
        found, jobs = run(program, stage, BATCHES, folder)
        return {name: cost / jobs for name, cost in found.items()}
    few, many = WHOLE[stage]
    before, fewer = run(program, stage, few, folder)
    after, more = run(program, stage, many, folder)
    # A quarter is run for warmth, and belongs to the whole as well.
    jobs = (more - fewer) * 5 / 4
    return {name: (cost - before.get(name, 0)) / jobs for name, cost in after.items()}


def stages_of(program):
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in listed.splitlines())


def read_baseline():
    with open(BASELINE, encoding="ascii") as f:
        rows = [line.split() for line in f if line.strip() and not line.startswith("#")]
    return {name: int(cost) for name, cost in rows}


def write_baseline(totals):
    with open(BASELINE, "w", encoding="ascii") as f:
        f.write(f"# Instructions per job and stage, release preset, gcc of Debian 12. Renewed by: {RENEW}\n")
        f.writelines(f"{name:12} {round(cost)}\n" for name, cost in totals.items())


def most_expensive(functions, count=12):
    order = sorted(functions.items(), key=lambda item: -item[1])[:count]
    return "".join(f"    {cost:8.1f}  {name}\n" for name, cost in order)


def compare(totals, functions):
    baseline, failed = read_baseline(), 0
    for name, cost in totals.items():
        before = baseline.get(name)
        ratio = cost / before if before else float("inf")
        bad = ratio > LIMIT
        failed += bad
        print(f"{'not ok' if bad else 'ok'} - guard: {name}: {cost:.0f} instructions per job, baseline {before} ({ratio:.2f})")
        if bad:
            print(f"{most_expensive(functions[name])}    If that is meant, or a better compiler is at work: {RENEW}")
        elif ratio < 1 / LIMIT:
            print(f"    a third cheaper: renew the baseline, so that it stays so: {RENEW}")
    return failed


def main():
    program, arguments = sys.argv[1], sys.argv[2:]
    if platform.machine() != "x86_64":
        print(f"ok - guard: the baseline is of x86_64, and this is {platform.machine()}: nothing was compared")
        return 0
    what = stages_of(program)
    wanted = [arguments[1]] if arguments[:1] == ["--where"] else list(what)
    with tempfile.TemporaryDirectory(prefix="leat-guard.") as folder:
        with ThreadPoolExecutor(max_workers=2) as pool:
            functions = dict(zip(wanted, pool.map(lambda stage: measure(program, stage, folder), wanted)))
    totals = {name: sum(costs_of.values()) for name, costs_of in functions.items()}
    if arguments[:1] == ["--where"]:
        print(f"{wanted[0]} ({what[wanted[0]]}): {totals[wanted[0]]:.0f} instructions per job\n{most_expensive(functions[wanted[0]], 30)}", end="")
        return 0
    if arguments == ["--renew"]:
        write_baseline(totals)
        print("".join(f"{name:12} {cost:8.0f}\n" for name, cost in totals.items()), end="")
        return 0
    return 1 if compare(totals, functions) else 0


if __name__ == "__main__":
    sys.exit(main())
