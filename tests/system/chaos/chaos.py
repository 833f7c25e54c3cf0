#!/usr/bin/python3
"""A cluster of real processes under a nemesis, and the checks of its promises (P1, P8, P9). scripts/chaos runs it."""
import argparse
import os
import random
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import lab  # noqa: E402
from client import Sink  # noqa: E402
from client_wire import FAILED, STATES  # noqa: E402
from load import KINDS, Files, Ledger, Submitter  # noqa: E402
from nemesis import Nemesis  # noqa: E402

PLUGIN = os.path.join(lab.BIN, "..", "lib", "example_handlers.so")
WORKERS, PRODUCERS = 3, 2
EXIT_INTERNAL = 70  # of a worker whose spawner is gone


class Cluster:
    """The processes by name, and how each is started again."""

    def __init__(self, laboratory, ledger, seed):
        self.lab = laboratory
        self.files = {f"producer{n}": Files(laboratory.dir, f"producer{n}", ledger, seed + n, 60) for n in range(1, PRODUCERS + 1)}
        self.start = {"sink": self.sink, "ventilator": self.ventilator}
        self.start.update({f"worker{n}": lambda n=n: self.worker(n) for n in range(1, WORKERS + 1)})
        self.start.update({name: lambda name=name: laboratory.background(name, *self.files[name].arguments()) for name in self.files})
        self.processes = {name: start() for name, start in self.start.items()}
        self.killed = set()
        self.producing = True

    def ventilator(self):
        return self.lab.ventilator("--lost-after", "2s", "--ping", "400ms", "--recovery-grace", "1s", "--deliveries", "1000")

    def sink(self):
        return self.lab.sink()

    def worker(self, n):
        handlers = [part for kind, of in KINDS.items() if of.script for part in ("--exec-shell", f"{kind}={of.script}")]
        return self.lab.worker("--slots", "3", "--prefetch", "8", "--grace", "200ms", "--plugin", PLUGIN, *handlers, name=f"worker{n}")

    def pid(self, member):
        process = self.processes.get(member)
        return process.pid if process is not None and process.alive() else None

    def expected_to_end(self, member):
        """A worker ends by itself when its spawner is gone."""
        self.killed.add("worker" + member[-1] if member.startswith("spawner") else member)

    def mend(self, trouble):
        """Starts again what has ended. What ended without being killed is trouble, but a producer that is through."""
        for name, process in self.processes.items():
            if process is None or process.alive():
                continue
            status = process.wait()
            if name in self.files and status in (0, 1):
                self.files[name].done()
            elif name not in self.killed or status not in (-9, EXIT_INTERNAL):
                trouble.append(f"{name} ended by itself with status {status}: {process.log_text()[-600:]}")
            self.killed.discard(name)
            self.lab.processes.remove(process)
            again = name not in self.files or self.producing or self.files[name].ids is not None
            self.processes[name] = self.start[name]() if again else None

    def stop_producing(self, trouble):
        """No new files; those that are begun are got through."""
        self.producing = False
        for name in self.files:
            self.lab.wait_for(lambda: self.mend(trouble) or self.processes[name] is None, f"{name} is through", 2 * lab.PATIENCE_S)


class Watcher(threading.Thread):
    """Asks again and again for results, and keeps what it saw: a final result never changes and never goes away."""

    def __init__(self, endpoint, ledger, seed):
        super().__init__(daemon=True)
        self.endpoint, self.ledger, self.rng = endpoint, ledger, random.Random(seed)
        self.stopping, self.seen, self.trouble = threading.Event(), {}, []

    def run(self):
        with Sink(self.endpoint) as sink:
            while not self.stopping.wait(0.2):
                self.look(sink, self.ledger.some_acknowledged(self.rng, 300))

    def look(self, sink, ids, timeout_s=2.0):
        try:
            results = sink.query(ids, timeout_s=timeout_s)
        except TimeoutError:
            return {}
        for id in ids:
            if id in self.seen and self.seen[id] != results.get(id):
                self.trouble.append(f"the result of {uuid.UUID(bytes=id)} was {self.seen[id]}, now it is {results.get(id)}")
        self.seen.update(results)
        return results


