/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Python's strings, lists and dictionaries can do: the methods that templates call.
 */
#include "text/jinja_int.h"

#include "base/utf8.h"
#include "text/uniclass.h"

const lls_jval_t *lls_jarg(const lls_jargs_t *args, size_t pos, const char *name)
{
    if (pos < args->n_pos)
        return &args->pos[pos];
    for (size_t i = 0; i < args->n_kw; i++)
        if (lls_jis(args->kw_name[i], args->kw_len[i], name))
            return &args->kw[i];
    return NULL;
}

const lls_jstr_t *lls_jstr_arg(lls_jrun_t *r, const lls_jargs_t *args, size_t pos,
                                 const char *name)
{
    const lls_jval_t *v = lls_jarg(args, pos, name);

    if (v == NULL || v->type == JV_NONE)
        return NULL;
    if (v->type != JV_STRING) {
        lls_jraise(r, LLM_ERR_INVALID, "a string is needed here, not %s", lls_jtype_name(*v));
        return NULL;
    }
    return v->u.str;
}

const lls_jstr_t *lls_jneed_str(lls_jrun_t *r, const lls_jargs_t *args, size_t pos,
                                  const char *name)
{
    const lls_jstr_t *s = lls_jstr_arg(r, args, pos, name);

    if (s == NULL)
        lls_jraise(r, LLM_ERR_INVALID, "the argument '%s' is missing", name);
    return s;
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool is_blank(uint32_t cp)
{
    return (cp >= 0x1c && cp <= 0x1f) || (lls_uniclass_search(cp) & LLS_UC_SPACE) != 0;
}

static bool stripped(const lls_jstr_t *set, uint32_t cp)
{
    for (size_t i = 0; set != NULL && i < set->len;) {
        uint32_t c = 0xfffd;
        size_t   n = lls_utf8_decode(set->text + i, set->len - i, &c);

        if (c == cp)
            return true;
        i += n == 0 ? 1 : n;
    }
    return set == NULL && is_blank(cp);
}

/* Python's strip family; set NULL = blanks. */
lls_jval_t lls_jstrip(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *set, bool left,
                        bool right)
{
    size_t   begin = 0, end = s->len, n;
    uint32_t cp;

    while (left && begin < end && (n = lls_utf8_decode(s->text + begin, end - begin, &cp)) != 0 &&
           stripped(set, cp))
        begin += n;
    while (right && end > begin) {
        size_t at = end;
        do
            at--;
        while (at > begin && ((uint8_t)s->text[at] & 0xc0) == 0x80);
        if (lls_utf8_decode(s->text + at, end - at, &cp) == 0 || !stripped(set, cp))
            break;
        end = at;
    }
    return lls_jsubstr(r, s, begin, end - begin);
}

static char ascii_case(char c, bool upper)
{
    if (upper)
        return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

lls_jval_t lls_jcase(lls_jrun_t *r, const lls_jstr_t *s, enum lls_jcase how)
{
    lls_jval_t out = lls_jconcat(r, &s, 1);
    bool       word = false;

    for (size_t i = 0; r->st == LLM_OK && i < s->len; i++) {
        char *c = (char *)out.u.str->text + i;
        bool  letter = ascii_case(*c, true) != ascii_case(*c, false);

        if ((uint8_t)*c >= 0x80)
            return lls_jraise(r, LLM_ERR_UNSUPPORTED, "upper and lower case beyond ASCII");
        *c = ascii_case(*c, how == LLS_JUPPER || (how == LLS_JTITLE && !word) ||
                                (how == LLS_JCAPITALIZE && i == 0));
        word = letter;
    }
    return out;
}

static lls_jval_t replace(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *from,
                          const lls_jstr_t *to)
{
    const lls_jstr_t **parts;
    size_t             n = 0, count = 0, at = 0;
    lls_jval_t         piece;

    if (from->len == 0)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "replace of an empty string");
    for (const char *p = s->text;
         (p = memmem(p, s->len - (size_t)(p - s->text), from->text, from->len)); p += from->len)
        count++;
    parts = lls_jalloc(r, (2 * count + 1) * sizeof *parts);
    while (parts != NULL && r->st == LLM_OK) {
        const char *p = memmem(s->text + at, s->len - at, from->text, from->len);
        size_t      end = p != NULL ? (size_t)(p - s->text) : s->len;

        piece = lls_jsubstr(r, s, at, end - at);
        if (r->st != LLM_OK)
            break;
        parts[n++] = piece.u.str;
        if (p == NULL)
            return lls_jconcat(r, parts, n);
        parts[n++] = to;
        at = end + from->len;
    }
    return lls_jundefined();
}

bool lls_jpush(lls_jrun_t *r, lls_jval_t **items, size_t *n, size_t *cap, lls_jval_t v)
{
    if (*n == *cap) {
        lls_jval_t *grown = lls_jalloc(r, (*cap * 2 + 8) * sizeof *grown);

        if (grown == NULL)
            return false;
        if (*n != 0)
            memcpy(grown, *items, *n * sizeof v);
        *items = grown;
        *cap = *cap * 2 + 8;
    }
    (*items)[(*n)++] = v;
    return true;
}

lls_jval_t lls_jlist_of(lls_jrun_t *r, lls_jval_t *items, size_t n)
{
    lls_jlist_t *list = lls_jalloc(r, sizeof *list);

    if (list == NULL)
        return lls_jundefined();
    *list = (lls_jlist_t){ items, n };
    return (lls_jval_t){ .type = JV_LIST, .u.list = list };
}

/* sep NULL: runs of blanks. */
static lls_jval_t split(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *sep, int64_t max)
{
    lls_jval_t *items = NULL;
    size_t      n = 0, cap = 0, at = 0;

    if (sep != NULL && sep->len == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "empty separator");
    while (r->st == LLM_OK) {
        size_t   end = at, len = 0;
        uint32_t cp;

        if (sep == NULL) {
            while (at < s->len && (len = lls_utf8_decode(s->text + at, s->len - at, &cp)) != 0 &&
                   is_blank(cp))
                at += len;
            if (at >= s->len)
                break;
            for (end = at; end < s->len; end += len == 0 ? 1 : len) {
                len = lls_utf8_decode(s->text + end, s->len - end, &cp);
                if (len != 0 && is_blank(cp))
                    break;
            }
            if (max >= 0 && (int64_t)n >= max) {
                lls_jval_t rest = lls_jsubstr(r, s, at, s->len - at);
                if (r->st == LLM_OK)
                    lls_jpush(r, &items, &n, &cap, lls_jstrip(r, rest.u.str, NULL, false, true));
                break;
            }
            lls_jpush(r, &items, &n, &cap, lls_jsubstr(r, s, at, end - at));
            at = end;
        } else {
            const char *p = max >= 0 && (int64_t)n >= max
                                ? NULL : memmem(s->text + at, s->len - at, sep->text, sep->len);
            end = p != NULL ? (size_t)(p - s->text) : s->len;
            lls_jpush(r, &items, &n, &cap, lls_jsubstr(r, s, at, end - at));
            if (p == NULL)
                break;
            at = end + sep->len;
        }
    }
    return lls_jlist_of(r, items, n);
}

lls_jval_t lls_jjoin(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *sep)
{
    const lls_jstr_t **parts;
    lls_jval_t         list = lls_jiter(r, v);
    size_t             n = 0;

    if (r->st != LLM_OK)
        return lls_jundefined();
    parts = lls_jalloc(r, (list.u.list->n * 2 + 1) * sizeof *parts);
    for (size_t i = 0; parts != NULL && r->st == LLM_OK && i < list.u.list->n; i++) {
        lls_jval_t text = lls_jtext(r, list.u.list->items[i]);

        if (r->st != LLM_OK)
            break;
        if (i != 0 && sep != NULL)
            parts[n++] = sep;
        parts[n++] = text.u.str;
    }
    return r->st == LLM_OK ? lls_jconcat(r, parts, n) : lls_jundefined();
}

static bool affix(const lls_jstr_t *s, const lls_jstr_t *what, bool end)
{
    return what->len <= s->len &&
           memcmp(s->text + (end ? s->len - what->len : 0), what->text, what->len) == 0;
}

/* A string or a tuple of them. */
static lls_jval_t has_affix(lls_jrun_t *r, const lls_jstr_t *s, const lls_jargs_t *args, bool end)
{
    const lls_jval_t *v = lls_jarg(args, 0, "prefix");

    if (v != NULL && v->type == JV_LIST) {
        for (size_t i = 0; i < v->u.list->n; i++)
            if (v->u.list->items[i].type == JV_STRING && affix(s, v->u.list->items[i].u.str, end))
                return lls_jbool(true);
        return lls_jbool(false);
    }
    if (v == NULL || v->type != JV_STRING)
        return lls_jraise(r, LLM_ERR_INVALID, "startswith and endswith need a string");
    return lls_jbool(affix(s, v->u.str, end));
}

/* ---- Methods --------------------------------------------------------------------------------- */

enum method {
    M_STRIP, M_LSTRIP, M_RSTRIP, M_UPPER, M_LOWER, M_TITLE, M_CAPITALIZE, M_SPLIT, M_REPLACE,
    M_STARTSWITH, M_ENDSWITH, M_JOIN, M_FIND, M_COUNT, M_LAST_OF_STRING,
    M_ITEMS, M_KEYS, M_VALUES, M_GET, M_LAST_OF_DICT,
    M_APPEND, M_POP, M_EXTEND, M_INSERT
};

/* ORDER method */
static const char *const methods[] = {
    "strip",   "lstrip",     "rstrip",   "upper", "lower",  "title", "capitalize", "split",
    "replace", "startswith", "endswith", "join",  "find",   "count", NULL,         "items",
    "keys",    "values",     "get",      NULL,    "append", "pop",   "extend",     "insert"};

static int find_method(lls_jval_t self, const char *name, size_t len)
{
    int from = self.type == JV_STRING ? M_STRIP : self.type == JV_DICT ? M_ITEMS : M_APPEND;
    int to = self.type == JV_STRING ? M_LAST_OF_STRING
             : self.type == JV_DICT ? M_LAST_OF_DICT : (int)LLS_ARRAY_LEN(methods);

    if (self.type != JV_STRING && self.type != JV_DICT && self.type != JV_LIST)
        return -1;
    for (int i = from; i < to; i++)
        if (lls_jis(name, len, methods[i]))
            return i;
    return -1;
}

bool lls_jhas_method(lls_jval_t self, const char *name, size_t len)
{
    return find_method(self, name, len) >= 0;
}

lls_jval_t lls_jpairs(lls_jrun_t *r, const lls_jdict_t *d)
{
    lls_jval_t out = lls_jlist(r, d->n);

    for (size_t i = 0; r->st == LLM_OK && i < d->n; i++) {
        lls_jval_t pair = lls_jlist(r, 2);

        if (r->st != LLM_OK)
            break;
        pair.u.list->items[0] = d->keys[i];
        pair.u.list->items[1] = d->values[i];
        out.u.list->items[i] = pair;
    }
    return out;
}

static lls_jval_t dict_method(lls_jrun_t *r, const lls_jdict_t *d, int method,
                              const lls_jargs_t *args)
{
    const lls_jval_t *v;
    lls_jval_t        out;
    const lls_jstr_t *key;

    switch (method) {
    case M_ITEMS:
        return lls_jpairs(r, d);
    case M_KEYS:
    case M_VALUES:
        out = lls_jlist(r, d->n);
        if (r->st == LLM_OK && d->n != 0)
            memcpy(out.u.list->items, method == M_KEYS ? d->keys : d->values, d->n * sizeof out);
        return out;
    default:
        key = lls_jneed_str(r, args, 0, "key");
        if (key == NULL)
            return lls_jundefined();
        v = lls_jdict_get(d, key->text, key->len);
        if (v == NULL)
            v = lls_jarg(args, 1, "default");
        return v != NULL ? *v : lls_jnone();
    }
}

static lls_jval_t find_in(const lls_jstr_t *s, const lls_jstr_t *what)
{
    const char *p = what->len == 0 ? s->text : memmem(s->text, s->len, what->text, what->len);

    return lls_jint(p == NULL ? -1 : (int64_t)lls_jchars(s->text, (size_t)(p - s->text)));
}

static lls_jval_t count_in(const lls_jstr_t *s, const lls_jstr_t *what)
{
    int64_t n = 0;

    if (what->len == 0)
        return lls_jint((int64_t)lls_jchars(s->text, s->len) + 1);
    for (const char *p = s->text;
         (p = memmem(p, s->len - (size_t)(p - s->text), what->text, what->len)); p += what->len)
        n++;
    return lls_jint(n);
}

static lls_jval_t split_method(lls_jrun_t *r, const lls_jstr_t *s, const lls_jargs_t *args)
{
    const lls_jstr_t *sep = lls_jstr_arg(r, args, 0, "sep");
    const lls_jval_t *max = lls_jarg(args, 1, "maxsplit");

    return split(r, s, sep, max != NULL && max->type == JV_INT ? max->u.i : -1);
}

static lls_jval_t string_method(lls_jrun_t *r, const lls_jval_t *self, int method,
                                const lls_jargs_t *args)
{
    const lls_jstr_t *s = self->u.str, *a, *b;

    switch (method) {
    case M_STRIP:
    case M_LSTRIP:
    case M_RSTRIP:
        return lls_jstrip(r, s, lls_jstr_arg(r, args, 0, "chars"), method != M_RSTRIP,
                          method != M_LSTRIP);
    case M_UPPER:
    case M_LOWER:
    case M_TITLE:
    case M_CAPITALIZE:
        return lls_jcase(r, s, (enum lls_jcase)(method - M_UPPER));
    case M_SPLIT:
        return split_method(r, s, args);
    case M_STARTSWITH:
    case M_ENDSWITH:
        return has_affix(r, s, args, method == M_ENDSWITH);
    case M_JOIN:
        return args->n_pos == 1 ? lls_jjoin(r, args->pos[0], s)
                                : lls_jraise(r, LLM_ERR_INVALID, "join needs one argument");
    default:
        break;
    }
    a = lls_jneed_str(r, args, 0, "sub");
    if (a == NULL)
        return lls_jundefined();
    if (method == M_FIND)
        return find_in(s, a);
    if (method == M_COUNT)
        return count_in(s, a);
    if (args->n_pos > 2)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "replace with a count");
    b = lls_jneed_str(r, args, 1, "new");
    return b != NULL ? replace(r, s, a, b) : lls_jundefined();
}

lls_jval_t lls_jmethod(lls_jrun_t *r, lls_jval_t self, const char *name, size_t len,
                       const lls_jargs_t *args)
{
    int method = find_method(self, name, len);

    if (method < 0)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "the method '%.*s' of %s",
                          (int)(len > 40 ? 40 : len), name, lls_jtype_name(self));
    if (self.type == JV_LIST)
        return lls_jraise(r, LLM_ERR_INVALID, "'%s' would change a list, which the sandbox forbids",
                          methods[method]);
    return self.type == JV_DICT ? dict_method(r, self.u.dict, method, args)
                                : string_method(r, &self, method, args);
}
