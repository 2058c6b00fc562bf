/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key model of a tokenizer.json.  vocab and merges are read straight from the text of the file.
 */
#include "text/load_int.h"

#include "text/jscan.h"

#define FREE_IDS 65536u             /* ids of a vocabulary may leave so many gaps */

static llm_status_t bad_text(const lls_load_t *l, const lls_jscan_t *s, const char *key,
                             const char *reason)
{
    if (s->no_memory)
        return lls_load_no_memory(l);
    return lls_fail(l->err, LLM_ERR_FORMAT, "%s: byte %zu: model.%s: %s", l->path, s->at, key,
                    reason);
}

static lls_jscan_t scan_of(const lls_tables_t *t, size_t at, size_t len)
{
    return (lls_jscan_t){ t->text, at + len, at, false };
}

/* ---- A vocabulary that is an object ---------------------------------------------------------- */

typedef struct vocab_pass {
    lls_load_t  *l;
    lls_jscan_t  s;
    lls_buf_t    key;
    uint64_t     limit;         /* ids are below it */
} vocab_pass_t;

static llm_status_t bad_id(const vocab_pass_t *p, const char *what)
{
    return lls_fail(p->l->err, LLM_ERR_FORMAT, "%s: byte %zu: model.vocab: the id of \"%.*s\" %s",
                    p->l->path, p->s.at, (int)(p->key.len > 40 ? 40 : p->key.len),
                    p->key.len != 0 ? p->key.data : "", what);
}

static llm_status_t add_vocab(vocab_pass_t *p, int64_t id)
{
    lls_vocab_t *v = &p->l->t->vocab;

    if ((uint64_t)id >= p->limit)
        return bad_id(p, "is too large for the number of tokens");
    if (!lls_vocab_reach(v, (uint32_t)id + 1))
        return lls_load_no_memory(p->l);
    if (v->entries[id].used)
        return bad_id(p, "is given twice");
    return lls_vocab_add(v, (uint32_t)id, p->key.data, p->key.len) ? LLM_OK
                                                                   : lls_load_no_memory(p->l);
}

static llm_status_t walk_vocab(vocab_pass_t *p)
{
    bool         first = true, end = false;
    llm_status_t st = LLM_OK;

    while (st == LLM_OK && lls_jscan_next(&p->s, '{', &first, &p->key, &end)) {
        int64_t id;

        if (!lls_jscan_integer(&p->s, &id) || id < 0 || id > INT32_MAX / 4)
            return bad_id(p, "is no token id");
        st = add_vocab(p, id);
    }
    return st == LLM_OK && !end ? bad_text(p->l, &p->s, "vocab", "is no JSON object") : st;
}

llm_status_t lls_load_vocab(lls_load_t *l, const lls_tables_t *t)
{
    vocab_pass_t p = { .l = l, .s = scan_of(t, t->vocab, t->vocab_len), .key.mem = l->t->mem,
                       .limit = t->n_vocab * 4 + FREE_IDS };
    llm_status_t st = LLM_OK;

    if (t->vocab_len == 0 || t->n_vocab > INT32_MAX / 4)
        return lls_load_fail(l, LLM_ERR_FORMAT, "vocab", "is missing or too large");
    if (!lls_buf_room(&p.key, 64) ||
        !lls_vocab_init(&l->t->vocab, l->t->mem, (uint32_t)t->n_vocab, t->vocab_len / 4,
                        l->t->byte_level))
        st = lls_load_no_memory(l);
    if (st == LLM_OK)
        st = walk_vocab(&p);
    lls_buf_deinit(&p.key);
    return st;
}

