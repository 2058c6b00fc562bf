/* SPDX-License-Identifier: Apache-2.0 */
#include "text/tokenizer_int.h"

#define GPT2_REGEX                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- Building -------------------------------------------------------------------------------- */

lls_tokenizer_t *lls_tokenizer_alloc(lls_mem_t *mem)
{
    lls_tokenizer_t *t = lls_zalloc(mem, sizeof *t);

    if (t == NULL)
        return NULL;
    t->mem = t->eos_ids.mem = mem;
    t->bos = t->eos = -1;
    t->unigram.unk_id = t->wordpiece.unk_id = -1;
    lls_postproc_init(&t->post, mem);
    lls_templates_init(&t->templates, mem);
    lls_added_init(&t->added, mem);
    lls_decoder_init(&t->decoder, mem);
    lls_uniclass_init(&t->classes);
    lls_unicat_init(&t->cats);
    t->words = lls_words_pool_create(mem);
    if (t->words == NULL) {
        lls_tokenizer_close(t);
        return NULL;
    }
    return t;
}

void lls_tokenizer_close(lls_tokenizer_t *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_norms; i++)
        lls_norm_deinit(&t->norms[i], t->mem);
    for (size_t i = 0; i < t->n_pretoks; i++)
        lls_pattern_deinit(&t->pretoks[i].pattern, t->mem);
    lls_free(t->mem, t->norms);
    lls_free(t->mem, t->pretoks);
    lls_bpe_deinit(&t->bpe);
    lls_unigram_deinit(&t->unigram, t->mem);
    lls_wordpiece_deinit(&t->wordpiece, t->mem);
    lls_spm_deinit(&t->spm, t->mem);
    lls_words_pool_destroy(t->words);
    lls_postproc_deinit(&t->post);
    lls_vocab_deinit(&t->vocab);
    lls_added_deinit(&t->added);
    lls_decoder_deinit(&t->decoder);
    lls_free(t->mem, t->eos_ids.data);
    lls_templates_deinit(&t->templates);
    lls_free(t->mem, t);
}

lls_norm_t *lls_tokenizer_new_norm(lls_tokenizer_t *t)
{
    if (!lls_reserve(t->mem, (void **)&t->norms, &t->norms_cap, t->n_norms + 1, sizeof *t->norms))
        return NULL;
    return memset(&t->norms[t->n_norms++], 0, sizeof *t->norms);
}

lls_pretok_t *lls_tokenizer_new_pretok(lls_tokenizer_t *t)
{
    if (!lls_reserve(t->mem, (void **)&t->pretoks, &t->pretoks_cap, t->n_pretoks + 1,
                     sizeof *t->pretoks))
        return NULL;
    memset(&t->pretoks[t->n_pretoks], 0, sizeof *t->pretoks);
    t->pretoks[t->n_pretoks].mapped = t->byte_level;
    return &t->pretoks[t->n_pretoks++];
}

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a tokenizer");
}

llm_status_t lls_tokenizer_add_split(lls_tokenizer_t *t, const char *where, const char *regex,
                                     uint8_t behavior, bool invert, llm_error_t *err)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(t);

    if (s == NULL)
        return no_memory(err);
    s->kind = LLS_PRETOK_SPLIT;
    s->behavior = behavior;
    s->invert = invert;
    return lls_pattern_regex(&s->pattern, t->mem, where, regex, strlen(regex), s->mapped, err);
}

llm_status_t lls_tokenizer_add_class(lls_tokenizer_t *t, uint32_t class_bits, uint8_t behavior,
                                     llm_error_t *err)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(t);

    if (s == NULL)
        return no_memory(err);
    s->kind = LLS_PRETOK_SPLIT;
    s->behavior = behavior;
    s->pattern.kind = LLS_PAT_CLASS;
    s->pattern.param = class_bits;
    return LLM_OK;
}

llm_status_t lls_tokenizer_add_bert(lls_tokenizer_t *t, llm_error_t *err)
{
    llm_status_t st = lls_tokenizer_add_class(t, LLS_UC_SPACE, LLS_SPLIT_REMOVED, err);

    return st == LLM_OK ? lls_tokenizer_add_class(t, LLS_UC_PUNCT, LLS_SPLIT_ISOLATED, err) : st;
}

