#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a clone to answers: installs what is missing, builds, fetches the demonstration model (or
# takes LLM_MODEL=dir-or-file) and answers the prompts of examples/prompts.jsonl, or of the JSONL
# file given.  May be run again; then only what is missing is done.
set -eu
start=$(pwd)
cd "$(dirname "$0")/.."
prompts=examples/prompts.jsonl
if [ $# -gt 0 ]; then
    case $1 in /*) prompts=$1 ;; *) prompts=$start/$1 ;; esac
fi

sh examples/need.sh build-essential cmake ninja-build pkg-config libutf8proc-dev libonig-dev \
    libjansson-dev libedit-dev python3 python3-pip ca-certificates

mkdir -p build
echo "building" >&2
{ cmake -S . -B build/quickstart -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLS_TESTS=OFF &&
    cmake --build build/quickstart; } >build/quickstart.log 2>&1 ||
    { tail -n 40 build/quickstart.log >&2; exit 1; }

model=$(sh examples/fetch_model.sh)
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT
trap 'exit 1' HUP INT TERM
build/quickstart/examples/batch "$model" "$prompts" "$answers"
python3 - "$prompts" "$answers" <<'PY'
import json, sys
rows = {r["id"]: r for r in map(json.loads, open(sys.argv[2], encoding="utf-8"))}
for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
    asked = json.loads(line)
    answer = rows[str(asked.get("id", number))]
    prompt = asked.get("prompt") or asked["messages"][-1]["content"]
    print(f"\n> {prompt}\n{answer.get('text', answer.get('error', '')).strip()}")
PY
