/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of words, and the tables that calls lend each other. */
#include "text_test.h"

#include <pthread.h>

#include "text/words.h"

/* Looks until there is a table. */
static void warm_up(lls_words_t *w, lls_ids_t *ids)
{
    lls_word_key_t key;

    for (int i = 0; i < 100 && w->table == NULL; i++)
        assert_false(lls_words_find(w, "warm", 4, false, &key, ids));
    assert_non_null(w->table);
}

static void put(lls_words_t *w, const char *text, size_t len, bool part, int32_t id, size_t n)
{
    lls_ids_t      none = { plain_mem(), NULL, 0, 0 };
    lls_word_key_t key;
    int32_t        ids[LLS_WORD_IDS + 1];

    for (size_t i = 0; i < n; i++)
        ids[i] = id + (int32_t)i;
    lls_words_find(w, text, len, part, &key, &none);
    lls_words_keep(w, &key, ids, n);
    lls_free(plain_mem(), none.data);
}

static size_t get(lls_words_t *w, const char *text, size_t len, bool part, int32_t *first)
{
    lls_ids_t      ids = { plain_mem(), NULL, 0, 0 };
    lls_word_key_t key;
    size_t         n = SIZE_MAX;

    if (lls_words_find(w, text, len, part, &key, &ids)) {
        n = ids.n;
        *first = n != 0 ? ids.data[0] : -1;
    }
    lls_free(plain_mem(), ids.data);
    return n;
}

static void words_are_told_apart(void **state)
{
    static const char long_text[] = "abcdefghijklmnopqrstuvwxyz";
    lls_words_pool_t *pool = lls_words_pool_create(plain_mem());
    lls_ids_t         ids = { plain_mem(), NULL, 0, 0 };
    lls_words_t       w;
    int32_t           id = 0;

    (void)state;
    lls_words_begin(&w, pool);
    warm_up(&w, &ids);
    for (size_t len = 1; len <= LLS_WORD_BYTES; len++) {
        put(&w, long_text, len, false, (int32_t)len * 10, 2);
        assert_int_equal(get(&w, long_text, len, false, &id), 2);
        assert_int_equal(id, len * 10);
        assert_int_equal(get(&w, long_text, len, true, &id), SIZE_MAX);
        assert_int_equal(get(&w, long_text + 1, len, false, &id), SIZE_MAX);
    }
    put(&w, "a\0", 2, false, 7, 1);                         /* a NUL is a byte of the text */
    assert_int_equal(get(&w, "a\0", 2, false, &id), 1);
    assert_int_equal(get(&w, "a", 1, false, &id), 2);
    put(&w, "gone", 4, false, 0, 0);                        /* no ids are an answer too */
    assert_int_equal(get(&w, "gone", 4, false, &id), 0);
    put(&w, "many", 4, false, 0, LLS_WORD_IDS + 1);         /* too many, too long: not kept */
    assert_int_equal(get(&w, "many", 4, false, &id), SIZE_MAX);
    put(&w, long_text, LLS_WORD_BYTES + 1, false, 0, 1);
    assert_int_equal(get(&w, long_text, LLS_WORD_BYTES + 1, false, &id), SIZE_MAX);
    lls_words_end(&w);
    lls_words_pool_destroy(pool);
    lls_free(plain_mem(), ids.data);
}

static void tables_are_lent(void **state)
{
    lls_words_pool_t *pool = lls_words_pool_create(plain_mem());
    lls_ids_t         ids = { plain_mem(), NULL, 0, 0 };
    lls_words_t       w[LLS_WORDS_IDLE + 2], again;
    int32_t           id;

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(w); i++) {
        lls_words_begin(&w[i], pool);
        assert_null(w[i].table);
        warm_up(&w[i], &ids);
        put(&w[i], "x", 1, false, (int32_t)i, 1);
    }
    for (size_t i = 0; i < LLS_ARRAY_LEN(w); i++)           /* more than the pool keeps */
        lls_words_end(&w[i]);
    lls_words_begin(&again, pool);
    assert_non_null(again.table);
    assert_int_equal(get(&again, "x", 1, false, &id), 1);
    lls_words_end(&again);
    lls_words_pool_destroy(pool);
    lls_free(plain_mem(), ids.data);
}

static void without_a_pool_nothing_is_kept(void **state)
{
    lls_words_t w;
    int32_t     id;

    (void)state;
    lls_words_begin(&w, NULL);
    for (int i = 0; i < 200; i++)
        assert_int_equal(get(&w, "x", 1, false, &id), SIZE_MAX);
    put(&w, "x", 1, false, 1, 1);
    lls_words_end(&w);
}

static void without_memory_a_call_goes_on(void **state)
{
    test_alloc_t      count = { 0 };
    llm_allocator_t   hook = test_allocator(&count);
    lls_mem_t         mem;
    lls_words_pool_t *pool;
    lls_words_t       w;
    int32_t           id;

    (void)state;
    lls_mem_init(&mem, &hook);
    pool = lls_words_pool_create(&mem);
    lls_words_begin(&w, pool);
    count.fail_at = count.n_calls + 1;
    for (int i = 0; i < 70; i++)
        assert_int_equal(get(&w, "x", 1, false, &id), SIZE_MAX);
    assert_null(w.table);
    for (int i = 0; i < 70; i++)
        get(&w, "x", 1, false, &id);
    assert_non_null(w.table);
    lls_words_end(&w);
    lls_words_pool_destroy(pool);
    assert_int_equal(count.live_blocks, 0);
}

static void *encode_often(void *tok)
{
    static const char text[] = "The words of many calls, the words of one call: "
                               "na\xc3\xafve \xe6\x9d\xb1\xe4\xba\xac 12345 words.";
    int32_t          *first = NULL, *ids;
    size_t            n_first = 0, n;
    llm_error_t       err;
    uintptr_t         n_bad = 0;

    for (int i = 0; i < 60; i++) {
        if (lls_tokenizer_encode(tok, plain_mem(), text, strlen(text), 0, &ids, &n, &err) != LLM_OK)
            return (void *)1;
        if (first == NULL) {
            first = ids;
            n_first = n;
            continue;
        }
        n_bad += n != n_first || memcmp(ids, first, n * sizeof *ids) != 0;
        lls_free(plain_mem(), ids);
    }
    lls_free(plain_mem(), first);
    return (void *)n_bad;
}

/* Tables go from thread to thread while all encode; TSan sees what they share. */
static void threads_lend_each_other_tables(void **state)
{
    lls_tokenizer_t *t = open_tokenizer(GOLDEN "llama3.json");
    pthread_t        threads[4];

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
    for (size_t i = 0; i < LLS_ARRAY_LEN(threads); i++) {
        void *n_bad;

        assert_int_equal(pthread_join(threads[i], &n_bad), 0);
        assert_null(n_bad);
    }
    lls_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_told_apart),
        cmocka_unit_test(tables_are_lent),
        cmocka_unit_test(without_a_pool_nothing_is_kept),
        cmocka_unit_test(without_memory_a_call_goes_on),
        cmocka_unit_test(threads_lend_each_other_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
