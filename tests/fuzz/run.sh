#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [seconds [target...]] - each fuzz target of lib/text under libFuzzer, ASan and UBSan.
# Builds with clang in build/libfuzzer, or in $FUZZ_BUILD.  What libFuzzer learns stays in
# corpus-<target> there and is used again; an input that fails is kept in finding-<target>-*, and
# belongs into tests/fuzz/corpus/<target> with the fix.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${FUZZ_BUILD:-$root/build/libfuzzer}
seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=${*:-tokenizer_json sentencepiece tiktoken tekken gguf jinja chat dialect}

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER="${CC:-clang}" -DLLS_LIBFUZZER=ON \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLLS_SANITIZE=address,undefined \
    -DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
for target in $targets; do
    ninja -C "$build" "libfuzzer_$target" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
done

# Small files of the right kind to begin with.
seed_files() {
    golden=$root/tests/golden/text
    case $1 in
    tokenizer_json)
        for f in unk_fuse ctc bert clip rare t5 unigram_bytes gemma deepseek prefix word_level; do
            echo "$golden/$f.json"
        done ;;
    sentencepiece) echo "$golden/spm_bpe.model $golden/spm_unigram.model" ;;
    tiktoken) echo "$golden/small.tiktoken" ;;
    tekken) echo "$golden/small_tekken.json" ;;
    gguf) echo "$golden/gpt2.gguf $golden/llama.gguf $golden/bert.gguf $golden/t5.gguf" ;;
    esac
}

failed=0
for target in $targets; do
    work=$build/corpus-$target
    mkdir -p "$work"
    for f in $(seed_files "$target"); do
        cp "$f" "$work/seed-$(basename "$f")"
    done
    dict=
    [ ! -f "$here/$target.dict" ] || dict=-dict=$here/$target.dict
    echo "$target: $seconds s"
    "$build/tests/fuzz/libfuzzer_$target" $dict -max_total_time="$seconds" -max_len=32768 \
        -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="$build/finding-$target-" "$work" "$here/corpus/$target" \
        >"$build/$target.log" 2>&1 || { failed=1; tail -40 "$build/$target.log"; }
    grep -E 'stat::number_of_executed_units|stat::average_exec|DONE' "$build/$target.log" || true
done
exit $failed