/* The id of the token o.key; -1 if there is no such key.  need: it must be in the vocabulary. */
static llm_status_t token_of(lls_load_t *l, const json_t *o, const char *key, bool need,
                             int32_t *id)
{
    const char  *text;
    size_t       len;
    llm_status_t st = lls_load_str(l, o, key, &text, &len);

    *id = -1;
    if (st != LLM_OK || text == NULL)
        return st;
    *id = lls_vocab_find_spelling(&l->t->vocab, text, len);
    return *id >= 0 || !need ? LLM_OK
                             : lls_load_fail(l, LLM_ERR_FORMAT, key, "is not in the vocabulary");
}

/* ---- BPE ------------------------------------------------------------------------------------- */

typedef struct merge_pass {
    lls_load_t  *l;
    lls_jscan_t  s;
    lls_buf_t    a, b;
    size_t       i;             /* number of the merge in the file */
    uint32_t     rank;
} merge_pass_t;

static llm_status_t bad_merge(const merge_pass_t *p, const char *why)
{
    if (p->s.no_memory)
        return lls_load_no_memory(p->l);
    return lls_fail(p->l->err, LLM_ERR_FORMAT, "%s: byte %zu: model.merges[%zu]: %s", p->l->path,
                    p->s.at, p->i, why);
}

/* "a b" or ["a", "b"]; *version: a line "#version", which is no merge. */
static llm_status_t read_merge(merge_pass_t *p, const char **b, size_t *b_len, bool *version)
{
    const char *space;
    bool        first = true, end;

    *version = false;
    if (lls_jscan_peek(&p->s) == '[') {
        if (!lls_jscan_next(&p->s, '[', &first, NULL, &end) || !lls_jscan_string(&p->s, &p->a) ||
            !lls_jscan_next(&p->s, '[', &first, NULL, &end) || !lls_jscan_string(&p->s, &p->b) ||
            lls_jscan_next(&p->s, '[', &first, NULL, &end) || !end)
            return bad_merge(p, "must be a string or two strings");
        *b = p->b.data;
        *b_len = p->b.len;
        return LLM_OK;
    }
    if (!lls_jscan_string(&p->s, &p->a))
        return bad_merge(p, "must be a string or two strings");
    *version = p->a.len >= 8 && memcmp(p->a.data, "#version", 8) == 0;
    if (*version)
        return LLM_OK;
    space = p->a.len != 0 ? memchr(p->a.data, ' ', p->a.len) : NULL;
    *b_len = space != NULL ? p->a.len - (size_t)(space + 1 - p->a.data) : 0;
    if (space == NULL || memchr(space + 1, ' ', *b_len) != NULL)
        return bad_merge(p, "must be two parts with a space between");
    *b = space + 1;
    p->a.len = (size_t)(space - p->a.data);
    return LLM_OK;
}

static llm_status_t walk_merges(merge_pass_t *p, lls_buf_t *both)
{
    bool         first = true, end = false;
    llm_status_t st = LLM_OK;

    for (; st == LLM_OK && lls_jscan_next(&p->s, '[', &first, NULL, &end); p->i++) {
        const char *b = NULL, *why = NULL;
        size_t      b_len = 0;
        bool        version;

        st = read_merge(p, &b, &b_len, &version);
        if (st != LLM_OK || version)
            continue;
        if (!lls_bpe_read_merge(&p->l->t->bpe, p->a.data, p->a.len, b, b_len, p->rank++, both,
                                &why))
            st = lls_load_no_memory(p->l);
        else if (why != NULL)
            st = bad_merge(p, why);
    }
    return st == LLM_OK && !end ? bad_text(p->l, &p->s, "merges", "is no JSON array") : st;
}

