"""What the bench found, as tables for people: on the terminal, and in docs/PERFORMANCE.md between its marks."""
import os
import re

import plot

TARGETS = (  # what, how it is told from the JSON, the bound, whether more is better
    ("throughput, of Redis AOF always", lambda f: rate(f, "leat") / rate(f, "redis aof-always"), 10, True),
    ("throughput, of ZeroMQ PUSH/PULL", lambda f: rate(f, "leat") / rate(f, "zeromq push/pull"), 0.16, True),
    ("latency at 1,000/s, p50 in ms", lambda f: quantile(f, "leat", "p50") / 1000, 1, False),
    ("latency at 1,000/s, p99 in ms", lambda f: quantile(f, "leat", "p99") / 1000, 4, False),
    ("the same p50, of beanstalkd -f0", lambda f: quantile(f, "leat", "p50") / quantile(f, "beanstalkd -f0", "p50"), 1, False),
    ("the same p99, of beanstalkd -f0", lambda f: quantile(f, "leat", "p99") / quantile(f, "beanstalkd -f0", "p99"), 1, False),
    ("backlog: submit, of empty", lambda f: f["backlog"]["ratio"]["submit"], 0.8, True),
    ("backlog: drain, of empty", lambda f: f["backlog"]["ratio"]["drain"], 0.8, True),
    ("backlog: ventilator's anonymous MiB", lambda f: max(m for _, m in f["backlog"]["memory_mib"]), 256, False),
    ("backlog: restart to first push in s", lambda f: f["backlog"]["restart"]["first_push_s"], 5, False),
    ("64 KiB payloads, of the disk", lambda f: size_of(f, 65536)["share_of_disk"], 0.5, True),
    ("1 MiB payloads, of the disk", lambda f: size_of(f, 1 << 20)["share_of_disk"], 0.5, True),
    ("exec handlers, of xargs", lambda f: f["exec"]["ratio"], 1, True),
    ("crowd: ventilator, % of a core", lambda f: f["crowd"]["busy_percent"]["ventilator"], 5, False),
    ("crowd: sink, % of a core", lambda f: f["crowd"]["busy_percent"]["sink"], 5, False),
    ("crowd: p50, of that without", lambda f: f["crowd"]["latency_us"]["with"]["p50"] / f["crowd"]["latency_us"]["without"]["p50"], 1.1, False),
    ("kept results: rate, of empty", lambda f: f["sink"]["ratio"], 0.8, True),
)


def rate(found, name):
    return found["throughput"][name]["rate"]["median"]


def quantile(found, name, which):
    return found["latency"][name]["loads"]["1000/s"][which]


def size_of(found, size):
    sizes = found["payload"]["sizes"]
    return sizes.get(str(size)) or sizes[size]


def number(value, digits=0):
    return f"{value:,.{digits}f}"


