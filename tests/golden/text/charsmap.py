# SPDX-License-Identifier: Apache-2.0
# A SentencePiece charsmap from a dict of strings: length of a Darts double array in bytes, the array,
# the replacements with a NUL behind each.
import struct


def charsmap(pairs):
    blob, items = b"", []
    for key in sorted(pairs, key=lambda k: k.encode()):
        items.append((key.encode(), len(blob)))
        blob += pairs[key].encode() + b"\0"
    units, free = [0] * 1024, 1
    bases = set()                       # a unit knows its byte but not its parent

    def grow(n):
        while len(units) <= n:
            units.extend([0] * len(units))

    used = {0}

    def place(at, lo, hi, depth):
        nonlocal free
        kids = {}
        for i in range(lo, hi):
            key = items[i][0]
            kids.setdefault(key[depth] if depth < len(key) else 0, []).append(i)
        while free in used:
            free += 1
        base = (free >> 8 << 8) if len(kids) > 8 else free
        while True:
            # offsets are written in 21 bits, or in 21 bits shifted by 8
            if base != 0 and base not in bases and (at ^ base) < 1 << 21 and all((base ^ c) not in used for c in kids):
                break
            base += 1
        bases.add(base)
        for c in kids:
            used.add(base ^ c)
            grow(base ^ c)
        offset = at ^ base
        units[at] |= offset << 10
        for c, members in kids.items():
            if c == 0:
                units[at] |= 1 << 8
                units[base] = items[members[0]][1] | 1 << 31
            else:
                units[base ^ c] |= c
        for c, members in kids.items():
            if c != 0:
                place(base ^ c, members[0], members[-1] + 1, depth + 1)

    place(0, 0, len(items), 0)
    array = b"".join(struct.pack("<I", u) for u in units)
    return struct.pack("<I", len(array)) + array + blob
