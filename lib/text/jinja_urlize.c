/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter urlize: words that are addresses become links.
 */
#include "text/jinja_filter.h"

#include "base/utf8.h"
#include "text/jinja_case.h"

typedef struct part { /* of a text */
    const char *p;
    size_t      n;
} part_t;

typedef struct linker {
    lls_jrun_t *r;
    lls_jval_t  out; /* pieces of text */
    size_t      cap;
    bool        user;
    int64_t     trim; /* -1 = not */
    lls_jval_t  attributes;
    lls_jval_t  schemes; /* a list of strings */
} linker_t;

static bool begins(part_t s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p, with, n) == 0;
}

static bool ends(part_t s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && memcmp(s.p + s.n - n, with, n) == 0;
}

static bool begins_caseless(part_t s, const char *with)
{
    size_t n = strlen(with);

    return s.n >= n && strncasecmp(s.p, with, n) == 0;
}

static part_t behind(part_t s, size_t n) { return (part_t){s.p + n, s.n - n}; }

/* Bytes of the character at the front if \w, or one of `more`, takes it. */
static size_t word_char(part_t s, const char *more)
{
    uint32_t cp = 0xfffd;
    size_t   n = s.n != 0 ? lls_utf8_decode(s.p, s.n, &cp) : 0;

    if (n == 0)
        return 0;
    return cp == '_' || (lls_jclass_of(cp) & LLS_JALNUM) != 0 ||
                   (cp < 0x80 && strchr(more, (int)cp) != NULL)
               ? n
               : 0;
}

static size_t span_of(part_t s, const char *more)
{
    size_t at = 0, n;

    while ((n = word_char(behind(s, at), more)) != 0)
        at += n;
    return at;
}

static size_t digits_of(part_t s, size_t most)
{
    size_t n = 0;

    while (n < s.n && n < most && s.p[n] >= '0' && s.p[n] <= '9')
        n++;
    return n;
}

/* ---- Addresses ------------------------------------------------------------------------------- */

/* Behind a host: a port, a path or neither. */
static bool is_tail(part_t s)
{
    size_t digits = s.n != 0 && s.p[0] == ':' ? digits_of(behind(s, 1), 5) : 0;

    if (digits != 0)
        s = behind(s, 1 + digits);
    return s.n == 0 || s.p[0] == '/' || s.p[0] == '?' || s.p[0] == '#';
}

static bool is_top(part_t s)
{
    if (begins_caseless(s, "xn--")) {
        size_t chars = lls_jchars(s.p, s.n) - 4;

        if (chars >= 2 && chars <= 59 && span_of(behind(s, 4), "%") == s.n - 4)
            return true;
    }
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] | 32) < 'a' || (s.p[i] | 32) > 'z')
            return false;
    return s.n >= 2 && s.n <= 63;
}

static bool is_common_top(part_t s)
{
    static const char *const tops[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(tops); i++)
        if (strlen(tops[i]) == s.n && begins_caseless(s, tops[i]))
            return true;
    return false;
}

/* Labels with dots between; without a scheme they are longer and there are two at least. */
static bool is_host(part_t s, bool scheme)
{
    for (size_t labels = 0;; labels++) {
        const char *dot = memchr(s.p, '.', s.n);
        part_t      label = {s.p, dot != NULL ? (size_t)(dot - s.p) : s.n};
        size_t      chars = lls_jchars(label.p, label.n);

        if (dot == NULL)
            return scheme ? is_top(label) : labels != 0 && is_common_top(label);
        if (chars < (scheme ? 1 : 2) || (!scheme && chars > 63))
            return false;
        s = behind(s, label.n + 1);
    }
}

static size_t ip_v4(part_t s)
{
    size_t at = 0, n;

    for (int i = 0; i < 4; i++) {
        if (i != 0 && (at >= s.n || s.p[at++] != '.'))
            return 0;
        n = digits_of(behind(s, at), 3);
        if (n == 0)
            return 0;
        at += n;
    }
    return at;
}

