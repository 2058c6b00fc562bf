#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tables of tests/bench/host.md, on standard output: what a step costs beside the model.
#   host.sh TOKENIZER [ROUNDS]    environment: BUILD (a Release build with host_bench and, for the
#                                 last table, engine_bench; build by default), MODEL for that table
# TOKENIZER is a model too, as a rule.  Instructions are those of two runs of different length, one
# taken from the other, so that what is done once drops out; they need valgrind.
set -euo pipefail
tokenizer=${1:?usage: host.sh TOKENIZER [ROUNDS]} rounds=${2:-5} build=${BUILD:-build}
bench=$build/tests/bench/host_bench cases="ids text stop logprobs all" rows="1 64 256"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions CASE ROWS STEPS - inside the library only
instructions() {
    valgrind --tool=callgrind --callgrind-out-file="$scratch/out" \
        --toggle-collect=llm_engine_step --toggle-collect=llm_engine_next_output \
        --toggle-collect=lls_bench_execute --toggle-collect=lls_bench_sample \
        "$bench" "$tokenizer" --cases "$1" --rows "$2" --steps "$3" >"$scratch/log" 2>&1 ||
        { cat "$scratch/log" >&2; return 1; }
    sed -n 's/^==.*Collected : //p' "$scratch/log"
}

for _ in $(seq "$rounds"); do
    "$bench" "$tokenizer"
done >"$scratch/times"

echo "| microseconds a step | 1 row | 64 rows | 256 rows |"
echo "| --- | --- | --- | --- |"
for case in $cases; do
    printf '| %s ' "$case"
    for n in $rows; do
        printf '| %s ' "$(grep "^$case\.$n " "$scratch/times" | awk '{ print $2 }' | sort -n |
                          awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')"
    done
    echo "|"
done

echo
echo "| instructions a step | 1 row | 64 rows | 256 rows | a row, of 256 |"
echo "| --- | --- | --- | --- | --- |"
for case in $cases; do
    printf '| %s ' "$case"
    for n in $rows; do
        short=$(instructions "$case" "$n" 160) long=$(instructions "$case" "$n" 320)
        each=$(((long - short) / 160))
        printf '| %d ' "$each"
    done
    printf '| %d |\n' $((each / 256))
done

if [ -n "${MODEL:-}" ]; then
    echo
    echo "| microseconds a step beside the device | batch 1 | batch 32 |"
    echo "| --- | --- | --- |"
    "$build/tests/bench/engine_bench" "$MODEL" --cases 1,32 >"$scratch/model"
    printf '| %s | %s | %s |\n' "$(basename "$MODEL")" \
        "$(awk '$1 == "B1.host" { print $2 }' "$scratch/model")" \
        "$(awk '$1 == "B32.host" { print $2 }' "$scratch/model")"
fi
