/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments with bare keys, {city:<|"|>Rome<|"|>,days:[1,2]}: they become JSON as they are read.
 * Text stands between quotes that are markers; bare words are numbers, true, false, null or text.
 */
#include "text/dialect_int.h"

#include "base/utf8.h"

#define MAX_WORD 500u

void lls_dp_bare_begin(lls_dparse_t *p)
{
    p->state = DP_BARE;
    p->bare = BK_VALUE;
    p->n_nest = 0;
}

static bool in_object(const lls_dparse_t *p)
{
    return p->n_nest > 0 && p->nest[p->n_nest - 1] == '{';
}

/* A member of an object or an element of a list begins. */
static void separate(lls_dparse_t *p)
{
    if (p->n_nest == 0)
        return;
    if (!p->nest_first[p->n_nest - 1])
        lls_dp_args(p, ", ", 2);
    p->nest_first[p->n_nest - 1] = false;
}

static void element(lls_dparse_t *p)
{
    if (in_object(p))
        return;
    separate(p);
    p->types_of_value = DP_STRING;
}

static bool nest(lls_dparse_t *p, char c)
{
    if (p->n_nest == DP_MAX_DEPTH)
        return false;
    element(p);
    p->nest[p->n_nest] = c;
    p->nest_first[p->n_nest++] = true;
    p->key.len = 0;
    p->bare = c == '{' ? BK_KEY : BK_VALUE;
    lls_dp_args(p, &c, 1);
    return true;
}

static bool unnest(lls_dparse_t *p, char c)
{
    if (p->n_nest == 0 || c != (in_object(p) ? '}' : ']'))
        return false;
    lls_dp_args(p, &c, 1);
    p->bare = BK_AFTER;
    if (--p->n_nest == 0) {
        lls_dp_end(p);
        p->state = DP_BETWEEN;
    }
    return true;
}

/* One more byte of a key or a word; false: there are too many, and all are whole characters. */
static bool grow(lls_dparse_t *p, char c, size_t most)
{
    return (p->key.len < most || lls_dp_is_tail(c)) && lls_dp_put(p, &p->key, &c, 1);
}

static bool key_byte(lls_dparse_t *p, char c)
{
    if (p->key.len == 0 && (lls_dp_is_blank(c) || c == ','))
        return true;
    if (p->key.len == 0 && c == '}')
        return unnest(p, '}');
    if (c != ':')
        return grow(p, c, DP_MAX_NAME);
    lls_dp_trim(&p->key);
    separate(p);
    lls_dp_quote(p, p->key.data, p->key.len);
    lls_dp_args(p, ": ", 2);
    p->types_of_value = p->n_nest > 1 ? DP_STRING
                                      : lls_dp_types_of(&p->types, p->name.data, p->name.len,
                                                        p->key.data, p->key.len);
    p->bare = BK_VALUE;
    return true;
}

static bool is_stop(char c) { return c == ',' || c == '}' || c == ']'; }

static bool value_byte(lls_dparse_t *p, char c, bool *took)
{
    if (lls_dp_is_blank(c))
        return true;
    if (c == '{' || (c == '[' && p->n_nest > 0))
        return nest(p, c);
    if (p->n_nest == 0 || (in_object(p) && is_stop(c)))
        return false;
    if (c == ',')
        return true;
    if (c == ']')
        return unnest(p, c);
    element(p);
    p->key.len = 0;
    p->bare = BK_WORD;
    *took = false;
    return true;
}

static void word_done(lls_dparse_t *p)
{
    uint32_t types = DP_NULL | DP_INTEGER | DP_NUMBER | DP_BOOLEAN;

    if (p->types_of_value != DP_STRING)
        types |= p->types_of_value;
    lls_dp_trim(&p->key);
    lls_dp_coerce(p, p->key.data, p->key.len, types);
    p->bare = BK_AFTER;
}

static bool after_byte(lls_dparse_t *p, char c)
{
    if (lls_dp_is_blank(c))
        return true;
    if (c != ',')
        return unnest(p, c);
    p->key.len = 0;
    p->bare = in_object(p) ? BK_KEY : BK_VALUE;
    return true;
}

/* False: no arguments of this kind.  *took false: the byte is read again. */
static bool byte(lls_dparse_t *p, char c, bool *took)
{
    *took = true;
    switch (p->bare) {
    case BK_KEY:   return key_byte(p, c);
    case BK_VALUE: return value_byte(p, c, took);
    case BK_WORD:
        if (!is_stop(c))
            return grow(p, c, MAX_WORD);
        word_done(p);
        *took = false;
        return true;
    default:       return after_byte(p, c);
    }
}

static void give_up(lls_dparse_t *p)
{
    p->broken = true;
    lls_dp_bare_close(p);
    lls_dp_end(p);
    p->state = DP_CONTENT;
}

size_t lls_dp_read_bare(lls_dparse_t *p, const char *text, size_t n)
{
    size_t i = 0;

    if (p->bare == BK_STRING) {
        lls_dp_value_text(p, text, n);
        return n;
    }
    while (i < n && p->state == DP_BARE && !p->no_memory) {
        bool took;

        if (!byte(p, text[i], &took)) {
            give_up(p);
            return i;
        }
        i += took;
    }
    return i;
}

/* The marker that stands around text. */
void lls_dp_bare_quote(lls_dparse_t *p)
{
    if (p->bare == BK_STRING) {
        lls_dp_value_close(p);
        p->bare = BK_AFTER;
    } else if (p->bare == BK_VALUE && p->n_nest > 0) {
        element(p);
        lls_dp_value_open(p);
        p->bare = BK_STRING;
    } else if (p->bare != BK_KEY) { /* a key may be quoted */
        give_up(p);
    }
}

void lls_dp_bare_close(lls_dparse_t *p)
{
    if (p->bare == BK_STRING)
        lls_dp_value_close(p);
    else if (p->bare == BK_WORD)
        word_done(p);
    else if (p->bare == BK_VALUE && in_object(p))
        lls_dp_args(p, "null", 4);
    for (; p->n_nest > 0; p->n_nest--)
        lls_dp_args(p, p->nest[p->n_nest - 1] == '{' ? "}" : "]", 1);
}
