#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs a build into an empty prefix, moves it, and builds C99, C17 and C++17 consumers from it
through pkg-config and through the CMake package, shared and static; runs them.

    install_test.py BUILD_DIR
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LANGUAGES = [("cc", "c99", "consumer_c99.c"), ("cc", "c17", "consumer_c17.c"),
             ("c++", "c++17", "consumer_cxx17.cpp")]


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def library_dir(prefix):
    for folder, _, names in os.walk(prefix):
        if "llmserve.pc" in names:
            return os.path.dirname(folder)
    sys.exit("no llmserve.pc in the installed tree")


def needs_library(program):
    return "libllmserve.so.0" in run("readelf", "-d", program)


def by_pkg_config(prefix, libdir, tmp):
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(libdir, "pkgconfig")}
    assert run("pkg-config", "--modversion", "llmserve", env=env).startswith("0.")
    for kind in ("shared", "static"):
        flags = run("pkg-config", "--cflags", "--libs", *(["--static"] if kind == "static" else []),
                    "llmserve", env=env).split()
        if kind == "static":
            flags = [os.path.join(libdir, "libllmserve.a") if f == "-lllmserve" else f
                     for f in flags]
        for compiler, standard, source in LANGUAGES:
            program = os.path.join(tmp, f"{kind}_{standard}")
            run(compiler, "-std=" + standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                os.path.join(HERE, source), "-o", program, *flags)
            print("pkg-config", kind, standard,
                  run(program, env={**os.environ, "LD_LIBRARY_PATH": libdir}))
            assert needs_library(program) == (kind == "shared")


def by_cmake(prefix, tmp):
    build = os.path.join(tmp, "cmake")
    run("cmake", "-S", os.path.join(HERE, "package"), "-B", build,
        "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_PREFIX_PATH=" + prefix)
    run("cmake", "--build", build)
    for kind in ("llmserve", "static"):
        for program in ("c99", "c17", "cxx17"):
            path = os.path.join(build, f"{program}_{kind}")
            print("cmake", kind, program, run(path))
            assert needs_library(path) == (kind == "llmserve")


def main(build):
    with tempfile.TemporaryDirectory() as tmp:
        first, prefix = os.path.join(tmp, "first"), os.path.join(tmp, "moved")
        run("cmake", "--install", build, "--prefix", first)
        shutil.move(first, prefix)
        libdir = library_dir(prefix)
        assert run("readelf", "-d", os.path.join(libdir, "libllmserve.so")).count(
            "[libllmserve.so.0]") == 1
        assert sorted(os.listdir(os.path.join(prefix, "include"))) == ["llm.h", "llm.hpp"]
        by_pkg_config(prefix, libdir, tmp)
        by_cmake(prefix, tmp)
    print("12 consumers")


if __name__ == "__main__":
    main(sys.argv[1])
