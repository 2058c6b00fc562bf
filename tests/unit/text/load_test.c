/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers inside GGUF files made here, and model directories. */
#include "text_test.h"

#include <sys/stat.h>

#include "unit/files.h"

/* ---- A GGUF without tensors ------------------------------------------------------------------ */

typedef struct maker {
    char     bytes[16384];
    size_t   n;
    uint64_t n_keys;
} maker_t;

static void put(maker_t *m, const void *data, size_t n)
{
    assert_true(m->n + n <= sizeof m->bytes);
    memcpy(m->bytes + m->n, data, n);
    m->n += n;
}

static void put_u32(maker_t *m, uint32_t v)
{
    put(m, &v, sizeof v);
}

static void put_str(maker_t *m, const char *text)
{
    uint64_t n = strlen(text);

    put(m, &n, sizeof n);
    put(m, text, n);
}

static void key(maker_t *m, const char *name, uint32_t type)
{
    put_str(m, name);
    put_u32(m, type);
    m->n_keys++;
}

static void key_str(maker_t *m, const char *name, const char *text)
{
    key(m, name, 8);
    put_str(m, text);
}

static void key_u32(maker_t *m, const char *name, uint32_t v)
{
    key(m, name, 4);
    put_u32(m, v);
}

static void key_list(maker_t *m, const char *name, uint32_t type, uint64_t n)
{
    key(m, name, 9);
    put_u32(m, type);
    put(m, &n, sizeof n);
}

static void begin(maker_t *m, const char *kind)
{
    uint64_t none[2] = { 0, 0 };

    memset(m, 0, sizeof *m);
    put(m, "GGUF", 4);
    put_u32(m, 3);
    put(m, none, sizeof none);
    key_str(m, "general.architecture", "llama");
    key_str(m, "tokenizer.ggml.model", kind);
}

static llm_status_t open_made(maker_t *m, lls_tokenizer_t **t, llm_error_t *err)
{
    char         path[] = "/tmp/lls_gguf_XXXXXX";
    int          fd = mkstemp(path);
    llm_status_t st;

    memcpy(m->bytes + 16, &m->n_keys, sizeof m->n_keys);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->bytes, m->n), (ssize_t)m->n);
    close(fd);
    st = lls_tokenizer_open(plain_mem(), path, t, err);
    unlink(path);
    return st;
}

static void check(const lls_tokenizer_t *t, const char *text, const int32_t *want, size_t n_want)
{
    int32_t    *ids;
    size_t      n;
    llm_error_t err;

    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), text, strlen(text), 0, &ids, &n, &err),
                     LLM_OK);
    assert_int_equal(n, n_want);
    assert_memory_equal(ids, want, n * sizeof *ids);
    lls_free(plain_mem(), ids);
}

/* ---- Kind gpt2 ------------------------------------------------------------------------------- */

static void make_gpt2(maker_t *m, const char *pre, const char *last_merge)
{
    static const char *const tokens[] = {"a",
                                         "b",
                                         "1",
                                         "\xc4\xa0",
                                         "ab",
                                         "\xc4\xa0\x61\x62",
                                         "11",
                                         "<|end|>",
                                         "<think>"};
    static const int32_t     types[] = { 1, 1, 1, 1, 1, 1, 1, 3, 4 };

    begin(m, "gpt2");
    if (pre != NULL)
        key_str(m, "tokenizer.ggml.pre", pre);
    key_list(m, "tokenizer.ggml.tokens", 8, 9);
    for (int i = 0; i < 9; i++)
        put_str(m, tokens[i]);
    key_list(m, "tokenizer.ggml.token_type", 5, 9);
    put(m, types, sizeof types);
    key_list(m, "tokenizer.ggml.merges", 8, 3);
    put_str(m, "a b");
    put_str(m, "\xc4\xa0 ab");
    put_str(m, last_merge);
    key_u32(m, "tokenizer.ggml.eos_token_id", 7);
    key_str(m, "tokenizer.chat_template", "{{ messages }}");
}

static void byte_level_splits_go_by_name(void **state)
{
    static const char *const together[] = {
        "gpt-2", "llama-bpe", "default", NULL, "falcon-h1", "jais", "exaone4", "minimax-m2",
        "kimi-k2", "minicpm5", "superbpe", "poro-chat", "tiny_aya", "joyai-llm",
    };
    static const char *const apart[] = {
        "smollm", "qwen2", "exaone", "qwen35", "grok-2", "laguna", "seed-coder", "bailingmoe",
        "exaone-moe", "youtu", "viking", "deepseek-coder",
    };
    const size_t             n_together = sizeof together / sizeof *together;
    const size_t             n_all = n_together + sizeof apart / sizeof *apart;
    static const int32_t     want_together[] = { 5, 6, 7, 8 }, want_apart[] = { 5, 2, 2, 7, 8 };
    maker_t                  m;
    lls_tokenizer_t         *t;
    size_t                   n;
    llm_error_t              err;

    (void)state;
    for (size_t i = 0; i < n_all; i++) {
        bool one = i < n_together;

        make_gpt2(&m, one ? together[i] : apart[i - n_together], "1 1");
        if (open_made(&m, &t, &err) != LLM_OK)
            fail_msg("%s", err.message);
        check(t, " ab11<|end|><think>", one ? want_together : want_apart, one ? 4 : 5);
        assert_true(lls_tokenizer_is_special(t, 7));
        assert_false(lls_tokenizer_is_special(t, 8));
        assert_int_equal(lls_tokenizer_eos_ids(t, &n)[0], 7);
        assert_string_equal(lls_tokenizer_chat_template(t, &n), "{{ messages }}");
        lls_tokenizer_close(t);
    }
    assert_int_equal(plain_mem()->held, 0);
}

