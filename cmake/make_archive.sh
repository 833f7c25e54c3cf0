#!/bin/sh
# Makes one archive out of the first library given and what it needs of the others, with every name made local that is
# not exported (-fvisibility=hidden).
# usage: make_archive.sh COMPILER ARCHIVE LIBRARY...
set -eu
compiler=$1
archive=$2
shift 2
first=$1
shift
mkdir -p "$(dirname "$archive")"
object=$archive.o
"$compiler" -r -fno-lto -nostdlib -o "$object" -Wl,--whole-archive "$first" -Wl,--no-whole-archive -Wl,--start-group "$@" -Wl,--end-group
# Without what is there for the optimiser, which would not know that the names are local.
objcopy --localize-hidden --wildcard --remove-section='.gnu.lto_*' "$object"
rm -f "$archive"
ar rcsD "$archive" "$object"
rm -f "$object"
