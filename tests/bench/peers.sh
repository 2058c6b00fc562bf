#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tables of tests/bench/cpu.md: this library beside other engines, interleaved in one run.
#   peers.sh SCRATCH [ROUNDS]     environment: LLM_SHARED (the reference folder), BUILD (a Release
#                                 build), THREADS, TABLES="smol one start floor"
# Builds the other engines in SCRATCH when they are not there (some 400 MB, and 4 GB for the model of
# 1.1B parameters); needs python3 with venv.  Run it when nothing else runs: what a neighbour takes is
# counted by ab.py as `disturbed`, and $SCRATCH/peers.log has the figures of every run.
# CPU_TIME=1 is for a machine that is not free: THREADS is 1 then, and a clock that shows the CPU time
# of the process takes the place of the wall clock in every program.
# NO_AMX=1 builds llama.cpp without AMX, where its native build meets an illegal instruction.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=${1:?usage: peers.sh SCRATCH [ROUNDS]} rounds=${2:-3}
shared=${LLM_SHARED:-$root/../shared} build=${BUILD:-$root/build/bench} threads=${THREADS:-2}
tables=${TABLES:-smol one start floor} streams=${STREAMS:-1,8,32,64}
mkdir -p "$scratch"
scratch=$(cd "$scratch" && pwd)
peers=$shared/peers log=$scratch/peers.log

venv() { # DIR PACKAGE...
    local dir=$1
    shift
    [ -x "$dir/bin/python" ] || python3 -m venv "$dir"
    "$dir/bin/pip" install -q "$@"
}

prepare() {
    cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$scratch/cmake.log"
    cmake --build "$build" --target engine_bench -j "$threads" >>"$scratch/cmake.log"
    if [ -n "${NO_AMX:-}" ]; then
        no="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    fi
    CFLAGS=${no:-} CXXFLAGS=${no:-} bash "$peers/llama_cpp.sh" "$scratch/llama" >"$scratch/llama.env"
    venv "$scratch/ov" openvino-genai==2026.4.1.0
    venv "$scratch/py" numpy typing-extensions diskcache jinja2
    bash "$peers/fetch_smollm2.sh" "$scratch" >/dev/null
    [ -f "$scratch/one/tinyllama-1.1b/config.json" ] ||
        "$scratch/py/bin/python" "$shared/roofline/mkmodel.py" tinyllama-1.1b "$scratch/one" gguf hf
}

cpu_clock() { # prints the prefix of commands that see their CPU time as the time
    printf '%s\n' '#include <time.h>' '#include <unistd.h>' '#include <sys/syscall.h>' \
        'int clock_gettime(clockid_t id, struct timespec *t)' \
        '{ (void)id; return (int)syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, t); }' \
        >"$scratch/cpu_clock.c"
    gcc -D_GNU_SOURCE -O2 -shared -fPIC "$scratch/cpu_clock.c" -o "$scratch/cpu_clock.so"
    echo "LD_PRELOAD=$scratch/cpu_clock.so "
}

compare() { # NAME=COMMAND...
    "$scratch/py/bin/python" "$peers/ab.py" -k "$rounds" -t "$limit" -o "$log" "$@"
}

llama() { # MODEL: streams, prefill, one stream behind an empty context
    echo "${clock}$LLAMA_BATCHED_BENCH -m $1 -c 16384 -b 2048 -ub 512 -npp 128 -ntg 64" \
         "-npl $streams -t $threads -tb $threads &&" \
         "${clock}$LLAMA_BENCH -m $1 -p 512 -n 128 -r 1 -t $threads"
}

clock='' limit=0.10
if [ -n "${CPU_TIME:-}" ]; then
    threads=1 limit=99
    clock=$(cpu_clock)
fi
prepare
# shellcheck disable=SC1091
. "$scratch/llama.env"
smol=$scratch/SmolLM2-135M-Instruct.Q4_1.gguf
one=$scratch/one/tinyllama-1.1b
bench="$clock$build/tests/bench/engine_bench"
cases=$streams,pp512,tg
kv="--kv-cache-memory-bytes 536870912"  # touched at create, as the others do with theirs
export NS=${streams//,/ }

for table in $tables; do
    printf '\n## %s\n\n' "$table"
    case $table in
    smol)
        compare ours="$bench $smol --threads $threads --cases $cases $kv" llama.cpp="$(llama "$smol")" \
            openvino="$clock$scratch/ov/bin/python $peers/openvino_bench.py $smol $threads" ;;
    one)
        compare ours="$bench $one --threads $threads --cases $cases $kv" \
            llama.cpp="$(llama "$one.bf16.gguf")" ;;   # OpenVINO reads no BF16 from GGUF
    start)
        compare ours="$bench $smol --threads $threads --cases start" \
            llama-cpp-python="${clock}LLAMA_CPP_LIB_PATH=$LLAMA_CPP_LIB_PATH PYTHONPATH=$LLAMA_CPP_PY \
                $scratch/py/bin/python $peers/llama_py_bench.py $smol" ;;
    floor)
        gcc -O3 -march=x86-64-v4 -mavx512vnni "$shared/roofline/roofline.c" -o "$scratch/roofline" \
            -lpthread
        "$scratch/roofline" 7 "$threads" peak,mem ;;
    *)
        echo "peers.sh: no table $table" >&2
        exit 2 ;;
    esac
done
