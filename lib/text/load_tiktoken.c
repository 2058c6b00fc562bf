/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vocabularies that are lists of byte strings with ranks: *.tiktoken and tekken.json.
 *
 * There is no list of merges: two neighbours merge if their bytes together are a token, the lowest
 * rank first.  Every cut of a token into two tokens is a merge of that token's rank, then.
 */
#include "text/load_int.h"

#include <stdio.h>

#include "base/io.h"
#include "text/jscan.h"

#define MAX_FILE (256u << 20)
#define MAX_TOKENS (1u << 24)

/* tiktoken's patterns in Oniguruma's syntax, which reads {1,3}+ and $ in another way. */
#define P50K                                                                                       \
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++\\z|\\s+(?!\\S)|\\s"
#define CL100K                                                                                     \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|(?>\\p{N}{1,3})"                        \
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++\\z|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define TAIL "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"    \
    TAIL "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                            \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" TAIL "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"           \
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The family of a file is known by how many ranks it has. */
static const struct family {
    uint32_t    n_ranks;
    const char *regex;
    struct {
        const char *text;
        int32_t     id;
    } specials[5];
} families[] = {
    { 50256, P50K, { { "<|endoftext|>", 50256 } } },
    { 50280, P50K, { { "<|endoftext|>", 50256 } } },
    { 100256, CL100K,
      { { "<|endoftext|>", 100257 }, { "<|fim_prefix|>", 100258 }, { "<|fim_middle|>", 100259 },
        { "<|fim_suffix|>", 100260 }, { "<|endofprompt|>", 100276 } } },
    { 199998, O200K, { { "<|endoftext|>", 199999 }, { "<|endofprompt|>", 200018 } } },
    { 163584, LLS_REGEX_KIMI, { { NULL, 0 } } },
};

static llm_status_t no_memory(const char *path, llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the tokenizer", path);
}

/* ---- Ranks ----------------------------------------------------------------------------------- */

typedef struct cut {
    int32_t left, right, whole;
} cut_t;

/* Every cut of a token into two tokens. */
static bool cut_tokens(const lls_tokenizer_t *t, cut_t **cuts, size_t *n)
{
    const lls_vocab_t *v = &t->vocab;
    size_t             cap = 0;

    *n = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(v, id, &len);

        for (size_t i = 1; v->entries[id].used && i < len; i++) {
            int32_t left = lls_vocab_find(v, text, i, false), right;

            if (left < 0)
                continue;
            right = lls_vocab_find(v, text + i, len - i, false);
            if (right < 0)
                continue;
            if (!lls_reserve(t->mem, (void **)cuts, &cap, *n + 1, sizeof **cuts))
                return false;
            (*cuts)[(*n)++] = (cut_t){ left, right, (int32_t)id };
        }
    }
    return true;
}

static llm_status_t make_merges(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    cut_t       *cuts = NULL;
    size_t       n;
    llm_status_t st = LLM_OK;

    lls_bpe_init(&t->bpe, t->mem, &t->vocab);
    t->model = LLS_MODEL_BPE;
    t->bpe.ignore_merges = true;
    if (!cut_tokens(t, &cuts, &n))
        st = no_memory(path, err);
    else if (n > UINT32_MAX / 4)
        st = lls_fail(err, LLM_ERR_FORMAT, "%s: tokens are too long", path);
    else if (!lls_bpe_merges(&t->bpe, (uint32_t)n))
        st = no_memory(path, err);
    for (size_t i = 0; st == LLM_OK && i < n; i++)
        lls_bpe_add_merge(&t->bpe, cuts[i].left, cuts[i].right, (uint32_t)cuts[i].whole,
                          cuts[i].whole);
    lls_free(t->mem, cuts);
    return st;
}

