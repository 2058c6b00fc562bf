# SPDX-License-Identifier: Apache-2.0
# The loops of an object file's functions and the instructions of each, by kind, as objdump prints them.
#
# Loops are natural ones of the graph of basic blocks; a target of a jump table counts as an entry.  Of a loop with
# others inside only what is its own counts; loops without vectors are left out.  All paths through a loop are in its
# count.  Kinds: loads, stores, those of both that meet the stack (spills),
# dot products of integers or of pairs, multiplications with addition.
import re
import subprocess

HEADER = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
LINE = re.compile(r"^\s*([0-9a-f]+):\t(?:\{vex\} )?(\S+)(?:\s+(.*))?$")
VECTORS = re.compile(r"%[yzt]mm|\bv\d+\.|\bq\d+\b")
DOT = re.compile(r"vpdpbusd|vpmaddubsw|vdpbf16ps|tdp\w+|[us]{1,2}dot|[us]{1,2}mmla|bfdot|bfmmla|[us]mull2?|[us]mlal2?")
FMA = re.compile(r"vfn?m(add|sub)\w+|fml[as]|fn?m(add|sub)")
BRANCH = {False: re.compile(r"j\w+"), True: re.compile(r"b(\.\w+)?|cbn?z|tbn?z")}
NO_RETURN = {"jmp", "b", "br", "ret", "ud2", "brk"}
PADDING = {"nop", "nopw", "nopl", "cs", "data16", "xchg", "int3"}
KINDS = "instructions loads stores stack dots fmas".split()


def read_functions(objdump, path):
    """{name: [(address, mnemonic, operands)]}; parts that a compiler made of a function have its name and a number."""
    out, code = {}, None
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", path], check=True, capture_output=True, text=True)
    for line in text.stdout.splitlines():
        if header := HEADER.match(line):
            name, n = header[1].split(".")[0], 1
            while (name if n == 1 else f"{name} ({n})") in out:
                n += 1
            code = out[name if n == 1 else f"{name} ({n})"] = []
        elif (parts := LINE.match(line)) and code is not None:
            code.append((int(parts[1], 16), parts[2], (parts[3] or "").split("#")[0].strip()))
    return out


def blocks_of(code, is_arm):
    """[(first, end)] as indices of code, and for each block those that may follow it."""
    index = {address: i for i, (address, _, _) in enumerate(code)}
    jumps, starts = {}, {0}
    for i, (_, mnemonic, operands) in enumerate(code):
        target = re.search(r"(?:^|\s)([0-9a-f]+) <", operands) if BRANCH[is_arm].fullmatch(mnemonic) else None
        if target and int(target[1], 16) in index:
            jumps[i] = index[int(target[1], 16)]
            starts.add(jumps[i])
        if target or mnemonic in NO_RETURN:
            starts.add(i + 1)
    starts = sorted(s for s in starts if s < len(code))
    blocks = list(zip(starts, starts[1:] + [len(code)]))
    number = {first: k for k, (first, _) in enumerate(blocks)}
    follow = []
    for k, (_, end) in enumerate(blocks):
        f = [number[jumps[end - 1]]] if end - 1 in jumps else []
        if code[end - 1][1] not in NO_RETURN and k + 1 < len(blocks):
            f.append(k + 1)
        follow.append(f)
    return blocks, follow


def in_order(follow, root):
    """Reverse postorder from root."""
    seen, out, stack = {root}, [], [(root, iter(follow[root]))]
    while stack:
        block, rest = stack[-1]
        step = next((f for f in rest if f not in seen), None)
        if step is None:
            out.append(stack.pop()[0])
        else:
            seen.add(step)
            stack.append((step, iter(follow[step])))
    return out[::-1]


def dominators(follow, before, root):
    """The immediate dominator of each block that is reached (Cooper, Harvey and Kennedy)."""
    order = in_order(follow, root)
    rank, idom, changed = {b: i for i, b in enumerate(order)}, {root: root}, True
    while changed:
        changed = False
        for b in order[1:]:
            new = None
            for p in (p for p in before[b] if p in idom):
                while new is not None and new != p:
                    if rank[new] > rank[p]:
                        new = idom[new]
                    else:
                        p = idom[p]
                new = p
            if idom.get(b) != new:
                idom[b], changed = new, True
    return idom


def entries(follow, padding):
    """The function's own and those that only a jump table reaches."""
    out, reached = [], set()
    for b in range(len(follow)):
        if b not in reached and b not in padding:
            out.append(b)
            reached.update(in_order(follow, b))
    return out


def natural_loops(follow, padding):
    """{header: set of blocks}."""
    n = len(follow)
    follow = follow + [entries(follow, padding)]
    before = [[] for _ in follow]
    for b, fs in enumerate(follow):
        for f in fs:
            before[f].append(b)
    idom, loops = dominators(follow, before, n), {}
    for b in idom:
        for head in follow[b]:
            at = b
            while at not in (head, n):
                at = idom[at]
            if at != head:
                continue
            body, todo = loops.setdefault(head, {head}), [b]
            while todo:
                if (x := todo.pop()) not in body:
                    body.add(x)
                    todo += (p for p in before[x] if p in idom)
    return loops


def count(code, is_arm, frame):
    """The instructions by kind."""
    c = dict.fromkeys(KINDS, 0)
    c["instructions"] = len(code)
    for _, mnemonic, operands in code:
        if is_arm:
            load, store = mnemonic.startswith("ld"), mnemonic.startswith("st")
        else:
            memory = "(" in operands and not mnemonic.startswith(("lea", "prefetch", "nop", "j"))
            store = memory and operands.endswith(")") and mnemonic.startswith(("mov", "vmov", "vextract", "vpmov", "vcvtps2ph", "tilest"))
            load = memory and not store
        c["loads"] += load
        c["stores"] += store
        c["stack"] += (load or store) and any(f in operands for f in frame)
        c["dots"] += bool(DOT.fullmatch(mnemonic)) and (not is_arm or "v" in operands)
        c["fmas"] += bool(FMA.fullmatch(mnemonic))
    return c


def work(loop):
    """What a loop is for: dot products if it has any, else multiplications with addition."""
    return loop["dots"] or loop["fmas"]


def loops_of(objdump, path):
    """{function: [counts]}, by work, then by size."""
    out = {}
    is_arm = "aarch64" in subprocess.run([objdump, "-f", path], check=True, capture_output=True, text=True).stdout
    for name, code in read_functions(objdump, path).items():
        frame = ["(%rsp"] + ["(%rbp"] * any(m == "mov" and o == "%rsp,%rbp" for _, m, o in code)
        blocks, follow = blocks_of(code, is_arm)
        padding = {b for b, (first, end) in enumerate(blocks) if all(m in PADDING for _, m, _ in code[first:end])}
        loops = natural_loops(follow, padding)
        for head, body in loops.items():
            inner = {b for h, others in loops.items() if h != head and h in body for b in others}
            lines = [line for b in sorted(body - inner) for line in code[slice(*blocks[b])]]
            counts = count(lines, is_arm, ["[sp", "[x29"] if is_arm else frame)
            if any(VECTORS.search(o) for _, _, o in lines):
                out.setdefault(name, []).append(counts)
    return {name: sorted(loops, key=lambda c: (work(c), c["instructions"])) for name, loops in out.items()}
