#!/usr/bin/python3
"""Keeps the documentation honest, and the sources in shape: links, anchors, options, environment variables, the table of
patterns, sizes. LEAT_BIN: where the executables are."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LEAT_BIN", os.path.join(ROOT, "build", "release", "bin"))
FILE_LINES, FUNCTION_LINES, COLUMNS = 600, 100, 100
PROGRAMS = ("leat-ventilator", "leat-sink", "leat-worker", "leat-producer")
COMMANDS = [line.split("\t")[0] for line in subprocess.run([os.path.join(BIN, "leat"), "--help-table"], capture_output=True, text=True, timeout=60,
                                                           check=True).stdout.splitlines() if "\tcommand\t" in line]
# Lines that may be longer: each is one directive and its text.
WIDE = ("cmake/not-in-core/",)
# Options of other programs that the documentation speaks of, and variables that are not an option's.
FOREIGN = {"--scale", "--rm", "--install", "--prefix", "--component", "--build", "--now", "--test-dir", "--no-install-recommends", "--write", "--upper", "--target", "--preset", "--seeds", "--seed", "--trace", "--check", "--jobs", "--renew", "--where",
           "--seconds", "--keep", "--all"}
VARIABLES = {"LEAT_SEED", "LEAT_SEEDS", "LEAT_MANUALS", "LEAT_TRACE", "LEAT_BIN", "LEAT_TEST_KEEP", "LEAT_TEST_LOG", "LEAT_DEMO_FILES",
             "LEAT_BENCH_DIR", "LEAT_JOB_ID", "LEAT_JOB_QUEUE", "LEAT_JOB_TYPE", "LEAT_JOB_ATTEMPT", "LEAT_WERROR", "LEAT_SANITIZE"}
FOREIGN |= {"--kills", "--minutes", "--pids-limit"}  # of scripts/chaos, scripts/soak, docker
FOREIGN |= {"--quick", "--backlog", "--results", "--crowd", "--only", "--docs"}  # of scripts/bench


def tree():
    """Every file of the source tree, by its path from the root."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(f for f in folders if f not in ("build", "__pycache__", "corpus") and (not f.startswith(".") or f == ".ci"))
        for name in sorted(set(files) - {".git"}):  # a file in worktrees of git
            yield os.path.relpath(os.path.join(folder, name), ROOT)


FILES = list(tree())


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def pages():
    return [p for p in FILES if p.endswith(".md")]


def sources():
    return [p for p in FILES if p.endswith((".c", ".h"))]


