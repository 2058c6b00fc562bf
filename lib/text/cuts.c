/* SPDX-License-Identifier: Apache-2.0 */
#include "text/cuts.h"

#include "base/utf8.h"

/* What stands for a character of which only some bytes are there: its last byte in front of a cut,
 * its first behind it. */
#define TORN 0x200000u

bool lls_cuts_init(lls_cuts_t *c, lls_mem_t *mem, uint32_t n_tokens)
{
    uint32_t n_bits = 16;

    memset(c, 0, sizeof *c);
    while (n_bits < 24 && 1u << n_bits < n_tokens * 4u)
        n_bits++;
    c->shift = 64 - n_bits;
    c->bits = lls_calloc(mem, (1u << n_bits) / 64, sizeof *c->bits);
    return c->bits != NULL;
}

void lls_cuts_deinit(lls_cuts_t *c, lls_mem_t *mem)
{
    lls_free(mem, c->bits);
    memset(c, 0, sizeof *c);
}

static inline uint64_t bit_of(const lls_cuts_t *c, uint32_t a, uint32_t b)
{
    return (((uint64_t)a << 22 | b) * 0x9e3779b97f4a7c15u) >> c->shift;
}

static inline bool has(const lls_cuts_t *c, uint32_t a, uint32_t b)
{
    uint64_t bit = bit_of(c, a, b);

    return (c->bits[bit / 64] >> bit % 64 & 1) != 0;
}

/* The character at text, or what stands for its bytes here; *n is how many. */
static inline uint32_t char_at(const char *text, size_t len, bool first, size_t *n)
{
    uint32_t cp = (uint8_t)text[0];

    *n = 1;
    if (cp < 0x80)
        return cp;
    *n = lls_utf8_decode(text, len, &cp);
    if (*n != 0)
        return cp;
    for (*n = 1; *n < len && ((uint8_t)text[*n] & 0xc0) == 0x80; ++*n)
        ;
    return TORN | (uint8_t)text[first ? *n - 1 : 0];
}

void lls_cuts_add(lls_cuts_t *c, const char *text, size_t len)
{
    size_t   n;
    uint32_t a, b;

    if (len < 2)
        return;
    a = char_at(text, len, true, &n);
    for (size_t i = n; i < len; i += n, a = b) {
        uint64_t bit;

        b = char_at(text + i, len - i, false, &n);
        c->torn = c->torn || ((a | b) & TORN) != 0;
        if ((a | b) < 0x80) {
            c->ascii[a][b / 64] |= 1ull << b % 64;
            continue;
        }
        bit = bit_of(c, a, b);
        c->bits[bit / 64] |= 1ull << bit % 64;
    }
}

/* a ends before text + i and b begins there; both are whole. */
static bool stays(const lls_cuts_t *c, uint32_t a, uint32_t b, const char *text, size_t i)
{
    uint32_t last = TORN | (uint8_t)text[i - 1], first = TORN | (uint8_t)text[i];

    if (has(c, a, b))
        return true;
    return c->torn && (has(c, a, first) || has(c, last, b) || has(c, last, first));
}

/* The same for UTF-8 of which at most the two ends are torn. */
static inline uint32_t next_char(const char *text, size_t len, bool first, size_t *n)
{
    const uint8_t *p = (const uint8_t *)text;

    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] >= 0xe0 && p[0] < 0xf0 && len >= 3) {
        *n = 3;
        return (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
    }
    return char_at(text, len, first, n);
}

size_t lls_cuts_part(const lls_cuts_t *c, const char *text, size_t len)
{
    size_t   n;
    uint32_t a, b;

    if (c->bits == NULL)
        return len;
    a = next_char(text, len, true, &n);
    for (size_t i = n; i < len; i += n, a = b) {
        b = next_char(text + i, len - i, false, &n);
        if ((a | b) < 0x80) {
            if ((c->ascii[a][b / 64] >> b % 64 & 1) == 0)
                return i;
        } else if (((a | b) & TORN) == 0 && !stays(c, a, b, text, i)) {
            return i;
        }
    }
    return len;
}
