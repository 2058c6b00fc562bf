/* SPDX-License-Identifier: Apache-2.0 */
#include "text/wordpiece.h"

bool lls_wordpiece_seal(lls_wordpiece_t *m, lls_mem_t *mem, const lls_vocab_t *vocab)
{
    m->vocab = vocab;
    return m->word_level ||
           (lls_vocab_trie(vocab, mem, NULL, 0, NULL, 1, &m->head) &&
            lls_vocab_trie(vocab, mem, m->prefix, m->prefix_len, NULL, 1, &m->tail));
}

void lls_wordpiece_deinit(lls_wordpiece_t *m, lls_mem_t *mem)
{
    lls_datrie_deinit(&m->head, mem);
    lls_datrie_deinit(&m->tail, mem);
    lls_free(mem, m->prefix);
    memset(m, 0, sizeof *m);
}

static bool too_long(const lls_wordpiece_t *m, const char *text, size_t len)
{
    uint64_t n = 0;

    for (size_t i = 0; len > m->max_chars && i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return n > m->max_chars;
}

static llm_status_t put_unk(const lls_wordpiece_t *m, lls_ids_t *out, llm_error_t *err)
{
    if (m->unk_id < 0)
        return m->word_level ? LLM_OK
                             : lls_fail(err, LLM_ERR_INVALID,
                                        "a word has no token, and the tokenizer no unk_token");
    out->data[out->n++] = m->unk_id;
    return LLM_OK;
}

llm_status_t lls_wordpiece_encode(const lls_wordpiece_t *m, const char *text, size_t len,
                                  lls_ids_t *out, llm_error_t *err)
{
    size_t  begin = out->n, n;
    int32_t id = -1;

    if (!lls_ids_room(out, len + 1))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory to encode a text");
    if (m->word_level) {
        id = lls_vocab_find(m->vocab, text, len, false);
        if (id < 0)
            return put_unk(m, out, err);
        out->data[out->n++] = id;
        return LLM_OK;
    }
    if (too_long(m, text, len))
        return put_unk(m, out, err);
    for (size_t i = 0; i < len; i += n) {
        n = lls_datrie_longest(i == 0 ? &m->head : &m->tail, text + i, len - i, &id);
        if (n == 0) {
            out->n = begin;
            return put_unk(m, out, err);
        }
        out->data[out->n++] = id;
    }
    return LLM_OK;
}
