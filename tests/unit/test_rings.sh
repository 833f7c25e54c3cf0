#!/bin/sh
# The build refuses a core that is not pure: this tries each way of being impure.
# usage: test_rings.sh CMAKE SOURCE_DIR SCRATCH_DIR
set -u
cmake=$1
source=$2
scratch=$3
passed=0
failed=0

fail()
{
    echo "FAILED: $1" >&2
    failed=$((failed + 1))
}

# must_fail TARGET TEXT: the build of TARGET must stop, and say TEXT.
must_fail()
{
    if "$cmake" --build "$scratch" --target "$1" >"$scratch/log" 2>&1; then
        fail "$1 was built"
    elif ! grep -qF -- "$2" "$scratch/log"; then
        cat "$scratch/log" >&2
        fail "$1 did not build, but not for the reason '$2'"
    else
        passed=$((passed + 1))
    fi
}

rm -rf "$scratch"
mkdir -p "$scratch"
if ! "$cmake" -S "$source/tests/unit/rings" -B "$scratch" -G Ninja \
    -DLEAT_CMAKE_DIR="$source/cmake" -DCMAKE_BUILD_TYPE=Debug >"$scratch/log" 2>&1; then
    cat "$scratch/log" >&2
    exit 1
fi

if "$cmake" --build "$scratch" --target pure >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
else
    cat "$scratch/log" >&2
    fail "a pure core did not build"
fi

headers=0
while read -r target; do
    case $target in
    header_*)
        headers=$((headers + 1))
        must_fail "$target" "a core must not include"
        ;;
    symbol_*)
        must_fail "$target" "a core must be pure, but it refers to: ${target#symbol_}"
        ;;
    esac
done <"$scratch/names"

[ "$headers" -ge 15 ] || fail "only $headers headers are kept from cores"
if "$source/cmake/check_core_symbols.sh" "$scratch/no-such-library.a" 2>/dev/null; then
    fail "a library that cannot be read passed"
fi

echo "rings: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
