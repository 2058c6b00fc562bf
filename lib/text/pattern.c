/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern.h"

#include "base/utf8.h"

/* ---- Scanners -------------------------------------------------------------------------------- */

typedef struct scan {
    const lls_uniclass_t *classes;
    const char           *text;
    size_t                len;
} scan_t;

#define LN (LLS_UC_LETTER | LLS_UC_NUMBER)
#define LNS (LN | LLS_UC_SPACE)

/* The class of the character at i, its bytes in *n; the text is UTF-8 and i < len. */
static inline uint8_t class_at(const scan_t *s, size_t i, size_t *n)
{
    const uint8_t *p = (const uint8_t *)s->text + i;

    if (p[0] < 0x80) {
        *n = 1;
        return s->classes->plane0[p[0]];
    }
    if (p[0] < 0xe0) {
        *n = 2;
        return s->classes->plane0[(p[0] & 31u) << 6 | (p[1] & 63u)];
    }
    if (p[0] < 0xf0) {
        *n = 3;
        return s->classes->plane0[(p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u)];
    }
    *n = 4;
    return lls_uniclass_search((p[0] & 7u) << 18 | (p[1] & 63u) << 12 | (p[2] & 63u) << 6 |
                               (p[3] & 63u));
}

/* The end of the run from i of characters whose class has a bit of `any` or, if `none`, has no bit.
 */
static inline size_t run_of(const scan_t *s, size_t i, uint8_t any, bool none)
{
    size_t n;

    while (i < s->len && ((class_at(s, i, &n) & any) == 0) == none)
        i += n;
    return i;
}

static inline bool is_newline(char c)
{
    return c == '\r' || c == '\n';
}

