/* SPDX-License-Identifier: Apache-2.0 */
/* bad_words with the tokenizer of the demonstration model. */
#include "engine/support.h"

#include <stdio.h>

static llm_engine_t *engine;

static const llm_output_t *generate(const char *const *words, size_t n, llm_batch_t **b)
{
    llm_sampling_params_t s = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = LLM_INIT(llm_request_t);
    const llm_request_t  *list[] = { &r };
    llm_error_t           err;

    s.max_tokens = 12;
    s.flags = LLM_SAMPLE_IGNORE_EOS;
    s.bad_words = words;
    s.n_bad_words = n;
    r.text = "The capital of France is";
    r.text_len = LLM_CSTR;
    r.sampling = &s;
    if (llm_generate_batch(engine, list, 1, NULL, NULL, b, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return llm_batch_output(*b, 0, 0);
}

static void a_word_is_not_said_again(void **state)
{
    static const char *const words[] = { "Paris", "  Paris", "Paris" };
    llm_batch_t             *b;

    assert_non_null(strstr(generate(NULL, 0, &b)->text, " Paris"));
    llm_batch_destroy(b);
    for (size_t n = 1; n <= 3; n++) {               /* with and without a space before it */
        const llm_output_t *o = generate(words, n, &b);
        assert_null(o->error);
        assert_int_equal(o->n_tokens, 12);
        if (strstr(o->text, "Paris") != NULL)
            fail_msg("%s", o->text);
        llm_batch_destroy(b);
    }
}

/* Only the last token of a sequence is masked, and only behind the others. */
static void a_phrase_goes_its_words_stay(void **state)
{
    const llm_output_t *o;
    llm_batch_t        *b;
    const char         *phrase[1];
    char                copy[128], *end;

    o = generate(NULL, 0, &b);
    snprintf(copy, sizeof copy, "%s", o->text);
    llm_batch_destroy(b);
    end = strchr(copy + 1, ' ');                    /* its first two words */
    end = end == NULL ? NULL : strchr(end + 1, ' ');
    assert_non_null(end);
    *end = '\0';
    phrase[0] = copy;
    o = generate(phrase, 1, &b);
    if (strstr(o->text, copy) != NULL)
        fail_msg("\"%s\" has \"%s\"", o->text, copy);
    *strchr(copy + 1, ' ') = '\0';
    if (strstr(o->text, copy) != o->text)
        fail_msg("\"%s\" does not begin with \"%s\"", o->text, copy);
    llm_batch_destroy(b);
}

static void sequences_are_counted_once_each(void **state)
{
    static char  texts[128][8];
    const char  *words[128];
    llm_batch_t *b;

    for (int i = 0; i < 128; i++) {
        snprintf(texts[i], sizeof texts[i], "Paris");
        words[i] = texts[i];
    }
    assert_null(generate(words, 128, &b)->error);
    llm_batch_destroy(b);
    for (int i = 0; i < 128; i++)                   /* two tokens of their own each */
        snprintf(texts[i], sizeof texts[i], "%c%c", 'a' + i % 16, 'a' + i / 16);
    assert_string_equal(generate(words, 128, &b)->error->param, "bad_words");
    assert_non_null(strstr(llm_batch_output(b, 0, 0)->error->message,
                           "sequences after tokenization, at most 128 are allowed"));
    llm_batch_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_not_said_again),
        cmocka_unit_test(a_phrase_goes_its_words_stay),
        cmocka_unit_test(sequences_are_counted_once_each),
    };
    int failed;

    if (demo_model() == NULL || SANITIZED) {
        puts("skipped: no demonstration model, or it is slow here");
        return 77;
    }
    engine = make_engine(demo_model(), NULL, OPTIONS("max-model-len", "64", "max-num-seqs", "2"),
                         NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    llm_engine_destroy(engine);
    return failed;
}