/* Pre-tokenizer and decoder; the vocabulary comes after. */
static llm_status_t set_steps(lls_tokenizer_t *t, const char *path, const char *regex,
                              llm_error_t *err)
{
    llm_status_t st =
        lls_tokenizer_add_split(t, path, regex, LLS_SPLIT_ISOLATED, false, err);

    if (st == LLM_OK)
        st = lls_tokenizer_add_bytelevel(t, path, false, false, err);
    if (st == LLM_OK && lls_decoder_add(&t->decoder, LLS_DSTEP_BYTE_LEVEL) == NULL)
        st = no_memory(path, err);
    return st;
}

static llm_status_t put_special(lls_tokenizer_t *t, const char *path, const char *text, size_t len,
                                int32_t id, bool special, llm_error_t *err)
{
    lls_added_token_t token = { .id = id, .content = (char *)text, .len = (uint32_t)len,
                                .special = special };

    return lls_added_put(&t->added, &token) ? LLM_OK : no_memory(path, err);
}

static llm_status_t put_token(lls_tokenizer_t *t, const char *path, uint64_t id,
                              const lls_buf_t *bytes, size_t at, llm_error_t *err)
{
    if (bytes->len == 0)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: byte %zu: a token without bytes", path, at);
    if (id >= t->vocab.n || t->vocab.entries[id].used)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: byte %zu: rank %llu is %s", path, at,
                        (unsigned long long)id, id >= t->vocab.n ? "too large" : "given twice");
    return lls_vocab_add_bytes(&t->vocab, (uint32_t)id, bytes->data, bytes->len)
               ? LLM_OK : no_memory(path, err);
}

/* ---- tiktoken -------------------------------------------------------------------------------- */

typedef struct rank_line {
    const char *base64;
    size_t      len;
    uint64_t    rank;
} rank_line_t;

/* "base64 rank"; false where the line is neither that nor empty (len 0). */
static bool read_line(const char *text, size_t len, size_t *at, rank_line_t *line)
{
    const char *end = memchr(text + *at, '\n', len - *at);
    size_t      n = end != NULL ? (size_t)(end - text) - *at : len - *at, i = 0;
    const char *p = text + *at;

    *at += n + (end != NULL);
    if (n > 0 && p[n - 1] == '\r')
        n--;
    *line = (rank_line_t){ p, 0, 0 };
    if (n == 0)
        return true;
    while (i < n && p[i] != ' ')
        i++;
    line->len = i;
    for (i++; i < n && p[i] >= '0' && p[i] <= '9' && line->rank < MAX_TOKENS; i++)
        line->rank = line->rank * 10 + (uint64_t)(p[i] - '0');
    return i == n && line->len != 0 && n > line->len + 1 && line->rank < MAX_TOKENS;
}

static llm_status_t count_lines(const char *path, const char *text, size_t len, uint64_t *max,
                                llm_error_t *err)
{
    rank_line_t line;

    *max = 0;
    for (size_t at = 0; at < len;) {
        size_t begin = at;

        if (!read_line(text, len, &at, &line))
            return lls_fail(err, LLM_ERR_FORMAT, "%s: byte %zu: must be base64 and a rank", path,
                            begin);
        if (line.len != 0 && line.rank >= *max)
            *max = line.rank + 1;
    }
    /* Each line is at least 6 bytes long. */
    if (*max == 0 || *max > len)
        return lls_fail(err, LLM_ERR_FORMAT, "%s: no ranks, or one that is too large", path);
    return LLM_OK;
}

static llm_status_t read_ranks(lls_tokenizer_t *t, const char *path, const char *text, size_t len,
                               llm_error_t *err)
{
    lls_buf_t    bytes = { t->mem, NULL, 0, 0 };
    rank_line_t  line;
    llm_status_t st = LLM_OK;

    for (size_t at = 0; st == LLM_OK && at < len;) {
        size_t begin = at;

        read_line(text, len, &at, &line);
        if (line.len == 0)
            continue;
        bytes.len = 0;
        if (!lls_buf_room(&bytes, line.len))
            st = no_memory(path, err);
        else if (!lls_base64(line.base64, line.len, &bytes))
            st = lls_fail(err, LLM_ERR_FORMAT, "%s: byte %zu: is not base64", path, begin);
        else
            st = put_token(t, path, line.rank, &bytes, begin, err);
    }
    lls_buf_deinit(&bytes);
    return st;
}