static size_t contraction(const scan_t *s)
{
    const char *p = s->text;

    if (s->len < 2 || p[0] != '\'')
        return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd')
        return 2;
    if (s->len < 3)
        return 0;
    if ((p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') ||
        (p[1] == 'l' && p[2] == 'l'))
        return 3;
    return 0;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d): U+017F folds to s. */
static size_t contraction_any_case(const scan_t *s)
{
    char   low[3] = { '\'' };
    size_t n = s->len < 3 ? s->len : 3;
    scan_t t = { s->classes, low, n };

    if (s->text[0] != '\'' || n < 2)
        return 0;
    if (n == 3 && memcmp(s->text + 1, "\xc5\xbf", 2) == 0)
        return 3;
    for (size_t i = 1; i < n; i++) {
        uint8_t c = (uint8_t)s->text[i];
        low[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return contraction(&t);
}

/* \s+(?!\S)|\s+ at a blank: all of the run but its last, unless nothing follows. */
static size_t blanks(const scan_t *s)
{
    size_t i = 0, last = 0, n;

    while (i < s->len && (class_at(s, i, &n) & LLS_UC_SPACE) != 0) {
        last = i;
        i += n;
    }
    return i == s->len || last == 0 ? i : last;
}

static size_t scan_gpt2(const scan_t *s)
{
    size_t  n, at = contraction(s);
    uint8_t c;

    if (at != 0)
        return at;
    c = class_at(s, 0, &n);
    if (s->text[0] == ' ' && s->len > 1) {
        size_t m;
        c = class_at(s, 1, &m);
        n = 1 + m;
    }
    if ((c & LLS_UC_LETTER) != 0)
        return run_of(s, n, LLS_UC_LETTER, false);
    if ((c & LLS_UC_NUMBER) != 0)
        return run_of(s, n, LLS_UC_NUMBER, false);
    if ((c & LLS_UC_SPACE) == 0)
        return run_of(s, n, LNS, true);
    return blanks(s);
}

/* \s*[\r\n]+ : up to the last newline of the run of blanks; 0 if there is none. */
static size_t blank_lines(const scan_t *s)
{
    size_t end = 0, n;

    for (size_t i = 0; i < s->len && (class_at(s, i, &n) & LLS_UC_SPACE) != 0; i += n)
        if (is_newline(s->text[i]))
            end = i + 1;
    return end;
}

static size_t scan_cl100k(const scan_t *s, uint32_t max_digits)
{
    size_t  n, m, i, at = contraction_any_case(s);
    uint8_t c;

    if (at != 0)
        return at;
    c = class_at(s, 0, &n);
    if ((c & LLS_UC_LETTER) != 0)
        return run_of(s, n, LLS_UC_LETTER, false);
    if ((c & LLS_UC_NUMBER) != 0) {
        for (i = n; --max_digits > 0 && i < s->len && (class_at(s, i, &m) & LLS_UC_NUMBER) != 0;)
            i += m;
        return i;
    }
    if (!is_newline(s->text[0]) && n < s->len && (class_at(s, n, &m) & LLS_UC_LETTER) != 0)
        return run_of(s, n + m, LLS_UC_LETTER, false);
    if ((c & LLS_UC_SPACE) != 0 &&
        (s->text[0] != ' ' || n == s->len || (class_at(s, n, &m) & LNS) != 0)) {
        at = blank_lines(s);
        return at != 0 ? at : blanks(s);
    }
    i = run_of(s, (c & LLS_UC_SPACE) != 0 ? n + m : n, LNS, true);
    while (i < s->len && is_newline(s->text[i]))
        i++;
    return i;
}

/* ---- o200k: words are cut where the case changes --------------------------------------------- */

typedef struct cased {
    const lls_unicat_t *cats;
    scan_t              s;
} cased_t;

enum { UPPER_LIKE = 1, LOWER_LIKE = 2 };        /* letters without case and marks are both */

static inline uint8_t case_at(const cased_t *c, size_t i, size_t *n)
{
    uint8_t  class = class_at(&c->s, i, n), cat;
    uint32_t cp;

    if ((class & (LLS_UC_LETTER | LLS_UC_MARK)) == 0)
        return 0;
    if (*n == 1)
        return c->s.text[i] >= 'a' ? LOWER_LIKE : UPPER_LIKE;
    lls_utf8_decode(c->s.text + i, *n, &cp);
    cat = lls_unicat(c->cats, cp);
    return (cat & LLS_CAT_UPPER) != 0   ? UPPER_LIKE
           : (cat & LLS_CAT_LOWER) != 0 ? LOWER_LIKE : UPPER_LIKE | LOWER_LIKE;
}

/* upper* lower+, or where there is no lower upper+; the end, or `from` if there is neither.  What
 * is both is upper first, and the last such is given back if no lower follows. */
static size_t cased_word(const cased_t *c, size_t from, bool need_lower)
{
    size_t  i = from, back = from, n;
    uint8_t like = 0;

    while (i < c->s.len && ((like = case_at(c, i, &n)) & UPPER_LIKE) != 0) {
        i += n;
        if ((like & LOWER_LIKE) != 0)
            back = i;
    }
    if (i == c->s.len || (like & LOWER_LIKE) == 0)
        return back != from || need_lower ? back : i;
    while (i < c->s.len && (case_at(c, i, &n) & LOWER_LIKE) != 0)
        i += n;
    return i;
}

static size_t contraction_behind(const cased_t *c, size_t end)
{
    scan_t rest = { c->s.classes, c->s.text + end, c->s.len - end };

    return rest.len == 0 ? end : end + contraction_any_case(&rest);
}

/* A word, perhaps with another character before it: 0 if there is none. */
static size_t scan_word(const cased_t *c)
{
    size_t n, end;
    bool   before = (class_at(&c->s, 0, &n) & LN) == 0 && !is_newline(c->s.text[0]);

    if (before && (end = cased_word(c, n, true)) != n)
        return end;
    end = cased_word(c, 0, true);
    if (end == 0 && before && (end = cased_word(c, n, false)) == n)
        end = 0;
    return end != 0 || before ? end : cased_word(c, 0, false);
}

static size_t scan_o200k(const cased_t *c, uint32_t max_digits)
{
    const scan_t *s = &c->s;
    size_t        n, m, i, at = scan_word(c);
    uint8_t       class;

    if (at != 0)
        return max_digits == 3 ? contraction_behind(c, at) : at;
    class = class_at(s, 0, &n);
    if ((class & LLS_UC_NUMBER) != 0) {
        for (i = n; --max_digits > 0 && i < s->len && (class_at(s, i, &m) & LLS_UC_NUMBER) != 0;)
            i += m;
        return i;
    }
    if ((class & LLS_UC_SPACE) != 0 &&
        (s->text[0] != ' ' || n == s->len || (class_at(s, n, &m) & LNS) != 0)) {
        at = blank_lines(s);
        return at != 0 ? at : blanks(s);
    }
    i = run_of(s, (class & LLS_UC_SPACE) != 0 ? n + m : n, LNS, true);
    while (i < s->len && (is_newline(s->text[i]) || s->text[i] == '/'))
        i++;
    return i;
}

size_t lls_pattern_scan(const lls_pattern_t *p, const lls_pattern_ctx_t *ctx, const char *text,
                        size_t len)
{
    scan_t  s = { ctx->classes, text, len };
    cased_t c = { ctx->cats, s };

    switch (p->kind) {
    case LLS_PAT_GPT2: return scan_gpt2(&s);
    case LLS_PAT_O200K: return scan_o200k(&c, p->param);
    default: return scan_cl100k(&s, p->param);
    }
}

bool lls_pattern_is_total(const lls_pattern_t *p)
{
    return p->kind == LLS_PAT_GPT2 || p->kind == LLS_PAT_CL100K || p->kind == LLS_PAT_O200K;
}

/* ---- Patterns -------------------------------------------------------------------------------- */

#define TAIL3                                                                                      \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "                                                 \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL1                                                                                      \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "                                                      \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

#define UPPER "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAIL_O200K                                                                                 \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct known {
    const char *regex;
    uint8_t     kind;
    uint32_t    param;
} known[] = {
    { "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
      LLS_PAT_GPT2, 0 },
    { CONTRACTIONS TAIL3, LLS_PAT_CL100K, 3 },
    { CONTRACTIONS TAIL1, LLS_PAT_CL100K, 1 },
    { CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*"
                   "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", LLS_PAT_CL100K, 3 },
    { UPPER "*" LOWER "+" CONTRACTIONS "?|" UPPER "+" LOWER "*" CONTRACTIONS "?|\\p{N}{1,3}"
      TAIL_O200K, LLS_PAT_O200K, 3 },
    { UPPER "*" LOWER "+|" UPPER "+" LOWER "*|\\p{N}" TAIL_O200K, LLS_PAT_O200K, 1 },
    { "[0-9][0-9][0-9]", LLS_PAT_DIGITS3, 0 },
};

llm_status_t lls_pattern_regex(lls_pattern_t *p, lls_mem_t *mem, const char *where,
                               const char *regex, size_t len, bool plain, llm_error_t *err)
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < LLS_ARRAY_LEN(known); i++) {
        if (strlen(known[i].regex) != len || memcmp(known[i].regex, regex, len) != 0 ||
            (plain && known[i].kind != LLS_PAT_DIGITS3))
            continue;
        p->kind = known[i].kind;
        p->param = known[i].param;
        return LLM_OK;
    }
    p->kind = LLS_PAT_REGEX;
    return lls_regex_compile(mem, where, regex, len, &p->regex, err);
}

