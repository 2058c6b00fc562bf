/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints without a tokenizer.json: vocab.json with merges.txt, and vocab.txt.  What those
 * files do not say comes from the class named in tokenizer_config.json.
 */
#include "text/load_int.h"

#include "base/io.h"
#include "base/utf8.h"
#include "text/jscan.h"

#define MAX_FILE (256u << 20)
#define QWEN2_REGEX                                                                                \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"                            \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The lines of a text; the last may lack its end. */
static bool next_line(const char *text, size_t len, size_t *at, const char **line, size_t *n)
{
    const char *end;

    if (*at >= len)
        return false;
    *line = text + *at;
    end = memchr(*line, '\n', len - *at);
    *n = end != NULL ? (size_t)(end - *line) : len - *at;
    *at += *n + (end != NULL);
    if (*n > 0 && (*line)[*n - 1] == '\r')
        --*n;
    return true;
}

static llm_status_t read_text(lls_load_t *l, const char *path, char **text, size_t *len)
{
    llm_status_t st = lls_read_file(l->t->mem, path, MAX_FILE, text, len, l->err);
    size_t       good = st == LLM_OK ? lls_utf8_valid(*text, *len) : 0;

    if (st != LLM_OK || good == *len)
        return st;
    lls_free(l->t->mem, *text);
    *text = NULL;
    return lls_fail(l->err, LLM_ERR_FORMAT, "%s: byte %zu: is not UTF-8", path, good);
}

/* ---- vocab.json and merges.txt --------------------------------------------------------------- */

