/* SPDX-License-Identifier: Apache-2.0 */
#include "text/jinja_case.h"

#include "base/utf8.h"
#include "text/jinja_val.h"
#include "text/uniclass.h"

static const lls_jcase_run_t *find_run(const lls_jcase_run_t *runs, size_t n, uint32_t cp)
{
    size_t at = lls_range_at(runs, sizeof *runs, n, cp);

    /* Runs of every second character may lie inside each other by one. */
    for (; at < n && runs[at].first <= cp; at++)
        if (cp <= runs[at].last && (cp - runs[at].first) % (uint32_t)runs[at].step == 0)
            return &runs[at];
    return NULL;
}

static const char *find_long(char kind, uint32_t cp)
{
    for (size_t i = 0; i < lls_jcase_n_long; i++)
        if (lls_jcase_long[i].cp == cp && lls_jcase_long[i].kind == kind)
            return lls_jcase_long[i].to;
    return NULL;
}

static bool is_lower(uint32_t cp)
{
    return find_run(lls_jcase_is_lower, lls_jcase_n_is_lower, cp) != NULL;
}

static bool is_upper(uint32_t cp)
{
    return find_run(lls_jcase_is_upper, lls_jcase_n_is_upper, cp) != NULL;
}

/* Cased as titles see it: title case letters such as U+01C5 are neither upper nor lower. */
static bool is_cased(uint32_t cp)
{
    return is_lower(cp) || is_upper(cp) || cp == 0x1c5 || cp == 0x1c8 || cp == 0x1cb ||
           cp == 0x1f2 || (cp >= 0x1f88 && cp <= 0x1faf) || cp == 0x1fbc || cp == 0x1fcc ||
           cp == 0x1ffc;
}

static uint32_t map_one(char kind, uint32_t cp)
{
    const lls_jcase_run_t *run = NULL;

    if (cp < 0x80 && (kind == 'L' || kind == 'F'))
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
    if (kind == 'F')
        run = find_run(lls_jcase_fold, lls_jcase_n_fold, cp);
    if (kind == 'T')
        run = find_run(lls_jcase_title, lls_jcase_n_title, cp);
    if (run == NULL)
        run = kind == 'L' || kind == 'F' ? find_run(lls_jcase_lower, lls_jcase_n_lower, cp)
                          : find_run(lls_jcase_upper, lls_jcase_n_upper, cp);
    return run != NULL ? (uint32_t)((int32_t)cp + run->delta) : cp;
}

typedef struct caser {
    lls_jrun_t       *r;
    const lls_jstr_t *s;
    char             *text;
    uint8_t          *mark; /* NULL: s has none */
    size_t            n;
} caser_t;

/* U+03A3 at the end of a word becomes U+03C2. */
static bool is_final_sigma(const lls_jstr_t *s, size_t at)
{
    uint32_t cp;
    size_t   n;
    bool     before = false;

    for (size_t i = 0; i < at; i += n == 0 ? 1 : n) {
        n = lls_utf8_decode(s->text + i, s->len - i, &cp);
        if (is_cased(cp))
            before = true;
        else if (!(lls_uniclass_search(cp) & LLS_UC_MARK) && cp != '\'' && cp != '.' && cp != ':' &&
                 cp != 0xad && cp != 0xb7 && cp != 0x2019)
            before = false;
    }
    for (size_t i = at + 2; before && i < s->len; i += n == 0 ? 1 : n) {
        n = lls_utf8_decode(s->text + i, s->len - i, &cp);
        if (is_cased(cp))
            return false;
        if (!(lls_uniclass_search(cp) & LLS_UC_MARK) && cp != '\'' && cp != '.' && cp != ':' &&
            cp != 0xad && cp != 0xb7 && cp != 0x2019)
            return true;
    }
    return before;
}

static void put_mapped(caser_t *c, size_t at, size_t len, uint32_t cp, char kind)
{
    const char *several = cp >= 0x80 ? find_long(kind, cp) : NULL;
    size_t      n;

    if (kind == ' ') {
        memcpy(c->text + c->n, c->s->text + at, n = len);
    } else if (several != NULL) {
        memcpy(c->text + c->n, several, n = strlen(several));
    } else if (kind == 'L' && cp == 0x3a3 && is_final_sigma(c->s, at)) {
        memcpy(c->text + c->n, "\xcf\x82", n = 2);
    } else {
        n = lls_utf8_encode(map_one(kind, cp), c->text + c->n);
    }
    if (c->mark != NULL)
        memset(c->mark + c->n, c->s->mark[at], n);
    c->n += n;
}

static char kind_of(enum lls_jcase how, uint32_t cp, bool first, bool in_word)
{
    switch (how) {
    case LLS_JUPPER:
        return 'U';
    case LLS_JLOWER:
        return 'L';
    case LLS_JFOLD:
        return 'F';
    case LLS_JTITLE:
        return in_word ? 'L' : 'T';
    case LLS_JCAPITALIZE:
        return first ? 'T' : 'L';
    default:
        return is_upper(cp) ? 'L' : is_lower(cp) ? 'U' : ' ';
    }
}

lls_jval_t lls_jcased(lls_jrun_t *r, const lls_jstr_t *s, enum lls_jcase how)
{
    caser_t    c = {.r = r, .s = s};
    bool       in_word = false;
    lls_jval_t out;

    /* No character becomes longer than three times its bytes. */
    c.text = lls_jalloc(r, s->len * 3 + 4);
    c.mark = s->mark != NULL && c.text != NULL ? lls_jalloc(r, s->len * 3 + 4) : NULL;
    if (r->st != LLM_OK || !lls_jcharge(r, s->len / 64))
        return lls_jmissing();
    for (size_t at = 0, n; at < s->len && r->st == LLM_OK; at += n) {
        uint32_t cp = (uint8_t)s->text[at];

        n = cp < 0x80 ? 1 : lls_utf8_decode(s->text + at, s->len - at, &cp);
        n = n == 0 ? 1 : n;
        if (cp == 0x3a3)
            lls_jcharge(r, s->len / 64);
        put_mapped(&c, at, n, cp, kind_of(how, cp, at == 0, in_word));
        in_word = how == LLS_JTITLE && is_cased(cp);
    }
    out = lls_jstring(r, c.text, c.n, s->user);
    if (r->st == LLM_OK) {
        lls_jstr_t *same = (lls_jstr_t *)out.u.str;

        same->mark = c.mark;
        same->safe = s->safe;
    }
    return out;
}

bool lls_jhas_case(lls_jrun_t *r, const lls_jstr_t *s, bool upper)
{
    bool some = false;

    lls_jcharge(r, s->len / 64);
    for (size_t at = 0, n; at < s->len; at += n) {
        uint32_t cp = 0xfffd;

        n = lls_utf8_decode(s->text + at, s->len - at, &cp);
        n = n == 0 ? 1 : n;
        if (upper ? is_lower(cp) : is_upper(cp))
            return false;
        if (is_cased(cp) && !is_lower(cp) && !is_upper(cp))
            return false;
        some |= upper ? is_upper(cp) : is_lower(cp);
    }
    return some;
}

uint8_t lls_jclass_of(uint32_t cp)
{
    size_t at = lls_range_at(lls_jclass, sizeof *lls_jclass, lls_jclass_n, cp);

    return at < lls_jclass_n && lls_jclass[at].first <= cp ? lls_jclass[at].bits : 0;
}
