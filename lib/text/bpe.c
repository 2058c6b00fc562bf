/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"

#include "base/utf8.h"
#include "text/decode_chain.h"
#include "text/heap.h"

#define SMALL 64u                       /* symbols merged in an array */
#define NO_RANK UINT32_MAX
#define FILTER_BITS 8u                  /* a slot of the table */

struct lls_bpe_work {
    lls_mem_t   *mem;
    int32_t     *sym;
    uint32_t    *prev, *next;
    lls_heap_t   heap;
    size_t       sym_cap, prev_cap, next_cap;
    lls_buf_t    affixed;               /* a character between prefix and suffix */
};

void lls_bpe_init(lls_bpe_t *b, lls_mem_t *mem, const lls_vocab_t *vocab)
{
    memset(b, 0, sizeof *b);
    b->mem = mem;
    b->vocab = vocab;
    b->unk_id = -1;
    b->byte_level = vocab->byte_level;
}

bool lls_bpe_merges(lls_bpe_t *b, uint32_t n)
{
    uint64_t n_slots = 16;

    while (n_slots * 3 < (uint64_t)n * 4)
        n_slots *= 2;
    b->mask = n_slots - 1;
    b->pairs = lls_calloc(b->mem, n_slots, sizeof *b->pairs);
    b->filter = lls_calloc(b->mem, n_slots / (64 / FILTER_BITS), sizeof *b->filter);
    return b->pairs != NULL && b->filter != NULL;
}

void lls_bpe_deinit(lls_bpe_t *b)
{
    if (b->mem == NULL)
        return;
    lls_free(b->mem, b->pairs);
    lls_free(b->mem, b->filter);
    lls_cuts_deinit(&b->cuts, b->mem);
    lls_free(b->mem, b->prefix);
    lls_free(b->mem, b->suffix);
    memset(b, 0, sizeof *b);
}

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static inline uint64_t pair_hash(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15u;
}

static inline lls_bpe_pair_t *pair_slot(const lls_bpe_t *b, uint64_t key, uint64_t h)
{
    uint64_t i = (h ^ (h >> 32)) & b->mask;

    while (b->pairs[i].key != 0 && b->pairs[i].key != key)
        i = (i + 1) & b->mask;
    return &b->pairs[i];
}

/* The bit of the filter, counted from its beginning. */
static inline uint64_t filter_bit(const lls_bpe_t *b, uint64_t h)
{
    return (h >> 24) & (b->mask * FILTER_BITS + FILTER_BITS - 1);
}

void lls_bpe_add_merge(lls_bpe_t *b, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    uint64_t        key = pair_key(left, right), h = pair_hash(key), bit = filter_bit(b, h);
    lls_bpe_pair_t *p = pair_slot(b, key, h);

    b->n_pairs += p->key == 0;
    b->last_merged = merged;
    b->filter[bit / 64] |= 1ull << bit % 64;
    *p = (lls_bpe_pair_t){ key, rank, merged };
}

bool lls_bpe_read_merge(lls_bpe_t *b, const char *left, size_t left_len, const char *right,
                        size_t right_len, uint32_t rank, lls_buf_t *both, const char **why)
{
    const lls_vocab_t *v = b->vocab;
    size_t             skip = right_len < b->prefix_len ? right_len : b->prefix_len, n, m;
    int32_t            a, c, merged;

    *why = NULL;
    both->len = 0;
    if (!lls_buf_room(both, left_len + right_len))
        return false;
    if (v->byte_level && lls_bytes_of_spelling(left, left_len, both->data, &n) &&
        lls_bytes_of_spelling(right, right_len, both->data + n, &m)) {
        a = lls_vocab_find(v, both->data, n, false);
        c = lls_vocab_find(v, both->data + n, m, false);
        /* Merges come in about the order of what they make. */
        merged = lls_vocab_find_near(v, both->data, n + m, b->last_merged);
    } else {
        lls_buf_put(both, left, left_len);
        lls_buf_put(both, right + skip, right_len - skip);
        a = lls_vocab_find_spelling(v, left, left_len);
        c = lls_vocab_find_spelling(v, right, right_len);
        merged = lls_vocab_find_spelling(v, both->data, both->len);
    }
    if (a < 0 || c < 0)
        *why = "a part is not in the vocabulary";
    else if (merged < 0)
        *why = "the result is not in the vocabulary";
    else
        lls_bpe_add_merge(b, a, c, rank, merged);
    return true;
}

