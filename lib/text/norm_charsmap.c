/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step Precompiled.  Not SentencePiece's leftmost-longest walk, but what HF does: a grapheme
 * cluster of fewer than 6 bytes of which any prefix is in the map is replaced whole by what the
 * shortest such prefix maps to; else each character is looked up alone.
 */
#include "text/normalizer.h"

#include "base/utf8.h"

#define SHORT_CLUSTER 6u

enum { NOT_HANGUL, HANGUL_L, HANGUL_V, HANGUL_T, HANGUL_LV, HANGUL_LVT };

static uint8_t hangul(uint32_t cp)
{
    if (cp < 0x1100 || cp > 0xd7fb)
        return NOT_HANGUL;
    if (cp <= 0x115f || (cp >= 0xa960 && cp <= 0xa97c))
        return HANGUL_L;
    if (cp <= 0x11a7 || (cp >= 0xd7b0 && cp <= 0xd7c6))
        return HANGUL_V;
    if (cp <= 0x11ff || cp >= 0xd7cb)
        return HANGUL_T;
    if (cp < 0xac00 || cp > 0xd7a3)
        return NOT_HANGUL;
    return (cp - 0xac00) % 28 == 0 ? HANGUL_LV : HANGUL_LVT;
}

static bool one_syllable(uint32_t a_cp, uint32_t b_cp)
{
    uint8_t a = hangul(a_cp), b = a == NOT_HANGUL ? NOT_HANGUL : hangul(b_cp);

    if (a == HANGUL_L)
        return b == HANGUL_L || b == HANGUL_V || b == HANGUL_LV || b == HANGUL_LVT;
    if (a == HANGUL_V || a == HANGUL_LV)
        return b == HANGUL_V || b == HANGUL_T;
    return (a == HANGUL_T || a == HANGUL_LVT) && b == HANGUL_T;
}

typedef struct seen {           /* a character */
    uint32_t cp;
    uint8_t  cat;
    size_t   n;                 /* its bytes; 0 = the end of the text */
} seen_t;

static inline seen_t look(const lls_unicat_t *cats, const lls_normed_t *in, size_t i)
{
    seen_t c = { 0 };

    if (i < in->len) {
        c.n = lls_utf8_decode(in->text + i, in->len - i, &c.cp);
        c.cat = lls_unicat(cats, c.cp);
    }
    return c;
}

static inline bool stay_together(seen_t a, seen_t b)
{
    const uint8_t before = a.cat, behind = b.cat;

    if (((before | behind) & LLS_CAT_CONTROL) != 0)
        return a.cp == '\r' && b.cp == '\n';
    return (behind & LLS_CAT_EXTEND) != 0 || (before & LLS_CAT_PREPEND) != 0 ||
           one_syllable(a.cp, b.cp);
}

/* How many of the bytes at i stay as they are: each is an ASCII character that is no key and, as
 * another stands behind it, a cluster of its own. */
static size_t plain_run(const lls_charsmap_t *c, const char *text, size_t len, size_t i)
{
    size_t from = i;

    for (; i + 1 < len; i++) {
        uint8_t a = (uint8_t)text[i], b = (uint8_t)text[i + 1];

        if ((a | b) >= 0x80 || lls_charsmap_has(c, a) || a == '\r')
            break;
    }
    return i - from;
}

/* Where the cluster at i ends, which begins with *c; *c is then the character behind it.  The rules
 * for emoji, flags and Indic conjuncts are not known: with them clusters are longer than
 * SHORT_CLUSTER, and so are the parts that are found here or they are single characters, which
 * comes to the same. */
static size_t cluster_end(const lls_unicat_t *cats, const lls_normed_t *in, size_t i, seen_t *c)
{
    seen_t a;

    do {
        a = *c;
        i += a.n;
        *c = look(cats, in, i);
    } while (c->n != 0 && stay_together(a, *c));
    return i;
}

static bool put_chars(const lls_charsmap_t *c, const lls_normed_t *in, size_t begin, size_t end,
                      lls_buf_t *text, lls_buf_t *mark)
{
    for (size_t i = begin; i < end;) {
        const char *to = in->text + i;
        uint32_t    cp;
        size_t      n = lls_utf8_decode(in->text + i, end - i, &cp), to_len = n;

        lls_charsmap_find(c, in->text + i, n, false, &to, &to_len);
        if (!lls_norm_emit(text, mark, in, to, to_len, lls_norm_mark(in, i)))
            return false;
        i += n;
    }
    return true;
}

/* A cluster that is not copied as it is. */
static bool put_cluster(const lls_charsmap_t *c, const lls_normed_t *in, size_t begin, size_t end,
                        lls_buf_t *text, lls_buf_t *mark)
{
    const char *to = NULL;
    size_t      to_len = 0;
    uint8_t     flag = 0;

    if (end - begin >= SHORT_CLUSTER ||
        lls_charsmap_find(c, in->text + begin, end - begin, false, &to, &to_len) == 0)
        return put_chars(c, in, begin, end, text, mark);
    for (size_t k = begin; k < end; k++)
        flag |= lls_norm_mark(in, k);
    return lls_norm_emit(text, mark, in, to, to_len, flag);
}

bool lls_norm_precompiled(const lls_charsmap_t *c, const lls_unicat_t *cats,
                          lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark)
{
    seen_t next = look(cats, in, 0);
    size_t done = 0, end;               /* what is between done and i stays as it is */

    for (size_t i = 0; i < in->len; i = end) {
        seen_t first = next;
        /* What goes from the beginning leaves its place to what is behind it. */
        bool   leads = i < in->lead || (in->next_lead == 0 && in->lead != 0);
        bool   plain;

        end = i + (leads ? 0 : plain_run(c, in->text, in->len, i));
        if (end != i) {
            next = look(cats, in, end);
            continue;
        }
        end = cluster_end(cats, in, i, &next);
        plain = end - i == first.n && !lls_charsmap_has(c, first.cp);
        if (plain && !leads)
            continue;
        if (!lls_norm_copy(text, mark, in, done, plain ? end : i) ||
            (!plain && !put_cluster(c, in, i, end, text, mark)))
            return false;
        if (leads)
            in->next_lead = text->len;
        done = end;
    }
    return lls_norm_copy(text, mark, in, done, in->len);
}
