/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th malloc of the whole process fails, inside jansson and Oniguruma too, for every n until
 * creating an engine and adding a request succeed. */
#include "engine/support.h"

#include <stdbool.h>

static _Thread_local uint64_t left;     /* calls of this thread until one fails; 0 = none will */

#if !SANITIZED                      /* they have a malloc of their own */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *ptr, size_t n);

static bool fails(void) { return left > 0 && --left == 0; }

void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
void *calloc(size_t count, size_t n) { return fails() ? NULL : __libc_calloc(count, n); }
void *realloc(void *ptr, size_t n) { return fails() ? NULL : __libc_realloc(ptr, n); }
#endif

static const char *const options[] = {
    "tokenizer", TEST_DIR "/golden/text/regex.json", "max-model-len", "128", "cpu-threads", "1",
    "max-num-queued-reqs", "8", "max-num-seqs", "4",
    "override-generation-config", "{\"top_p\": 0.5}",
    "chat-template", "{% for m in messages %}{{ m.content }}{% endfor %}", NULL
};

static const char *const letters[] = {
    "tokenizer", TEST_DIR "/engine/letters", "max-model-len", "128", "cpu-threads", "1",
    "chat-template", "{% for m in messages %}{{ m.content }}{% endfor %}", NULL
};

static const llm_option_t of_request[] = {
    { "repetition_detection", "{\"max_pattern_size\": 5, \"min_count\": 3}" },
    { "truncate_prompt_tokens", "9" }, { "stop", "[\"x\", \"yz\"]" },
    { "logit_bias", "{\"3\": 1}" }, { "bad_words", "[\"ab\"]" },
    { "allowed_token_ids", "[2, 3, 4, 5]" }, { "cache_salt", "s" },
};

/* jansson drops a character when its buffer cannot grow, so a text may look malformed instead. */
static bool is_expected(llm_status_t st)
{
    return st == LLM_ERR_NO_MEMORY || st == LLM_ERR_NO_DEVMEM || st == LLM_ERR_FORMAT ||
           st == LLM_ERR_IO || st == LLM_ERR_INVALID || st == LLM_ERR_UNSUPPORTED;
}

static void need_own_malloc(void)
{
    if (SANITIZED) {
        print_message("a sanitizer's malloc cannot be replaced\n");
        skip();
    }
}

static void every_malloc_may_fail(void **state)
{
    llm_engine_t *e = NULL;
    llm_error_t   err;
    llm_request_t r = LLM_INIT(llm_request_t);
    llm_status_t  st = LLM_ERR_NO_MEMORY;
    uint64_t      n, at;

    need_own_malloc();
    for (n = 1; st != LLM_OK; n += 1 + n / 50) {
        left = n;
        st = try_engine(TEST_DIR "/golden/llama", "float32", options, NULL, &e, &err);
        at = left;
        left = 0;
        if (st != LLM_OK && !is_expected(st))
            fail_msg("malloc %lu: %s", (unsigned long)n, err.message);
        if (st == LLM_OK && at == 0) {      /* something did without what it could not get */
            llm_engine_destroy(e);
            st = LLM_ERR_NO_MEMORY;
        }
    }
    assert_true(n > 100);
    r.text = "words";
    r.text_len = LLM_CSTR;
    st = LLM_ERR_NO_MEMORY;
    for (n = 1; st == LLM_ERR_NO_MEMORY; n++) {
        left = n;
        st = llm_engine_add_request(e, &r, NULL, &err);
        left = 0;
    }
    assert_true(n > 5);
    assert_int_equal(st, LLM_ERR_INVALID);  /* the model knows fewer ids than the tokenizer makes */
    assert_non_null(strstr(err.message, "the model knows"));
    llm_engine_destroy(e);
}

/* A request is refused or comes in whole; what it lacked is not there later. */
static void every_malloc_of_a_request_may_fail(void **state)
{
    static const char chat[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"}]}";
    llm_engine_t            *e;

    need_own_malloc();
    e = make_engine(TEST_DIR "/golden/llama", "float32", letters, NULL);
    for (int kind = 0; kind < 2; kind++) {
        llm_request_t r = LLM_INIT(llm_request_t);
        llm_status_t  st = LLM_ERR_NO_MEMORY;
        llm_error_t   err;
        uint64_t      n, at = 0;
        r.text = kind == 0 ? "some words of text" : NULL;
        r.chat = kind == 1 ? chat : NULL;
        r.text_len = r.chat_len = LLM_CSTR;
        r.flags = LLM_REQUEST_ECHO;
        r.options = of_request;
        r.n_options = sizeof of_request / sizeof *of_request;
        for (n = 1; st != LLM_OK || at == 0; n++) {
            left = n;
            st = llm_engine_add_request(e, &r, NULL, &err);
            at = left;
            left = 0;
            if (st != LLM_OK && !is_expected(st))
                fail_msg("malloc %lu: %s", (unsigned long)n, err.message);
            assert_int_equal(llm_engine_unfinished(e), st == LLM_OK);
            run_dry(e);
            step_engine(e);
        }
        assert_true(n > 40);
    }
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_malloc_may_fail),
                                         cmocka_unit_test(every_malloc_of_a_request_may_fail) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
