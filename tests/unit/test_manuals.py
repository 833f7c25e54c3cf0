#!/usr/bin/python3
"""Manual pages and completion say what --help says, of every program and every command of leat. LEAT_BIN: where the
executables are; LEAT_MANUALS: the pages that the build made, if it makes any."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LEAT_BIN", os.path.join(ROOT, "build", "release", "bin"))
MANUALS = os.environ.get("LEAT_MANUALS", "")
COMPLETION = os.path.join(ROOT, "deploy", "completion", "leat.bash")


def say(*command):
    return subprocess.run([os.path.join(BIN, command[0]), *command[1:]], capture_output=True, text=True, timeout=60,
                          check=True).stdout


def commands():
    rows = [line.split("\t") for line in say("leat", "--help-table").splitlines()]
    return [r[0] for r in rows if r[1] == "command"], [r[0] for r in rows if r[1] == "program"]


def everything():
    """What has options: its words, as in ("leat", "submit")."""
    of_leat, programs = commands()
    return [("leat-" + p,) for p in programs] + [("leat", c) for c in of_leat]


def page_name(words):
    return "-".join(words) + ".1"


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def plain(page):
    """A page's text without troff's escapes."""
    return re.sub(r"\\f[BIR]|\\&", "", page).replace("\\-", "-").replace("\\(aq", "'").replace("\\(dq", '"')


def rows_of(words):
    return [line.split("\t") for line in say(*words, "--help-table").splitlines()]


# ---- the tests: each gives a list of complaints ----

def every_manual_has_the_options_of_help():
    wrong = []
    for words in everything():
        text, page = say(*words, "--help"), plain(say(*words, "--help-man"))
        heads = set(re.findall(r"(?m)^(--[a-z][a-z0-9-]*)", page))
        wanted = set(re.findall(r"(?m)^  (--[a-z][a-z0-9-]*)", text))
        if heads != wanted:
            wrong.append(f"{' '.join(words)}: only in one of --help and its manual: {sorted(heads ^ wanted)}")
        flat = re.sub(r"\s+", " ", text)
        for kind, found in (("default", re.findall(r"\[default: (.*?)\]", flat)), ("environment", re.findall(r"\[env: (\w+)\]", flat))):
            for value in found:
                if f"{kind.capitalize()}: {value}." not in page:
                    wrong.append(f"{' '.join(words)}: {kind} {value} is not in its manual")
    return wrong


def every_table_has_the_options_of_help():
    wrong = []
    for words in everything():
        table = {r[0] for r in rows_of(words) if r[1] != "arguments"} | {"--help-man", "--help-table"}
        wanted = set(re.findall(r"(?m)^  (--[a-z][a-z0-9-]*)", say(*words, "--help"))) | {"--help-man", "--help-table"}
        if table != wanted:
            wrong.append(f"{' '.join(words)}: only in one of --help and its table: {sorted(table ^ wanted)}")
        wrong += [f"{' '.join(words)}: a row of {len(r)} columns: {r}" for r in rows_of(words) if len(r) != 4]
    return wrong


def the_pages_of_the_build_are_what_the_programs_print_now():
    if not MANUALS:
        return []
    expected = {page_name(words): say(*words, "--help-man") for words in everything()}
    expected["leat.1"] = say("leat", "--help-man")
    found = {f for f in os.listdir(MANUALS) if f.endswith(".1")}
    wrong = [f"{name}: only in one of the build and the programs" for name in sorted(found ^ set(expected))]
    for name in sorted(found & set(expected)):
        with open(os.path.join(MANUALS, name), encoding="utf-8") as f:
            if f.read() != expected[name]:
                wrong.append(f"{name}: not what the program prints")
    return wrong


def every_page_is_good_troff():
    if shutil.which("groff") is None:
        return ["groff is not installed"]
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        pages = [(page_name(words), say(*words, "--help-man")) for words in everything()] + [("leat.1", say("leat", "--help-man"))]
        for name, text in pages:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
            for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"):
                if f"\n.SH {section}\n" not in text:
                    wrong.append(f"{name}: no {section}")
            if not re.search(r"\n\.SH NAME\n[\w\\-]+ \\- [^\n]+\n", text):
                wrong.append(f"{name}: NAME is not as whatis wants it")
        done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-z", *[name for name, _ in pages]], cwd=folder,
                              capture_output=True, text=True, timeout=60, check=False)
        wrong += done.stderr.splitlines()
        if done.returncode != 0:
            wrong.append(f"groff ended with {done.returncode}")
    return wrong


def complete(*words):
    """What bash offers for the last word."""
    script = """. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _leat; printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(["bash", "-c", script, "bash", COMPLETION, *words], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": BIN + ":" + os.environ["PATH"]}, check=True, cwd=ROOT)
    return set(done.stdout.split()) if not done.stderr else {done.stderr}


def completion_offers_every_command_option_and_choice():
    of_leat, programs = commands()
    wrong = []

    def expect(words, offered):
        found = complete(*words)
        if found != set(offered):
            wrong.append(f"{' '.join(words)!r}: {sorted(found)}, not {sorted(offered)}")

    expect(["leat", ""], [*of_leat, *programs, "--help", "--version"])
    for words in everything():
        expect([*words, "--"], [r[0] for r in rows_of(words) if r[0] != "-"])
    for program in programs:
        expect(["leat", program, "--"], [r[0] for r in rows_of(("leat-" + program,)) if r[0] != "-"])
    expect(["leat", "su"], ["submit"])
    expect(["leat-worker", "--log", ""], ["error", "warn", "info", "debug", "trace"])
    expect(["leat", "sink", "--log", "=", "d"], ["debug"])
    expect(["leat", "sink", "--log", "="], ["error", "warn", "info", "debug", "trace"])
    expect(["leat", "ping", ""], ["ventilator", "sink", "worker"])
    expect(["leat-sink", "--data", "doc"], ["docs"])
    expect(["leat-producer", "--lines", "README"], ["README.md"])
    expect(["leat-sink", "--listen", ""], [])
    expect(["leat", "no-such-command", ""], [])
    return wrong


def main():
    failed = 0
    for test in (every_manual_has_the_options_of_help, every_table_has_the_options_of_help,
                 the_pages_of_the_build_are_what_the_programs_print_now, every_page_is_good_troff,
                 completion_offers_every_command_option_and_choice):
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
