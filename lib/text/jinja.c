/* SPDX-License-Identifier: Apache-2.0 */
#include "text/jinja_int.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "text/uniclass.h"

#define MAX_TEMPLATE (16u << 20)

llm_status_t lls_jinja_fail(llm_error_t *err, llm_status_t status, uint32_t line, const char *fmt,
                            ...)
{
    char    text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lls_fail_param(err, status, "chat_template", "chat template, line %u: %s", line, text);
}

size_t lls_jinja_blank(const char *p, size_t len)
{
    uint32_t cp;
    size_t   n = len != 0 ? lls_utf8_decode(p, len, &cp) : 0;
    bool     blank;

    if (n == 0)
        return 0;
    /* Python has four separators more than Unicode's white space. */
    blank = cp < 0x80 ? cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f)
                      : (lls_uniclass_search(cp) & LLS_UC_SPACE) != 0;
    return blank ? n : 0;
}

/* ---- Strings of a template ------------------------------------------------------------------- */

static uint32_t hash_of(const char *text, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    return h ^ (h >> 15);
}

static uint32_t *place_of(lls_jinja_t *j, const char *text, size_t len)
{
    size_t mask = j->str_index_cap - 1, at = hash_of(text, len) & mask;

    for (; j->str_index[at] != LLS_NONE; at = (at + 1) & mask) {
        const lls_jstr_t *s = &j->strs[j->str_index[at]];

        if (s->len == len && (len == 0 || memcmp(s->text, text, len) == 0))
            break;
    }
    return &j->str_index[at];
}

static bool grow_index(lls_jinja_t *j)
{
    size_t    cap = j->str_index_cap != 0 ? j->str_index_cap * 2 : 64;
    uint32_t *grown = lls_calloc(j->mem, cap, sizeof *grown);

    if (grown == NULL)
        return false;
    lls_free(j->mem, j->str_index);
    memset(grown, 0xff, cap * sizeof *grown);
    j->str_index = grown;
    j->str_index_cap = cap;
    for (uint32_t i = 0; i < j->n_strs; i++)
        *place_of(j, j->strs[i].text, j->strs[i].len) = i;
    return true;
}

uint32_t lls_jinja_intern(lls_jinja_t *j, const char *text, size_t len)
{
    uint32_t *place;

    if (j->n_strs * 2 >= j->str_index_cap && !grow_index(j))
        return LLS_NONE;
    place = place_of(j, text, len);
    if (*place != LLS_NONE)
        return *place;
    if (!lls_reserve(j->mem, (void **)&j->strs, &j->strs_cap, j->n_strs + 1, sizeof *j->strs))
        return LLS_NONE;
    j->strs[j->n_strs] = (lls_jstr_t){.text = text, .len = len};
    *place = (uint32_t)j->n_strs;
    return (uint32_t)j->n_strs++;
}

/* ---- Compiling ------------------------------------------------------------------------------- */

/* Newlines become \n and one at the end goes, as Jinja2 does. */
static bool take_source(lls_jinja_t *j, const char *text, size_t len)
{
    lls_buf_t *b = &j->text;

    if (!lls_buf_room(b, len + 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '\r') {
            i += i + 1 < len && text[i + 1] == '\n';
            c = '\n';
        }
        b->data[b->len++] = c;
    }
    if (b->len > 0 && b->data[b->len - 1] == '\n')
        b->len--;
    j->source_len = b->len;
    return true;
}

/* Most attributes in templates are keys of messages: no render looks for methods of such names. */
static void find_methods(lls_jinja_t *j)
{
    for (size_t i = 0; i < j->n_nodes; i++)
        if (j->nodes[i].kind == JN_ATTR)
            j->nodes[i].flag = !lls_jmethod_exists(&j->strs[j->nodes[i].str]);
}

/* What a node may be; the last has a slice inside. */
enum { NO_CONSTANT, CONSTANT, SLICED };

static uint8_t kind_of_all(const lls_jinja_t *j, uint32_t first, const uint8_t *kinds)
{
    uint8_t kind = CONSTANT;

    for (uint32_t at = first; at != LLS_NONE; at = j->nodes[at].next) {
        uint8_t own = kinds[j->nodes[at].kind == JN_ARG ? j->nodes[at].a : at];

        kind = own == NO_CONSTANT || kind == NO_CONSTANT ? NO_CONSTANT : kind > own ? kind : own;
    }
    return kind;
}

static uint8_t kind_of_both(uint8_t a, uint8_t b)
{
    return a == NO_CONSTANT || b == NO_CONSTANT ? NO_CONSTANT : a > b ? a : b;
}

/* Whether a slice comes before what is no constant, to which a comparison need not get. */
static bool begins_sliced(const lls_jinja_t *j, uint32_t at, const uint8_t *kinds)
{
    while (at != LLS_NONE && kinds[j->nodes[at].a] == CONSTANT)
        at = j->nodes[at].next;
    return at != LLS_NONE && kinds[j->nodes[at].a] == SLICED;
}

