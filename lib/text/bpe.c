/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe.h"

#include "base/utf8.h"

#define SMALL 64u                       /* symbols merged in an array */
#define NO_RANK UINT32_MAX
#define FILTER_BITS 8u                  /* a slot of the table */
#define BLANK "\xe2\x96\x81"            /* U+2581 */

typedef struct heap_item {
    uint64_t key;                       /* rank << 32 | position */
    int32_t  id;                        /* what the pair gave when it was pushed */
} heap_item_t;

/* Words that are more than one token come again within a text; what they gave is kept. */
#define CACHE_SLOTS 1024u               /* a power of two */
#define CACHE_TEXT 22u
#define CACHE_IDS 10u
#define CACHE_AFTER 64u                 /* a short text does not pay for it */

typedef struct cached {
    int32_t ids[CACHE_IDS];
    uint8_t n, len;                     /* n 0 = free */
    char    text[CACHE_TEXT];
} cached_t;

struct lls_bpe_work {
    lls_mem_t   *mem;
    cached_t    *cache;                 /* NULL until there were CACHE_AFTER such words */
    uint32_t     n_words;
    int32_t     *sym;
    uint32_t    *prev, *next;
    heap_item_t *heap;
    size_t       sym_cap, prev_cap, next_cap, heap_cap, n_heap;
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

    while (n_slots < (uint64_t)n * 2)
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
    lls_free(b->mem, b->whole);
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
    b->filter[bit / 64] |= 1ull << bit % 64;
    *p = (lls_bpe_pair_t){ key, rank, merged };
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

static bool heap_push(lls_bpe_work_t *w, heap_item_t item)
{
    size_t i = w->n_heap;

    if (!lls_reserve(w->mem, (void **)&w->heap, &w->heap_cap, i + 1, sizeof *w->heap))
        return false;
    for (; i > 0 && item.key < w->heap[(i - 1) / 2].key; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = item;
    w->n_heap++;
    return true;
}

static heap_item_t heap_pop(lls_bpe_work_t *w)
{
    heap_item_t top = w->heap[0], last = w->heap[--w->n_heap];
    size_t      i = 0;

    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= w->n_heap)
            break;
        if (kid + 1 < w->n_heap && w->heap[kid + 1].key < w->heap[kid].key)
            kid++;
        if (last.key <= w->heap[kid].key)
            break;
        w->heap[i] = w->heap[kid];
        i = kid;
    }
    w->heap[i] = last;
    return top;
}

static bool push_pair(const lls_bpe_t *b, lls_bpe_work_t *w, uint32_t left, uint32_t right)
{
    const lls_bpe_pair_t *p;

    if (left == LLS_NONE || right == LLS_NONE)
        return true;
    p = find_pair(b, w->sym[left], w->sym[right]);
    return p == NULL || heap_push(w, (heap_item_t){ (uint64_t)p->rank << 32 | left, p->id });
}