static void what_is_unknown_is_named(void **state)
{
    maker_t          m;
    lls_tokenizer_t *t;
    llm_error_t      err;

    (void)state;
    make_gpt2(&m, "martian", "1 1");
    assert_int_equal(open_made(&m, &t, &err), LLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"martian\""));
    begin(&m, "rwkv");
    assert_int_equal(open_made(&m, &t, &err), LLM_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"rwkv\""));
    make_gpt2(&m, "gpt-2", "1 z");
    assert_int_equal(open_made(&m, &t, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "merges[2]"));
    make_gpt2(&m, "gpt-2", "1 1");
    key_u32(&m, "tokenizer.ggml.bos_token_id", 9);
    assert_int_equal(open_made(&m, &t, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "bos_token_id 9"));
    begin(&m, "gpt2");
    assert_int_equal(open_made(&m, &t, &err), LLM_ERR_FORMAT);
    assert_null(t);
    assert_int_equal(plain_mem()->held, 0);
}

/* ---- Kind llama ------------------------------------------------------------------------------ */

static void sentencepiece_merges_by_score(void **state)
{
    static const char *const tokens[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "\xe2\x96\x81",
                                         "a",
                                         "b",
                                         "c",
                                         "ab",
                                         "bc",
                                         "\xe2\x96\x81\x61\x62",
                                         "<0xC3>",
                                         "<0xA9>"};
    static const float       scores[] = { 0, 0, 0, -1, -2, -3, -4, -6, -5, -7, 0, 0 };
    static const int32_t     types[] = { 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 6, 6 };
    static const int32_t abc[] = {1, 3, 4, 8}, ab[] = {1, 9, 9}, eacute[] = {1, 3, 10, 11, 2, 4, 0};
    maker_t                  m;
    lls_tokenizer_t         *t;
    char                    *text;
    size_t                   len;
    llm_error_t              err;

    (void)state;
    begin(&m, "llama");
    key_list(&m, "tokenizer.ggml.tokens", 8, 12);
    for (int i = 0; i < 12; i++)
        put_str(&m, tokens[i]);
    key_list(&m, "tokenizer.ggml.scores", 6, 12);
    put(&m, scores, sizeof scores);
    key_list(&m, "tokenizer.ggml.token_type", 5, 12);
    put(&m, types, sizeof types);
    key_u32(&m, "tokenizer.ggml.bos_token_id", 1);
    key_u32(&m, "tokenizer.ggml.eos_token_id", 2);
    key_u32(&m, "tokenizer.ggml.unknown_token_id", 0);
    if (open_made(&m, &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    check(t, "abc", abc, 4);                        /* bc scores higher than ab */
    check(t, "ab ab", ab, 3);
    check(t, "\xc3\xa9</s>aZ", eacute, 7);
    assert_int_equal(lls_tokenizer_decode(t, plain_mem(), eacute, 6, 0, &text, &len, &err), LLM_OK);
    assert_string_equal(text, "\xc3\xa9" "a");
    lls_free(plain_mem(), text);
    lls_tokenizer_close(t);
}

/* ---- Kinds bert and t5 ----------------------------------------------------------------------- */

static void wordpiece_has_words_and_what_goes_on(void **state)
{
    static const char *const tokens[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xe2\x96\x81un",
                                          ("\xe2\x96\x81" "a"), "related", "\xe2\x96\x81!" };
    static const int32_t     types[] = { 3, 3, 3, 3, 1, 1, 1, 1 };
    static const int32_t     want[] = { 2, 4, 6, 7, 5, 1, 3 };
    maker_t                  m;
    lls_tokenizer_t         *t;
    char                    *text;
    size_t                   len;
    llm_error_t              err;

    (void)state;
    begin(&m, "bert");
    key_list(&m, "tokenizer.ggml.tokens", 8, 8);
    for (int i = 0; i < 8; i++)
        put_str(&m, tokens[i]);
    key_list(&m, "tokenizer.ggml.token_type", 5, 8);
    put(&m, types, sizeof types);
    key_u32(&m, "tokenizer.ggml.unknown_token_id", 1);
    key_u32(&m, "tokenizer.ggml.cls_token_id", 2);
    key_u32(&m, "tokenizer.ggml.seperator_token_id", 3);
    if (open_made(&m, &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    check(t, "UNrelated!\xc3\x80 x", want, 7);         /* no capital, no accent */
    assert_int_equal(lls_tokenizer_decode(t, plain_mem(), want, 7, 0, &text, &len, &err), LLM_OK);
    assert_string_equal(text, "unrelated! a");
    lls_free(plain_mem(), text);
    lls_tokenizer_close(t);
}

static void unigram_takes_the_best_path(void **state)
{
    static const char *const tokens[] = { "<pad>", "</s>", "<unk>", "\xe2\x96\x81", "a", "b", "ab",
                                          ("\xe2\x96\x81" "a") };
    static const float       scores[] = { 0, 0, 0, -2, -3, -3, -5, -9 };
    static const int32_t     types[] = { 3, 3, 2, 1, 1, 1, 1, 1 };
    static const int32_t     want[] = { 3, 6, 3, 4, 2, 1 };
    maker_t                  m;
    lls_tokenizer_t         *t;
    llm_error_t              err;

    (void)state;
    begin(&m, "t5");
    key_list(&m, "tokenizer.ggml.tokens", 8, 8);
    for (int i = 0; i < 8; i++)
        put_str(&m, tokens[i]);
    key_list(&m, "tokenizer.ggml.scores", 6, 8);
    put(&m, scores, sizeof scores);
    key_list(&m, "tokenizer.ggml.token_type", 5, 8);
    put(&m, types, sizeof types);
    key_u32(&m, "tokenizer.ggml.eos_token_id", 1);
    key_u32(&m, "tokenizer.ggml.unknown_token_id", 2);
    if (open_made(&m, &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    check(t, "  ab  aZZ ", want, 6);
    lls_tokenizer_close(t);
}

/* ---- Directories ----------------------------------------------------------------------------- */

static void a_directory_gives_ids_and_template(void **state)
{
    static const char config[] =
        "{\"bos_token\":\"<|im_start|>\",\"eos_token\":{\"content\":\"<|im_end|>\"},\"chat_"
        "template\":["
        "{\"name\":\"rag\",\"template\":\"no\"},{\"name\":\"default\",\"template\":\"yes\"}],"
        "\"added_tokens_decoder\":{\"1409\":{\"content\":\"<new2>\",\"special\":true},"
        "\"1408\":{\"content\":\"<new1>\",\"special\":true}}}";
    static const char generation[] = "{\"eos_token_id\":[5,6,5]}";
    char              dir[] = "/tmp/lls_dir_XXXXXX";
    size_t            len, n;
    char             *json = read_golden("qwen2.json", &len);
    const int32_t    *eos;
    lls_tokenizer_t  *t;
    llm_error_t       err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "tokenizer.json", json, len);
    write_file(dir, "tokenizer_config.json", config, sizeof config - 1);
    write_file(dir, "generation_config.json", generation, sizeof generation - 1);
    t = open_tokenizer(dir);
    assert_int_equal(lls_tokenizer_bos(t), lls_tokenizer_find(t, "<|im_start|>", 12));
    eos = lls_tokenizer_eos_ids(t, &n);
    assert_int_equal(n, 3);
    assert_int_equal(eos[0], lls_tokenizer_find(t, "<|im_end|>", 10));
    assert_int_equal(eos[2], 6);
    assert_string_equal(lls_tokenizer_chat_template(t, &n), "yes");
    assert_int_equal(lls_tokenizer_find(t, "<new1>", 6) + 1, lls_tokenizer_find(t, "<new2>", 6));
    lls_tokenizer_close(t);
    write_file(dir, "chat_template.jinja", "file", 4);
    t = open_tokenizer(dir);
    assert_string_equal(lls_tokenizer_chat_template(t, &n), "file");
    lls_tokenizer_close(t);
    write_file(dir, "generation_config.json", "[", 1);
    assert_int_equal(lls_tokenizer_open(plain_mem(), dir, &t, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "generation_config.json"));
    remove_file(dir, "tokenizer.json");
    assert_int_equal(lls_tokenizer_open(plain_mem(), dir, &t, &err), LLM_ERR_IO);
    remove_file(dir, "tokenizer_config.json");
    remove_file(dir, "generation_config.json");
    remove_file(dir, "chat_template.jinja");
    rmdir(dir);
    lls_free(plain_mem(), json);
    assert_int_equal(plain_mem()->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_splits_go_by_name),
        cmocka_unit_test(what_is_unknown_is_named),
        cmocka_unit_test(sentencepiece_merges_by_score),
        cmocka_unit_test(wordpiece_has_words_and_what_goes_on),
        cmocka_unit_test(unigram_takes_the_best_path),
        cmocka_unit_test(a_directory_gives_ids_and_template),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
