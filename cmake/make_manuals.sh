#!/bin/sh
# Writes the manual page of every program and of every command of leat, as they print it themselves.
# usage: make_manuals.sh DIRECTORY-OF-PROGRAMS DIRECTORY
set -eu
bin=$1
out=$2
rm -rf "$out"
mkdir -p "$out"
for program in leat leat-producer leat-ventilator leat-sink leat-worker; do
    "$bin/$program" --help-man >"$out/$program.1"
done
"$bin/leat" --help-table | while IFS='	' read -r command kind rest; do
    [ "$kind" != command ] || "$bin/leat" "$command" --help-man >"$out/leat-$command.1"
done
touch "$out/done"
