/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server asks about a template: vLLM's detection of the format of content, the variables
 * that it reads, words that it mentions.
 */
#include "text/jinja_int.h"

static const lls_jnode_t *node(const lls_jinja_t *j, uint32_t at) { return &j->nodes[at]; }

/* ---- Variables ------------------------------------------------------------------------------- */

static bool is_wanted(const lls_jinja_t *j, size_t i)
{
    const lls_jload_t *load = &j->loads[i];
    const lls_jstr_t  *name = &j->strs[load->kind == JL_RESOLVE ? load->from : 0];

    if (load->kind != JL_RESOLVE || lls_jfind_global(name->text, name->len) != NULL)
        return false;
    for (size_t k = 0; k < i; k++)
        if (j->loads[k].kind == JL_RESOLVE && j->loads[k].from == load->from)
            return false;
    return true;
}

const char *lls_jinja_wanted(const lls_jinja_t *j, size_t i, size_t *len)
{
    for (size_t k = 0; k < j->n_loads; k++) {
        if (!is_wanted(j, k) || i-- != 0)
            continue;
        *len = j->strs[j->loads[k].from].len;
        return j->strs[j->loads[k].from].text;
    }
    *len = 0;
    return NULL;
}

bool lls_jinja_wants(const lls_jinja_t *j, const char *name)
{
    for (size_t i = 0; i < j->n_loads; i++)
        if (j->loads[i].kind == JL_RESOLVE && lls_jstr_is(&j->strs[j->loads[i].from], name))
            return true;
    return false;
}

bool lls_jinja_mentions(const lls_jinja_t *j, const char *word)
{
    return memmem(j->text.data, j->source_len, word, strlen(word)) != NULL;
}

bool lls_jinja_wants_parts(const lls_jinja_t *j) { return j->wants_parts; }

bool lls_jinja_knows_developer(const lls_jinja_t *j) { return j->knows_developer; }

/* ---- Loops over content ---------------------------------------------------------------------- */

/* The name whose variable this is, or whose variable's `key` if there is one, through filters,
 * tests and slices; LLS_NONE if it is something else. */
static uint32_t base_of(const lls_jinja_t *j, uint32_t at, const char *key)
{
    const lls_jnode_t *n = node(j, at);

    while (n->kind == JN_FILTER || n->kind == JN_TEST || n->kind == JN_SLICE)
        n = node(j, n->a);
    if (key != NULL) {
        if (n->kind == JN_ATTR ? !lls_jstr_is(&j->strs[n->str], key)
                               : n->kind != JN_ITEM || node(j, n->b)->kind != JN_STRING ||
                                     !lls_jstr_is(&j->strs[node(j, n->b)->str], key))
            return LLS_NONE;
        n = node(j, n->a);
    }
    return n->kind == JN_NAME && !n->store ? n->str : LLS_NONE;
}

/* Adds the names that are assigned from one of names, which has a flag for each string. */
static void follow_assignments(const lls_jinja_t *j, uint8_t *names)
{
    bool more = true;

    for (size_t rounds = 0; more && rounds < 16; rounds++) {
        more = false;
        for (size_t i = 0; i < j->n_nodes; i++) {
            const lls_jnode_t *n = &j->nodes[i];
            uint32_t           from;

            if (n->kind != JN_SET || node(j, n->a)->kind != JN_NAME)
                continue;
            from = base_of(j, n->b, NULL);
            if (from == LLS_NONE || names[from] == 0 || names[node(j, n->a)->str] != 0)
                continue;
            names[node(j, n->a)->str] = 1;
            more = true;
        }
    }
}

static bool loops_over(const lls_jinja_t *j, const lls_jnode_t *n, const uint8_t *names,
                       const char *key)
{
    uint32_t base = n->kind == JN_FOR ? base_of(j, n->b, key) : LLS_NONE;

    return base != LLS_NONE && names[base] != 0;
}

bool lls_jinja_find_content_loop(lls_jinja_t *j)
{
    uint8_t *messages = lls_zalloc(j->mem, 2 * j->n_strs + 2), *items;

    if (messages == NULL)
        return false;
    items = messages + j->n_strs + 1;
    for (uint32_t i = 0; i < j->n_strs; i++)
        messages[i] = lls_jstr_is(&j->strs[i], "messages");
    follow_assignments(j, messages);
    for (size_t i = 0; i < j->n_nodes; i++)
        if (loops_over(j, &j->nodes[i], messages, NULL) && node(j, j->nodes[i].a)->kind == JN_NAME)
            items[node(j, j->nodes[i].a)->str] = 1;
    for (size_t i = 0; i < j->n_nodes; i++)
        j->wants_parts |= loops_over(j, &j->nodes[i], items, "content");
    lls_free(j->mem, messages);
    return true;
}