static llm_status_t tiktoken(lls_tokenizer_t *t, const char *path, const char *text, size_t len,
                             llm_error_t *err)
{
    const struct family *f = NULL;
    uint64_t             n;
    llm_status_t         st = count_lines(path, text, len, &n, err);

    for (size_t i = 0; st == LLM_OK && i < LLS_ARRAY_LEN(families); i++)
        if (families[i].n_ranks == n)
            f = &families[i];
    if (st == LLM_OK)
        st = set_steps(t, path, f != NULL ? f->regex : CL100K, err);
    if (st == LLM_OK && !lls_vocab_init(&t->vocab, t->mem, (uint32_t)n, len / 2, true))
        st = no_memory(path, err);
    if (st == LLM_OK)
        st = read_ranks(t, path, text, len, err);
    if (st == LLM_OK)
        st = make_merges(t, path, err);
    for (size_t i = 0; st == LLM_OK && f != NULL && i < LLS_ARRAY_LEN(f->specials); i++)
        if (f->specials[i].text != NULL)
            st = put_special(t, path, f->specials[i].text, strlen(f->specials[i].text),
                             f->specials[i].id, true, err);
    t->reserved = st == LLM_OK && (f == NULL || f->specials[0].text == NULL) ? 256 : 0;
    return st;
}

llm_status_t lls_tokenizer_load_tiktoken(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    char        *text;
    size_t       len;
    llm_status_t st = lls_read_file(t->mem, path, MAX_FILE, &text, &len, err);

    if (st != LLM_OK)
        return st;
    st = tiktoken(t, path, text, len, err);
    lls_free(t->mem, text);
    return st;
}

/* Names for the ids behind the ranks that no file names. */
llm_status_t lls_tokenizer_fill_reserved(lls_tokenizer_t *t, llm_error_t *err)
{
    for (uint32_t id = t->vocab.n; id < t->vocab.n + t->reserved; id++) {
        char   name[40];
        bool   named = false;

        for (size_t i = 0; !named && i < t->added.n; i++)
            named = t->added.tokens[i].id == (int32_t)id;
        if (named)
            continue;
        snprintf(name, sizeof name, "<|reserved_token_%u|>", id);
        if (put_special(t, "", name, strlen(name), (int32_t)id, true, err) != LLM_OK)
            return LLM_ERR_NO_MEMORY;
    }
    return LLM_OK;
}

/* ---- tekken ---------------------------------------------------------------------------------- */

/* The names of files that list none. */
static const char *const old_specials[] = {
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
};

typedef struct tekken {
    lls_tokenizer_t *t;
    const char      *path;
    llm_error_t     *err;
    lls_jscan_t      s;
    lls_buf_t        key, text, pattern;
    int64_t          n_vocab, n_special;    /* of the config */
    size_t           vocab, specials;       /* where the lists begin; 0 = absent */
} tekken_t;

static llm_status_t bad(const tekken_t *k, const char *what)
{
    if (k->s.no_memory)
        return no_memory(k->path, k->err);
    return lls_fail(k->err, LLM_ERR_FORMAT, "%s: byte %zu: %s", k->path, k->s.at, what);
}

static bool is_key(const tekken_t *k, const char *name)
{
    return k->key.len == strlen(name) && memcmp(k->key.data, name, k->key.len) == 0;
}

