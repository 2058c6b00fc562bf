/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFC with the data that HF's normalizers have: decompositions and compositions of utf8proc, but
 * about 108 marks that are newer than Unicode 9 keep combining class 0.
 */
#include "text/normalizer.h"

#include <utf8proc.h>

#include "base/utf8.h"

typedef struct cp_range {
    uint32_t from, to;
} cp_range_t;

static const cp_range_t new_marks[] = {
    { 0x7fd, 0x7fd }, { 0x898, 0x89f }, { 0x8ca, 0x8d3 }, { 0x9fe, 0x9fe }, { 0xc3c, 0xc3c },
    { 0xd3b, 0xd3c }, { 0xeba, 0xeba }, { 0x1715, 0x1715 }, { 0x1abf, 0x1ace },
    { 0x1df6, 0x1dfa }, { 0xa82c, 0xa82c }, { 0x10d24, 0x10d27 }, { 0x10eab, 0x10eac },
    { 0x10efd, 0x10eff }, { 0x10f46, 0x10f50 }, { 0x10f82, 0x10f85 }, { 0x11070, 0x11070 },
    { 0x1133b, 0x1133b }, { 0x1145e, 0x1145e }, { 0x11839, 0x1183a }, { 0x1193d, 0x1193e },
    { 0x11943, 0x11943 }, { 0x119e0, 0x119e0 }, { 0x11a34, 0x11a34 }, { 0x11a47, 0x11a47 },
    { 0x11a99, 0x11a99 }, { 0x11d42, 0x11d42 }, { 0x11d44, 0x11d45 }, { 0x11d97, 0x11d97 },
    { 0x11f41, 0x11f42 }, { 0x16ff0, 0x16ff1 }, { 0x1e08f, 0x1e08f }, { 0x1e130, 0x1e136 },
    { 0x1e2ae, 0x1e2ae }, { 0x1e2ec, 0x1e2ef }, { 0x1e4ec, 0x1e4ef },
};

static uint32_t combining_class(uint32_t cp)
{
    uint32_t ccc = (uint32_t)utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;

    for (size_t i = 0; ccc != 0 && i < LLS_ARRAY_LEN(new_marks); i++)
        if (cp >= new_marks[i].from && cp <= new_marks[i].to)
            return 0;
    return ccc;
}

/* Starts a stretch that nothing before it can change: a starter that is not the second of a
 * composition and has no decomposition. */
static bool is_boundary(uint32_t cp)
{
    const utf8proc_property_t *p;

    if (cp < 0x300)
        return true;
    if ((cp >= 0x1100 && cp < 0x1200) || cp == 0x11938)
        return false;                           /* Hangul jamo compose by rule */
    p = utf8proc_get_property((utf8proc_int32_t)cp);
    return p->combining_class == 0 && p->decomp_seqindex == UINT16_MAX &&
           (p->comb_index == UINT16_MAX || p->comb_index < 0x8000);
}

/* The primary composite of two characters, or 0. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    utf8proc_int32_t pair[3] = { (utf8proc_int32_t)a, (utf8proc_int32_t)b, 0 };

    if (a == 0 || b == 0 || b == 0x11a7)        /* the base of Hangul's finals is none itself */
        return 0;
    return utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) == 1
               ? (uint32_t)pair[0] : 0;
}

bool lls_nfc_is_quick(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t cp;

        if ((uint8_t)text[i] < 0xcc) {          /* below U+0300 */
            i += (uint8_t)text[i] < 0x80 ? 1 : 2;
            continue;
        }
        i += lls_utf8_decode(text + i, len - i, &cp);
        if (!is_boundary(cp))
            return false;
    }
    return true;
}

static size_t decompose(const char *text, size_t len, uint32_t *out, size_t room)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        uint32_t cp;

        i += lls_utf8_decode(text + i, len - i, &cp);
        if (cp == 0x11938) {                    /* decomposed by newer data only */
            out[n++] = cp;
            continue;
        }
        n +=
            (size_t)utf8proc_decompose_char((utf8proc_int32_t)cp, (utf8proc_int32_t *)out + n,
                                            (utf8proc_ssize_t)(room - n), UTF8PROC_DECOMPOSE, NULL);
    }
    return n;
}

/* Marks of one run by class, those of a class in their order: a counting sort, as runs may be long.
 */
static void order_run(uint32_t *c, size_t n, uint32_t *spare)
{
    uint32_t at[256] = { 0 }, sum = 0;

    for (size_t i = 0; i < n; i++)
        at[combining_class(c[i])]++;
    for (int i = 0; i < 256; i++) {
        uint32_t count = at[i];
        at[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        spare[at[combining_class(c[i])]++] = c[i];
    memcpy(c, spare, n * sizeof *c);
}

static void order_marks(uint32_t *c, size_t n, uint32_t *spare)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;

        while (end < n && combining_class(c[end]) != 0)
            end++;
        if (end - i > 1)
            order_run(c + i, end - i, spare);
        i = end + 1;
    }
}

static size_t compose(uint32_t *c, size_t n)
{
    size_t   starter = SIZE_MAX, k = 0;
    uint32_t last = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t ccc = combining_class(c[i]), whole;
        bool     blocked = starter == SIZE_MAX || (starter + 1 != k && last >= ccc);

        whole = blocked ? 0 : compose_pair(c[starter], c[i]);
        if (whole != 0) {
            c[starter] = whole;
            continue;
        }
        if (ccc == 0)
            starter = k;
        last = ccc;
        c[k++] = c[i];
    }
    return k;
}

static bool put_chars(const uint32_t *c, size_t n, bool marks, uint8_t flag, lls_buf_t *out,
                      lls_buf_t *mark)
{
    for (size_t i = 0; i < n; i++) {
        char   bytes[4];
        size_t k = lls_utf8_encode(c[i], bytes);
        char   flags[4] = { (char)flag, (char)flag, (char)flag, (char)flag };

        if (!lls_buf_put(out, bytes, k) || (marks && !lls_buf_put(mark, flags, k)))
            return false;
    }
    return true;
}

/* A stretch from one boundary to the next. */
static bool nfc_stretch(lls_norm_work_t *w, const lls_normed_t *in, size_t begin, size_t end,
                        lls_buf_t *out, lls_buf_t *mark)
{
    size_t  n, room = (end - begin) * 4 + 8;
    uint8_t flag = 0;

    if (!lls_reserve(w->mem, (void **)&w->chars, &w->chars_cap, room * 2, sizeof *w->chars))
        return false;
    for (size_t i = begin; in->mark != NULL && i < end; i++)
        flag |= in->mark[i];
    n = decompose(in->text + begin, end - begin, w->chars, room);
    order_marks(w->chars, n, w->chars + room);
    n = compose(w->chars, n);
    return put_chars(w->chars, n, in->mark != NULL, flag, out, mark);
}

bool lls_nfc(lls_norm_work_t *w, const lls_normed_t *in, lls_buf_t *out, lls_buf_t *mark)
{
    size_t begin = 0, i = 0;

    while (i < in->len) {
        uint32_t cp;
        size_t   n = lls_utf8_decode(in->text + i, in->len - i, &cp);

        if (i > begin && is_boundary(cp)) {
            if (!nfc_stretch(w, in, begin, i, out, mark))
                return false;
            begin = i;
        }
        i += n;
    }
    return begin == in->len || nfc_stretch(w, in, begin, in->len, out, mark);
}
