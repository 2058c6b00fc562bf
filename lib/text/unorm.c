/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four normal forms with the data that HF's normalizers have, about Unicode 9: decompositions
 * and compositions of utf8proc, but characters that are newer stay as they are.
 */
#include "text/normalizer.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/unicat.h"

static uint32_t combining_class(uint32_t cp)
{
    uint32_t ccc = (uint32_t)utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;

    return ccc != 0 && lls_is_inert(cp) ? 0 : ccc;
}

static bool composes(uint8_t form)
{
    return form == LLS_NORM_NFC || form == LLS_NORM_NFKC;
}

/* Below this a character is a boundary. */
static uint32_t plain_below(uint8_t form)
{
    return form == LLS_NORM_NFC ? 0x300 : 0xa0;
}

/* Starts a stretch that nothing before it can change, and is not changed itself: a starter that is
 * not the second of a composition and has no decomposition. */
static bool is_boundary(uint8_t form, uint32_t cp)
{
    const utf8proc_property_t *p;

    if (cp < plain_below(form))
        return true;
    if (cp >= 0xac00 && cp <= 0xd7a3)
        return composes(form);
    if (cp >= 0x1100 && cp < 0x1200)
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
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) != 1)
        return 0;
    return lls_is_inert((uint32_t)pair[0]) ? 0 : (uint32_t)pair[0];
}

bool lls_unorm_is_quick(uint8_t form, const char *text, size_t len)
{
    uint8_t lead = form == LLS_NORM_NFC ? 0xcc : 0x80;     /* of the first that is not plain */

    for (size_t i = 0; i < len;) {
        uint32_t cp;

        if ((uint8_t)text[i] < lead) {
            i += (uint8_t)text[i] < 0x80 ? 1 : 2;
            continue;
        }
        i += lls_utf8_decode(text + i, len - i, &cp);
        if (!is_boundary(form, cp))
            return false;
    }
    return true;
}

static size_t decompose(uint8_t form, const char *text, size_t len, uint32_t *out, size_t room)
{
    bool   compat = form == LLS_NORM_NFKC || form == LLS_NORM_NFKD;
    int    how = compat ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE;
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        uint32_t cp;

        i += lls_utf8_decode(text + i, len - i, &cp);
        if (cp < 0x80 || lls_is_inert(cp)) {
            out[n++] = cp;
            continue;
        }
        n += (size_t)utf8proc_decompose_char((utf8proc_int32_t)cp, (utf8proc_int32_t *)out + n,
                                             (utf8proc_ssize_t)(room - n), how, NULL);
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
static bool stretch(lls_norm_work_t *w, uint8_t form, const lls_normed_t *in, size_t begin,
                    size_t end, lls_buf_t *out, lls_buf_t *mark)
{
    size_t  n, room = (end - begin) * 6 + 18;   /* U+FDFA gives 18 */
    uint8_t flag = 0;

    if (!lls_reserve(w->mem, (void **)&w->chars, &w->chars_cap, room * 2, sizeof *w->chars))
        return false;
    for (size_t i = begin; in->mark != NULL && i < end; i++)
        flag |= in->mark[i];
    n = decompose(form, in->text + begin, end - begin, w->chars, room);
    order_marks(w->chars, n, w->chars + room);
    if (composes(form))
        n = compose(w->chars, n);
    return put_chars(w->chars, n, in->mark != NULL, flag, out, mark);
}

/* What the first character becomes by itself; that it may move among marks does not matter here. */
static bool find_lead(lls_norm_work_t *w, uint8_t form, lls_normed_t *in)
{
    size_t n, room = in->lead * 6 + 18;
    char   bytes[4];

    if (!lls_reserve(w->mem, (void **)&w->chars, &w->chars_cap, room * 2, sizeof *w->chars))
        return false;
    n = decompose(form, in->text, in->lead, w->chars, room);
    order_marks(w->chars, n, w->chars + room);
    if (composes(form))
        n = compose(w->chars, n);
    for (size_t i = 0; i < n; i++)
        in->next_lead += lls_utf8_encode(w->chars[i], bytes);
    return true;
}

/* Where the stretch ends that begins with the n bytes at i. */
static size_t stretch_end(uint8_t form, const lls_normed_t *in, size_t i, size_t n)
{
    uint32_t cp;

    for (i += n; i < in->len; i += n) {
        n = lls_utf8_decode(in->text + i, in->len - i, &cp);
        if (is_boundary(form, cp))
            break;
    }
    return i;
}

bool lls_unorm(lls_norm_work_t *w, uint8_t form, lls_normed_t *in, lls_buf_t *out, lls_buf_t *mark)
{
    size_t done = 0, end;
    bool   starts = false;

    if (!find_lead(w, form, in))
        return false;
    for (size_t i = 0; i < in->len; i = end, starts = true) {
        uint32_t cp;
        size_t   n = lls_utf8_decode(in->text + i, in->len - i, &cp);

        end = stretch_end(form, in, i, n);
        if (end == i + n && (starts || is_boundary(form, cp)))
            continue;                           /* stays as it is */
        if (!lls_norm_copy(out, mark, in, done, i) || !stretch(w, form, in, i, end, out, mark))
            return false;
        done = end;
    }
    return lls_norm_copy(out, mark, in, done, in->len);
}
