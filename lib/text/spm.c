/* SPDX-License-Identifier: Apache-2.0 */
#include "text/spm.h"

#include "base/num.h"
#include "base/utf8.h"

/* How unused pieces are taken apart depends on the whole text: with them nothing is cut. */
static bool find_cuts(lls_spm_t *m, lls_mem_t *mem)
{
    if (m->any_unused)
        return true;
    if (!lls_cuts_init(&m->cuts, mem, m->vocab->n))
        return false;
    for (uint32_t id = 0; id < m->vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(m->vocab, id, &len);

        if (m->kinds[id] != LLS_PIECE_RESERVED)
            lls_cuts_add(&m->cuts, text, len);
    }
    return true;
}

bool lls_spm_seal(lls_spm_t *m, lls_mem_t *mem, const lls_vocab_t *vocab)
{
    m->vocab = vocab;
    for (uint32_t id = 0; id < vocab->n; id++) {
        if (m->kinds[id] == LLS_PIECE_RESERVED)
            continue;
        if (vocab->entries[id].len > m->max_piece)
            m->max_piece = vocab->entries[id].len;
        m->any_unused = m->any_unused || m->kinds[id] == LLS_PIECE_UNUSED;
    }
    lls_vocab_byte_ids(vocab, m->byte_id);
    return find_cuts(m, mem) &&
           lls_vocab_trie(vocab, mem, NULL, 0, m->kinds, 1u << LLS_PIECE_USER, &m->user);
}

void lls_spm_deinit(lls_spm_t *m, lls_mem_t *mem)
{
    lls_free(mem, m->scores);
    lls_free(mem, m->kinds);
    lls_datrie_deinit(&m->user, mem);
    lls_cuts_deinit(&m->cuts, mem);
    memset(m, 0, sizeof *m);
}

void lls_spm_work_deinit(lls_spm_work_t *w)
{
    if (w->mem == NULL)
        return;
    lls_free(w->mem, w->symbols);
    lls_free(w->mem, w->heap.items);
    lls_free(w->mem, w->left_len);
    lls_free(w->mem, w->stack.data);
    memset(w, 0, sizeof *w);
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

/* Smaller for a higher score; not for NaN, which loaders refuse. */
static uint32_t order_of(float score)
{
    uint32_t u = lls_bits_of(score + 0.0f);         /* -0 is 0 */

    return (u >> 31) != 0 ? u : ~u & 0x7fffffffu;
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
    return lls_heap_push(&w->heap,
                         (lls_heap_item_t){ (uint64_t)order_of(m->scores[id]) << 32 | left,
                                            a->len + b->len });
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
    while (w->heap.n > 0) {
        lls_heap_item_t   top = lls_heap_pop(&w->heap);
        uint32_t          at = (uint32_t)top.key;
        lls_spm_symbol_t *left = &w->symbols[at], *right;

        if (left->len == 0 || left->next == LLS_NONE)
            continue;
        right = &w->symbols[left->next];
        if (left->len + right->len != top.value)
            continue;                               /* one of the two has changed since */
        left->len = top.value;
        right->len = 0;
        left->next = right->next;
        if (left->next != LLS_NONE)
            w->symbols[left->next].prev = at;
        if (!offer(m, w, text, left->prev, at) || !offer(m, w, text, at, left->next))
            return false;
    }
    return true;
}

/* A text without a piece: its bytes, or unk, which is one with an unk before it. */
static bool put_unknown(const lls_spm_t *m, lls_spm_work_t *w, const char *text, size_t len,
                        bool *after_unk, lls_ids_t *out)
{
    if (!lls_ids_room(out, len))
        return false;
    if (m->byte_fallback) {
        for (size_t i = 0; i < len; i++)
            if (m->byte_id[(uint8_t)text[i]] >= 0)
                out->data[out->n++] = m->byte_id[(uint8_t)text[i]];
        return true;
    }
    w->met_unk = true;
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
            if (!put_unknown(m, w, text + t.begin, t.end - t.begin, after_unk, out))
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

    w->heap.n = 0;
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

bool lls_spm_encode(const lls_spm_t *m, lls_spm_work_t *w, lls_words_t *words, const char *text,
                    size_t len, lls_ids_t *out)
{
    bool after_unk = false;

    w->heap.mem = w->stack.mem = w->mem;
    if (!clear_left(m, w))
        return false;
    for (size_t at = 0, n; at < len; at += n) {
        size_t         from = out->n;
        lls_word_key_t key;

        n = lls_cuts_part(&m->cuts, text + at, len - at);
        w->met_unk = false;
        if (lls_words_find(words, text + at, n, true, &key, out)) {
            after_unk = false;
            continue;
        }
        if (!encode_word(m, w, text + at, n, &after_unk, out))
            return false;
        if (!w->met_unk && out->n != from)
            lls_words_keep(words, &key, out->data + from, out->n - from);
    }
    return true;
}