def judge(laboratory, ledger, watcher, cluster):
    """Everything ended. What is wrong, as texts."""
    wrong = []
    with Sink(laboratory.endpoints["sink"]) as sink:
        results = watcher.look(sink, list(ledger.kinds), timeout_s=lab.PATIENCE_S)
    name = lambda id: f"{ledger.kinds.get(id)} {uuid.UUID(bytes=id)}"
    wrong += [f"acknowledged and lost: {name(id)}" for id in sorted(ledger.acked - results.keys())]
    try:
        laboratory.wait_for(lambda: laboratory.ended() == len(results), "the sink has counted", timeout=10)
    except AssertionError:
        wrong.append(f"the sink keeps {laboratory.ended()} results, {len(results)} of what was submitted has one")
    for id, result in results.items():
        kind = KINDS[ledger.kinds[id]]
        if STATES[result.status] != kind.ends:
            wrong.append(f"{name(id)} ended as {STATES[result.status]}: {result.error}")
        elif result.output != (b"" if result.status == FAILED else id.hex().encode()):
            wrong.append(f"{name(id)} has the output {result.output!r}")
        if not 1 <= result.attempts <= kind.attempts or (kind.ends == "failed" and result.attempts != kind.attempts):
            wrong.append(f"{name(id)} had {result.attempts} attempts, not {kind.attempts}")
    with open(os.path.join(laboratory.dir, "runs")) as f:
        for line in f:
            text, attempt = line.split()
            id = uuid.UUID(text).bytes
            if id not in ledger.kinds:
                wrong.append(f"a job was run that nobody submitted: {text}")
            elif not 1 <= int(attempt) <= KINDS[ledger.kinds[id]].attempts:
                wrong.append(f"{name(id)} was run as attempt {attempt}")
    wrong += watcher.trouble
    return wrong, results


def run(kills, seed, say=lambda text: None, a_second=30, between=None):
    """Lives through `kills` kills; (what is wrong, a summary). Keeps the laboratory when something is."""
    ledger, begun = Ledger(), time.monotonic()
    with lab.Lab() as laboratory:
        cluster = Cluster(laboratory, ledger, seed)
        submitters = [Submitter(laboratory, ledger, seed * 100 + n, a_second) for n in range(2)]
        watcher = Watcher(laboratory.endpoints["sink"], ledger, seed)
        nemesis = Nemesis(cluster, seed, lambda text: say(f"{time.monotonic() - begun:6.1f} s, {nemesis.kills} killed: {text}"))
        for thread in (*submitters, watcher):
            thread.start()
        try:
            while nemesis.kills < kills and not nemesis.trouble:
                nemesis.strike(kills - nemesis.kills)
                if between is not None:
                    between(laboratory, cluster)
            nemesis.wait(nemesis.STRAY_S + 0.1)
            for thread in submitters:
                thread.stopping.set()
            cluster.stop_producing(nemesis.trouble)
            for thread in submitters:
                thread.join()
            healed = time.monotonic()
            laboratory.wait_for(lambda: cluster.mend(nemesis.trouble) or laboratory.left() == 0, "everything ended once the faults stopped", 2 * lab.PATIENCE_S)
            settled_s = time.monotonic() - healed
            watcher.stopping.set()
            watcher.join()
            wrong, results = judge(laboratory, ledger, watcher, cluster)
            wrong = nemesis.trouble + [thread.trouble for thread in submitters if thread.trouble] + wrong
            stats = laboratory.stats()
            summary = (f"seed {seed}: {nemesis.kills} kills, {nemesis.freezes} freezes in {time.monotonic() - begun:.0f} s; {len(ledger.kinds)} jobs submitted, "
                       f"{len(ledger.acked)} acknowledged, {len(results)} results, {stats['sink']['duplicate_total']} late ones refused since the sink's last start; "
                       f"everything had ended {settled_s:.1f} s after the last producer")
            assert not wrong, "\n".join(wrong[:40])
        except AssertionError:
            print(f"LEAT_SEED={seed}", file=sys.stderr)
            raise
    return summary


def main():
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    try:
        print(run(args.kills, args.seed, lambda text: print(text, flush=True)))
    except AssertionError as error:
        print(f"chaos: a promise was broken; the same blows again: scripts/chaos --kills {args.kills} --seed {args.seed}\n{error}")
        return 1
    print("chaos: all promises held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
