/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena of a render, making values, dictionaries.
 */
#include "text/jinja_val.h"

#include <stdarg.h>
#include <stdio.h>

#define CHUNK ((size_t)32 << 10)
#define SMALL_DICT 8 /* keys that are looked through one by one */

struct lls_jchunk {
    struct lls_jchunk *next;
};

/* ---- Failing --------------------------------------------------------------------------------- */

lls_jval_t lls_jraise(lls_jrun_t *r, llm_status_t status, const char *fmt, ...)
{
    char    text[400];
    va_list ap;

    if (r->st != LLM_OK)
        return lls_jmissing();
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->st = r->j != NULL ? lls_jinja_fail(r->err, status, r->line, "%s", text)
                         : lls_fail(r->err, status, "%s", text);
    return lls_jmissing();
}

lls_jval_t lls_jraise_undefined(lls_jrun_t *r, lls_jval_t v)
{
    const lls_jstr_t *s = v.u.str;
    int               len = s == NULL ? 0 : s->len > 100 ? 100 : (int)s->len;

    if (s == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "a value is undefined");
    if (v.sub == JU_UNSAFE)
        return lls_jraise(r, LLM_ERR_INVALID, "'%.*s' is not allowed in the sandbox", len, s->text);
    return lls_jraise(r, LLM_ERR_INVALID,
                      v.sub == JU_NAME ? "'%.*s' is undefined" : "there is no attribute '%.*s'",
                      len, s->text);
}

bool lls_jraise_steps(lls_jrun_t *r)
{
    lls_jraise(r, LLM_ERR_INVALID, "the template needs more than %u steps", LLS_JINJA_STEPS);
    return false;
}

bool lls_jraise_depth(lls_jrun_t *r)
{
    lls_jraise(r, LLM_ERR_INVALID, "the template nests more than %d deep", LLS_JINJA_NESTING);
    return false;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static bool new_chunk(lls_jrun_t *r, size_t n)
{
    size_t             head = lls_align_up(sizeof(struct lls_jchunk), 16);
    size_t             size = (n > CHUNK ? n : CHUNK) + head;
    struct lls_jchunk *c;

    if (r->st != LLM_OK)
        return false;
    if (n > LLS_JINJA_ARENA || size > LLS_JINJA_ARENA - r->arena_bytes) {
        lls_jraise(r, LLM_ERR_INVALID, "more than 256 MiB are needed");
        return false;
    }
    c = lls_alloc(r->mem, size);
    if (c == NULL) {
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory for values");
        return false;
    }
    c->next = r->chunks;
    r->chunks = c;
    r->arena_bytes += size;
    r->free = (char *)c + head;
    r->n_free = size - head;
    return true;
}

void *lls_jalloc_chunk(lls_jrun_t *r, size_t n)
{
    if (n <= LLS_JINJA_ARENA)
        n = n == 0 ? 16 : lls_align_up(n, 16);
    if (!new_chunk(r, n))
        return NULL;
    r->free += n;
    r->n_free -= n;
    return r->free - n;
}

void lls_jarena_free(lls_jrun_t *r)
{
    while (r->chunks != NULL) {
        struct lls_jchunk *next = r->chunks->next;

        lls_free(r->mem, r->chunks);
        r->chunks = next;
    }
}

static lls_jval_t *alloc_values(lls_jrun_t *r, size_t n)
{
    if (n > LLS_JINJA_ARENA / sizeof(lls_jval_t)) {
        lls_jraise(r, LLM_ERR_INVALID, "a list of %zu elements", n);
        return NULL;
    }
    return lls_jalloc(r, n * sizeof(lls_jval_t));
}

/* ---- Strings --------------------------------------------------------------------------------- */

static lls_jval_t new_string(lls_jrun_t *r, lls_jstr_t s)
{
    lls_jstr_t *out = lls_jalloc(r, sizeof *out);

    if (out == NULL)
        return lls_jmissing();
    *out = s;
    return lls_jstrval(out);
}

lls_jval_t lls_jstring(lls_jrun_t *r, const char *text, size_t len, bool user)
{
    lls_jstr_t *out = lls_jalloc(r, sizeof *out);

    if (out == NULL)
        return lls_jmissing();
    *out = (lls_jstr_t){.text = text, .len = len, .user = user};
    return lls_jstrval(out);
}

lls_jval_t lls_jcstr(lls_jrun_t *r, const char *text)
{
    return lls_jstring(r, text, strlen(text), false);
}

lls_jval_t lls_jsubstr(lls_jrun_t *r, const lls_jstr_t *s, size_t off, size_t len)
{
    lls_jstr_t part = *s;

    part.text = s->text + off;
    part.mark = s->mark != NULL ? s->mark + off : NULL;
    part.len = len;
    return new_string(r, part);
}

lls_jval_t lls_jmark_safe(lls_jrun_t *r, const lls_jstr_t *s, bool safe)
{
    lls_jstr_t same = *s;

    same.safe = safe;
    return s->safe == safe ? lls_jstrval(s) : new_string(r, same);
}

/* Marks are needed only where parts differ in them. */
static bool uniform(const lls_jstr_t *const *parts, size_t n, bool *user)
{
    bool known = false;

    *user = false;
    for (size_t i = 0; i < n; i++) {
        if (parts[i]->len == 0)
            continue;
        if (parts[i]->mark != NULL || (known && parts[i]->user != *user))
            return false;
        *user = parts[i]->user;
        known = true;
    }
    return true;
}

static size_t total_length(lls_jrun_t *r, const lls_jstr_t *const *parts, size_t n)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        if (parts[i]->len > LLS_JINJA_ARENA - len) {
            lls_jraise(r, LLM_ERR_INVALID, "more than 256 MiB are needed");
            return 0;
        }
        len += parts[i]->len;
    }
    return lls_jcharge(r, len / 1024 + n / 16) ? len : 0;
}