static bool merge_heap(const lls_bpe_t *b, lls_bpe_work_t *w)
{
    while (w->n_heap > 0) {
        heap_item_t           top = heap_pop(w);
        uint32_t              at = (uint32_t)top.key, right = w->next[at];
        const lls_bpe_pair_t *p;

        if (w->sym[at] < 0 || right == LLS_NONE)
            continue;
        p = find_pair(b, w->sym[at], w->sym[right]);
        if (p == NULL || p->id != top.id)
            continue;                               /* the pair has changed since */
        w->sym[at] = top.id;
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
    w->n_heap = 0;
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

/* The place of a word; NULL if it is too long, or while there is no cache. */
static cached_t *cache_slot(lls_bpe_work_t *w, const char *text, size_t len)
{
    uint64_t h = len, v;

    if (w->cache == NULL) {
        if (++w->n_words < CACHE_AFTER)
            return NULL;
        w->n_words = 0;                             /* without memory it is tried again later */
        w->cache = lls_calloc(w->mem, CACHE_SLOTS, sizeof *w->cache);
    }
    if (w->cache == NULL || len > CACHE_TEXT)
        return NULL;
    for (size_t i = 0; i < len; i += 8) {
        v = 0;
        memcpy(&v, text + i, len - i < 8 ? len - i : 8);
        h = (h ^ v) * 0x9fb21c651e98df25u;
        h ^= h >> 29;
    }
    return &w->cache[h & (CACHE_SLOTS - 1)];
}

static void keep(cached_t *c, const char *text, size_t len, const int32_t *ids, size_t n)
{
    if (c == NULL || n == 0 || n > CACHE_IDS)
        return;
    c->n = (uint8_t)n;
    c->len = (uint8_t)len;
    memcpy(c->text, text, len);
    memcpy(c->ids, ids, n * sizeof *ids);
}

static bool encode_piece(const lls_bpe_t *b, lls_bpe_work_t *w, const char *text, size_t len,
                         lls_ids_t *out)
{
    size_t    from, n;
    int32_t   id;
    cached_t *c;

    if (len == 0)
        return true;
    if (!lls_ids_room(out, max_symbols(b, len) + CACHE_IDS))
        return false;
    if (b->ignore_merges || b->whole != NULL) {
        id = lls_vocab_find(b->vocab, text, len, false);
        if (id >= 0 && (b->ignore_merges || b->whole[id])) {
            out->data[out->n++] = id;
            return true;
        }
    }
    c = cache_slot(w, text, len);
    if (c != NULL && c->n != 0 && c->len == len && memcmp(c->text, text, len) == 0) {
        memcpy(out->data + out->n, c->ids, c->n * sizeof *c->ids);
        out->n += c->n;
        return true;
    }
    from = out->n;
    if (b->prefix == NULL && b->suffix == NULL)
        split_symbols(b, text, len, out);
    else if (!split_affixed(b, w, text, len, out))
        return false;
    n = out->n - from;
    if (n > SMALL)
        return merge_large(b, w, out, n);
    out->n = from + merge_small(b, out->data + from, n);
    keep(c, text, len, out->data + from, out->n - from);
    return true;
}

/* The end of the word at text: before the next U+2581 that follows something else. */
static size_t word_end(const char *text, size_t len)
{
    size_t i = 0;

    while (i + 3 <= len && memcmp(text + i, BLANK, 3) == 0)
        i += 3;
    for (; i < len; i++) {
        const char *p = memchr(text + i, BLANK[0], len - i);
        if (p == NULL)
            return len;
        i = (size_t)(p - text);
        if (i + 3 <= len && memcmp(p, BLANK, 3) == 0)
            return i;
    }
    return len;
}

bool lls_bpe_encode(const lls_bpe_t *b, lls_bpe_work_t *w, const char *text, size_t len,
                    lls_ids_t *out)
{
    if (!b->cut_blanks || b->ignore_merges)
        return encode_piece(b, w, text, len, out);
    for (size_t i = 0; i < len;) {
        size_t n = word_end(text + i, len - i);
        if (!encode_piece(b, w, text + i, n, out))
            return false;
        i += n;
    }
    return true;
}

/* ---- Building -----------------------------------------------------------------------------------
 */

lls_bpe_work_t *lls_bpe_work_create(lls_mem_t *mem)
{
    lls_bpe_work_t *w = lls_zalloc(mem, sizeof *w);

    if (w != NULL)
        w->mem = w->affixed.mem = mem;
    return w;
}

void lls_bpe_work_destroy(lls_bpe_work_t *w)
{
    if (w == NULL)
        return;
    lls_free(w->mem, w->sym);
    lls_free(w->mem, w->prev);
    lls_free(w->mem, w->next);
    lls_free(w->mem, w->heap);
    lls_free(w->mem, w->cache);
    lls_buf_deinit(&w->affixed);
    lls_free(w->mem, w);
}

static void find_byte_ids(lls_bpe_t *b)
{
    static const char hex[] = "0123456789ABCDEF";

    for (int i = 0; i < 256; i++) {
        char name[] = { '<', '0', 'x', hex[i >> 4], hex[i & 15], '>' }, byte = (char)i;

        b->byte_id[i] = b->byte_level ? lls_vocab_find(b->vocab, &byte, 1, false)
                                      : lls_vocab_find(b->vocab, name, sizeof name, false);
        if (i < 128)
            b->ascii_id[i] = lls_vocab_find(b->vocab, &byte, 1, false);
    }
}

static bool can_cut_blanks(const lls_bpe_t *b)
{
    bool all_bytes = b->byte_fallback;

    for (int i = 0; i < 256; i++)
        all_bytes = all_bytes && b->byte_id[i] >= 0;
    if (b->byte_level || b->prefix != NULL || b->suffix != NULL || !(all_bytes || b->unk_id < 0))
        return false;
    for (uint64_t i = 0; i <= b->mask; i++) {
        size_t      len, n;
        const char *text;

        if (b->pairs[i].key == 0)
            continue;
        text = lls_vocab_bytes(b->vocab, (uint32_t)b->pairs[i].id, &len);
        n = word_end(text, len);
        if (n != len)
            return false;
    }
    return true;
}

llm_status_t lls_bpe_seal(lls_bpe_t *b, llm_error_t *err)
{
    lls_bpe_work_t *w = NULL;
    lls_ids_t       ids = { b->mem, NULL, 0, 0 };
    uint8_t        *whole = NULL;
    bool            ok;

    find_byte_ids(b);
    b->cut_blanks = can_cut_blanks(b);
    if (b->ignore_merges || !(b->byte_level || b->cut_blanks))
        return LLM_OK;
    w = lls_bpe_work_create(b->mem);
    whole = lls_calloc(b->mem, b->vocab->n == 0 ? 1 : b->vocab->n, 1);
    ok = w != NULL && whole != NULL;
    for (uint32_t id = 0; ok && id < b->vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(b->vocab, id, &len);

        if (!b->vocab->entries[id].used || b->vocab->entries[id].literal || len > SMALL)
            continue;
        ids.n = 0;
        ok = lls_bpe_encode(b, w, text, len, &ids);
        whole[id] = ok && ids.n == 1 && ids.data[0] == (int32_t)id;
    }
    lls_free(b->mem, ids.data);
    lls_bpe_work_destroy(w);
    if (!ok) {
        lls_free(b->mem, whole);
        return lls_fail(err, LLM_ERR_NO_MEMORY, "tokenizer of %u tokens", b->vocab->n);
    }
    b->whole = whole;
    return LLM_OK;
}
