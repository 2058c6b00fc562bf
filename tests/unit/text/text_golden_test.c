/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, segments and decoded text against golden files; tests/golden/text has the scripts. */
#include "text_test.h"

#define SKIPPED UINT32_MAX

/* Made here by hand or training; tests/golden/text/make_tokenizers.py and make_kinds.py. */
static const char *const small[] = {
    "llama3", "qwen2", "regex", "added", "unk_fuse", "unk_each", "roberta", "deepseek", "nemo",
    "clip", "gemma", "first", "bert", "bert_cased", "t5", "xlmr", "albert", "unigram_bytes",
    "word_level", "prefix", "suffix", "ctc", "rare", "byte_words", "first_words",
};
static const char *const shared[] = { "gpt2", "falcon-7b", "mistral-7b-v0.3", "phi-3",
                                      "bert-base-uncased", "t5-small" };

/* The last text has letters that Debian's Oniguruma is too old for. */
static bool too_new(const char *name, size_t i, size_t n)
{
    static const char *const regex[] = { "regex", "deepseek", "clip" };

    for (size_t k = 0; i + 1 == n && k < sizeof regex / sizeof *regex; k++)
        if (strcmp(regex[k], name) == 0)
            return true;
    return false;
}

static void check_equal(const char *name, const char *what, size_t i, const int32_t *ids, size_t n,
                        const int32_t *want, size_t n_want)
{
    for (size_t k = 0; k < n && k < n_want; k++)
        if (ids[k] != want[k])
            fail_msg("%s, %s %zu, token %zu: %d, %d expected", name, what, i, k, ids[k], want[k]);
    if (n != n_want)
        fail_msg("%s, %s %zu: %zu ids, %zu expected", name, what, i, n, n_want);
}

/* n ids at *p. */
static int32_t *read_ids(const uint8_t **p, size_t n)
{
    int32_t *out = malloc((n + 1) * sizeof *out);

    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)read_varint(p);
    return out;
}

static void check_text(const lls_tokenizer_t *t, const char *name, size_t i, const json_t *text,
                       uint32_t flags, const int32_t *want, size_t n_want)
{
    int32_t    *ids;
    size_t      n;
    llm_error_t err;

    if (lls_tokenizer_encode(t, plain_mem(), json_string_value(text), json_string_length(text),
                             flags, &ids, &n, &err) != LLM_OK)
        fail_msg("%s, text %zu: %s", name, i, err.message);
    check_equal(name, "text", i, ids, n, want, n_want);
    lls_free(plain_mem(), ids);
}

/* may_skip: the numbers of ids are one more, and 0 leaves a text out. */
static void check_ids(const lls_tokenizer_t *t, const char *name, bool may_skip)
{
    char           file[80];
    size_t         len, n_checked = 0;
    json_t        *texts = json_golden("texts.json");
    char          *golden;
    const uint8_t *p;

    snprintf(file, sizeof file, "%s.ids", name);
    golden = read_golden(file, &len);
    p = (const uint8_t *)golden;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        uint32_t n = read_varint(&p) - may_skip;
        int32_t *want = n != SKIPPED ? read_ids(&p, n) : NULL;

        if (n != SKIPPED && !too_new(name, i, json_array_size(texts)))
            check_text(t, name, i, json_array_get(texts, i),
                       may_skip ? LLM_ENCODE_NO_SPECIAL : 0, want, n);
        n_checked += n != SKIPPED;
        free(want);
    }
    assert_ptr_equal(p, golden + len);
    assert_true(n_checked >= (may_skip ? 200 : 300));
    lls_free(plain_mem(), golden);
    json_decref(texts);
}

static void check_decode(const lls_tokenizer_t *t, const char *name, size_t i, const uint8_t **p)
{
    size_t      n = read_varint(p), len;
    int32_t    *ids = read_ids(p, n);
    uint32_t    keep = read_varint(p), want_len = read_varint(p);
    char       *text;
    llm_error_t err;

    assert_int_equal(lls_tokenizer_decode(t, plain_mem(), ids, n,
                                          keep ? LLM_DECODE_KEEP_SPECIAL : 0, &text, &len, &err),
                     LLM_OK);
    if (len != want_len || memcmp(text, *p, len) != 0)
        fail_msg("%s, list %zu: \"%s\", \"%.*s\" expected", name, i, text, (int)want_len,
                 (const char *)*p);
    *p += want_len;
    lls_free(plain_mem(), text);
    free(ids);
}

