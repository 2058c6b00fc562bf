/* SPDX-License-Identifier: Apache-2.0 */
/* Model directories: which file counts, and what the files beside it add. */
#include "text_test.h"

#include <sys/stat.h>

#include "text/tokenizer_int.h"

static char folder[] = "/tmp/lls_files_XXXXXX";

static const char *in_folder(const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    char  path[300];
    FILE *f = fopen(in_folder(name, path), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

/* A golden file under a name of this folder. */
static void take(const char *golden, const char *name)
{
    size_t len;
    char  *text = read_golden(golden, &len), path[300];
    FILE  *f = fopen(in_folder(name, path), "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    lls_free(plain_mem(), text);
}

static void drop(const char *name)
{
    char path[300];

    assert_int_equal(unlink(in_folder(name, path)), 0);
}

static void check(const char *text, const int32_t *want, size_t n_want)
{
    lls_tokenizer_t *t = open_tokenizer(folder);
    int32_t         *ids;
    size_t           n;
    llm_error_t      err;

    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), text, strlen(text), 0, &ids, &n, &err),
                     LLM_OK);
    if (n != n_want || memcmp(ids, want, n * sizeof *ids) != 0)
        fail_msg("\"%s\": %zu ids, the first %d; %zu expected, the first %d", text, n,
                 n > 0 ? ids[0] : -1, n_want, want[0]);
    lls_free(plain_mem(), ids);
    lls_tokenizer_close(t);
    assert_int_equal(plain_mem()->held, 0);
}

static int32_t id_of(const char *token)
{
    lls_tokenizer_t *t = open_tokenizer(folder);
    int32_t          id = lls_tokenizer_find(t, token, strlen(token));

    lls_tokenizer_close(t);
    return id;
}

static void vocab_json_goes_with_merges(void **state)
{
    static const int32_t gpt2[] = { 3, 5, 6 }, qwen2[] = { 3, 5, 2, 2, 6 }, roberta[] = { 0, 3, 1 };
    lls_tokenizer_t     *t;
    llm_error_t          err;

    (void)state;
    put("vocab.json", "{\"a\":0,\"b\":1,\"1\":2,\"ab\":3,\"\\u0120\":4,\"11\":5,\"\\u0120ab\":7}");
    put("merges.txt", "#version: 0.2\na b\n1 1\n");
    put("added_tokens.json", "{\"<|late|>\":9,\"<|end|>\":8}");
    put("special_tokens_map.json", "{\"eos_token\":{\"content\":\"<|end|>\"}}");
    assert_int_equal(id_of("<|end|>"), 7);      /* the next free id, in the order of the file's */
    assert_int_equal(id_of("<|late|>"), 8);
    drop("added_tokens.json");
    assert_int_equal(id_of("<|end|>"), 7);      /* named, so it is a token */
    drop("special_tokens_map.json");
    put("vocab.json", "{\"a\":0,\"b\":1,\"1\":2,\"ab\":3,\"\\u0120\":4,\"11\":5,\"<e>\":6}");
    put("tokenizer_config.json", "{\"tokenizer_class\":\"GPT2Tokenizer\",\"eos_token\":\"<e>\"}");
    check("ab11<e>", gpt2, 3);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"Qwen2Tokenizer\",\"eos_token\":\"<e>\"}");
    put("merges.txt", "a b\n");
    check("ab", qwen2, 1);
    put("merges.txt", "a b\n1 1 1\n");
    assert_int_equal(lls_tokenizer_open(plain_mem(), folder, &t, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "merges.txt: line 2"));
    put("merges.txt", "a b\na z\n");
    assert_int_equal(lls_tokenizer_open(plain_mem(), folder, &t, &err), LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "part is not in the vocabulary"));
    put("vocab.json", "{\"<s>\":0,\"</s>\":1,\"a\":2,\"ab\":3,\"b\":4}");
    put("merges.txt", "a b\n");
    put("tokenizer_config.json", "{\"tokenizer_class\":\"RobertaTokenizer\"}");
    check("ab", roberta, 3);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"CLIPTokenizer\"}");
    assert_int_equal(lls_tokenizer_open(plain_mem(), folder, &t, &err), LLM_ERR_UNSUPPORTED);
    drop("merges.txt");
    put("tokenizer_config.json", "{}");
    assert_int_equal(lls_tokenizer_open(plain_mem(), folder, &t, &err), LLM_ERR_IO);
    assert_non_null(strstr(err.message, "merges.txt"));
    drop("vocab.json");
    drop("tokenizer_config.json");
}

