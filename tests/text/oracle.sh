#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs an oracle_*.py with a Python that has the packages: LLM_ORACLE_PYTHON, or an environment made in
# the build folder.  Usage: oracle.sh ENVIRONMENT_FOLDER SCRIPT ARGS...; exit code 77 without them.
env=$1
shift
python=${LLM_ORACLE_PYTHON:-$env/bin/python}
if ! "$python" -c "import tokenizers" 2>/dev/null; then
    if ! { python3 -m venv "$env" && "$env/bin/pip" install -q tokenizers==0.23.3 sentencepiece tiktoken; }; then
        echo "the Python packages could not be installed"
        exit 77
    fi
    python=$env/bin/python
fi
for file; do                    # a file that is absent skips the test
    case $file in
    /*) [ -e "$file" ] || { echo "$file is absent"; exit 77; } ;;
    esac
done
exec env RUST_BACKTRACE=0 "$python" "$@"
