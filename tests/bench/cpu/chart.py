#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws tests/bench/cpu.svg from the tables of tests/bench/cpu.md: decoded tokens a second against
streams, for this library and the engines beside it.  Needs matplotlib.

  chart.py ["Title of a table" ...]     default: each with a peer and three numbers of streams
"""
import pathlib
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = pathlib.Path(__file__).resolve().parents[1]
COLOURS = {"ours": "#d1495b", "llama.cpp": "#30638e", "openvino": "#edae49", "vllm": "#66a182"}


def tables(text):
    """{title: {engine: [(streams, tokens a second)]}} of the rows Bn.tg."""
    found = {}
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        rows = [[c.strip() for c in line.strip("|\n ").split("|")] for line in body.splitlines()
                if line.startswith("|")]
        if not rows:
            continue
        engines = [c for c in rows[0][1:] if c in COLOURS]
        lines = {e: [] for e in engines}
        for row in rows[2:]:
            streams = re.fullmatch(r"B(\d+)\.tg", row[0])
            for i, e in enumerate(engines, 1):
                if streams and row[i]:
                    lines[e].append((int(streams[1]), float(row[i].split()[0])))
        if len(engines) > 1 and len(lines["ours"]) >= 3:
            found[title] = lines
    return found


def main():
    found = tables((HERE / "cpu.md").read_text())
    wanted = sys.argv[1:] or list(found)
    matplotlib.rcParams.update({"svg.fonttype": "none",
                                "svg.hashsalt": "cpu"})     # the same tables, the same bytes
    fig, axes = plt.subplots(1, len(wanted), figsize=(5 * len(wanted), 3.6), squeeze=False)
    for ax, title in zip(axes[0], wanted):
        for engine, points in found[title].items():
            if points:
                ax.plot(*zip(*points), "o-", label="libllmserve" if engine == "ours" else engine,
                        color=COLOURS[engine], linewidth=2.4 if engine == "ours" else 1.4)
        ax.set_xscale("log", base=2)
        ax.set_xticks([n for n, _ in found[title]["ours"]], [n for n, _ in found[title]["ours"]])
        ax.set_ylim(bottom=0)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("streams")
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("decoded tokens a second")
    axes[0][0].legend(frameon=False)
    fig.tight_layout()
    fig.savefig(HERE / "cpu.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
