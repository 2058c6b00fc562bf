#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the wheel of llmserve: the backend that pyproject.toml names, and a program.

    llmserve_wheel.py LIBRARY OUT_DIR    a wheel with this libllmserve.so, without pip

As a backend it wants the library beside the package, as llmserve/libllmserve.so.  It needs nothing
but the standard library.  The wheel is for any Python 3 and for this machine's platform: the
library in it wants the system's libutf8proc, libonig and libjansson, so it is no manylinux wheel.
"""
from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import sys
import sysconfig
import tarfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = "libllmserve.so"
TIME = (2020, 1, 1, 0, 0, 0)        # the same files make the same wheel


def version() -> str:
    with open(os.path.join(ROOT, "llmserve", "_version.py"), encoding="utf-8") as f:
        return re.search(r'__version__ = "(.*)"', f.read()).group(1)


def platform_tag() -> str:
    return re.sub(r"[^\w]", "_", sysconfig.get_platform())


def python_files() -> list[str]:
    found = []
    for folder, _, names in os.walk(os.path.join(ROOT, "llmserve")):
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names
                  if name.endswith((".py", ".typed"))]
    return sorted(found)


def read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


def metadata() -> bytes:
    return (f"Metadata-Version: 2.1\nName: llmserve\nVersion: {version()}\n"
            "Summary: vLLM's offline and async classes over libllmserve\n"
            "License: Apache-2.0\nRequires-Python: >=3.9\n"
            "Provides-Extra: fast\nRequires-Dist: numpy; extra == \"fast\"\n"
            "Requires-Dist: tqdm; extra == \"fast\"\n").encode()


def wheel_file() -> bytes:
    return ("Wheel-Version: 1.0\nGenerator: llmserve_wheel\nRoot-Is-Purelib: false\n"
            f"Tag: py3-none-{platform_tag()}\n").encode()


def make(library: str, folder: str) -> str:
    """Writes the wheel into folder; gives its name."""
    if not os.path.exists(library):
        raise SystemExit(f"{library} is not there; build the library and copy it beside the "
                         "package, or run: llmserve_wheel.py LIBRARY OUT_DIR")
    info = f"llmserve-{version()}.dist-info"
    files = {path: read(os.path.join(ROOT, path)) for path in python_files()}
    files["llmserve/" + LIBRARY] = read(os.path.realpath(library))
    files.update({f"{info}/METADATA": metadata(), f"{info}/WHEEL": wheel_file()})
    record = "".join(f"{path},sha256={digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    name = f"llmserve-{version()}-py3-none-{platform_tag()}.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED) as z:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, TIME)
            entry.external_attr = (0o100755 if path.endswith(".so") else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(entry, data)
    return name


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


# ---- PEP 517 ------------------------------------------------------------------------------------

def build_wheel(wheel_directory: str, config_settings: dict | None = None,
                metadata_directory: str | None = None) -> str:
    return make(os.path.join(ROOT, "llmserve", LIBRARY), wheel_directory)


def build_sdist(sdist_directory: str, config_settings: dict | None = None) -> str:
    base = f"llmserve-{version()}"
    name = base + ".tar.gz"
    paths = python_files() + ["pyproject.toml", "build_backend/llmserve_wheel.py"]
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as tar:
        entry = tarfile.TarInfo(f"{base}/PKG-INFO")
        entry.size = len(metadata())
        tar.addfile(entry, io.BytesIO(metadata()))
        for path in paths:
            tar.add(os.path.join(ROOT, path), f"{base}/{path}")
    return name


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    print(os.path.join(sys.argv[2], make(sys.argv[1], sys.argv[2])))
