/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokenizer inside a GGUF: tokenizer.ggml.*.  Kind "gpt2" is byte-level BPE with a split that
 * `pre` names; kind "llama" is SentencePiece BPE, whose merges follow from the scores.
 */
#include "text/tokenizer_int.h"

#include <math.h>
#include <stdio.h>

#include "base/gguf.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "text/render.h"

#define BLANK "\xe2\x96\x81"
/* ORDER gguf token type: numbers of the file format. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

typedef struct gguf_load {
    lls_tokenizer_t        *t;
    lls_gguf_t             *g;
    const char             *path;
    llm_error_t            *err;
    const lls_gguf_value_t *types;      /* NULL = all normal */
} gguf_load_t;

static llm_status_t no_memory(const gguf_load_t *l)
{
    return lls_fail(l->err, LLM_ERR_NO_MEMORY, "%s: no memory for the tokenizer", l->path);
}

static int64_t type_of(const gguf_load_t *l, uint64_t id)
{
    int64_t type;

    return l->types != NULL && lls_gguf_elem_i64(l->types, id, &type) ? type : TYPE_NORMAL;
}

static llm_status_t load_tokens(gguf_load_t *l)
{
    const lls_gguf_value_t *tokens = lls_gguf_find(l->g, "tokenizer.ggml.tokens");
    lls_gguf_str_t          s;
    size_t                  at = 0;
    uint32_t                id = 0;

    if (tokens == NULL || tokens->type != LLS_GGUF_ARRAY || tokens->elem_type != LLS_GGUF_STRING ||
        tokens->n == 0 || tokens->n > INT32_MAX / 4)
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.tokens is no list of strings",
                        l->path);
    if (!lls_vocab_init(&l->t->vocab, l->t->mem, (uint32_t)tokens->n, tokens->bytes,
                        l->t->byte_level))
        return no_memory(l);
    for (; lls_gguf_next_str(tokens, &at, &s); id++) {
        if (lls_utf8_valid(s.text, s.len) != s.len)
            return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.tokens[%u] is not UTF-8",
                            l->path, id);
        if (id >= tokens->n || !lls_vocab_add(&l->t->vocab, id, s.text, s.len))
            return no_memory(l);
    }
    return LLM_OK;
}

/* Control tokens are special, user-defined ones are found in a text too. */
static llm_status_t load_added(gguf_load_t *l)
{
    const lls_gguf_value_t *tokens = lls_gguf_find(l->g, "tokenizer.ggml.tokens");
    lls_gguf_str_t          s;
    size_t                  at = 0;
    llm_status_t            st = LLM_OK;

    for (uint32_t id = 0; st == LLM_OK && lls_gguf_next_str(tokens, &at, &s); id++) {
        int64_t type = type_of(l, id);

        if (type == TYPE_CONTROL || type == TYPE_USER || type == TYPE_UNKNOWN)
            st = lls_tokenizer_add_token(l->t, (lls_added_token_t){ .content = (char *)s.text,
                                                                    .len = (uint32_t)s.len,
                                                                    .special = type != TYPE_USER },
                                         l->err);
    }
    return st;
}

/* ---- Byte-level BPE -------------------------------------------------------------------------- */

static llm_status_t add_merge(gguf_load_t *l, lls_gguf_str_t s, uint32_t rank, lls_buf_t *both)
{
    const char *space = s.len > 1 ? memchr(s.text + 1, ' ', s.len - 1) : NULL;
    const char *why = "must be two parts with a space between";
    size_t      a = space != NULL ? (size_t)(space - s.text) : 0;

    if (space != NULL && !lls_bpe_read_merge(&l->t->bpe, s.text, a, space + 1, s.len - a - 1, rank,
                                             both, &why))
        return no_memory(l);
    return why == NULL ? LLM_OK
                       : lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.merges[%u]: %s",
                                  l->path, rank, why);
}

static llm_status_t load_merges(gguf_load_t *l)
{
    const lls_gguf_value_t *merges = lls_gguf_find(l->g, "tokenizer.ggml.merges");
    lls_buf_t               both = { l->t->mem, NULL, 0, 0 };
    lls_gguf_str_t          s;
    size_t                  at = 0;
    llm_status_t            st = LLM_OK;

    if (merges == NULL || merges->type != LLS_GGUF_ARRAY || merges->elem_type != LLS_GGUF_STRING ||
        merges->n > UINT32_MAX / 4)
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.merges is no list of strings",
                        l->path);
    lls_bpe_init(&l->t->bpe, l->t->mem, &l->t->vocab);
    if (!lls_bpe_merges(&l->t->bpe, (uint32_t)merges->n))
        return no_memory(l);
    for (uint32_t rank = 0; st == LLM_OK && lls_gguf_next_str(merges, &at, &s); rank++)
        st = add_merge(l, s, rank, &both);
    lls_buf_deinit(&both);
    return st;
}