static size_t ip_v6(part_t s)
{
    size_t at = 1;

    if (s.n == 0 || s.p[0] != '[')
        return 0;
    for (int i = 0; i < 8; i++) {
        size_t hex = 0;

        while (hex < 4 && at < s.n && strchr("0123456789abcdefABCDEF", s.p[at]) != NULL) {
            hex++;
            at++;
        }
        if (at < s.n && s.p[at] == ':')
            at++;
        else if (i < 2)
            return 0;
    }
    return at < s.n && s.p[at] == ']' ? at + 1 : 0;
}

static bool is_web_address(part_t s)
{
    size_t scheme = begins_caseless(s, "https://") ? 8 : begins_caseless(s, "http://") ? 7 : 0;
    size_t skip = scheme != 0 ? scheme : begins_caseless(s, "www.") ? 4 : 0;
    size_t host = span_of(behind(s, skip), "%-."), ip;

    if (skip != 0 && is_host((part_t){s.p + skip, host}, true) && is_tail(behind(s, skip + host)))
        return true;
    if (scheme == 0) {
        host = span_of(s, "%-.");
        return is_host((part_t){s.p, host}, false) && is_tail(behind(s, host));
    }
    s = behind(s, scheme);
    ip = ip_v4(s);
    ip = ip != 0 ? ip : ip_v6(s);
    return ip != 0 && is_tail(behind(s, ip));
}

static bool is_mail_domain(part_t s)
{
    const char *dot = s.n != 0 ? memrchr(s.p, '.', s.n) : NULL;
    part_t      last = {dot != NULL ? dot + 1 : s.p, 0};

    last.n = (size_t)(s.p + s.n - last.p);
    return dot != NULL && word_char(s, "") != 0 && span_of(s, ".-") == s.n && last.n != 0 &&
           span_of(last, "") == last.n && dot != s.p;
}

static bool is_mail_address(part_t s)
{
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] == '@' && is_mail_domain(behind(s, i + 1)))
            return true;
    return false;
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void put(linker_t *k, part_t s)
{
    if (s.n != 0 && k->r->st == LLM_OK)
        lls_jpush(k->r, k->out.u.list, &k->cap, lls_jstring(k->r, s.p, s.n, k->user));
}

static void put_c(linker_t *k, const char *text)
{
    if (k->r->st == LLM_OK)
        lls_jpush(k->r, k->out.u.list, &k->cap, lls_jcstr(k->r, text));
}

static void put_link(linker_t *k, const char *scheme, part_t to, part_t text, bool attributes)
{
    lls_jstr_t s = {.text = text.p, .len = text.n};
    bool       cut = k->trim >= 0 && (int64_t)lls_jchars(text.p, text.n) > k->trim;

    put_c(k, "<a href=\"");
    put_c(k, scheme);
    put(k, to);
    put_c(k, "\"");
    if (attributes && k->r->st == LLM_OK)
        lls_jpush(k->r, k->out.u.list, &k->cap, k->attributes);
    put_c(k, ">");
    if (attributes && cut)
        text.n = lls_jchar_offset(&s, k->trim);
    put(k, text);
    put_c(k, attributes && cut ? "...</a>" : "</a>");
}

static bool put_other_scheme(linker_t *k, part_t s)
{
    int64_t trim = k->trim;
    bool    put_one = false;

    k->trim = -1;
    for (size_t i = 0; !put_one && i < k->schemes.u.list->n; i++) {
        const lls_jstr_t *scheme = k->schemes.u.list->items[i].u.str;

        put_one = s.n > scheme->len && memcmp(s.p, scheme->text, scheme->len) == 0;
        if (put_one)
            put_link(k, "", s, s, true);
    }
    k->trim = trim;
    return put_one;
}