llm_status_t lls_pattern_literal(lls_pattern_t *p, lls_mem_t *mem, const char *text, size_t len,
                                 llm_error_t *err)
{
    memset(p, 0, sizeof *p);
    p->kind = LLS_PAT_LITERAL;
    p->len = len;
    p->text = lls_strndup(mem, text, len);
    return p->text != NULL ? LLM_OK : lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a pattern");
}

void lls_pattern_deinit(lls_pattern_t *p, lls_mem_t *mem)
{
    lls_free(mem, p->text);
    lls_regex_free(p->regex);
    memset(p, 0, sizeof *p);
}

#define SHORT_LITERAL 4u                /* bytes: a character, for which memmem() starts slowly */

static const char *find_short(const lls_pattern_t *p, const char *at, size_t len)
{
    const char *end = at + len;

    while ((at = memchr(at, p->text[0], (size_t)(end - at))) != NULL) {
        if ((size_t)(end - at) >= p->len && memcmp(at, p->text, p->len) == 0)
            return at;
        at++;
    }
    return NULL;
}

static int find_literal(const lls_pattern_t *p, const char *text, size_t len, size_t from,
                        size_t *begin, size_t *end)
{
    const char *at = p->len > SHORT_LITERAL ? memmem(text + from, len - from, p->text, p->len)
                                            : find_short(p, text + from, len - from);

    if (at == NULL)
        return 0;
    *begin = (size_t)(at - text);
    *end = *begin + p->len;
    return 1;
}

static int find_class(const lls_pattern_t *p, const lls_uniclass_t *classes, const char *text,
                      size_t len, size_t from, size_t *begin, size_t *end)
{
    scan_t s = { classes, text, len };
    size_t n;

    for (size_t i = from; i < len; i += n) {
        if ((class_at(&s, i, &n) & p->param) == 0)
            continue;
        *begin = i;
        *end = i + n;
        return 1;
    }
    return 0;
}

static int find_words(const lls_uniclass_t *classes, const char *text, size_t len, size_t from,
                      size_t *begin, size_t *end)
{
    scan_t  s = { classes, text, len };
    size_t  i = run_of(&s, from, LLS_UC_SPACE, false), n;
    uint8_t c;

    if (i == len)
        return 0;
    c = class_at(&s, i, &n);
    *begin = i;
    *end = (c & LLS_UC_WORD) != 0 ? run_of(&s, i, LLS_UC_WORD, false)
                                  : run_of(&s, i, LLS_UC_WORD | LLS_UC_SPACE, true);
    return 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int find_digits3(const char *text, size_t len, size_t from, size_t *begin, size_t *end)
{
    for (size_t i = from; i + 3 <= len; i++) {
        if (!is_digit(text[i]) || !is_digit(text[i + 1]) || !is_digit(text[i + 2]))
            continue;
        *begin = i;
        *end = i + 3;
        return 1;
    }
    return 0;
}

int lls_pattern_find(const lls_pattern_t *p, const lls_pattern_ctx_t *ctx, const char *text,
                     size_t len, size_t from, size_t *begin, size_t *end)
{
    if (from >= len && p->kind != LLS_PAT_REGEX)
        return 0;
    switch (p->kind) {
    case LLS_PAT_LITERAL:
        return find_literal(p, text, len, from, begin, end);
    case LLS_PAT_REGEX:
        return lls_regex_find(p->regex, ctx->match, text, len, from, begin, end, ctx->err);
    case LLS_PAT_CLASS:
        return find_class(p, ctx->classes, text, len, from, begin, end);
    case LLS_PAT_WORDS:
        return find_words(ctx->classes, text, len, from, begin, end);
    case LLS_PAT_DIGITS3:
        return find_digits3(text, len, from, begin, end);
    default:
        *begin = from;
        *end = from + lls_pattern_scan(p, ctx, text + from, len - from);
        return 1;
    }
}