llm_status_t lls_tokenizer_add_bytelevel(lls_tokenizer_t *t, const char *where, bool prefix_space,
                                         bool split, llm_error_t *err)
{
    if (prefix_space) {
        lls_pretok_t *s = lls_tokenizer_new_pretok(t);
        if (s == NULL)
            return no_memory(err);
        s->kind = LLS_PRETOK_PREFIX_SPACE;
    }
    if (split) {
        llm_status_t st =
            lls_tokenizer_add_split(t, where, GPT2_REGEX, LLS_SPLIT_ISOLATED, false, err);
        if (st != LLM_OK)
            return st;
    }
    if (t->literal_bytes) {
        lls_pretok_t *s = lls_tokenizer_new_pretok(t);
        if (s == NULL)
            return no_memory(err);
        s->kind = LLS_PRETOK_BYTES;
        return LLM_OK;
    }
    lls_assert(!t->byte_level);
    t->byte_level = true;
    return LLM_OK;
}

static int32_t next_added_id(const lls_tokenizer_t *t)
{
    int32_t max = -1;

    for (size_t i = 0; i < t->added.n; i++)
        if (t->added.tokens[i].id > max)
            max = t->added.tokens[i].id;
    return max >= (int32_t)t->vocab.n_used ? max + 1 : (int32_t)t->vocab.n_used;
}

llm_status_t lls_tokenizer_add_token(lls_tokenizer_t *t, lls_added_token_t token, llm_error_t *err)
{
    const lls_added_token_t *old = lls_added_by_content(&t->added, token.content, token.len);

    if (token.len == 0)
        return LLM_OK;
    token.id = old != NULL ? old->id : lls_vocab_find_spelling(&t->vocab, token.content, token.len);
    if (token.id < 0)
        token.id = next_added_id(t);
    return lls_added_put(&t->added, &token) ? LLM_OK : no_memory(err);
}

bool lls_tokenizer_add_eos(lls_tokenizer_t *t, int32_t id)
{
    for (size_t i = 0; i < t->eos_ids.n; i++)
        if (t->eos_ids.data[i] == id)
            return true;
    return id < 0 || lls_ids_put(&t->eos_ids, id);
}

/* Tokens to be found after normalizing are normalized themselves. */
static llm_status_t index_added(lls_tokenizer_t *t, const lls_pattern_ctx_t *ctx)
{
    lls_norm_work_t work;
    llm_status_t    st = LLM_OK;

    lls_norm_work_init(&work, t->mem);
    for (uint32_t i = 0; st == LLM_OK && i < t->added.n; i++) {
        const lls_added_token_t *a = &t->added.tokens[i];
        lls_normed_t             text = lls_normed(a->content, NULL, a->len);

        if (a->normalized)
            st = lls_norm_run(t->norms, t->n_norms, ctx, &work, &text);
        if (st == LLM_OK && !lls_added_index(&t->added, a->normalized ? &t->added.normal
                                                                      : &t->added.raw,
                                             i, text.text, text.len))
            st = no_memory(ctx->err);
    }
    lls_norm_work_deinit(&work);
    return st;
}

static llm_status_t seal_model(lls_tokenizer_t *t, llm_error_t *err)
{
    bool ok;

    switch (t->model) {
    case LLS_MODEL_BPE: return lls_bpe_seal(&t->bpe, err);
    case LLS_MODEL_UNIGRAM: ok = lls_unigram_seal(&t->unigram, t->mem, &t->vocab); break;
    case LLS_MODEL_WORDPIECE: ok = lls_wordpiece_seal(&t->wordpiece, t->mem, &t->vocab); break;
    default: ok = lls_spm_seal(&t->spm, t->mem, &t->vocab); break;
    }
    return ok ? LLM_OK : no_memory(err);
}