static llm_status_t load_gpt2(gguf_load_t *l)
{
    lls_gguf_str_t pre = { "default", 7 };
    bool           whole = false;
    llm_status_t   st;

    lls_gguf_get_str(l->g, "tokenizer.ggml.pre", &pre);
    st = lls_tokenizer_add_pre(l->t, l->path, pre.text, pre.len, &whole, l->err);
    if (st == LLM_OK)
        st = load_tokens(l);
    if (st == LLM_OK)
        st = load_merges(l);
    l->t->bpe.ignore_merges = whole;
    if (st == LLM_OK && lls_decoder_add(&l->t->decoder, LLS_DSTEP_BYTE_LEVEL) == NULL)
        st = no_memory(l);
    return st;
}

/* ---- SentencePiece BPE ----------------------------------------------------------------------- */

static int by_score(const void *ctx, uint32_t a, uint32_t b)
{
    const double *scores = ctx;

    return (scores[a] < scores[b]) - (scores[a] > scores[b]);
}

/* Every cut of a token into two tokens is a merge, with the rank of the token's score. */
static void add_cuts(gguf_load_t *l, uint32_t id, uint32_t rank)
{
    const lls_vocab_t *v = &l->t->vocab;
    size_t             len;
    const char        *text = lls_vocab_bytes(v, id, &len);

    for (size_t i = 1; i < len; i++) {
        int32_t left, right;

        if (((uint8_t)text[i] & 0xc0) == 0x80)
            continue;
        left = lls_vocab_find(v, text, i, false);
        right = lls_vocab_find(v, text + i, len - i, false);
        if (left >= 0 && right >= 0)
            lls_bpe_add_merge(&l->t->bpe, left, right, rank, (int32_t)id);
    }
}

static uint64_t count_cuts(const gguf_load_t *l)
{
    uint64_t n = 0;

    for (uint32_t id = 0; id < l->t->vocab.n; id++)
        n += l->t->vocab.entries[id].len;
    return n;
}

static void rank_tokens(gguf_load_t *l, const lls_gguf_value_t *list, double *scores, uint32_t *ids)
{
    uint32_t n = 0, rank = 0;

    for (uint32_t id = 0; id < l->t->vocab.n; id++)
        if (type_of(l, id) == TYPE_NORMAL && lls_gguf_elem_f64(list, id, &scores[id]) &&
            !isnan(scores[id]))
            ids[n++] = id;
    lls_sort_ids(ids, n, by_score, scores);
    for (uint32_t i = 0; i < n; i++) {
        rank += i > 0 && scores[ids[i]] != scores[ids[i - 1]];
        add_cuts(l, ids[i], rank);
    }
}

static llm_status_t score_merges(gguf_load_t *l)
{
    const lls_gguf_value_t *list = lls_gguf_find(l->g, "tokenizer.ggml.scores");
    uint64_t                n_cuts = count_cuts(l);
    double                 *scores;
    uint32_t               *ids;

    if (list == NULL)
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.scores is missing", l->path);
    lls_bpe_init(&l->t->bpe, l->t->mem, &l->t->vocab);
    if (n_cuts > UINT32_MAX / 4 || !lls_bpe_merges(&l->t->bpe, (uint32_t)n_cuts))
        return no_memory(l);
    scores = lls_calloc(l->t->mem, l->t->vocab.n, sizeof *scores);
    ids = lls_calloc(l->t->mem, l->t->vocab.n, sizeof *ids);
    if (scores != NULL && ids != NULL)
        rank_tokens(l, list, scores, ids);
    lls_free(l->t->mem, scores);
    lls_free(l->t->mem, ids);
    return scores != NULL && ids != NULL ? LLM_OK : no_memory(l);
}