/* These filters see variables. */
static bool sees_context(const lls_jstr_t *name)
{
    static const char *const names[] = {"map",        "select",     "reject",
                                        "selectattr", "rejectattr", "random"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++)
        if (lls_jstr_is(name, names[i]))
            return true;
    return false;
}

static uint8_t kind_of_node(const lls_jinja_t *j, const lls_jnode_t *n, const uint8_t *kinds)
{
    const uint8_t a = n->a != LLS_NONE ? kinds[n->a] : CONSTANT;

    switch (n->kind) {
    case JN_STRING:
    case JN_INT:
    case JN_FLOAT:
    case JN_BOOL:
        return CONSTANT;
    case JN_NONE:
        return n->flag ? NO_CONSTANT : CONSTANT;
    case JN_LIST:
    case JN_TUPLE:
    case JN_DICT:
    case JN_CONCAT:
        return kind_of_all(j, n->a, kinds);
    case JN_NOT:
    case JN_NEG:
    case JN_POS:
    case JN_ATTR:
        return a;
    case JN_BINARY:
    case JN_ITEM:
        return kind_of_both(a, kinds[n->b]);
    case JN_AND: /* the rest of these may not be looked at */
    case JN_OR:
        return a == NO_CONSTANT || kinds[n->b] == NO_CONSTANT ? a : kind_of_both(a, kinds[n->b]);
    case JN_COND:
        if (kinds[n->b] == NO_CONSTANT)
            return NO_CONSTANT;
        return a == SLICED || kinds[n->b] == SLICED || (n->c != LLS_NONE && kinds[n->c] == SLICED)
                   ? SLICED
                   : CONSTANT;
    case JN_SLICE:
        for (size_t i = 0; i < 3; i++)
            if ((&n->b)[i] != LLS_NONE && kinds[(&n->b)[i]] == NO_CONSTANT)
                return NO_CONSTANT;
        return a == NO_CONSTANT ? NO_CONSTANT : SLICED;
    case JN_FILTER:
        if (n->flag)
            return NO_CONSTANT;
        return kind_of_both(a, kind_of_all(j, n->b, kinds));
    case JN_COMPARE:
        return a != NO_CONSTANT && begins_sliced(j, n->b, kinds) ? SLICED : a;
    case JN_TEST:
        return kind_of_both(a, kind_of_all(j, n->b, kinds));
    default:
        return NO_CONSTANT;
    }
}

/* Slices that fail are undefined where Jinja2 folds constants: these nodes are looked after. */
static bool find_folds(lls_jinja_t *j)
{
    uint8_t *kinds = lls_zalloc(j->mem, j->n_nodes + 1);

    if (kinds == NULL)
        return false;
    for (size_t i = 0; i < j->n_nodes; i++) { /* parts come before what they are part of */
        if (j->nodes[i].kind == JN_FILTER)
            j->nodes[i].flag = sees_context(&j->strs[j->nodes[i].str]);
        kinds[i] = kind_of_node(j, &j->nodes[i], kinds);
        j->nodes[i].fold = kinds[i] == SLICED;
    }
    lls_free(j->mem, kinds);
    return true;
}

static llm_status_t compile(lls_jinja_t *j, const char *text, size_t len, llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    if (len > MAX_TEMPLATE || lls_utf8_valid(text, len) != len)
        return lls_fail_param(err, LLM_ERR_FORMAT, "chat_template",
                              "the chat template is not UTF-8 or larger than 16 MiB");
    if (!take_source(j, text, len))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    st = lls_jinja_lex(j, err);
    if (st == LLM_OK)
        st = lls_jinja_parse(j, err);
    if (st == LLM_OK)
        st = lls_jinja_scopes(j, err);
    if (st == LLM_OK && (!lls_jinja_find_content_loop(j) || !find_folds(j)))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    if (st == LLM_OK)
        find_methods(j);
    j->knows_developer = lls_jinja_mentions(j, "developer");
    return st;
}

llm_status_t lls_jinja_compile(lls_mem_t *mem, const char *text, size_t len, lls_jinja_t **out,
                               llm_error_t *err)
{
    lls_jinja_t *j = lls_zalloc(mem, sizeof *j);
    llm_status_t st;

    *out = NULL;
    if (j == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    j->mem = j->text.mem = mem;
    st = compile(j, text, len, err);
    lls_free(mem, j->toks);
    lls_free(mem, j->str_index);
    j->toks = NULL;
    j->str_index = NULL;
    if (st == LLM_OK) {
        *out = j;
        j = NULL;
    }
    lls_jinja_free(j);
    return st;
}

void lls_jinja_free(lls_jinja_t *j)
{
    if (j == NULL)
        return;
    lls_free(j->mem, j->toks);
    lls_free(j->mem, j->strs);
    lls_free(j->mem, j->str_index);
    lls_free(j->mem, j->nodes);
    lls_free(j->mem, j->loads);
    lls_free(j->mem, j->scopes);
    lls_free(j->mem, j->funcs);
    lls_buf_deinit(&j->text);
    lls_free(j->mem, j);
}