static void vocab_txt_is_wordpiece(void **state)
{
    static const int32_t lower[] = { 2, 4, 5, 1, 3 }, cased[] = { 2, 1, 1, 3 };

    (void)state;
    put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\r\n##related\n[MASK]");
    check("UNrelated x", lower, 5);
    put("tokenizer_config.json", "{\"do_lower_case\":false}");
    check("UNrelated x", cased, 4);
    drop("tokenizer_config.json");
    drop("vocab.txt");
}

static void classes_make_their_template(void **state)
{
    static const int32_t with_bos[] = { 1, 6 }, with_eos[] = { 1, 6, 2 }, none[] = { 6 };

    (void)state;
    put("tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"a\":3,\"b\":4,"
        "\"c\":5,\"ab\":6},\"merges\":[[\"a\",\"b\"]]}}");
    check("ab", none, 1);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizer\",\"bos_token\":\"<s>\","
                                 "\"eos_token\":\"</s>\"}");
    check("ab", with_bos, 2);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizerFast\",\"bos_token\":\"<s>\""
                                 ",\"eos_token\":\"</s>\",\"add_eos_token\":true}");
    check("ab", with_eos, 3);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"GemmaTokenizer\",\"bos_token\":\"<s>\","
                                 "\"add_bos_token\":false}");
    check("ab", none, 1);
    put("tokenizer_config.json", "{\"tokenizer_class\":\"Qwen2Tokenizer\",\"bos_token\":\"<s>\"}");
    check("ab", none, 1);
    drop("tokenizer_config.json");
    drop("tokenizer.json");
}

static void the_order_of_files_is_vllms(void **state)
{
    (void)state;
    take("spm_bpe.model", "tokenizer.model");
    assert_true(id_of("<sep>") > 0);
    take("small.tiktoken", "x.tiktoken");
    assert_int_equal(id_of("<|reserved_token_600|>"), 600);
    take("llama3.json", "tokenizer.json");
    assert_true(id_of("<|begin_of_text|>") > 0);
    take("small_tekken.json", "tekken.json");
    assert_int_equal(id_of("[THINK]"), 3);
    assert_int_equal(id_of("<SPECIAL_19>"), 19);
    drop("tekken.json");
    drop("tokenizer.json");
    put("tokenizer_config.json", "{\"added_tokens_decoder\":{\"602\":{\"content\":\"<think>\"}}}");
    assert_int_equal(id_of("<think>"), 602);            /* ranks do not know; the file does */
    assert_int_equal(id_of("<|reserved_token_603|>"), 603);
    assert_int_equal(id_of("<|reserved_token_602|>"), -1);
    drop("tokenizer_config.json");
    drop("x.tiktoken");
    drop("tokenizer.model");
}

static void keys_may_hold_nul(void **state)
{
    static const int32_t want[] = { 1, 0, 2 };
    lls_tokenizer_t     *t;
    int32_t             *ids;
    size_t               n;
    llm_error_t          err;

    (void)state;
    put("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0000\":0,\"a\":1,"
                          "\"\\ud83d\\ude42\":2},\"merges\":[]}}");
    t = open_tokenizer(folder);
    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), "a\0\xf0\x9f\x99\x82", 6, 0, &ids, &n,
                                          &err), LLM_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(ids, want, sizeof want);
    lls_free(plain_mem(), ids);
    lls_tokenizer_close(t);
    drop("tokenizer.json");
}

static void templates_have_files_of_their_own(void **state)
{
    lls_tokenizer_t *t;
    size_t           len;
    char             sub[64];

    (void)state;
    snprintf(sub, sizeof sub, "%s/additional_chat_templates", folder);
    assert_int_equal(mkdir(sub, 0700), 0);
    put("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}");
    put("chat_template.jinja", "first");
    put("additional_chat_templates/rag.jinja", "found");
    put("additional_chat_templates/notes.txt", "no template");
    put("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"late\"},"
                                 "{\"name\":\"tool_use\",\"template\":\"tools\"}]}");
    t = open_tokenizer(folder);
    assert_string_equal(lls_tokenizer_chat_template(t, &len), "first");
    assert_string_equal(lls_templates_find(&t->templates, "rag", 3)->text, "found");
    assert_string_equal(lls_templates_find(&t->templates, "tool_use", 8)->text, "tools");
    assert_null(lls_templates_find(&t->templates, "notes", 5));
    lls_tokenizer_close(t);
    drop("additional_chat_templates/notes.txt");
    drop("additional_chat_templates/rag.jinja");
    drop("chat_template.jinja");
    drop("tokenizer_config.json");
    drop("tokenizer.json");
    rmdir(sub);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocab_json_goes_with_merges),
        cmocka_unit_test(vocab_txt_is_wordpiece),
        cmocka_unit_test(classes_make_their_template),
        cmocka_unit_test(the_order_of_files_is_vllms),
        cmocka_unit_test(keys_may_hold_nul),
        cmocka_unit_test(templates_have_files_of_their_own),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