static llm_status_t add_metaspace(gguf_load_t *l)
{
    bool          prefix = true;
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);

    if (s == NULL)
        return no_memory(l);
    lls_gguf_get_bool(l->g, "tokenizer.ggml.add_space_prefix", &prefix);
    s->kind = LLS_PRETOK_METASPACE;
    s->scheme = prefix ? LLS_PREPEND_FIRST : LLS_PREPEND_NEVER;
    if (!lls_decoder_sentencepiece(&l->t->decoder, prefix))
        return no_memory(l);
    return lls_pattern_literal(&s->pattern, l->t->mem, BLANK, 3, l->err);
}

static llm_status_t load_llama(gguf_load_t *l)
{
    uint64_t     unk;
    llm_status_t st = add_metaspace(l);

    if (st == LLM_OK)
        st = load_tokens(l);
    if (st == LLM_OK)
        st = score_merges(l);
    l->t->bpe.byte_fallback = true;
    l->t->bpe.fuse_unk = true;
    if (st == LLM_OK && lls_gguf_get_u64(l->g, "tokenizer.ggml.unknown_token_id", &unk) &&
        unk < l->t->vocab.n)
        l->t->bpe.unk_id = (int32_t)unk;
    return st;
}

/* ---- WordPiece ------------------------------------------------------------------------------- */

/* Words begin with U+2581 in these files, and what goes on has nothing; turned back to "##". */
static llm_status_t word_tokens(gguf_load_t *l, bool *upper)
{
    const lls_gguf_value_t *tokens = lls_gguf_find(l->g, "tokenizer.ggml.tokens");
    lls_vocab_t             old = l->t->vocab;
    lls_buf_t               text = { l->t->mem, NULL, 0, 0 };
    lls_gguf_str_t          s;
    size_t                  at = 0;
    uint32_t                id = 0;
    bool                    ok;

    memset(&l->t->vocab, 0, sizeof l->t->vocab);
    ok = lls_vocab_init(&l->t->vocab, l->t->mem, old.n, old.bytes.len + old.n * 2u, false);
    for (; ok && lls_gguf_next_str(tokens, &at, &s); id++) {
        bool begins = s.len >= 3 && memcmp(s.text, BLANK, 3) == 0;
        bool plain = type_of(l, id) == TYPE_NORMAL;

        text.len = 0;
        ok = (!plain || begins || lls_buf_put(&text, "##", 2)) &&
             lls_buf_put(&text, s.text + (plain && begins ? 3 : 0),
                         s.len - (plain && begins ? 3 : 0)) &&
             lls_vocab_add(&l->t->vocab, id, text.data, text.len);
        for (size_t i = 0; plain && i < s.len; i++)
            *upper = *upper || (s.text[i] >= 'A' && s.text[i] <= 'Z');
    }
    lls_vocab_deinit(&old);
    lls_buf_deinit(&text);
    return ok ? LLM_OK : no_memory(l);
}

static llm_status_t bert_norms(gguf_load_t *l, bool cased)
{
    static const uint8_t kinds[] = { LLS_NORM_BERT_CLEAN, LLS_NORM_BERT_CHINESE, LLS_NORM_NFD,
                                     LLS_NORM_BERT_ACCENTS, LLS_NORM_LOWER };

    for (size_t i = 0; i < (cased ? 2 : LLS_ARRAY_LEN(kinds)); i++) {
        lls_norm_t *s = lls_tokenizer_new_norm(l->t);

        if (s == NULL)
            return no_memory(l);
        s->kind = kinds[i];
    }
    return LLM_OK;
}

static llm_status_t load_bert(gguf_load_t *l)
{
    lls_wordpiece_t *m = &l->t->wordpiece;
    lls_dec_step_t  *step;
    uint64_t         unk;
    bool             upper = false;
    llm_status_t     st = load_tokens(l);

    if (st == LLM_OK)
        st = word_tokens(l, &upper);
    if (st == LLM_OK)               /* the file does not say; a cased vocabulary shows itself */
        st = bert_norms(l, upper);
    if (st == LLM_OK)
        st = lls_tokenizer_add_bert(l->t, l->err);
    if (st != LLM_OK)
        return st;
    l->t->model = LLS_MODEL_WORDPIECE;
    m->max_chars = 100;
    m->prefix_len = 2;
    m->prefix = lls_strdup(l->t->mem, "##");
    if (lls_gguf_get_u64(l->g, "tokenizer.ggml.unknown_token_id", &unk) && unk < l->t->vocab.n)
        m->unk_id = (int32_t)unk;
    step = lls_decoder_add(&l->t->decoder, LLS_DSTEP_WORDPIECE);
    if (m->prefix == NULL || step == NULL || (step->a = lls_strdup(l->t->mem, "##")) == NULL)
        return no_memory(l);
    step->a_len = 2;
    step->flag = true;
    return LLM_OK;
}