static inline const lls_bpe_pair_t *find_pair(const lls_bpe_t *b, int32_t left, int32_t right)
{
    uint64_t              key = pair_key(left, right), h = pair_hash(key), bit = filter_bit(b, h);
    const lls_bpe_pair_t *p;

    if ((b->filter[bit / 64] >> bit % 64 & 1) == 0)
        return NULL;
    p = pair_slot(b, key, h);
    return p->key != 0 ? p : NULL;
}

/* ---- Symbols ------------------------------------------------------------------------------------
 */

/* Hugging Face's order: an unknown character waits until a known one or the end comes, and the
 * bytes of fallen-back characters go before it. */
typedef struct unk_state {
    int32_t id;
    bool    pending;
} unk_state_t;

static bool put_fallback(const lls_bpe_t *b, const char *p, size_t len, lls_ids_t *out)
{
    for (size_t i = 0; i < len; i++)
        if (b->byte_id[(uint8_t)p[i]] < 0)
            return false;
    for (size_t i = 0; i < len; i++)
        out->data[out->n++] = b->byte_id[(uint8_t)p[i]];
    return true;
}

static void put_symbol(const lls_bpe_t *b, unk_state_t *unk, int32_t id, const char *p, size_t len,
                       lls_ids_t *out)
{
    if (id >= 0) {
        if (unk->pending)
            out->data[out->n++] = unk->id;
        unk->pending = false;
        out->data[out->n++] = id;
    } else if (b->byte_fallback && put_fallback(b, p, len, out)) {
        return;
    } else if (b->unk_id >= 0) {
        if (unk->pending && !b->fuse_unk)
            out->data[out->n++] = unk->id;
        unk->pending = true;
        unk->id = b->unk_id;
    }
}

/* out has room for len + 1 symbols. */
static void split_symbols(const lls_bpe_t *b, const char *text, size_t len, lls_ids_t *out)
{
    unk_state_t unk = { -1, false };

    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t   step = b->byte_level ? 1 : lls_utf8_decode(text + i, len - i, &cp);

        if (b->byte_level)
            put_symbol(b, &unk, b->byte_id[(uint8_t)text[i]], text + i, 1, out);
        else if (step == 1)
            put_symbol(b, &unk, b->ascii_id[(uint8_t)text[i]], text + i, 1, out);
        else
            put_symbol(b, &unk, lls_vocab_find(b->vocab, text + i, step, false), text + i, step,
                       out);
        i += step;
    }
    if (unk.pending)
        out->data[out->n++] = unk.id;
}

/* How many symbols len bytes may give: each byte of a character and its affixes, and one unk. */
static size_t max_symbols(const lls_bpe_t *b, size_t len)
{
    return len * (1 + b->prefix_len) + b->suffix_len + 1;
}

/* The same with prefix and suffix; out has room for max_symbols(). */
static bool split_affixed(const lls_bpe_t *b, lls_bpe_work_t *w, const char *text, size_t len,
                          lls_ids_t *out)
{
    unk_state_t unk = { -1, false };
    lls_buf_t  *s = &w->affixed;

    for (size_t i = 0, step; i < len; i += step) {
        uint32_t cp;

        step = lls_utf8_decode(text + i, len - i, &cp);
        s->len = 0;
        if ((i != 0 && !lls_buf_put(s, b->prefix, b->prefix_len)) ||
            !lls_buf_put(s, text + i, step) ||
            (i + step == len && !lls_buf_put(s, b->suffix, b->suffix_len)))
            return false;
        put_symbol(b, &unk, lls_vocab_find(b->vocab, s->data, s->len, false), s->data, s->len, out);
    }
    if (unk.pending)
        out->data[out->n++] = unk.id;
    return true;
}