static void put_address(linker_t *k, part_t s)
{
    if (is_web_address(s))
        put_link(k, begins(s, "https://") || begins(s, "http://") ? "" : "https://", s, s, true);
    else if (begins(s, "mailto:") && is_mail_address(behind(s, 7)))
        put_link(k, "", s, behind(s, 7), false);
    else if (memchr(s.p, '@', s.n) != NULL && !begins(s, "www.") && !begins(s, "@") &&
             memchr(s.p, ':', s.n) == NULL && is_mail_address(s))
        put_link(k, "mailto:", s, s, false);
    else if (!put_other_scheme(k, s))
        put(k, s);
}

static const char *const opening[] = {"(", "<", "&lt;"}, *const closing[] = {")", ">", "&gt;"};

static size_t count_of(part_t s, const char *what)
{
    size_t      n = 0;
    const char *p;

    while ((p = memmem(s.p, s.n, what, strlen(what))) != NULL) {
        s = behind(s, (size_t)(p - s.p) + strlen(what));
        n++;
    }
    return n;
}

/* Takes signs off the end; *tail is what is off. */
static void split_tail(part_t *middle, part_t *tail)
{
    static const char *const signs[] = {")", ">", ".", ",", "\n", "&gt;"};
    size_t                   whole = middle->n;
    bool                     more = true;

    while (more) {
        more = false;
        for (size_t i = 0; !more && i < LLS_ARRAY_LEN(signs); i++) {
            more = ends(*middle, signs[i]);
            if (more)
                middle->n -= strlen(signs[i]);
        }
    }
    tail->p = middle->p + middle->n;
    tail->n = whole - middle->n;
}

static void put_word(linker_t *k, part_t word)
{
    part_t middle = word, tail;
    bool   more = true;

    while (more) {
        more = false;
        for (size_t i = 0; !more && i < LLS_ARRAY_LEN(opening); i++) {
            more = begins(middle, opening[i]);
            if (more)
                middle = behind(middle, strlen(opening[i]));
        }
    }
    put(k, (part_t){word.p, word.n - middle.n});
    split_tail(&middle, &tail);
    /* Brackets that are open in the address close in it. */
    for (size_t i = 0; i < LLS_ARRAY_LEN(opening); i++) {
        size_t open = count_of(middle, opening[i]), n = count_of(tail, closing[i]);

        if (open <= count_of(middle, closing[i]))
            continue;
        for (n = n < open ? n : open; n > 0; n--) {
            const char *p = memmem(tail.p, tail.n, closing[i], strlen(closing[i]));
            size_t      take = (size_t)(p - tail.p) + strlen(closing[i]);

            middle.n += take;
            tail = behind(tail, take);
        }
    }
    put_address(k, middle);
    put(k, tail);
}

/* ---- The filter ------------------------------------------------------------------------------ */

/* The words of rel, "noopener" and perhaps "nofollow", each once, in order. */
static lls_jval_t rel_of(lls_jrun_t *r, const lls_jstr_t *given, bool nofollow)
{
    lls_jval_t words = lls_jlist(r, JV_LIST, 0), keys, once;
    size_t     cap = 0, from = 0;

    lls_jpush(r, words.u.list, &cap, lls_jcstr(r, "noopener"));
    if (nofollow)
        lls_jpush(r, words.u.list, &cap, lls_jcstr(r, "nofollow"));
    while (r->st == LLM_OK && given != NULL && from < given->len) {
        size_t n = lls_jinja_blank(given->text + from, given->len - from), end = from;

        if (n != 0) {
            from += n;
            continue;
        }
        while (end < given->len && lls_jinja_blank(given->text + end, given->len - end) == 0)
            end++;
        lls_jpush(r, words.u.list, &cap, lls_jsubstr(r, given, from, end - from));
        from = end;
    }
    once = lls_jdict(r, 4);
    for (size_t i = 0; r->st == LLM_OK && i < words.u.list->n; i++)
        lls_jdict_put(r, once.u.dict, words.u.list->items[i], lls_jnone());
    words = r->st == LLM_OK ? lls_jlist_of(r, once) : once;
    keys = r->st == LLM_OK ? lls_jlist_of(r, words) : words;
    if (r->st == LLM_OK)
        lls_jsort(r, words.u.list->items, keys.u.list->items, words.u.list->n, false);
    return r->st == LLM_OK ? lls_jjoin(r, words, &(lls_jstr_t){.text = " ", .len = 1}, true)
                           : words;
}