/* ---- SentencePiece unigram ------------------------------------------------------------------- */

static llm_status_t t5_scores(gguf_load_t *l)
{
    const lls_gguf_value_t *list = lls_gguf_find(l->g, "tokenizer.ggml.scores");
    lls_unigram_t          *u = &l->t->unigram;

    if (list == NULL)
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.scores is missing", l->path);
    u->scores = lls_calloc(l->t->mem, l->t->vocab.n, sizeof *u->scores);
    u->kinds = lls_zalloc(l->t->mem, l->t->vocab.n);
    if (u->scores == NULL || u->kinds == NULL)
        return no_memory(l);
    for (uint32_t id = 0; id < l->t->vocab.n; id++) {
        int64_t type = type_of(l, id);

        if (!lls_gguf_elem_f64(list, id, &u->scores[id]) || !isfinite(u->scores[id]))
            return lls_fail(l->err, LLM_ERR_FORMAT, "%s: tokenizer.ggml.scores[%u] is no number",
                            l->path, id);
        u->kinds[id] = type == TYPE_NORMAL   ? LLS_PIECE_NORMAL
                       : type == TYPE_USER   ? LLS_PIECE_USER
                       : type == TYPE_UNUSED ? LLS_PIECE_UNUSED : LLS_PIECE_RESERVED;
    }
    return LLM_OK;
}

static llm_status_t t5_norm(gguf_load_t *l)
{
    const lls_gguf_value_t *map = lls_gguf_find(l->g, "tokenizer.ggml.precompiled_charsmap");
    lls_norm_t             *s = lls_tokenizer_new_norm(l->t);

    if (s == NULL)
        return no_memory(l);
    s->kind = LLS_NORM_SENTENCEPIECE;
    s->dummy = s->trim = s->escape = true;
    s->user = &l->t->unigram.user;
    lls_gguf_get_bool(l->g, "tokenizer.ggml.add_space_prefix", &s->dummy);
    lls_gguf_get_bool(l->g, "tokenizer.ggml.remove_extra_whitespaces", &s->trim);
    if (!lls_decoder_sentencepiece(&l->t->decoder, s->dummy))
        return no_memory(l);
    if (map == NULL)
        return LLM_OK;
    if (map->type != LLS_GGUF_ARRAY ||
        (map->elem_type != LLS_GGUF_U8 && map->elem_type != LLS_GGUF_I8))
        return lls_fail(l->err, LLM_ERR_FORMAT,
                        "%s: tokenizer.ggml.precompiled_charsmap is no list of bytes", l->path);
    return lls_charsmap_init(&s->charsmap, l->t->mem, l->path, map->data, map->bytes, l->err);
}

static llm_status_t load_t5(gguf_load_t *l)
{
    lls_unigram_t *u = &l->t->unigram;
    uint64_t       unk;
    llm_status_t   st = load_tokens(l);

    if (st == LLM_OK)
        st = t5_scores(l);
    if (st == LLM_OK)
        st = t5_norm(l);
    l->t->model = LLS_MODEL_UNIGRAM;
    u->sentencepiece = true;
    if (st == LLM_OK && lls_gguf_get_u64(l->g, "tokenizer.ggml.unknown_token_id", &unk) &&
        unk < l->t->vocab.n)
        u->unk_id = (int32_t)unk;
    for (uint32_t id = 0; st == LLM_OK && id < l->t->vocab.n; id++)
        u->byte_fallback = u->byte_fallback || type_of(l, id) == TYPE_BYTE;
    return st;
}

/* ---- Ids and template ------------------------------------------------------------------------ */

static llm_status_t special_id(gguf_load_t *l, const char *key, int32_t *out)
{
    char     full[96];
    uint64_t v;

    *out = -1;
    snprintf(full, sizeof full, "tokenizer.ggml.%s", key);
    if (!lls_gguf_get_u64(l->g, full, &v))
        return LLM_OK;
    if (v >= l->t->vocab.n)
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: %s %llu is not below the %u tokens", l->path,
                        full, (unsigned long long)v, l->t->vocab.n);
    *out = (int32_t)v;
    return LLM_OK;
}

