/* SPDX-License-Identifier: Apache-2.0 */
#include "text/unigram.h"

#include <float.h>
#include <math.h>

#include "base/utf8.h"

#define UNK_PENALTY 10.0

bool lls_unigram_seal(lls_unigram_t *u, lls_mem_t *mem, const lls_vocab_t *vocab)
{
    double min = INFINITY, max = FLT_MIN;         /* as SentencePiece starts them */

    u->vocab = vocab;
    for (uint32_t id = 0; id < vocab->n; id++) {
        if (!vocab->entries[id].used ||
            (u->sentencepiece && u->kinds != NULL && u->kinds[id] != LLS_PIECE_NORMAL))
            continue;
        min = u->scores[id] < min ? u->scores[id] : min;
        max = u->scores[id] > max ? u->scores[id] : max;
    }
    u->max_score = max;
    u->unk_score = u->sentencepiece ? (double)((float)min - 10.0f) : min - UNK_PENALTY;
    lls_vocab_byte_ids(vocab, u->byte_id);
    return lls_vocab_trie(vocab, mem, NULL, 0, u->kinds,
                          1u << LLS_PIECE_NORMAL | 1u << LLS_PIECE_USER, &u->trie) &&
           lls_vocab_trie(vocab, mem, NULL, 0, u->kinds,
                          u->kinds != NULL ? 1u << LLS_PIECE_USER : 0, &u->user);
}

void lls_unigram_deinit(lls_unigram_t *u, lls_mem_t *mem)
{
    lls_free(mem, u->scores);
    lls_free(mem, u->kinds);
    lls_datrie_deinit(&u->trie, mem);
    lls_datrie_deinit(&u->user, mem);
    memset(u, 0, sizeof *u);
}

/* ---- Encoding -------------------------------------------------------------------------------- */

/* A user-defined piece counts as SentencePiece 0.2.3 has it. */
static double piece_score(const lls_unigram_t *u, int32_t id, size_t n_bytes)
{
    if (u->kinds != NULL && u->kinds[id] == LLS_PIECE_USER)
        return (double)((float)n_bytes * (float)u->max_score) + 0.1;
    return u->scores[id];
}

static inline void offer(const lls_unigram_t *u, lls_viterbi_node_t *node, double score,
                         uint32_t from, int32_t id)
{
    if (u->sentencepiece)
        score = (double)(float)score;
    if (node->from == LLS_NONE || score > node->score)
        *node = (lls_viterbi_node_t){ score, from, id };
}

/* All pieces that begin at `at`; true if one of them is just the first character. */
static bool extend(const lls_unigram_t *u, lls_viterbi_node_t *nodes, const char *text, size_t len,
                   size_t at, size_t first)
{
    uint32_t node = LLS_DATRIE_ROOT;
    bool     single = false;

    for (size_t i = at; i < len;) {
        int32_t id;

        node = lls_datrie_step(&u->trie, node, (uint8_t)text[i++]);
        if (node == LLS_NONE)
            break;
        if (u->trie.units[node].value == LLS_NONE)
            continue;
        id = (int32_t)u->trie.units[node].value;
        offer(u, &nodes[i], piece_score(u, id, i - at) + nodes[at].score, (uint32_t)at, id);
        single = single || i - at == first;
    }
    return single;
}

/* The ids of text [begin, end), which no piece covers, before out->data + out->n: ids are put down
 * from the end of the text. */
static llm_status_t put_unknown(const lls_unigram_t *u, const char *text, size_t begin, size_t end,
                                int32_t *ids, size_t *n, llm_error_t *err)
{
    int32_t id = u->sentencepiece
                     ? -1 : lls_vocab_find(u->vocab, text + begin, end - begin, false);
    bool    bytes = id < 0 && u->byte_fallback;

    for (size_t i = begin; bytes && i < end; i++)
        bytes = u->byte_id[(uint8_t)text[i]] >= 0;
    if (bytes) {
        while (end > begin)
            ids[(*n)++] = u->byte_id[(uint8_t)text[--end]];
        return LLM_OK;
    }
    ids[(*n)++] = id >= 0 ? id : u->unk_id;
    return id >= 0 || u->unk_id >= 0
               ? LLM_OK : lls_fail(err, LLM_ERR_INVALID,
                                   "byte %zu: no piece of the tokenizer, and it has no unk_id",
                                   begin);
}

/* Unknown characters next to each other are one. */
static llm_status_t walk_back(const lls_unigram_t *u, const lls_viterbi_node_t *nodes,
                              const char *text, size_t len, int32_t *ids, size_t *n,
                              llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    for (size_t end = len; st == LLM_OK && end > 0;) {
        size_t begin = nodes[end].from;

        if (nodes[end].id != u->unk_id || u->unk_id < 0) {
            ids[(*n)++] = nodes[end].id;
            end = begin;
            continue;
        }
        while (begin > 0 && nodes[begin].id == u->unk_id)
            begin = nodes[begin].from;
        st = put_unknown(u, text, begin, end, ids, n, err);
        end = begin;
    }
    return st;
}

llm_status_t lls_unigram_encode(const lls_unigram_t *u, lls_unigram_work_t *w, const char *text,
                                size_t len, lls_ids_t *out, llm_error_t *err)
{
    int32_t     *ids;
    size_t       n = 0;
    llm_status_t st;

    if (len == 0)
        return LLM_OK;
    if (!lls_reserve(w->mem, (void **)&w->nodes, &w->cap, len + 1, sizeof *w->nodes) ||
        !lls_ids_room(out, len))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory to encode a text");
    for (size_t i = 0; i <= len; i++)
        w->nodes[i] = (lls_viterbi_node_t){ 0, LLS_NONE, -1 };
    for (size_t at = 0, first; at < len; at += first) {
        uint32_t cp;

        first = lls_utf8_decode(text + at, len - at, &cp);
        if (extend(u, w->nodes, text, len, at, first))
            continue;
        if (u->unk_id < 0)
            return lls_fail(err, LLM_ERR_INVALID,
                            "byte %zu: no piece of the tokenizer, and it has no unk_id", at);
        offer(u, &w->nodes[at + first], u->unk_score + w->nodes[at].score, (uint32_t)at, u->unk_id);
    }
    ids = out->data + out->n;
    st = walk_back(u, w->nodes, text, len, ids, &n, err);
    for (size_t i = 0; i < n / 2; i++) {
        int32_t t = ids[i];
        ids[i] = ids[n - 1 - i];
        ids[n - 1 - i] = t;
    }
    out->n += n;
    return st;
}