def prose(text):
    """Without code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?m)^    .*$", "", text))


def anchors(text):
    """What links into a page may name: the headings as the usual renderers name them, and explicit ones."""
    found = set(re.findall(r'<a id="([^"]+)"', text))
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        found.add(re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-"))
    return found


def help_of(*command):
    program = os.path.join(BIN, command[0])
    return subprocess.run([program, *command[1:], "--help"], capture_output=True, text=True, timeout=60, check=True).stdout


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


# ---- the tests: each gives a list of complaints ----

def every_link_leads_somewhere():
    wrong = []
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(text_of(page))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            there = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(os.path.join(ROOT, there)):
                wrong.append(f"{page}: {target}: no such file")
            elif anchor and anchor not in anchors(text_of(there)):
                wrong.append(f"{page}: {target}: no such heading")
    return wrong


def every_folder_with_sources_has_a_page():
    # These are told of by the page above them.
    inside = {"tests/unit", "tests/unit/rings", "tests/system", "tests/system/lib", "examples/handlers", "include/leat", "docs"}
    folders = {os.path.dirname(p) for p in sources() if not p.startswith("cmake/")} | {"deploy", "scripts", "tests"}
    return [f"{f}: no README.md" for f in sorted(folders - inside) if os.path.join(f, "README.md") not in FILES]


def every_option_in_the_documentation_exists():
    known = {p: options_in(help_of(p)) for p in PROGRAMS}
    known.update({f"leat {c}": options_in(help_of("leat", c)) for c in COMMANDS})
    known["leat"] = options_in(help_of("leat"))
    everything = set().union(*known.values())
    wrong = []
    for page in pages():
        for number, line in enumerate(text_of(page).split("\n"), 1):
            for option in sorted(options_in(line) - FOREIGN - everything):
                wrong.append(f"{page}:{number}: {option} is an option of nothing")
            # Where a command line is written out, the option must be its program's own.
            for command in re.findall(r"(?:^    |`|; do )((?:leat-\w+|leat \w+) [^`|;>#]*)", line):
                name = next((n for n in sorted(known, key=len, reverse=True) if command.startswith(n + " ")), None)
                bare = re.sub(r"'[^']*'", "", command)
                for option in sorted(options_in(bare) - known.get(name, everything)):
                    wrong.append(f"{page}:{number}: {name} has no {option}")
    return wrong


def every_variable_in_the_documentation_exists():
    known = set(VARIABLES)
    for command in [(p,) for p in PROGRAMS] + [("leat", c) for c in COMMANDS]:
        known |= set(re.findall(r"\[env:\s+(LEAT_\w+)\]", help_of(*command)))
    # Constants of the sources share the prefix.
    constants = set()
    for path in sources() + [p for p in FILES if p.endswith(".def")]:
        constants |= set(re.findall(r"LEAT_\w+", text_of(path)))
    wrong = []
    for page in pages():
        for name in sorted(set(re.findall(r"\bLEAT_[A-Z0-9_]+\b", text_of(page))) - known - constants):
            if not name.endswith("_"):
                wrong.append(f"{page}: {name} is nothing")
    return wrong


def the_twenty_patterns_have_files_and_tests():
    text = text_of("docs/PATTERNS.md")
    rows = re.findall(r"(?m)^\| (\d+) \| (.+?) \| (.+?) \| \[.+?\]\((.+?)\) \| \[.+?\]\((.+?)\) \|$", text)
    wrong = [] if [int(r[0]) for r in rows] == list(range(1, 21)) else [f"{len(rows)} rows, not 20 in order"]
    for number, _, _, file, test in rows:
        for path in (file, test):
            if not os.path.isfile(os.path.join(ROOT, "docs", path)):
                wrong.append(f"{number}: {path} does not exist")
        if f"\n## {number}. " not in text:
            wrong.append(f"{number}: not explained")
    return wrong


def every_test_that_the_patterns_name_exists():
    text = text_of("docs/PATTERNS.md")
    tests = "".join(text_of(p) for p in FILES if p.startswith("tests/") and p.endswith((".c", ".py")) and p != "tests/unit/test_docs.py")
    wrong = []
    for line in re.findall(r"(?m)^Test: .*$", text):
        for name in re.findall(r"`([a-z0-9_]+)`", line):
            if not re.search(rf"\b(?:static void|def) {name}\(", tests) and f"tests/unit/{name}.c" not in FILES:
                wrong.append(f"{name}: no such test")
    return wrong


def checked_table(page, name):
    """First cells of the rows of the table after the mark; several names in one cell count each."""
    text = text_of(page)
    rows = text[text.index(f"<!-- checked: {name} -->"):].split("\n\n")[0].split("\n")[3:]
    return {word for row in rows for word in re.findall(r"`?([\w]+)`?", row.split("|")[1])}


def the_operations_page_tells_of_every_event_and_error():
    page = "docs/OPERATIONS.md"
    logged = set(re.findall(r'(?m)^NOTE\(\w+, "\w+", "(\w+)"', text_of("common/core/notes.def")))
    for path in sources():
        if not path.startswith("tests/"):
            logged |= set(re.findall(r'leat_log_(?:reason|begin)\((?:&line, )?LEAT_LOG_\w+,\s*"(\w+)"', text_of(path)))
    wanted = {
        "events": logged,
        "errors": set(re.findall(r"(?m)^ERR\((\w+),", text_of("common/core/err.def"))) - {"OK"},
        "failures": set(re.findall(r'(?m)^FAILURE\(\w+, \d+, "(\w+)"', text_of("common/core/failure.def"))) - {"none"},
        "why": set(re.findall(r'(?m)^WHY\(\w+, "(\w+)"', text_of("cli/why.def"))),
        "exits": set(re.findall(r"(?m)^    LEAT_EXIT_\w+ = (\d+)", text_of("common/io/exit.h"))),
    }
    wrong = []
    for name, words in wanted.items():
        if len(words) < 5:
            wrong.append(f"{name}: only {sorted(words)} found in the sources")
        wrong += [f"{page}: {name}: {word} is not told of" for word in sorted(words - checked_table(page, name))]
    return wrong


def nothing_is_left_undone_or_tied_to_one_machine():
    marks = {"something left to do": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
             "a path of one machine": r"(?<![\w.])/(?:wo" r"rk|home|Users)/\w|(?<!HOME=)(?<![\w./])/root/\w",
             "a package host": r"\b(?:deb\.deb" r"ian\.org|snapshot\.deb" r"ian\.org|py" r"pi\.org|registry\.\w+\.\w+|proxy\.go" r"lang)\b"}
    wrong = []
    for path in FILES:
        for number, line in enumerate(text_of(path).split("\n"), 1):
            for what, mark in marks.items():
                if re.search(mark, line):
                    wrong.append(f"{path}:{number}: {what}: {line.strip()[:80]}")
    return wrong


def files_can_be_read_in_one_sitting():
    return [f"{p}: {n} lines, at most {FILE_LINES}" for p in sources() if (n := text_of(p).count("\n")) > FILE_LINES]


def functions_fit_on_a_screen_or_nearly():
    """From a { in the first column to its }: rough, but the house format makes it right."""
    wrong = []
    for path in sources():
        begun, name = None, ""
        lines = text_of(path).split("\n")
        for number, line in enumerate(lines, 1):
            if line == "{":
                begun, name = number, lines[number - 2].strip()
            elif line.startswith("}") and begun is not None:
                if number - begun > FUNCTION_LINES:
                    wrong.append(f"{path}:{begun}: {number - begun} lines: {name[:60]}")
                begun = None
    return wrong


def lines_have_at_most_100_columns():
    return [f"{path}:{number}: {len(line)} columns" for path in sources() if not path.startswith(WIDE)
            for number, line in enumerate(text_of(path).split("\n"), 1) if len(line) > COLUMNS]


def main():
    failed = 0
    for test in (every_link_leads_somewhere, every_folder_with_sources_has_a_page, every_option_in_the_documentation_exists,
                 every_variable_in_the_documentation_exists, the_twenty_patterns_have_files_and_tests,
                 every_test_that_the_patterns_name_exists, the_operations_page_tells_of_every_event_and_error, nothing_is_left_undone_or_tied_to_one_machine,
                 files_can_be_read_in_one_sitting, functions_fit_on_a_screen_or_nearly, lines_have_at_most_100_columns):
        try:
            wrong = test()
        except (OSError, subprocess.SubprocessError) as error:
            wrong = [str(error)]
        print(f"{'not ok' if wrong else 'ok'} - {test.__name__}", flush=True)
        for complaint in wrong:
            print(f"    {complaint}")
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