static bool any_regex(const lls_tokenizer_t *t)
{
    for (size_t i = 0; i < t->n_norms; i++)
        if (t->norms[i].kind == LLS_NORM_REPLACE && t->norms[i].pattern.kind == LLS_PAT_REGEX)
            return true;
    for (size_t i = 0; i < t->n_pretoks; i++)
        if (t->pretoks[i].pattern.kind == LLS_PAT_REGEX)
            return true;
    return false;
}

llm_status_t lls_tokenizer_seal(lls_tokenizer_t *t, llm_error_t *err)
{
    lls_pattern_ctx_t ctx = { &t->classes, &t->cats, lls_regex_match_create(t->mem), err };
    llm_status_t      st = ctx.match != NULL ? LLM_OK : no_memory(err);

    t->has_regex = any_regex(t);
    for (size_t i = 0; i < t->n_norms; i++)
        lls_norm_seal(&t->norms[i], &ctx);
    if (st == LLM_OK)
        st = seal_model(t, err);
    if (st == LLM_OK)
        st = index_added(t, &ctx);
    if (st == LLM_OK)
        st = lls_decoder_seal(&t->decoder, &t->vocab, &t->added, &ctx);
    lls_regex_match_destroy(ctx.match);
    return st;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

const char *lls_tokenizer_token(const lls_tokenizer_t *t, int32_t id, size_t *len)
{
    const lls_dec_entry_t *e = lls_decoder_entry(&t->decoder, id);

    *len = e != NULL ? e->len : 0;
    return e != NULL ? t->decoder.bytes.data + e->off : NULL;
}

lls_mem_t *lls_tokenizer_mem(const lls_tokenizer_t *t) { return t->mem; }

bool lls_tokenizer_is_special(const lls_tokenizer_t *t, int32_t id)
{
    const lls_dec_entry_t *e = lls_decoder_entry(&t->decoder, id);

    return e != NULL && (e->flags & LLS_DEC_SPECIAL) != 0;
}

uint32_t lls_tokenizer_n_vocab(const lls_tokenizer_t *t)
{
    return t->decoder.n;
}

int32_t lls_tokenizer_find(const lls_tokenizer_t *t, const char *text, size_t len)
{
    const lls_added_token_t *a = lls_added_by_content(&t->added, text, len);

    return a != NULL ? a->id : lls_vocab_find_spelling(&t->vocab, text, len);
}

int32_t lls_tokenizer_bos(const lls_tokenizer_t *t)
{
    return t->bos;
}

int32_t lls_tokenizer_eos(const lls_tokenizer_t *t)
{
    return t->eos;
}

const int32_t *lls_tokenizer_eos_ids(const lls_tokenizer_t *t, size_t *n)
{
    *n = t->eos_ids.n;
    return t->eos_ids.data;
}

const char *lls_tokenizer_chat_template(const lls_tokenizer_t *t, size_t *len)
{
    const lls_chat_template_t *found = lls_templates_find(&t->templates, "default", 7);

    *len = found != NULL ? found->len : 0;
    return found != NULL ? found->text : NULL;
}

llm_status_t lls_tokenizer_decode(const lls_tokenizer_t *t, lls_mem_t *scratch, const int32_t *ids,
                                  size_t n, uint32_t flags, char **text, size_t *len,
                                  llm_error_t *err)
{
    bool              chain = t->decoder.kind == LLS_DECODER_CHAIN;
    lls_pattern_ctx_t ctx = { &t->classes, &t->cats, NULL, err };
    lls_buf_t         out = { scratch, NULL, 0, 0 };
    llm_status_t      st = LLM_OK;

    *text = NULL;
    *len = 0;
    if (chain && (ctx.match = lls_regex_match_create(scratch)) == NULL)
        return no_memory(err);
    st = lls_decoder_run(&t->decoder, &ctx, ids, n, (flags & LLM_DECODE_KEEP_SPECIAL) == 0, &out);
    lls_regex_match_destroy(ctx.match);
    if (st == LLM_OK && !lls_buf_end(&out))
        st = no_memory(err);
    if (st != LLM_OK) {
        lls_buf_deinit(&out);
        return st;
    }
    *text = out.data;
    *len = out.len;
    return LLM_OK;
}