/* ---- Merging ------------------------------------------------------------------------------------
 */

static size_t merge_small(const lls_bpe_t *b, int32_t *sym, size_t n)
{
    uint32_t rank[SMALL];
    int32_t  merged[SMALL];

    if (n < 2)
        return n;
    for (size_t i = 0; i + 1 < n; i++) {
        const lls_bpe_pair_t *p = find_pair(b, sym[i], sym[i + 1]);
        rank[i] = p != NULL ? p->rank : NO_RANK;
        merged[i] = p != NULL ? p->id : -1;
    }
    while (n > 1) {
        size_t best = 0;

        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        sym[best] = merged[best];
        for (size_t i = best + 1; i + 1 < n; i++) {
            sym[i] = sym[i + 1];
            rank[i] = rank[i + 1];
            merged[i] = merged[i + 1];
        }
        n--;
        for (size_t i = best == 0 ? 0 : best - 1; i <= best && i + 1 < n; i++) {
            const lls_bpe_pair_t *p = find_pair(b, sym[i], sym[i + 1]);
            rank[i] = p != NULL ? p->rank : NO_RANK;
            merged[i] = p != NULL ? p->id : -1;
        }
    }
    return n;
}

static bool push_pair(const lls_bpe_t *b, lls_bpe_work_t *w, uint32_t left, uint32_t right)
{
    const lls_bpe_pair_t *p;

    if (left == LLS_NONE || right == LLS_NONE)
        return true;
    p = find_pair(b, w->sym[left], w->sym[right]);
    return p == NULL ||
           lls_heap_push(&w->heap, (lls_heap_item_t){ (uint64_t)p->rank << 32 | left,
                                                      (uint32_t)p->id });
}

static bool merge_heap(const lls_bpe_t *b, lls_bpe_work_t *w)
{
    while (w->heap.n > 0) {
        lls_heap_item_t       top = lls_heap_pop(&w->heap);
        uint32_t              at = (uint32_t)top.key, right = w->next[at];
        const lls_bpe_pair_t *p;

        if (w->sym[at] < 0 || right == LLS_NONE)
            continue;
        p = find_pair(b, w->sym[at], w->sym[right]);
        if (p == NULL || (uint32_t)p->id != top.value)
            continue;                               /* the pair has changed since */
        w->sym[at] = p->id;
        w->sym[right] = -1;
        w->next[at] = w->next[right];
        if (w->next[at] != LLS_NONE)
            w->prev[w->next[at]] = at;
        if (!push_pair(b, w, w->prev[at], at) || !push_pair(b, w, at, w->next[at]))
            return false;
    }
    return true;
}

/* Merges the n symbols at the end of out. */
static bool merge_large(const lls_bpe_t *b, lls_bpe_work_t *w, lls_ids_t *out, size_t n)
{
    size_t from = out->n - n;

    if (n >= UINT32_MAX || !lls_reserve(w->mem, (void **)&w->sym, &w->sym_cap, n, sizeof *w->sym) ||
        !lls_reserve(w->mem, (void **)&w->prev, &w->prev_cap, n, sizeof *w->prev) ||
        !lls_reserve(w->mem, (void **)&w->next, &w->next_cap, n, sizeof *w->next))
        return false;
    memcpy(w->sym, out->data + from, n * sizeof *w->sym);
    for (uint32_t i = 0; i < n; i++) {
        w->prev[i] = i == 0 ? LLS_NONE : i - 1;
        w->next[i] = i + 1 == n ? LLS_NONE : i + 1;
    }
    w->heap.n = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        if (!push_pair(b, w, i, i + 1))
            return false;
    if (!merge_heap(b, w))
        return false;
    out->n = from;
    for (uint32_t i = 0; i < n; i++)
        if (w->sym[i] >= 0)
            out->data[out->n++] = w->sym[i];
    return true;
}