static bool read_config(tekken_t *k)
{
    bool first = true, end = false;

    while (lls_jscan_next(&k->s, '{', &first, &k->key, &end)) {
        bool ok;

        if (is_key(k, "pattern"))
            ok = lls_jscan_string(&k->s, &k->pattern);
        else if (is_key(k, "default_vocab_size"))
            ok = lls_jscan_integer(&k->s, &k->n_vocab);
        else if (is_key(k, "default_num_special_tokens"))
            ok = lls_jscan_integer(&k->s, &k->n_special);
        else
            ok = lls_jscan_skip(&k->s);
        if (!ok)
            return false;
    }
    return end;
}

static llm_status_t find_parts(tekken_t *k)
{
    bool first = true, end = false;

    while (lls_jscan_next(&k->s, '{', &first, &k->key, &end)) {
        bool   ok;
        char   c = lls_jscan_peek(&k->s);
        size_t at = k->s.at;

        if (is_key(k, "vocab") && c == '[')
            k->vocab = at;
        if (is_key(k, "special_tokens") && c == '[')
            k->specials = at;
        ok = is_key(k, "config") ? read_config(k) : lls_jscan_skip(&k->s);
        if (!ok)
            return bad(k, "is no tekken.json");
    }
    if (!end)
        return bad(k, "is no JSON object");
    if (k->vocab == 0 || k->pattern.len == 0)
        return bad(k, "vocab or config.pattern is missing");
    if (k->n_special < 0 || k->n_vocab <= k->n_special || k->n_vocab > MAX_TOKENS)
        return bad(k, "config.default_vocab_size does not fit default_num_special_tokens");
    return LLM_OK;
}

/* {"rank": n, "token_bytes": base64}; other keys are not looked at. */
static llm_status_t read_entry(tekken_t *k, lls_buf_t *bytes)
{
    bool    first = true, end = false;
    int64_t rank = -1;
    size_t  at = k->s.at;

    k->text.len = bytes->len = 0;
    while (lls_jscan_next(&k->s, '{', &first, &k->key, &end)) {
        bool ok = is_key(k, "rank")          ? lls_jscan_integer(&k->s, &rank)
                  : is_key(k, "token_bytes") ? lls_jscan_string(&k->s, &k->text)
                                             : lls_jscan_skip(&k->s);
        if (!ok)
            return bad(k, "is no entry of a vocabulary");
    }
    if (!end || rank < 0)
        return bad(k, "an entry without a rank");
    if (rank >= k->n_vocab - k->n_special)
        return LLM_OK;                              /* beyond the size of the model */
    if (!lls_buf_room(bytes, k->text.len + 1))
        return no_memory(k->path, k->err);
    if (!lls_base64(k->text.data, k->text.len, bytes))
        return bad(k, "token_bytes is not base64");
    return put_token(k->t, k->path, (uint64_t)(rank + k->n_special), bytes, at, k->err);
}

static llm_status_t read_vocab(tekken_t *k)
{
    bool         first = true, end = false;
    lls_buf_t    bytes = { k->t->mem, NULL, 0, 0 };
    llm_status_t st = LLM_OK;

    k->s.at = k->vocab;
    /* Entries take at least 16 bytes of the file. */
    if ((uint64_t)k->n_vocab > k->s.len + 65536)
        return bad(k, "config.default_vocab_size is too large for the file");
    if (!lls_vocab_init(&k->t->vocab, k->t->mem, (uint32_t)k->n_vocab, k->s.len / 16, true) ||
        !lls_buf_room(&k->text, 64))
        st = no_memory(k->path, k->err);
    while (st == LLM_OK && lls_jscan_next(&k->s, '[', &first, NULL, &end))
        st = read_entry(k, &bytes);
    if (st == LLM_OK && !end)
        st = bad(k, "is no JSON array");
    lls_buf_deinit(&bytes);
    return st;
}