/* "a b" in each line, but for "#version". */
static llm_status_t read_merges(lls_load_t *l, const char *path, const char *text, size_t len)
{
    lls_buf_t    both = { l->t->mem, NULL, 0, 0 };
    size_t       at = 0, n, number = 0, lines = 1;
    uint32_t     rank = 0;
    const char  *line;
    llm_status_t st = LLM_OK;

    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    if (lines > UINT32_MAX / 4 || !lls_bpe_merges(&l->t->bpe, (uint32_t)lines))
        return lls_load_no_memory(l);
    while (st == LLM_OK && next_line(text, len, &at, &line, &n)) {
        const char *space = memchr(line, ' ', n), *why = NULL;

        number++;
        if (n == 0 || (n >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        if (space == NULL || memchr(space + 1, ' ', n - (size_t)(space + 1 - line)) != NULL)
            why = "must be two parts with a space between";
        else
            st = lls_bpe_read_merge(&l->t->bpe, line, (size_t)(space - line), space + 1,
                                    n - (size_t)(space + 1 - line), rank++, &both, &why)
                     ? LLM_OK : lls_load_no_memory(l);
        if (st == LLM_OK && why != NULL)
            st = lls_fail(l->err, LLM_ERR_FORMAT, "%s: line %zu: %s", path, number, why);
    }
    lls_buf_deinit(&both);
    return st;
}

static llm_status_t load_merges(lls_load_t *l, const char *dir)
{
    char        *path = lls_path_join(l->t->mem, dir, "merges.txt"), *text = NULL;
    size_t       len;
    llm_status_t st = path != NULL ? read_text(l, path, &text, &len) : lls_load_no_memory(l);

    if (st == LLM_OK)
        st = read_merges(l, path, text, len);
    lls_free(l->t->mem, text);
    lls_free(l->t->mem, path);
    return st;
}

/* The split of the family, by the name of its class. */
static llm_status_t add_split(lls_load_t *l, const char *class_name)
{
    lls_norm_t  *nfc;
    llm_status_t st;

    if (strstr(class_name, "CLIP") != NULL)
        return lls_fail(l->err, LLM_ERR_UNSUPPORTED,
                        "%s: %.40s without a tokenizer.json is not supported", l->path, class_name);
    if (strncmp(class_name, "Qwen", 4) != 0)
        return lls_tokenizer_add_bytelevel(l->t, l->path, false, true, l->err);
    nfc = lls_tokenizer_new_norm(l->t);
    if (nfc == NULL)
        return lls_load_no_memory(l);
    nfc->kind = LLS_NORM_NFC;
    st = lls_tokenizer_add_split(l->t, l->path, QWEN2_REGEX, LLS_SPLIT_ISOLATED, false, l->err);
    return st == LLM_OK ? lls_tokenizer_add_bytelevel(l->t, l->path, false, false, l->err) : st;
}

/* RoBERTa's classes put <s> and </s> around. */
static llm_status_t add_post(lls_load_t *l, const char *class_name)
{
    lls_tokenizer_t *t = l->t;
    int32_t          bos = lls_vocab_find_spelling(&t->vocab, "<s>", 3);
    int32_t          eos = lls_vocab_find_spelling(&t->vocab, "</s>", 4);
    lls_template_t  *pair = &t->post.pair;

    if ((strstr(class_name, "Roberta") == NULL && strstr(class_name, "Bart") == NULL) || bos < 0 ||
        eos < 0)
        return LLM_OK;
    if (!lls_postproc_wrap(&t->post, bos, eos, false))
        return lls_load_no_memory(l);
    pair->items.n = pair->types.n = 0;
    return lls_template_put(pair, bos, 0) && lls_template_put(pair, LLS_POST_A, 0) &&
           lls_template_put(pair, eos, 0) && lls_template_put(pair, eos, 0) &&
           lls_template_put(pair, LLS_POST_B, 0) && lls_template_put(pair, eos, 0)
               ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t load_vocab_json(lls_load_t *l, const char *dir, const char *class_name)
{
    lls_tables_t tables = { 0 };
    char        *text = NULL;
    llm_status_t st = add_split(l, class_name);

    if (st == LLM_OK)
        st = read_text(l, l->path, &text, &tables.vocab_len);
    if (st == LLM_OK) {
        lls_jscan_t s = { text, tables.vocab_len, 0, false };

        tables.text = text;
        if (!lls_jscan_count(&s, &tables.n_vocab))
            tables.n_vocab = tables.vocab_len;      /* reading it will say what is wrong */
        st = lls_load_vocab(l, &tables);
    }
    lls_free(l->t->mem, text);
    if (st == LLM_OK) {
        l->t->model = LLS_MODEL_BPE;
        lls_bpe_init(&l->t->bpe, l->t->mem, &l->t->vocab);
        st = load_merges(l, dir);
    }
    if (st == LLM_OK && lls_decoder_add(&l->t->decoder, LLS_DSTEP_BYTE_LEVEL) == NULL)
        st = lls_load_no_memory(l);
    return st == LLM_OK ? add_post(l, class_name) : st;
}

llm_status_t lls_tokenizer_load_vocab(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    json_t      *config = NULL;
    const char  *name = NULL;
    char        *path = lls_path_join(t->mem, dir, "vocab.json");
    lls_load_t   l = { t, path, err, "", 0 };
    llm_status_t st = path != NULL ? lls_load_beside(t, dir, "tokenizer_config.json", &config, err)
                                   : lls_load_no_memory(&l);

    if (st == LLM_OK)
        name = json_string_value(json_object_get(config, "tokenizer_class"));
    if (st == LLM_OK)
        st = load_vocab_json(&l, dir, name != NULL ? name : "");
    json_decref(config);
    lls_free(t->mem, path);
    return st;
}

/* ---- vocab.txt ------------------------------------------------------------------------------- */

static llm_status_t read_words(lls_load_t *l, const char *text, size_t len)
{
    size_t      at = 0, n;
    uint32_t    n_lines = 0, id = 0;
    const char *line;

    while (next_line(text, len, &at, &line, &n))
        n_lines++;
    if (!lls_vocab_init(&l->t->vocab, l->t->mem, n_lines, len, false))
        return lls_load_no_memory(l);
    for (at = 0; next_line(text, len, &at, &line, &n); id++)
        if (!lls_vocab_add(&l->t->vocab, id, line, n))
            return lls_load_no_memory(l);
    return LLM_OK;
}

static llm_status_t add_norm(lls_load_t *l, uint8_t kind)
{
    lls_norm_t *s = lls_tokenizer_new_norm(l->t);

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = kind;
    return LLM_OK;
}

static llm_status_t bert_steps(lls_load_t *l, const json_t *config)
{
    lls_dec_step_t *step;
    bool            lower, chinese, accents;
    llm_status_t    st = lls_load_bool(l, config, "do_lower_case", true, &lower);

    if (st == LLM_OK)
        st = lls_load_bool(l, config, "tokenize_chinese_chars", true, &chinese);
    if (st == LLM_OK)
        st = lls_load_bool(l, config, "strip_accents", lower, &accents);
    if (st == LLM_OK)
        st = add_norm(l, LLS_NORM_BERT_CLEAN);
    if (st == LLM_OK && chinese)
        st = add_norm(l, LLS_NORM_BERT_CHINESE);
    if (st == LLM_OK && accents)
        st = add_norm(l, LLS_NORM_NFD);
    if (st == LLM_OK && accents)
        st = add_norm(l, LLS_NORM_BERT_ACCENTS);
    if (st == LLM_OK && lower)
        st = add_norm(l, LLS_NORM_LOWER);
    if (st == LLM_OK)
        st = lls_tokenizer_add_bert(l->t, l->err);
    if (st != LLM_OK)
        return st;
    step = lls_decoder_add(&l->t->decoder, LLS_DSTEP_WORDPIECE);
    if (step == NULL || (step->a = lls_strdup(l->t->mem, "##")) == NULL)
        return lls_load_no_memory(l);
    step->a_len = 2;
    step->flag = true;
    return LLM_OK;
}

static llm_status_t bert_specials(lls_load_t *l)
{
    static const char *const names[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    lls_tokenizer_t         *t = l->t;
    llm_status_t             st = LLM_OK;

    for (size_t i = 0; st == LLM_OK && i < LLS_ARRAY_LEN(names); i++)
        if (lls_vocab_find(&t->vocab, names[i], strlen(names[i]), false) >= 0)
            st = lls_tokenizer_add_token(t, (lls_added_token_t){ .content = (char *)names[i],
                                                                 .len = (uint32_t)strlen(names[i]),
                                                                 .special = true }, l->err);
    if (st == LLM_OK && !lls_postproc_wrap(&t->post, lls_vocab_find(&t->vocab, "[CLS]", 5, false),
                                           lls_vocab_find(&t->vocab, "[SEP]", 5, false), true))
        st = lls_load_no_memory(l);
    return st;
}

static llm_status_t bert(lls_load_t *l, const char *text, size_t len, const json_t *config)
{
    lls_wordpiece_t *m = &l->t->wordpiece;
    llm_status_t     st = bert_steps(l, config);

    if (st == LLM_OK)
        st = read_words(l, text, len);
    if (st == LLM_OK)
        st = bert_specials(l);
    if (st != LLM_OK)
        return st;
    l->t->model = LLS_MODEL_WORDPIECE;
    m->unk_id = lls_vocab_find(&l->t->vocab, "[UNK]", 5, false);
    m->max_chars = 100;
    m->prefix_len = 2;
    m->prefix = lls_strdup(l->t->mem, "##");
    return m->prefix != NULL ? LLM_OK : lls_load_no_memory(l);
}

llm_status_t lls_tokenizer_load_wordpiece(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    lls_load_t   l = { t, path, err, "tokenizer_config.json", 0 };
    const char  *slash = strrchr(path, '/');
    char        *dir = slash != NULL ? lls_strndup(t->mem, path, (size_t)(slash - path))
                                     : lls_strdup(t->mem, "."), *text = NULL;
    size_t       len;
    json_t      *config = NULL;
    llm_status_t st = dir != NULL ? lls_load_beside(t, dir, "tokenizer_config.json", &config, err)
                                  : lls_load_no_memory(&l);

    if (st == LLM_OK)
        st = read_text(&l, path, &text, &len);
    if (st == LLM_OK)
        st = bert(&l, text, len, config);
    json_decref(config);
    lls_free(t->mem, text);
    lls_free(t->mem, dir);
    return st;
}