static void check_pair(const lls_tokenizer_t *t, const char *name, size_t i, const json_t *texts,
                       const uint8_t **p)
{
    const json_t *a = json_array_get(texts, read_varint(p)),
                 *b = json_array_get(texts, read_varint(p));
    size_t        n_want = read_varint(p), n;
    int32_t      *want = read_ids(p, n_want), *want_types = read_ids(p, n_want), *ids, *types;
    llm_error_t   err;

    assert_int_equal(lls_tokenizer_encode_pair(t, plain_mem(), json_string_value(a),
                                               json_string_length(a), json_string_value(b),
                                               json_string_length(b), 0, &ids, &types, &n, &err),
                     LLM_OK);
    check_equal(name, "pair", i, ids, n, want, n_want);
    check_equal(name, "segments of pair", i, types, n, want_types, n_want);
    lls_free(plain_mem(), ids);
    lls_free(plain_mem(), types);
    free(want);
    free(want_types);
}

static void check_more(const lls_tokenizer_t *t, const char *name)
{
    char           file[64];
    size_t         len;
    json_t        *texts = json_golden("texts.json");
    char          *golden;
    const uint8_t *p;

    snprintf(file, sizeof file, "%s.more", name);
    golden = read_golden(file, &len);
    p = (const uint8_t *)golden;
    for (size_t i = 0; i < 100; i++)
        check_decode(t, name, i, &p);
    for (size_t i = 0; i < 5; i++)
        check_pair(t, name, i, texts, &p);
    assert_ptr_equal(p, golden + len);
    lls_free(plain_mem(), golden);
    json_decref(texts);
}

static void small_tokenizers_equal_hf(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        lls_tokenizer_t *t = open_small(small[i]);

        check_ids(t, small[i], false);
        check_more(t, small[i]);
        lls_tokenizer_close(t);
    }
    assert_int_equal(plain_mem()->held, 0);
}

static void shared_tokenizers_equal_hf(void **state)
{
    char path[512];

    (void)state;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        lls_tokenizer_t *t;

        if (shared_tokenizer(shared[i], path) == NULL) {
            print_message("%s is absent\n", path);
            skip();
        }
        t = open_tokenizer(path);
        check_ids(t, shared[i], false);
        check_more(t, shared[i]);
        lls_tokenizer_close(t);
    }
}

static void small_files_equal_their_packages(void **state)
{
    static const char *const names[] = { "spm_bpe.model", "spm_unigram.model", "small.tiktoken",
                                         "small_tekken.json" };
    char                     path[512];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lls_tokenizer_t *t;

        snprintf(path, sizeof path, GOLDEN "%s", names[i]);
        t = open_tokenizer(path);
        check_ids(t, names[i], true);
        lls_tokenizer_close(t);
    }
    assert_int_equal(plain_mem()->held, 0);
}

static void shared_models_equal_sentencepiece(void **state)
{
    static const char *const names[] = { "mistral.tokenizer.model.v1",
                                         "spm_unigram_test_model.model" };
    const char              *folder = getenv("LLM_SHARED");
    char                     path[512];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lls_tokenizer_t *t;

        snprintf(path, sizeof path, "%s/tokenizers/%s",
                 folder != NULL ? folder : LLM_SHARED_DEFAULT, names[i]);
        if (access(path, R_OK) != 0) {
            print_message("%s is absent\n", path);
            skip();
        }
        t = open_tokenizer(path);
        check_ids(t, names[i], true);
        lls_tokenizer_close(t);
    }
}

static void the_demonstration_model_equals_hf(void **state)
{
    char             path[512];
    size_t           n, len;
    lls_tokenizer_t *t;

    (void)state;
    if (demo_model(path) == NULL) {
        print_message("%s is absent\n", path);
        skip();
    }
    t = open_tokenizer(path);
    check_ids(t, "demo", false);
    assert_int_equal(lls_tokenizer_n_vocab(t), 49152);
    assert_int_equal(lls_tokenizer_bos(t), lls_tokenizer_find(t, "<|im_start|>", 12));
    assert_int_equal(lls_tokenizer_eos_ids(t, &n)[0], lls_tokenizer_find(t, "<|im_end|>", 10));
    assert_non_null(lls_tokenizer_chat_template(t, &len));
    assert_true(lls_tokenizer_is_special(t, lls_tokenizer_eos(t)));
    lls_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_tokenizers_equal_hf),
        cmocka_unit_test(shared_tokenizers_equal_hf),
        cmocka_unit_test(small_files_equal_their_packages),
        cmocka_unit_test(shared_models_equal_sentencepiece),
        cmocka_unit_test(the_demonstration_model_equals_hf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