def table(heads, rows):
    rows = [[str(c) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    aligned = lambda row: "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
    line = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([aligned(heads), line, *map(aligned, rows)]) + "\n"


# ---- one table per part ----

def conditions(found, part):
    run = found.get(part + "_run")
    if not run:
        return ""
    return (f"{run['date']}, {run['processors']} × {run['model']}, {run['memory_gib']} GiB, Linux {run['kernel']}; a synced write of 4 KiB takes {run['sync_ms']} ms; "
            f"load average {run['load_before']} when the bench began, {run['load']} at the end of this part{'; --quick' if run['quick'] else ''}.\n")


def throughput(found):
    rows, costs = [], []
    durable = ("leat", "redis aof-always", "beanstalkd -f0", "lmdb alone")
    base = found["leat"]["rate"]["median"] if "leat" in found else None
    for name, f in found.items():
        share = number(f["rate"]["median"] / base, 3) if base else "-"
        rows.append([name, "yes" if name in durable else "no", number(f["rate"]["median"]), f"{number(f['rate']['min'])} to {number(f['rate']['max'])}",
                     "-" if name.startswith("zeromq") else number(f["acked_rate"]), share, f["batch"]])
        cost = f["middle"]["cpu_us_per_job"]
        server = cost.get("server", cost.get("ventilator", cost.get("store")))
        cells = [cost.get("producer"), server, cost.get("worker"), cost.get("sink")]
        memory = sum(f["middle"]["anonymous_kib"].values()) / 1024
        costs.append([name, *("-" if c is None else number(c, 2) for c in cells), number(sum(cost.values()), 2),
                      number(memory, 1) if memory else "-", "-" if f["middle"]["written_bytes_per_job"] is None else number(f["middle"]["written_bytes_per_job"])])
    return (table(["queue", "synced", "jobs/s", "range", "acknowledged/s", "of leat", "batch"], rows) + "\nProcessor time in µs per job, of the middle round:\n\n" +
            table(["queue", "producer", "server", "worker", "sink", "all", "anonymous MiB", "bytes written per job"], costs) + threads(found.get("leat")))


def threads(leat):
    """What each thread of leat used; a JSON of before has it not."""
    if leat is None or "thread_us_per_job" not in leat["middle"]:
        return ""
    all_us = sum(leat["middle"]["cpu_us_per_job"].values())
    rows = []
    for process in ("producer", "ventilator", "worker", "sink"):
        for thread, (program, kernel) in sorted(leat["middle"]["thread_us_per_job"][process].items(), key=lambda kept: -sum(kept[1])):
            if program + kernel >= 0.005:
                rows.append([process, thread, number(program, 2), number(kernel, 2), number(program + kernel, 2), f"{100 * (program + kernel) / all_us:.0f} %"])
    return "\nThe same of leat by thread, as `top -H` names them; children that run handlers are `leat-plugin`, libzmq's thread is `ZMQbg/IO/0`:\n\n" + table(
        ["process", "thread", "in the program", "in the kernel", "both", "of all"], rows)


def latency(found):
    rows = []
    for name, f in found.items():
        for load, r in f["loads"].items():
            if "p50" in r:
                rows.append([name, load, number(r["rate"]), number(r["p50"]), number(r["p99"]), number(r["p999"]), "yes" if r["kept_up"] else "no"])
            else:
                rows.append([name, load, number(r["rate"]), "-", "-", "-", r["note"]])
    return table(["queue", "load", "jobs/s", "p50 µs", "p99 µs", "p99.9 µs", "kept up"], rows)


def payload(found):
    rows = [[number(int(size)), number(f["rate"]["median"]), f"{f['rate']['spread_percent']} %", f["mib_per_s"], f["share_of_disk"]]
            for size, f in found["sizes"].items()]
    return f"The disk: {found['disk_mib_per_s']} MiB/s in sequential writes of 8 MiB, each synced.\n\n" + table(
        ["payload bytes", "jobs/s", "spread", "MiB/s", "of the disk"], rows)


def commands(found):
    return table(["", "runs/s", "range"], [[name, number(found[name]["median"]), f"{number(found[name]['min'])} to {number(found[name]['max'])}"]
                                          for name in ("leat", "xargs")]) + f"\nRatio {found['ratio']}, with {found['slots']} slots each.\n"


def backlog(found):
    rows = [[what, number(found["empty"][what]), number(found["full"][what]), found["ratio"][what]] for what in ("submit", "drain")]
    memory = "; ".join(f"{number(n)}: {m} MiB" for n, m in found["memory_mib"])
    return table(["jobs/s", "empty", f"{number(found['waiting'])} waiting", "ratio"], rows) + submits(found) + (
        f"\nThe ventilator's anonymous memory by waiting jobs: {memory}; after a restart {found['memory_after_restart_mib']} MiB.\n"
        f"Restart after kill -9: ready after {found['restart']['ready_s']} s, first push after {found['restart']['first_push_s']} s (of which 2 s are --recovery-grace).\n")


def submits(found):
    """What lies behind the ratio of submits; a JSON of before has it not."""
    if "submits" not in found:
        return ""
    empty, full, fifths = found["submits"]["empty"], found["submits"]["full"], found["submit_by_step"]
    return (f"\nSubmits: medians of {empty['rate']['rounds']}, from {number(empty['rate']['min'])} to {number(empty['rate']['max'])} and from {number(full['rate']['min'])} to "
            f"{number(full['rate']['max'])}, each after {min(empty['touched_gib'], full['touched_gib'])} GiB of memory were touched. The ventilator's µs of processor time per job, in its program and in the "
            f"kernel: {' and '.join(map(str, empty['us']))} empty, {' and '.join(map(str, full['us']))} beside the backlog. Without the touch, by fifths of the backlog: "
            f"{', '.join(map(number, fifths))} jobs/s; the last is {round(fifths[-1] / empty['rate']['median'], 2)} of empty.\n")


def sink(found):
    return table(["results kept", "jobs/s", "sink's µs per job"],
                 [["none", number(found["empty"]["median"]), found["sink_us"]["empty"]],
                  [number(found["kept"]), number(found["full"]["median"]), found["sink_us"]["full"]]]) + f"\nRatio {found['ratio']}; the sink's anonymous memory {found['sink_anonymous_mib']} MiB.\n"


def crowd(found):
    rows = [[name, *(number(found["latency_us"][name][q]) for q in ("p50", "p99", "p999"))] for name in ("without", "with")]
    busy, alone = found["busy_percent"], found["busy_percent_alone"]
    return table([f"crowd of {number(found['workers'])} + {number(found['producers'])}", "p50 µs", "p99 µs", "p99.9 µs"], rows) + (
        f"\nOf one core, without other load: ventilator {busy['ventilator']} % (alone {alone['ventilator']} %), sink {busy['sink']} % (alone {alone['sink']} %).\n")


SECTIONS = {"throughput": throughput, "latency": latency, "payload": payload, "exec": commands, "backlog": backlog, "sink": sink, "crowd": crowd}


def targets(found):
    rows = []
    for what, of, bound, more in TARGETS:
        try:
            value = of(found)
        except (KeyError, ZeroDivisionError, TypeError):
            continue
        good = value >= bound if more else value <= bound
        rows.append([what, number(value, 3 if value < 10 else 0), f"{'at least' if more else 'at most'} {bound:g}", "yes" if good else "**no**"])
    return table(["target", "is", "is to be", "met"], rows) if rows else ""


def text(found, names):
    pieces = []
    for name in names:
        if name in found:
            pieces.append(f"## {name}\n\n{SECTIONS[name](found[name])}")
    return "\n".join(pieces + ["## targets\n\n" + targets(found)])


# ---- docs ----

def plots(found, folder):
    os.makedirs(folder, exist_ok=True)
    if "throughput" in found:
        series = {name: sorted((int(b), r) for b, r in f["by_batch"].items()) for name, f in found["throughput"].items() if len(f["by_batch"]) > 1}
        plot.chart(os.path.join(folder, "throughput.svg"), "Throughput over batch size", "jobs per batch (two batches unacknowledged)", "jobs per second", series,
                   log_x=True, log_y=True, x_ticks=[1, 4, 16, 64, 256])
    if "latency" in found:
        series = {}
        for name, f in found["latency"].items():
            points = sorted((r["rate"], r["p99"]) for r in f["loads"].values() if "p99" in r)
            series[name + " p99"] = points
            if name == "leat":
                series["leat p50"] = sorted((r["rate"], r["p50"]) for r in f["loads"].values() if "p50" in r)
        plot.chart(os.path.join(folder, "latency.svg"), "Latency over load, submit to result", "jobs per second (open loop)", "microseconds", series, log_x=True, log_y=True)
    if "backlog" in found:
        plot.chart(os.path.join(folder, "memory.svg"), "The ventilator's anonymous memory over waiting jobs", "waiting jobs", "MiB",
                   {"leat-ventilator": found["backlog"]["memory_mib"]})


def write_docs(found, folder):
    """Puts the tables between their marks in folder/PERFORMANCE.md, and the plots into folder/performance."""
    path = os.path.join(folder, "PERFORMANCE.md")
    with open(path, encoding="utf-8") as f:
        page = f.read()
    pieces = {"targets": targets(found), **{name: make(found[name]) + "\n" + conditions(found, name) for name, make in SECTIONS.items() if name in found}}
    for name, piece in pieces.items():
        mark = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)", re.S)
        if not mark.search(page):
            raise SystemExit(f"{path}: no marks for {name}")
        page = mark.sub(lambda m, piece=piece: m.group(1) + piece + m.group(2), page)
    with open(path, "w", encoding="utf-8") as f:
        f.write(page)
    plots(found, os.path.join(folder, "performance"))
