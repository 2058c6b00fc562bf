/* SPDX-License-Identifier: Apache-2.0 */
#include "text/words.h"

#define N_SLOTS 16384u                  /* a power of two: 1 MB */
#define PAYS_AFTER 64u                  /* looks of a call */

lls_words_pool_t *lls_words_pool_create(lls_mem_t *mem)
{
    lls_words_pool_t *p = lls_zalloc(mem, sizeof *p);

    if (p != NULL)
        p->mem = mem;
    return p;
}

void lls_words_pool_destroy(lls_words_pool_t *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < LLS_WORDS_IDLE; i++)
        lls_free(p->mem, atomic_load(&p->idle[i]));
    lls_free(p->mem, p);
}

void lls_words_begin(lls_words_t *w, lls_words_pool_t *pool)
{
    *w = (lls_words_t){ pool, NULL, 0 };
    for (size_t i = 0; pool != NULL && w->table == NULL && i < LLS_WORDS_IDLE; i++)
        if (atomic_load_explicit(&pool->idle[i], memory_order_relaxed) != NULL)
            w->table = atomic_exchange(&pool->idle[i], NULL);
}

void lls_words_end(lls_words_t *w)
{
    for (size_t i = 0; w->table != NULL && i < LLS_WORDS_IDLE; i++) {
        lls_word_t *none = NULL;

        if (atomic_compare_exchange_strong(&w->pool->idle[i], &none, w->table))
            w->table = NULL;
    }
    if (w->table != NULL)
        lls_free(w->pool->mem, w->table);
    w->table = NULL;
}

/* Without memory it is tried again later. */
static bool start(lls_words_t *w)
{
    if (w->pool == NULL || ++w->n_looks < PAYS_AFTER)
        return false;
    w->n_looks = 0;
    w->table = lls_calloc(w->pool->mem, N_SLOTS, sizeof *w->table);
    return w->table != NULL;
}

static inline void make_key(lls_word_key_t *k, const char *text, size_t len, bool part)
{
    uint64_t h;

    k->text[0] = lls_load_short(text, len < 8 ? len : 8);
    k->text[1] = len > 8 ? lls_load_short(text + 8, len < 16 ? len - 8 : 8) : 0;
    k->text[2] = len > 16 ? lls_load_short(text + 16, len - 16) : 0;
    k->tag = (uint32_t)len << 1 | part;
    h = (k->text[0] ^ k->tag) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 32) ^ k->text[1]) * 0x9fb21c651e98df25u;
    h = (h ^ (h >> 32) ^ k->text[2]) * 0xbf58476d1ce4e5b9u;
    k->slot = (uint32_t)(h >> 32) & (N_SLOTS - 1);
}

bool lls_words_find(lls_words_t *w, const char *text, size_t len, bool part, lls_word_key_t *key,
                    lls_ids_t *out)
{
    const lls_word_t *s;

    key->tag = 0;
    if (len > LLS_WORD_BYTES || len == 0 || (w->table == NULL && !start(w)))
        return false;
    make_key(key, text, len, part);
    s = &w->table[key->slot];
    if (s->tag != key->tag || s->text[0] != key->text[0] || s->text[1] != key->text[1] ||
        s->text[2] != key->text[2] || !lls_ids_room(out, LLS_WORD_IDS))
        return false;
    memcpy(out->data + out->n, s->ids, sizeof s->ids);
    out->n += s->n;
    return true;
}

void lls_words_keep(lls_words_t *w, const lls_word_key_t *key, const int32_t *ids, size_t n)
{
    lls_word_t *s;

    if (key->tag == 0 || n > LLS_WORD_IDS)
        return;
    s = &w->table[key->slot];
    memcpy(s->text, key->text, sizeof s->text);
    s->tag = key->tag;
    s->n = (uint32_t)n;
    memcpy(s->ids, ids, n * sizeof *ids);
}
