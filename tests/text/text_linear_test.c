/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts made of one thing, n and 2n bytes of it: twice the operations at most, and a little for the
 * heap's logarithm.  lib/text is compiled into this test so that every basic block is counted.
 */
#include "unit/text/text_test.h"

#define N 6000u

static uint64_t n_blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { n_blocks++; }

static const char *const names[] = {
    "llama3.json", "qwen2.json", "regex.json", "added.json", "deepseek.json", "nemo.json",
    "gemma.json", "first.json", "bert.json", "t5.json", "xlmr.json", "albert.json",
    "unigram_bytes.json", "word_level.json", "prefix.json", "clip.json", "byte_words.json",
    "spm_bpe.model", "spm_unigram.model", "small.tiktoken", "small_tekken.json", "rare.json",
    "roberta.json", "suffix.json", "ctc.json", "unk_fuse.json", "unk_each.json", "first_words.json",
    "bert_cased.json", "gpt2.gguf", "llama.gguf", "bert.gguf", "t5.gguf",
};
static const char *const real[] = {
    "gpt2.tokenizer.json", "falcon-7b.tokenizer.json", "phi-3.tokenizer.json",
    "mistral-7b-v0.3.tokenizer.json", "bert-base-uncased.tokenizer.json", "t5-small.tokenizer.json",
    "mistral.tokenizer.model.v1", "spm_unigram_test_model.model",
};
static const char *const units[] = {
    "a", " ", "\n", "1", "'", "\xe4\xb8\x80", "\xcc\x81", "\xcc\x81\xcc\xa3", "\xf0\x9f\x99\x82",
    "\xe1\x84\x80\xe1\x85\xa1", "\xef\xb7\xba", "<|begin_of_tex", "[M", "<ex", "the of ", " \n",
    "\xe2\x96\x81", ".", "a\xcc\x81",
};

static uint64_t count(const lls_tokenizer_t *t, const char *unit, size_t n)
{
    size_t      len = strlen(unit), n_ids;
    char       *text = malloc(n + len), *back;
    int32_t    *ids;
    uint64_t    before;
    llm_error_t err;

    for (size_t i = 0; i < n; i += len)
        memcpy(text + i, unit, len);
    n -= n % len;
    before = n_blocks;
    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), text, n, 0, &ids, &n_ids, &err), LLM_OK);
    assert_int_equal(lls_tokenizer_decode(t, plain_mem(), ids, n_ids, 0, &back, &len, &err),
                     LLM_OK);
    before = n_blocks - before;
    lls_free(plain_mem(), ids);
    lls_free(plain_mem(), back);
    free(text);
    return before;
}

static void check_tokenizer(const char *path, size_t n, double *worst)
{
    lls_tokenizer_t *t = open_tokenizer(path);

    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        uint64_t one, two;
        double   ratio;

        count(t, units[k], n);                      /* so that both find its words kept */
        one = count(t, units[k], n);
        two = count(t, units[k], 2 * n);
        ratio = (double)two / (double)one;
        *worst = ratio > *worst && one > 10000 ? ratio : *worst;
        if (one > 10000 && ratio > 2.3)
            fail_msg("%s, \"%s\": %llu blocks, then %llu", path, units[k],
                     (unsigned long long)one, (unsigned long long)two);
    }
    lls_tokenizer_close(t);
}

static void twice_the_text_is_twice_the_work(void **state)
{
    double worst = 0;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];

        snprintf(path, sizeof path, GOLDEN "%s", names[i]);
        check_tokenizer(path, N, &worst);
    }
    print_message("twice the text: %.2f times the blocks at most\n", worst);
}

static void real_tokenizers_are_linear(void **state)
{
    double worst = 0;

    (void)state;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        const char *folder = getenv("LLM_SHARED");
        char        path[512];

        snprintf(path, sizeof path, "%s/tokenizers/%s",
                 folder != NULL ? folder : LLM_SHARED_DEFAULT, real[i]);
        if (!lls_path_exists(path))
            skip();
        check_tokenizer(path, 5 * N, &worst);
    }
    print_message("real tokenizers: %.2f times the blocks at most\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twice_the_text_is_twice_the_work),
        cmocka_unit_test(real_tokenizers_are_linear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