static llm_status_t load_merges(lls_load_t *l, const lls_tables_t *t)
{
    merge_pass_t p = { .l = l, .s = scan_of(t, t->merges, t->merges_len), .a.mem = l->t->mem,
                       .b.mem = l->t->mem };
    lls_buf_t    both = { l->t->mem, NULL, 0, 0 };
    llm_status_t st = LLM_OK;

    if (t->merges_len == 0 || t->n_merges > UINT32_MAX / 4)
        return lls_load_fail(l, LLM_ERR_FORMAT, "merges", "is missing or too large");
    if (!lls_bpe_merges(&l->t->bpe, (uint32_t)t->n_merges) || !lls_buf_room(&p.a, 64) ||
        !lls_buf_room(&p.b, 64))
        st = lls_load_no_memory(l);
    if (st == LLM_OK)
        st = walk_merges(&p, &both);
    lls_buf_deinit(&p.a);
    lls_buf_deinit(&p.b);
    lls_buf_deinit(&both);
    return st;
}

static llm_status_t affix(const lls_load_t *l, const json_t *o, const char *key, char **text,
                          size_t *len)
{
    const char  *p;
    llm_status_t st = lls_load_str(l, o, key, &p, len);

    return st != LLM_OK || *len == 0 ? st : lls_load_copy(l, o, key, text, len);
}

static llm_status_t load_bpe(lls_load_t *l, const json_t *o, const lls_tables_t *t)
{
    lls_bpe_t    *b = &l->t->bpe;
    const json_t *dropout = json_object_get(o, "dropout");
    llm_status_t  st = lls_load_vocab(l, t);

    l->t->model = LLS_MODEL_BPE;
    if (st == LLM_OK)
        lls_bpe_init(b, l->t->mem, &l->t->vocab);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "byte_fallback", false, &b->byte_fallback);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "fuse_unk", false, &b->fuse_unk);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "ignore_merges", false, &b->ignore_merges);
    if (st == LLM_OK)
        st = affix(l, o, "continuing_subword_prefix", &b->prefix, &b->prefix_len);
    if (st == LLM_OK)
        st = affix(l, o, "end_of_word_suffix", &b->suffix, &b->suffix_len);
    if (st == LLM_OK && json_is_number(dropout) && json_number_value(dropout) > 0)
        st = lls_load_fail(l, LLM_ERR_UNSUPPORTED, "dropout", "is for training only");
    if (st == LLM_OK)
        st = load_merges(l, t);
    return st == LLM_OK ? token_of(l, o, "unk_token", true, &b->unk_id) : st;
}

/* ---- Unigram --------------------------------------------------------------------------------- */

/* ["piece", score] */
static bool read_piece(lls_jscan_t *s, lls_buf_t *piece, double *score)
{
    bool first = true, end = false;

    return lls_jscan_next(s, '[', &first, NULL, &end) && lls_jscan_string(s, piece) &&
           lls_jscan_next(s, '[', &first, NULL, &end) && lls_jscan_double(s, score) &&
           !lls_jscan_next(s, '[', &first, NULL, &end) && end;
}

static llm_status_t walk_pieces(lls_load_t *l, lls_jscan_t *s, lls_buf_t *piece, uint32_t n)
{
    bool         first = true, end = false;
    uint32_t     id = 0;
    llm_status_t st = LLM_OK;

    for (; st == LLM_OK && lls_jscan_next(s, '[', &first, NULL, &end); id++) {
        if (id >= n || !read_piece(s, piece, &l->t->unigram.scores[id]))
            return bad_text(l, s, "vocab", "a piece must be a string and a number");
        if (!lls_vocab_add(&l->t->vocab, id, piece->data, piece->len))
            st = lls_load_no_memory(l);
    }
    return st == LLM_OK && !end ? bad_text(l, s, "vocab", "is no JSON array") : st;
}

