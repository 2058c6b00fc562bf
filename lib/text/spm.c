/* SPDX-License-Identifier: Apache-2.0 */
#include "text/spm.h"

#include "base/utf8.h"

#define BLANK "\xe2\x96\x81"            /* U+2581 */

static bool build_user(lls_spm_t *m, lls_mem_t *mem)
{
    const lls_vocab_t *v = m->vocab;
    lls_datrie_key_t  *keys = lls_calloc(mem, v->n + 1u, sizeof *keys);
    uint32_t           n = 0;
    bool               ok;

    for (uint32_t id = 0; keys != NULL && id < v->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(v, id, &len);

        if (m->kinds[id] == LLS_PIECE_USER && len != 0)
            keys[n++] = (lls_datrie_key_t){ text, (uint32_t)len, id };
    }
    ok = keys != NULL && lls_datrie_build(&m->user, mem, keys, n);
    lls_free(mem, keys);
    return ok;
}

/* The end of the word at text: before the next U+2581 that follows something else. */
static size_t word_end(const char *text, size_t len)
{
    size_t i = 0;

    while (len - i >= 3 && memcmp(text + i, BLANK, 3) == 0)
        i += 3;
    for (; i < len; i++) {
        const char *p = memchr(text + i, BLANK[0], len - i);

        if (p == NULL)
            return len;
        i = (size_t)(p - text);
        if (len - i >= 3 && memcmp(p, BLANK, 3) == 0)
            return i;
    }
    return len;
}

bool lls_spm_seal(lls_spm_t *m, lls_mem_t *mem, const lls_vocab_t *vocab)
{
    static const char hex[] = "0123456789ABCDEF";

    m->vocab = vocab;
    m->cut_blanks = true;
    for (uint32_t id = 0; id < vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(vocab, id, &len);

        if (m->kinds[id] == LLS_PIECE_RESERVED)
            continue;
        m->cut_blanks = m->cut_blanks && word_end(text, len) == len;
        if (vocab->entries[id].len > m->max_piece)
            m->max_piece = vocab->entries[id].len;
        m->any_unused = m->any_unused || m->kinds[id] == LLS_PIECE_UNUSED;
    }
    if (m->any_unused)                  /* how these are taken apart depends on the whole text */
        m->cut_blanks = false;
    for (int i = 0; i < 256; i++) {
        char name[] = { '<', '0', 'x', hex[i >> 4], hex[i & 15], '>' };
        m->byte_id[i] = lls_vocab_find(vocab, name, sizeof name, false);
    }
    return build_user(m, mem);
}

void lls_spm_deinit(lls_spm_t *m, lls_mem_t *mem)
{
    lls_free(mem, m->scores);
    lls_free(mem, m->kinds);
    lls_datrie_deinit(&m->user, mem);
    memset(m, 0, sizeof *m);
}

