/* SPDX-License-Identifier: Apache-2.0 */
#include "text/added.h"

#include "base/utf8.h"

void lls_added_init(lls_added_t *a, lls_mem_t *mem)
{
    memset(a, 0, sizeof *a);
    a->mem = mem;
    memset(a->raw.root, 0xff, sizeof a->raw.root);
    memset(a->normal.root, 0xff, sizeof a->normal.root);
}

void lls_added_deinit(lls_added_t *a)
{
    if (a->mem == NULL)
        return;
    for (size_t i = 0; i < a->n; i++)
        lls_free(a->mem, a->tokens[i].content);
    lls_free(a->mem, a->tokens);
    lls_free(a->mem, a->raw.nodes);
    lls_free(a->mem, a->normal.nodes);
    memset(a, 0, sizeof *a);
}

const lls_added_token_t *lls_added_by_content(const lls_added_t *a, const char *text, size_t len)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->tokens[i].len == len && memcmp(a->tokens[i].content, text, len) == 0)
            return &a->tokens[i];
    return NULL;
}

bool lls_added_put(lls_added_t *a, const lls_added_token_t *token)
{
    lls_added_token_t *old =
        (lls_added_token_t *)lls_added_by_content(a, token->content, token->len);
    char              *content;

    if (old != NULL) {
        content = old->content;
        *old = *token;
        old->content = content;
        return true;
    }
    if (!lls_reserve(a->mem, (void **)&a->tokens, &a->cap, a->n + 1, sizeof *a->tokens))
        return false;
    content = lls_strndup(a->mem, token->content, token->len);
    if (content == NULL)
        return false;
    a->tokens[a->n] = *token;
    a->tokens[a->n++].content = content;
    return true;
}

bool lls_added_index(lls_added_t *a, lls_trie_t *t, uint32_t token, const char *pattern, size_t len)
{
    uint32_t *link;
    uint32_t  at = LLS_NONE;

    /* Room first: links point into the array. */
    if (len == 0)
        return true;
    if (!lls_reserve(a->mem, (void **)&t->nodes, &t->cap, t->n + len, sizeof *t->nodes))
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)pattern[i];

        link = at == LLS_NONE ? &t->root[byte] : &t->nodes[at].child;
        while (*link != LLS_NONE && t->nodes[*link].byte != byte)
            link = &t->nodes[*link].sibling;
        if (*link == LLS_NONE) {
            t->nodes[t->n] = (lls_trie_node_t){ LLS_NONE, LLS_NONE, LLS_NONE, byte };
            *link = (uint32_t)t->n++;
        }
        at = *link;
    }
    t->nodes[at].token = token;
    t->any = true;
    return true;
}

/* ---- Matching -----------------------------------------------------------------------------------
 */

static bool class_before(const lls_uniclass_t *classes, const char *text, size_t at, uint8_t bits,
                         size_t *begin)
{
    size_t   i = at;
    uint32_t cp;

    if (at == 0)
        return false;
    do
        i--;
    while (i > 0 && ((uint8_t)text[i] & 0xc0) == 0x80);
    *begin = i;
    return lls_utf8_decode(text + i, at - i, &cp) != 0 && (lls_uniclass(classes, cp) & bits) != 0;
}

static size_t class_after(const lls_uniclass_t *classes, const char *text, size_t len, size_t at,
                          uint8_t bits)
{
    uint32_t cp;
    size_t   n = at < len ? lls_utf8_decode(text + at, len - at, &cp) : 0;

    return n != 0 && (lls_uniclass(classes, cp) & bits) != 0 ? n : 0;
}

/* The longest token at text + at, LLS_NONE if none; *end is where it ends. */
static uint32_t longest(const lls_added_t *a, const lls_trie_t *t, const char *text,
                        const uint8_t *mark, size_t len, size_t at, size_t *end)
{
    uint32_t found = LLS_NONE, node = t->root[(uint8_t)text[at]];
    bool     marked = false;

    for (size_t i = at; node != LLS_NONE;) {
        uint32_t token = t->nodes[node].token;

        marked = marked || (mark != NULL && mark[i] != 0);
        i++;
        if (token != LLS_NONE && !(marked && a->tokens[token].special)) {
            found = token;
            *end = i;
        }
        if (i == len)
            break;
        node = t->nodes[node].child;
        while (node != LLS_NONE && t->nodes[node].byte != (uint8_t)text[i])
            node = t->nodes[node].sibling;
    }
    return found;
}

static bool stands_alone(const lls_uniclass_t *classes, const char *text, size_t len, size_t begin,
                         size_t end)
{
    size_t at;

    return !class_before(classes, text, begin, LLS_UC_WORD, &at) &&
           class_after(classes, text, len, end, LLS_UC_WORD) == 0;
}

bool lls_added_find(const lls_added_t *a, const lls_trie_t *trie, const lls_uniclass_t *classes,
                    const char *text, const uint8_t *mark, size_t len, size_t floor, size_t from,
                    lls_added_match_t *m)
{
    if (!trie->any)
        return false;
    for (size_t i = from; i < len; i++) {
        const lls_added_token_t *t;
        size_t                   end = i, at, n;
        uint32_t                 token;

        if (trie->root[(uint8_t)text[i]] == LLS_NONE)
            continue;
        token = longest(a, trie, text, mark, len, i, &end);
        if (token == LLS_NONE)
            continue;
        t = &a->tokens[token];
        if (t->single_word && !stands_alone(classes, text, len, i, end)) {
            i = end - 1;                    /* nothing shorter is tried, as in Hugging Face's */
            continue;
        }
        *m = (lls_added_match_t){ i, end, end, token };
        while (t->lstrip && m->begin > floor &&
               class_before(classes, text, m->begin, LLS_UC_SPACE, &at))
            m->begin = at;
        if (m->begin < floor)
            m->begin = floor;
        while (t->rstrip && (n = class_after(classes, text, len, m->end, LLS_UC_SPACE)) != 0)
            m->end += n;
        return true;
    }
    return false;
}