static lls_jval_t attributes_of(lls_jrun_t *r, lls_jval_t rel, const lls_jstr_t *target)
{
    lls_jval_t out = lls_jlist(r, JV_LIST, 0);
    size_t     cap = 0;

    lls_jpush(r, out.u.list, &cap, lls_jcstr(r, " rel=\""));
    if (r->st == LLM_OK)
        lls_jpush(r, out.u.list, &cap, lls_jescape(r, rel));
    lls_jpush(r, out.u.list, &cap, lls_jcstr(r, "\""));
    if (r->st == LLM_OK && target != NULL && target->len != 0) {
        lls_jpush(r, out.u.list, &cap, lls_jcstr(r, " target=\""));
        lls_jpush(r, out.u.list, &cap, lls_jescape(r, lls_jstrval(target)));
        lls_jpush(r, out.u.list, &cap, lls_jcstr(r, "\""));
    }
    return r->st == LLM_OK ? lls_jjoin(r, out, &(lls_jstr_t){.text = ""}, true) : out;
}

/* [\w.+-]{2,} : and up to two slashes */
static bool is_scheme(const lls_jstr_t *s)
{
    part_t all = {s->text, s->len};
    size_t n = span_of(all, ".+-");

    return lls_jchars(s->text, n) >= 2 && n < s->len && s->text[n] == ':' && s->len - n <= 3 &&
           count_of(behind(all, n + 1), "/") == s->len - n - 1;
}

static lls_jval_t schemes_of(lls_jrun_t *r, lls_jval_t given)
{
    lls_jval_t out = given.type == JV_MISSING || given.type == JV_NONE ? lls_jlist(r, JV_LIST, 0)
                                                                       : lls_jlist_of(r, given);

    for (size_t i = 0; r->st == LLM_OK && i < out.u.list->n; i++) {
        lls_jval_t v = out.u.list->items[i];

        if (v.type != JV_STRING || !is_scheme(v.u.str))
            lls_jraise(r, LLM_ERR_INVALID, "urlize was given what is no scheme");
    }
    return out;
}

FILTER_OF(lls_jf_urlize)
{
    const lls_jstr_t *rel = lls_jstr_arg(r, a[3]), *target = lls_jstr_arg(r, a[2]), *s;
    linker_t          k = {.r = r, .out = lls_jlist(r, JV_LIST, 0), .trim = -1};
    lls_jval_t        text = lls_jescape(r, self);
    size_t            at = 0;

    UNUSED;
    if (a[0].type != JV_MISSING && a[0].type != JV_NONE)
        k.trim = lls_jint_arg(r, a[0], -1);
    if (r->st == LLM_OK)
        k.attributes = attributes_of(r, rel_of(r, rel, lls_jflag(a[1], false)), target);
    k.schemes = schemes_of(r, a[4]);
    if (r->st != LLM_OK)
        return lls_jmissing();
    s = text.u.str;
    k.user = s->user || s->mark != NULL;
    while (at < s->len && r->st == LLM_OK && lls_jcharge(r, 1)) {
        size_t end = at, n;

        while (end < s->len && lls_jinja_blank(s->text + end, s->len - end) == 0)
            end++;
        if (end > at)
            put_word(&k, (part_t){s->text + at, end - at});
        for (at = end; at < s->len && (n = lls_jinja_blank(s->text + at, s->len - at)) != 0;)
            at += n;
        put(&k, (part_t){s->text + end, at - end});
    }
    text = r->st == LLM_OK ? lls_jjoin(r, k.out, &(lls_jstr_t){.text = ""}, true) : text;
    return r->st == LLM_OK ? lls_jmark_safe(r, text.u.str, false) : lls_jmissing();
}
