#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds and runs all of them, and ends with "N passed, N failed" (and
# ", N skipped" where something was absent).  Exit code 1 if anything failed.
#
#   LLM_SHARED=dir    the reference folder, ../shared by default; tests that need it skip without it
#   LLM_MODEL=path    instead of the demonstration model, which is fetched once (93 MB)
#   LLS_BUILDS="..."  which builds: release asan tsan clang aarch64 (default: the first three)
#   LLS_WERROR=ON     warnings are errors
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
out=$top/build/check
builds=${LLS_BUILDS:-release asan tsan}
jobs=$(nproc 2>/dev/null || echo 2)
rm -rf "$out/report"
mkdir -p "$out/report"

note() { printf '%s %s\n' "$1" "$2" >>"$out/report/steps"; }     # passed|failed|skipped what

packages="build-essential cmake ninja-build pkg-config libutf8proc-dev libonig-dev libjansson-dev
          libedit-dev libcmocka-dev clang libclang-rt-dev valgrind python3 python3-pip python3-cffi
          ca-certificates"
# shellcheck disable=SC2086
sh examples/need.sh $packages || { note failed "install packages"; }

if [ -d "${LLM_SHARED:=$top/../shared}" ]; then
    LLM_SHARED=$(cd "$LLM_SHARED" && pwd)
else
    note skipped "reference folder: LLM_SHARED=$LLM_SHARED is not there"
fi
export LLM_SHARED
if LLM_DEMO_MODEL=$(sh examples/fetch_model.sh); then
    export LLM_DEMO_MODEL
else
    unset LLM_DEMO_MODEL
    note skipped "demonstration model: could not be fetched"
fi

# A sanitizer's run time does not start under some kernels unless addresses are not randomised;
# prints the prefix that makes it start.
prefix_for() {
    local probe=$out/probe_${1%%,*}
    echo 'int main(void) { return 0; }' >"$probe.c"
    cc "-fsanitize=$1" "$probe.c" -o "$probe" 2>/dev/null || return 1
    "$probe" 2>/dev/null && return 0
    setarch -R "$probe" 2>/dev/null && { echo "setarch -R"; return 0; }
    return 1
}

# check NAME COMPILER CTEST_ARGS CMAKE_ARGS... - one build and its tests
check() {
    local name=$1 compiler=$2 select=$3 dir=$out/$1 start=$SECONDS
    shift 3
    echo "== $name: build with $compiler"
    if ! { CC=$compiler cmake -S . -B "$dir" -G Ninja "-DLLS_WERROR=${LLS_WERROR:-OFF}" \
               "-DLLM_SHARED=$LLM_SHARED" "$@" && ninja -C "$dir" -j "$jobs" -k 20; } \
           >"$out/report/$name.log" 2>&1; then
        note failed "$name: build"
        grep -E -A 8 'FAILED|error:|Error' "$out/report/$name.log" | head -n 60
    else
        note passed "$name: build"
    fi
    echo "== $name: tests ($((SECONDS - start)) s so far)"
    # shellcheck disable=SC2086
    $prefix ctest --test-dir "$dir" -j "$jobs" --timeout 900 $select \
        --output-junit "$out/report/$name.xml" \
        --test-output-size-passed 200000 --test-output-size-failed 200000 \
        >"$out/report/$name.tests.log" 2>&1
    [ -s "$out/report/$name.xml" ] || note failed "$name: ctest wrote no report"
    echo "== $name: $((SECONDS - start)) s"
}

# gcc's fake stack is not aligned for AVX-512, so stack-use-after-return stays off.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
for build in $builds; do
    prefix=
    case $build in
    release) check release gcc "" -DCMAKE_BUILD_TYPE=Release ;;
    clang) check clang clang "-LE script" -DCMAKE_BUILD_TYPE=Debug ;;
    asan)
        if prefix=$(prefix_for address,undefined); then
            check asan gcc "-LE script" -DCMAKE_BUILD_TYPE=Debug -DLLS_SANITIZE=address,undefined
        else
            note skipped "asan: the sanitizer does not start here"
        fi ;;
    tsan)
        if prefix=$(prefix_for thread); then
            check tsan gcc "-L threads" -DCMAKE_BUILD_TYPE=Debug -DLLS_SANITIZE=thread
        else
            note skipped "tsan: the sanitizer does not start here"
        fi ;;
    aarch64)
        if sh cmake/aarch64/sysroot.sh "$top/build/sysroot"; then
            check aarch64 aarch64-linux-gnu-gcc "" -DCMAKE_BUILD_TYPE=Release \
                "-DCMAKE_TOOLCHAIN_FILE=$top/cmake/aarch64/toolchain.cmake" \
                "-DLLS_SYSROOT=$top/build/sysroot"
        else
            note skipped "aarch64: its compiler, libraries or qemu could not be had"
        fi ;;
    *) note failed "no build is called $build" ;;
    esac
done

exec python3 tests/summary.py "$out/report"
