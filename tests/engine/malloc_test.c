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
    "max-num-queued-reqs", "8", "max-num-seqs", "4", NULL
};

/* jansson drops a character when its buffer cannot grow, so a text may look malformed instead. */
static bool is_expected(llm_status_t st)
{
    return st == LLM_ERR_NO_MEMORY || st == LLM_ERR_NO_DEVMEM || st == LLM_ERR_FORMAT ||
           st == LLM_ERR_IO || st == LLM_ERR_INVALID || st == LLM_ERR_UNSUPPORTED;
}

static void every_malloc_may_fail(void **state)
{
    llm_engine_t *e = NULL;
    llm_error_t   err;
    llm_request_t r = LLM_INIT(llm_request_t);
    llm_status_t  st = LLM_ERR_NO_MEMORY;
    uint64_t      n, at;

    if (SANITIZED) {
        print_message("a sanitizer's malloc cannot be replaced\n");
        skip();
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_malloc_may_fail) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
