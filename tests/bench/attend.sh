#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Attention beside what the machine does at most in the same run: float32 arithmetic for prefill,
# reading for decode.  One thread is timed by its own clock, for machines that others use too.
# usage: attend.sh BUILD [threads [isa]]    after ninja attend_bench floor_bench
set -eu
bench=$1/tests/bench
threads=${2:-2}
isa=${3:-auto}
for shape in "9 3 64" "32 8 128"; do
    floors=$("$bench/floor_bench" "$threads" 512 |
        awk '/^fma/ { fma = $2 } /^read/ { read = $2 } END { print fma, read }')
    echo "at most: $floors (GFLOP/s of float32, GB/s)"
    # shellcheck disable=SC2086
    "$bench/attend_bench" "$threads" "$isa" bfloat16 $shape $floors
done