static llm_status_t load_pieces(lls_load_t *l, const lls_tables_t *t)
{
    lls_jscan_t  s = scan_of(t, t->vocab, t->vocab_len);
    uint64_t     n = t->n_vocab;
    lls_buf_t    piece = { l->t->mem, NULL, 0, 0 };
    llm_status_t st = LLM_OK;

    if (t->vocab_len == 0 || n > INT32_MAX / 4)
        return lls_load_fail(l, LLM_ERR_FORMAT, "vocab", "is missing or too large");
    l->t->unigram.scores = lls_calloc(l->t->mem, n + 1, sizeof *l->t->unigram.scores);
    if (l->t->unigram.scores == NULL || !lls_buf_room(&piece, 64) ||
        !lls_vocab_init(&l->t->vocab, l->t->mem, (uint32_t)n, t->vocab_len / 4, false))
        st = lls_load_no_memory(l);
    if (st == LLM_OK)
        st = walk_pieces(l, &s, &piece, (uint32_t)n);
    lls_buf_deinit(&piece);
    return st;
}

static llm_status_t load_unigram(lls_load_t *l, const json_t *o, const lls_tables_t *t)
{
    lls_unigram_t *u = &l->t->unigram;
    const json_t  *unk = json_object_get(o, "unk_id");
    llm_status_t   st = load_pieces(l, t);

    l->t->model = LLS_MODEL_UNIGRAM;
    u->unk_id = -1;
    if (st == LLM_OK && unk != NULL && !json_is_null(unk)) {
        json_int_t id = json_is_integer(unk) ? json_integer_value(unk) : -1;

        if (id < 0 || id >= (json_int_t)l->t->vocab.n)
            return lls_load_fail(l, LLM_ERR_FORMAT, "unk_id", "is no piece of the vocabulary");
        u->unk_id = (int32_t)id;
    }
    return st == LLM_OK ? lls_load_bool(l, o, "byte_fallback", false, &u->byte_fallback) : st;
}

/* ---- WordPiece, WordLevel -------------------------------------------------------------------- */

static llm_status_t load_wordlevel(lls_load_t *l, const json_t *o, const lls_tables_t *t)
{
    llm_status_t st = lls_load_vocab(l, t);

    l->t->model = LLS_MODEL_WORDPIECE;
    l->t->wordpiece.word_level = true;
    return st == LLM_OK ? token_of(l, o, "unk_token", false, &l->t->wordpiece.unk_id) : st;
}

static llm_status_t load_wordpiece(lls_load_t *l, const json_t *o, const lls_tables_t *t)
{
    lls_wordpiece_t *m = &l->t->wordpiece;
    llm_status_t     st = lls_load_vocab(l, t);

    l->t->model = LLS_MODEL_WORDPIECE;
    if (st == LLM_OK)
        st = lls_load_copy(l, o, "continuing_subword_prefix", &m->prefix, &m->prefix_len);
    if (st == LLM_OK)
        st = lls_load_count(l, o, "max_input_chars_per_word", 100, INT64_MAX, &m->max_chars);
    return st == LLM_OK ? token_of(l, o, "unk_token", false, &m->unk_id) : st;
}

llm_status_t lls_load_model(lls_load_t *l, const json_t *o, const lls_tables_t *t)
{
    static const struct model_kind {
        const char *type;
        llm_status_t (*load)(lls_load_t *l, const json_t *o, const lls_tables_t *t);
    } kinds[] = {
        { "BPE", load_bpe }, { "Unigram", load_unigram }, { "WordPiece", load_wordpiece },
        { "WordLevel", load_wordlevel },
    };
    const char  *type;
    size_t       len;
    llm_status_t st;

    if (!json_is_object(o))
        return lls_load_fail(l, LLM_ERR_FORMAT, "", "must be an object");
    st = lls_load_str(l, o, "type", &type, &len);
    if (st != LLM_OK)
        return st;
    if (type == NULL)                   /* files before the key came */
        type = t->merges_len != 0 ? "BPE"
               : t->vocab_len != 0 && t->text[t->vocab] == '[' ? "Unigram"
               : json_object_get(o, "continuing_subword_prefix") != NULL ? "WordPiece"
                                                                         : "WordLevel";
    for (size_t i = 0; i < LLS_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].type, type) == 0)
            return kinds[i].load(l, o, t);
    return lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: model.type: %.60s is not supported", l->path,
                    type);
}