/* {"rank": n, "token_str": s, "is_control": b} */
static llm_status_t read_special(tekken_t *k)
{
    bool    first = true, end = false, special = true;
    int64_t rank = -1;

    k->text.len = 0;
    while (lls_jscan_next(&k->s, '{', &first, &k->key, &end)) {
        bool ok;

        if (is_key(k, "is_control"))
            special = lls_jscan_peek(&k->s) != 'f';
        ok = is_key(k, "rank")        ? lls_jscan_integer(&k->s, &rank)
             : is_key(k, "token_str") ? lls_jscan_string(&k->s, &k->text)
                                      : lls_jscan_skip(&k->s);
        if (!ok)
            return bad(k, "is no special token");
    }
    if (!end || rank < 0 || rank >= k->n_special || k->text.len == 0)
        return bad(k, "a special token without a rank or a text");
    return put_special(k->t, k->path, k->text.data, k->text.len, (int32_t)rank, special, k->err);
}

static llm_status_t fill_specials(tekken_t *k)
{
    uint8_t     *named = lls_zalloc(k->t->mem, (size_t)k->n_special + 1);
    llm_status_t st = named != NULL ? LLM_OK : no_memory(k->path, k->err);

    for (size_t i = 0; named != NULL && i < k->t->added.n; i++)
        named[k->t->added.tokens[i].id] = 1;
    for (int64_t id = 0; st == LLM_OK && id < k->n_special; id++) {
        char name[32];

        if (named[id])
            continue;
        if (k->specials == 0 && id < (int64_t)LLS_ARRAY_LEN(old_specials))
            snprintf(name, sizeof name, "%s", old_specials[id]);
        else
            snprintf(name, sizeof name, "<SPECIAL_%lld>", (long long)id);
        st = put_special(k->t, k->path, name, strlen(name), (int32_t)id, true, k->err);
    }
    lls_free(k->t->mem, named);
    return st;
}

static llm_status_t read_specials(tekken_t *k)
{
    bool         first = true, end = false;
    llm_status_t st = LLM_OK;

    if ((uint64_t)k->n_special > 65536)
        return bad(k, "config.default_num_special_tokens is too large");
    if (k->specials != 0) {
        k->s.at = k->specials;
        while (st == LLM_OK && lls_jscan_next(&k->s, '[', &first, NULL, &end))
            st = read_special(k);
        if (st == LLM_OK && !end)
            st = bad(k, "is no JSON array");
    }
    return st == LLM_OK ? fill_specials(k) : st;
}

static llm_status_t load_tekken(tekken_t *k)
{
    lls_tokenizer_t *t = k->t;
    llm_status_t     st = find_parts(k);

    if (st == LLM_OK && !lls_buf_end(&k->pattern))
        st = no_memory(k->path, k->err);
    if (st == LLM_OK)
        st = set_steps(t, k->path, k->pattern.data, k->err);
    if (st == LLM_OK)
        st = read_vocab(k);
    if (st == LLM_OK)
        st = make_merges(t, k->path, k->err);
    if (st == LLM_OK)
        st = read_specials(k);
    if (st != LLM_OK)
        return st;
    t->bos = lls_tokenizer_find(t, "<s>", 3);
    t->eos = lls_tokenizer_find(t, "</s>", 4);
    return lls_postproc_wrap(&t->post, t->bos, -1, false) && lls_tokenizer_add_eos(t, t->eos)
               ? LLM_OK : no_memory(k->path, k->err);
}

llm_status_t lls_tokenizer_load_tekken(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    tekken_t     k = { .t = t, .path = path, .err = err, .key.mem = t->mem, .text.mem = t->mem,
                       .pattern.mem = t->mem };
    char        *text;
    llm_status_t st = lls_read_file(t->mem, path, MAX_FILE, &text, &k.s.len, err);

    if (st != LLM_OK)
        return st;
    k.s.text = text;
    st = load_tekken(&k);
    lls_buf_deinit(&k.key);
    lls_buf_deinit(&k.text);
    lls_buf_deinit(&k.pattern);
    lls_free(t->mem, text);
    return st;
}