static llm_status_t load_ids(gguf_load_t *l, bool default_bos, bool default_eos)
{
    lls_tokenizer_t *t = l->t;
    int32_t          eot = -1;
    bool             add_bos = default_bos, add_eos = default_eos;
    llm_status_t     st = special_id(l, "bos_token_id", &t->bos);

    if (st == LLM_OK)
        st = special_id(l, "eos_token_id", &t->eos);
    if (st == LLM_OK && t->bos < 0)
        st = special_id(l, "cls_token_id", &t->bos);
    if (st == LLM_OK && t->eos < 0)             /* the key is spelled like this */
        st = special_id(l, "seperator_token_id", &t->eos);
    if (st == LLM_OK)
        st = special_id(l, "eot_token_id", &eot);
    if (st != LLM_OK)
        return st;
    lls_gguf_get_bool(l->g, "tokenizer.ggml.add_bos_token", &add_bos);
    lls_gguf_get_bool(l->g, "tokenizer.ggml.add_eos_token", &add_eos);
    if (!lls_postproc_wrap(&t->post, add_bos ? t->bos : -1, add_eos ? t->eos : -1,
                           t->model == LLS_MODEL_WORDPIECE) ||
        !lls_tokenizer_add_eos(t, t->eos) || !lls_tokenizer_add_eos(t, eot))
        return no_memory(l);
    return LLM_OK;
}

static llm_status_t load_template(gguf_load_t *l)
{
    static const struct key {
        const char *key, *name;
    } keys[] = { { "tokenizer.chat_template", "default" },
                 { "tokenizer.chat_template.default", "default" },
                 { "tokenizer.chat_template.tool_use", "tool_use" },
                 { "tokenizer.chat_template.rag", "rag" } };
    lls_gguf_str_t s;
    char           architecture[32] = "";
    const char    *ours;

    if (lls_gguf_get_str(l->g, "general.architecture", &s) && s.len < sizeof architecture)
        memcpy(architecture, s.text, s.len);
    ours = lls_render_find(architecture);       /* goes before the model's */
    if (ours != NULL && !lls_templates_add(&l->t->templates, "default", ours, strlen(ours)))
        return no_memory(l);
    for (size_t i = 0; i < LLS_ARRAY_LEN(keys); i++)
        if (lls_gguf_get_str(l->g, keys[i].key, &s) &&
            !lls_templates_add(&l->t->templates, keys[i].name, s.text, s.len))
            return no_memory(l);
    return LLM_OK;
}

static llm_status_t load_kind(gguf_load_t *l)
{
    static const struct kind {
        const char *name;
        llm_status_t (*load)(gguf_load_t *l);
        bool bos, eos;          /* put around a text unless the file says otherwise */
    } kinds[] = {
        { "gpt2", load_gpt2, false, false }, { "llama", load_llama, true, false },
        { "bert", load_bert, true, true }, { "t5", load_t5, false, true },
    };
    const struct kind *k = NULL;
    lls_gguf_str_t     kind = { "", 0 };
    llm_status_t       st;

    lls_gguf_get_str(l->g, "tokenizer.ggml.model", &kind);
    l->types = lls_gguf_find(l->g, "tokenizer.ggml.token_type");
    for (size_t i = 0; k == NULL && i < LLS_ARRAY_LEN(kinds); i++)
        if (strlen(kinds[i].name) == kind.len && memcmp(kinds[i].name, kind.text, kind.len) == 0)
            k = &kinds[i];
    if (k == NULL)
        return lls_fail(l->err, LLM_ERR_UNSUPPORTED,
                        "%s: tokenizer.ggml.model \"%.*s\" is not supported", l->path,
                        (int)(kind.len > 40 ? 40 : kind.len), kind.text);
    st = k->load(l);
    if (st == LLM_OK)
        st = load_added(l);
    if (st == LLM_OK)
        st = load_ids(l, k->bos, k->eos);
    return st == LLM_OK ? load_template(l) : st;
}

llm_status_t lls_tokenizer_load_gguf(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    gguf_load_t  l = { t, NULL, path, err, NULL };
    llm_status_t st = lls_gguf_open(t->mem, path, &l.g, err);

    if (st != LLM_OK)
        return st;
    st = load_kind(&l);
    lls_gguf_close(l.g);
    return st;
}
