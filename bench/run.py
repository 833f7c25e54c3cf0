#!/usr/bin/python3
"""The bench: see README.md beside this file. scripts/bench builds and calls it."""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import parts
import report
import scale
from processes import BenchError, say

# In this order; name: function.
PARTS = {"throughput": parts.throughput, "latency": parts.latency, "payload": parts.payload, "exec": parts.commands,
         "backlog": scale.backlog, "sink": scale.sink, "crowd": scale.crowd}


class Bench:
    """What every part needs to know."""

    def __init__(self, options, folder):
        self.quick, self.tools, self.folder = options.quick, options.tools, folder
        self.backlog, self.results, self.crowd = options.backlog, options.results, options.crowd
        self.only = options.only.split(",") if options.only else []

    def kinds(self, kinds):
        """Of the queues those that were asked for and can run: leat and the limits always can."""
        found = []
        for kind in kinds:
            if self.only and not any(kind.name.startswith(name) for name in self.only):
                continue
            if kind.name.startswith("redis") and not self.has("bench_redis", "redis-server"):
                continue
            if kind.name.startswith("beanstalkd") and not self.has("bench_beanstalk", "beanstalkd"):
                continue
            found.append(kind)
        return found

    def has(self, client, server):
        found = os.path.exists(os.path.join(self.tools, "bench", client)) and shutil.which(server)
        if not found:
            say(f"  without {server}: scripts/install-packages bench")
        return found


def machine(folder):
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as f:
        memory_kib = int(f.readline().split()[1])
    load = os.getloadavg()[0]
    return {"processors": os.cpu_count(), "model": model, "memory_gib": round(memory_kib / (1 << 20)), "kernel": platform.release(),
            "load_before": round(load, 2), "sync_ms": round(1000 * sync_time(folder), 3)}


def sync_time(folder, times=50):
    """Seconds that a write of 4 KiB and its fdatasync take: the median."""
    fd = os.open(os.path.join(folder, "sync"), os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        spans = []
        for _ in range(times):
            begin = time.monotonic()
            os.pwrite(fd, b"x" * 4096, 0)
            os.fdatasync(fd)
            spans.append(time.monotonic() - begin)
        return sorted(spans)[times // 2]
    finally:
        os.close(fd)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures leat side by side with its peers and its limits.")
    parser.add_argument("part", nargs="*", help=f"which parts: {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="about a minute: short runs, one or three rounds")
    parser.add_argument("--backlog", type=int, metavar="N", help="jobs that wait in the part backlog (1000000; 10000000 takes minutes)")
    parser.add_argument("--results", type=int, metavar="N", help="results that the sink keeps in the part sink (1000000)")
    parser.add_argument("--crowd", type=int, metavar="N", help="idle workers, and producers, in the part crowd (1000)")
    parser.add_argument("--only", metavar="NAMES", help="in throughput and latency only queues whose names begin so, comma between")
    parser.add_argument("--json", metavar="FILE", help="where the JSON goes (build/bench.json); parts measured before and not now are kept")
    parser.add_argument("--docs", metavar="DIR", help="also write tables and plots of that JSON into DIR/PERFORMANCE.md and DIR/performance")
    parser.add_argument("--says-ok", action="store_true", help=argparse.SUPPRESS)  # for scripts/test
    parser.add_argument("--tools", default="build/release", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.part:
        if name not in PARTS:
            parser.error(f"no part '{name}': {', '.join(PARTS)}")
    options.tools = os.path.abspath(options.tools)
    options.json = os.path.abspath(options.json or os.path.join(os.path.dirname(options.tools), "bench.json"))
    return options


def kept(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def main():
    options = arguments()
    begun = time.monotonic()
    folder = tempfile.mkdtemp(prefix="leat-bench.", dir=os.environ.get("LEAT_BENCH_DIR", "/var/tmp"))
    found = kept(options.json)
    failed = 0
    try:
        bench = Bench(options, folder)
        here = machine(folder)
        for name in options.part or PARTS:
            say(f"{name}")
            started = time.monotonic()
            try:
                found[name] = PARTS[name](bench)
                found[name + "_run"] = {**here, "quick": options.quick, "seconds": round(time.monotonic() - started),
                                        "load": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d")}
                with open(options.json, "w", encoding="utf-8") as f:
                    json.dump(found, f, indent=1)
            except (BenchError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                say(f"{name}: {error}")
            if options.says_ok:
                print(f"{'not ok' if failed else 'ok'} - bench: the part {name} runs", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.text(found, options.part or PARTS))
    if options.docs:
        report.write_docs(found, options.docs)
    say(f"{round(time.monotonic() - begun)} s; {os.path.relpath(options.json)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