lls_jval_t lls_jconcat(lls_jrun_t *r, const lls_jstr_t *const *parts, size_t n)
{
    size_t     len = total_length(r, parts, n), at = 0;
    lls_jstr_t out = {.len = len};
    bool       same = uniform(parts, n, &out.user);
    char      *text = r->st == LLM_OK ? lls_jalloc(r, len) : NULL;
    uint8_t   *mark = same || text == NULL ? NULL : lls_jalloc(r, len);

    if (r->st != LLM_OK)
        return lls_jmissing();
    for (size_t i = 0; i < n; i++) {
        const lls_jstr_t *s = parts[i];

        if (s->len == 0)
            continue;
        memcpy(text + at, s->text, s->len);
        if (mark != NULL && s->mark != NULL)
            memcpy(mark + at, s->mark, s->len);
        else if (mark != NULL)
            memset(mark + at, s->user, s->len);
        at += s->len;
    }
    out.text = text;
    out.mark = mark;
    return new_string(r, out);
}

size_t lls_jchars(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return n;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

lls_jval_t lls_jlist(lls_jrun_t *r, uint8_t type, size_t n)
{
    lls_jlist_t *list = lls_jalloc(r, sizeof *list);
    lls_jval_t  *items = list != NULL ? alloc_values(r, n) : NULL;

    if (items == NULL)
        return lls_jmissing();
    memset(items, 0, n * sizeof *items);
    *list = (lls_jlist_t){items, n};
    return (lls_jval_t){.type = type, .u.list = list};
}

lls_jval_t lls_jpair(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    lls_jval_t pair = lls_jlist(r, JV_TUPLE, 2);

    if (r->st == LLM_OK) {
        pair.u.list->items[0] = a;
        pair.u.list->items[1] = b;
    }
    return pair;
}

bool lls_jpush(lls_jrun_t *r, lls_jlist_t *list, size_t *cap, lls_jval_t v)
{
    if (r->st != LLM_OK)
        return false;
    if (list->n == *cap) {
        size_t      more = *cap * 2 + 8;
        lls_jval_t *grown = alloc_values(r, more);

        if (grown == NULL)
            return false;
        if (list->n != 0)
            memcpy(grown, list->items, list->n * sizeof v);
        list->items = grown;
        *cap = more;
    }
    list->items[list->n++] = v;
    return true;
}

/* ---- Dictionaries ---------------------------------------------------------------------------- */

lls_jval_t lls_jdict(lls_jrun_t *r, size_t cap)
{
    lls_jdict_t *d = lls_jalloc(r, sizeof *d);
    lls_jval_t  *keys = d != NULL ? alloc_values(r, 2 * cap) : NULL;

    if (keys == NULL)
        return lls_jmissing();
    *d = (lls_jdict_t){.keys = keys, .values = keys + cap, .cap = cap};
    return (lls_jval_t){.type = JV_DICT, .u.dict = d};
}

/* The place in the index where key is or belongs. */
static uint32_t *place_of(lls_jrun_t *r, const lls_jdict_t *d, lls_jval_t key)
{
    size_t mask = d->index_cap - 1, at = (size_t)lls_jhash(key) & mask, tries = 0;

    for (; d->index[at] != LLS_NONE; at = (at + 1) & mask, tries++)
        if (lls_jequal(r, d->keys[d->index[at]], key))
            break;
    lls_jcharge(r, tries / 16);
    return &d->index[at];
}

static bool make_index(lls_jrun_t *r, lls_jdict_t *d)
{
    size_t cap = 32;

    while (cap < d->n * 3)
        cap *= 2;
    d->index = lls_jalloc(r, cap * sizeof *d->index);
    if (d->index == NULL)
        return false;
    d->index_cap = cap;
    memset(d->index, 0xff, cap * sizeof *d->index);
    for (size_t i = 0; i < d->n && r->st == LLM_OK; i++)
        *place_of(r, d, d->keys[i]) = (uint32_t)i;
    return r->st == LLM_OK;
}

static const lls_jval_t *find_text(const lls_jdict_t *d, const lls_jstr_t *key)
{
    for (size_t i = 0; i < d->n; i++) {
        const lls_jstr_t *s = d->keys[i].u.str;

        if (d->keys[i].type == JV_STRING && s->len == key->len &&
            lls_jsame(s->text, key->text, s->len))
            return &d->values[i];
    }
    return NULL;
}

const lls_jval_t *lls_jdict_get(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key)
{
    uint32_t at;

    if (d->n > SMALL_DICT) {
        if (d->index == NULL && !make_index(r, d))
            return NULL;
        at = *place_of(r, d, key);
        return at != LLS_NONE ? &d->values[at] : NULL;
    }
    if (key.type == JV_STRING)
        return find_text(d, key.u.str);
    for (size_t i = 0; i < d->n; i++)
        if (lls_jequal(r, d->keys[i], key))
            return &d->values[i];
    return NULL;
}

const lls_jval_t *lls_jdict_text(lls_jrun_t *r, lls_jdict_t *d, const lls_jstr_t *key)
{
    return lls_jdict_get(r, d, lls_jstrval(key));
}

static bool grow_dict(lls_jrun_t *r, lls_jdict_t *d)
{
    lls_jval_t grown = lls_jdict(r, d->cap * 2 + 4);

    if (r->st != LLM_OK)
        return false;
    if (d->n != 0) {
        memcpy(grown.u.dict->keys, d->keys, d->n * sizeof *d->keys);
        memcpy(grown.u.dict->values, d->values, d->n * sizeof *d->values);
    }
    d->keys = grown.u.dict->keys;
    d->values = grown.u.dict->values;
    d->cap = grown.u.dict->cap;
    return true;
}

bool lls_jdict_put(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key, lls_jval_t value)
{
    const lls_jval_t *old;

    if (r->st != LLM_OK)
        return false;
    if (!lls_jhashable(key)) {
        lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be a key", lls_jtype_name(key));
        return false;
    }
    old = lls_jdict_get(r, d, key);
    if (r->st != LLM_OK)
        return false;
    if (old != NULL) {
        d->values[old - d->values] = value;
        return true;
    }
    if (d->n == d->cap && !grow_dict(r, d))
        return false;
    d->keys[d->n] = key;
    d->values[d->n++] = value;
    if (d->index != NULL && d->n * 3 > d->index_cap * 2)
        d->index = NULL; /* made anew when it is next needed */
    else if (d->index != NULL)
        *place_of(r, d, key) = (uint32_t)(d->n - 1);
    return r->st == LLM_OK;
}

static bool same_key(lls_jval_t a, lls_jval_t b)
{
    return a.u.str->len == b.u.str->len && lls_jsame(a.u.str->text, b.u.str->text, a.u.str->len);
}

/* Whether one of the first n of alternating keys and values has this key. */
static bool has_key(const lls_jval_t *pairs, size_t n, lls_jval_t key)
{
    for (size_t i = 0; i < n; i++)
        if (same_key(pairs[2 * i], key))
            return true;
    return false;
}

lls_jval_t lls_jdict_of(lls_jrun_t *r, const lls_jval_t *pairs, size_t n)
{
    lls_jval_t   out = lls_jdict(r, n);
    lls_jdict_t *d = out.u.dict;

    for (size_t i = 0; r->st == LLM_OK && i < n; i++) {
        if (n > SMALL_DICT || has_key(pairs, i, pairs[2 * i])) {
            lls_jdict_put(r, d, pairs[2 * i], pairs[2 * i + 1]);
            continue;
        }
        d->keys[d->n] = pairs[2 * i];
        d->values[d->n++] = pairs[2 * i + 1];
    }
    if (r->st == LLM_OK && d->n > SMALL_DICT && d->index == NULL)
        make_index(r, d); /* who looks something up later may be on another thread */
    return r->st == LLM_OK ? out : lls_jmissing();
}