/* A part that no merge leaves. */
static bool encode_part(const lls_bpe_t *b, lls_bpe_work_t *w, const char *text, size_t len,
                        lls_ids_t *out)
{
    size_t from = out->n, n;

    if (!lls_ids_room(out, max_symbols(b, len)))
        return false;
    if (b->prefix == NULL && b->suffix == NULL)
        split_symbols(b, text, len, out);
    else if (!split_affixed(b, w, text, len, out))
        return false;
    n = out->n - from;
    if (n > SMALL)
        return merge_large(b, w, out, n);
    out->n = from + merge_small(b, out->data + from, n);
    return true;
}

bool lls_bpe_encode(const lls_bpe_t *b, lls_bpe_work_t *w, lls_words_t *words, const char *text,
                    size_t len, lls_ids_t *out)
{
    int32_t id = b->ignore_merges ? lls_vocab_find(b->vocab, text, len, false) : -1;

    if (id >= 0)
        return lls_ids_put(out, id);
    for (size_t i = 0, n; i < len; i += n) {
        lls_word_key_t key;
        size_t         from = out->n;

        n = lls_cuts_part(&b->cuts, text + i, len - i);
        if (lls_words_find(words, text + i, n, b->ignore_merges, &key, out))
            continue;
        if (!encode_part(b, w, text + i, n, out))
            return false;
        lls_words_keep(words, &key, out->data + from, out->n - from);
    }
    return true;
}

/* ---- Building -----------------------------------------------------------------------------------
 */

lls_bpe_work_t *lls_bpe_work_create(lls_mem_t *mem)
{
    lls_bpe_work_t *w = lls_zalloc(mem, sizeof *w);

    if (w != NULL)
        w->mem = w->heap.mem = w->affixed.mem = mem;
    return w;
}

void lls_bpe_work_destroy(lls_bpe_work_t *w)
{
    if (w == NULL)
        return;
    lls_free(w->mem, w->sym);
    lls_free(w->mem, w->prev);
    lls_free(w->mem, w->next);
    lls_free(w->mem, w->heap.items);
    lls_buf_deinit(&w->affixed);
    lls_free(w->mem, w);
}

static void find_byte_ids(lls_bpe_t *b)
{
    if (!b->byte_level)
        lls_vocab_byte_ids(b->vocab, b->byte_id);
    for (int i = 0; i < 256; i++) {
        char    byte = (char)i;
        int32_t id = lls_vocab_find(b->vocab, &byte, 1, false);

        if (b->byte_level)
            b->byte_id[i] = id;
        if (i < 128)
            b->ascii_id[i] = id;
    }
}

/* A part gives the same ids alone if each of its characters gives some, which are its own. */
static bool has_all_bytes(const lls_bpe_t *b)
{
    bool all = b->byte_level || b->byte_fallback;

    for (int i = 0; i < 256; i++)
        all = all && b->byte_id[i] >= 0;
    return all && b->prefix == NULL && b->suffix == NULL;
}

/* Whether merges may have made the token from <0xNN>, which stand for parts of any character. */
static bool has_byte_names(const char *text, size_t len)
{
    for (size_t i = 0; len > 6 && i + 6 <= len; i++)
        if (text[i] == '<' && lls_byte_of_token(text + i, 6) >= 0)
            return true;
    return false;
}

static bool find_cuts(lls_bpe_t *b)
{
    if (!has_all_bytes(b))
        return true;
    if (!lls_cuts_init(&b->cuts, b->mem, b->vocab->n))
        return false;
    for (uint32_t id = 0; id < b->vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(b->vocab, id, &len);

        if (b->vocab->entries[id].literal)
            continue;
        if (!b->byte_level && has_byte_names(text, len)) {
            lls_cuts_deinit(&b->cuts, b->mem);
            return true;
        }
        lls_cuts_add(&b->cuts, text, len);
    }
    return true;
}

llm_status_t lls_bpe_seal(lls_bpe_t *b, llm_error_t *err)
{
    find_byte_ids(b);
    return find_cuts(b) ? LLM_OK : lls_fail(err, LLM_ERR_NO_MEMORY, "tokenizer of %u tokens",
                                            b->vocab->n);
}