void lls_spm_work_deinit(lls_spm_work_t *w)
{
    if (w->mem == NULL)
        return;
    lls_free(w->mem, w->symbols);
    lls_free(w->mem, w->heap);
    lls_free(w->mem, w->left_len);
    lls_free(w->mem, w->stack.data);
    memset(w, 0, sizeof *w);
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

static bool goes_first(lls_spm_pair_t a, lls_spm_pair_t b)
{
    return a.score > b.score || (a.score == b.score && a.left < b.left);
}

static bool heap_push(lls_spm_work_t *w, lls_spm_pair_t item)
{
    size_t i = w->n_heap;

    if (!lls_reserve(w->mem, (void **)&w->heap, &w->heap_cap, i + 1, sizeof *w->heap))
        return false;
    for (; i > 0 && goes_first(item, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
    w->n_heap++;
    return true;
}

static lls_spm_pair_t heap_pop(lls_spm_work_t *w)
{
    lls_spm_pair_t top = w->heap[0], last = w->heap[--w->n_heap];
    size_t         i = 0;

    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= w->n_heap)
            break;
        if (kid + 1 < w->n_heap && goes_first(w->heap[kid + 1], w->heap[kid]))
            kid++;
        if (!goes_first(w->heap[kid], last))
            break;
        w->heap[i] = w->heap[kid];
        i = kid;
    }
    w->heap[i] = last;
    return top;
}

/* The piece of this text, not counting control, unknown and byte pieces; -1 if there is none. */
static int32_t find_piece(const lls_spm_t *m, const char *text, size_t len)
{
    int32_t id = len <= m->max_piece ? lls_vocab_find(m->vocab, text, len, false) : -1;

    return id >= 0 && m->kinds[id] != LLS_PIECE_RESERVED ? id : -1;
}

static bool offer(const lls_spm_t *m, lls_spm_work_t *w, const char *text, uint32_t left,
                  uint32_t right)
{
    const lls_spm_symbol_t *a, *b;
    int32_t                 id;

    if (left == LLS_NONE || right == LLS_NONE)
        return true;
    a = &w->symbols[left];
    b = &w->symbols[right];
    if (a->frozen || b->frozen)
        return true;
    id = find_piece(m, text + a->begin, a->len + b->len);
    if (id < 0)
        return true;
    if (m->kinds[id] == LLS_PIECE_UNUSED)
        w->left_len[id] = a->len;
    return heap_push(w, (lls_spm_pair_t){ m->scores[id], left, right, a->len + b->len });
}

/* ---- Encoding -------------------------------------------------------------------------------- */

static bool split_symbols(const lls_spm_t *m, lls_spm_work_t *w, const char *text, size_t len,
                          uint32_t *n)
{
    *n = 0;
    for (size_t at = 0, step; at < len; at += step) {
        lls_spm_symbol_t *s;
        uint32_t          cp;
        int32_t           id;
        bool              frozen;

        if (!lls_reserve(w->mem, (void **)&w->symbols, &w->symbols_cap, *n + 1u,
                         sizeof *w->symbols))
            return false;
        step = lls_datrie_longest(&m->user, text + at, len - at, &id);
        frozen = step != 0;
        if (!frozen)
            step = lls_utf8_decode(text + at, len - at, &cp);
        s = &w->symbols[*n];
        *s = (lls_spm_symbol_t){ (uint32_t)at, (uint32_t)step, *n == 0 ? LLS_NONE : *n - 1,
                                 at + step == len ? LLS_NONE : *n + 1, frozen };
        ++*n;
    }
    return true;
}

static bool merge(const lls_spm_t *m, lls_spm_work_t *w, const char *text)
{
    while (w->n_heap > 0) {
        lls_spm_pair_t    top = heap_pop(w);
        lls_spm_symbol_t *left = &w->symbols[top.left], *right = &w->symbols[top.right];

        if (left->len == 0 || right->len == 0 || left->len + right->len != top.len)
            continue;                               /* one of the two has changed since */
        left->len = top.len;
        right->len = 0;
        left->next = right->next;
        if (left->next != LLS_NONE)
            w->symbols[left->next].prev = top.left;
        if (!offer(m, w, text, left->prev, top.left) || !offer(m, w, text, top.left, left->next))
            return false;
    }
    return true;
}

/* A text without a piece: its bytes, or unk, which is one with an unk before it. */
static bool put_unknown(const lls_spm_t *m, const char *text, size_t len, bool *after_unk,
                        lls_ids_t *out)
{
    if (!lls_ids_room(out, len))
        return false;
    if (m->byte_fallback) {
        for (size_t i = 0; i < len; i++)
            if (m->byte_id[(uint8_t)text[i]] >= 0)
                out->data[out->n++] = m->byte_id[(uint8_t)text[i]];
        return true;
    }
    if (m->unk_id >= 0 && !*after_unk)
        out->data[out->n++] = m->unk_id;
    *after_unk = true;
    return true;
}

/* One symbol; an unused piece is taken apart into what it was made of. */
static bool put_symbol(const lls_spm_t *m, lls_spm_work_t *w, const char *text, lls_span_t s,
                       bool *after_unk, lls_ids_t *out)
{
    w->stack.n = 0;
    if (!lls_spans_put(&w->stack, s.begin, s.end))
        return false;
    while (w->stack.n > 0) {
        lls_span_t t = w->stack.data[--w->stack.n];
        int32_t    id = find_piece(m, text + t.begin, t.end - t.begin);

        if (id >= 0 && m->kinds[id] == LLS_PIECE_UNUSED && w->left_len[id] != 0) {
            uint32_t cut = t.begin + w->left_len[id];
            if (!lls_spans_put(&w->stack, cut, t.end) || !lls_spans_put(&w->stack, t.begin, cut))
                return false;
        } else if (id < 0) {
            if (!put_unknown(m, text + t.begin, t.end - t.begin, after_unk, out))
                return false;
        } else {
            *after_unk = false;
            if (!lls_ids_put(out, id))
                return false;
        }
    }
    return true;
}

static bool clear_left(const lls_spm_t *m, lls_spm_work_t *w)
{
    if (!m->any_unused)
        return true;
    if (!lls_reserve(w->mem, (void **)&w->left_len, &w->left_cap, m->vocab->n,
                     sizeof *w->left_len))
        return false;
    memset(w->left_len, 0, m->vocab->n * sizeof *w->left_len);
    return true;
}

static bool encode_word(const lls_spm_t *m, lls_spm_work_t *w, const char *text, size_t len,
                        bool *after_unk, lls_ids_t *out)
{
    uint32_t n;

    w->n_heap = 0;
    if (!split_symbols(m, w, text, len, &n))
        return false;
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!offer(m, w, text, i, i + 1))
            return false;
    if (!merge(m, w, text))
        return false;
    for (uint32_t i = 0; i != LLS_NONE; i = w->symbols[i].next) {
        lls_span_t s = { w->symbols[i].begin, w->symbols[i].begin + w->symbols[i].len };

        if (!put_symbol(m, w, text, s, after_unk, out))
            return false;
    }
    return true;
}

bool lls_spm_encode(const lls_spm_t *m, lls_spm_work_t *w, const char *text, size_t len,
                    lls_ids_t *out)
{
    bool after_unk = false;

    w->stack.mem = w->mem;
    if (!clear_left(m, w))
        return false;
    for (size_t at = 0, n; at < len; at += n) {
        n = m->cut_blanks ? word_end(text + at, len - at) : len;
        if (!encode_word(m, w, text + at, n, &after_unk, out))
            return false;
    }
    return true;
}
