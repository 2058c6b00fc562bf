/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "base/utf8.h"
#include "text/detok.h"

/* ---- The window algorithm of HF's DecodeStream, with vLLM's restart, written down literally -- */

typedef struct window {
    const lls_tokenizer_t *t;
    bool                   skip;
    int32_t                ids[4096];
    size_t                 n, prefix_index, prefix_len;
    char                  *prefix;
    char                   out[65536];
    size_t                 out_len;
} window_t;

static char *decode(const window_t *w, const int32_t *ids, size_t n, size_t *len)
{
    char       *text;
    llm_error_t err;

    assert_int_equal(lls_tokenizer_decode(w->t, plain_mem(), ids, n,
                                          w->skip ? 0 : LLM_DECODE_KEEP_SPECIAL, &text, len, &err),
                     LLM_OK);
    return text;
}

static bool replaced(const char *text, size_t len)
{
    return len >= 3 && memcmp(text + len - 3, "\xef\xbf\xbd", 3) == 0;
}

/* False: the prefix is none any more. */
static bool step(window_t *w, int32_t id)
{
    char  *s;
    size_t len;

    if (w->prefix_len == 0 && w->n != 0) {
        s = decode(w, w->ids, w->n, &len);
        if (!replaced(s, len)) {
            lls_free(plain_mem(), w->prefix);
            w->prefix = s;
            w->prefix_len = len;
            w->prefix_index = w->n;
        } else {
            lls_free(plain_mem(), s);
        }
    }
    w->ids[w->n++] = id;
    s = decode(w, w->ids, w->n, &len);
    if (len > w->prefix_len && !replaced(s, len)) {
        if (w->prefix_len != 0 && memcmp(s, w->prefix, w->prefix_len) != 0) {
            lls_free(plain_mem(), s);
            return false;
        }
        memcpy(w->out + w->out_len, s + w->prefix_len, len - w->prefix_len);
        w->out_len += len - w->prefix_len;
        memmove(w->ids, w->ids + w->prefix_index, (w->n - w->prefix_index) * sizeof *w->ids);
        w->n -= w->prefix_index;
        w->prefix_index = w->n;
        lls_free(plain_mem(), w->prefix);
        w->prefix = decode(w, w->ids, w->n, &w->prefix_len);
    }
    lls_free(plain_mem(), s);
    return true;
}

static void window_push(window_t *w, int32_t id)
{
    if (step(w, id))
        return;
    lls_free(plain_mem(), w->prefix);
    w->prefix = NULL;
    w->prefix_len = w->prefix_index = w->n = 0;
    assert_true(step(w, id));
}

/* ---- Equality -------------------------------------------------------------------------------- */

static int32_t pick(const lls_tokenizer_t *t, uint64_t *rng, bool bytes_first)
{
    uint32_t n = lls_tokenizer_n_vocab(t);
    uint64_t k = next_random(rng) % 8;

    if (bytes_first && k < 3)
        return (int32_t)(3 + next_random(rng) % 256);           /* a byte token */
    if (bytes_first && k == 3) {
        static const char *const odd[] = {"\xe2\x96\x81", "<0xC3>", "<0xA9>", "<0x20>",
                                          "<0xEF>",       "<0xBF>", "<0xBD>"};
        const char *s = odd[next_random(rng) % 7];
        return lls_tokenizer_find(t, s, strlen(s));
    }
    if (k == 4)
        return (int32_t)(next_random(rng) % (n + 2)) - 1;       /* also none at all */
    return (int32_t)(next_random(rng) % n);
}

static void check_stream(const lls_tokenizer_t *t, uint64_t *rng, bool bytes_first)
{
    static window_t w;
    lls_detok_t     d;
    llm_error_t     err;
    int32_t         prompt[16];
    size_t          n_prompt = next_random(rng) % 3 == 0 ? 0 : next_random(rng) % 16, len;
    bool            skip = next_random(rng) % 2;
    char           *text;

    memset(&w, 0, sizeof w);
    w.t = t;
    w.skip = skip;
    for (size_t i = 0; i < n_prompt; i++)
        prompt[i] = pick(t, rng, bytes_first);
    text = decode(&w, prompt, n_prompt, &len);
    if (replaced(text, len))
        n_prompt = 0;                                           /* the one known difference */
    lls_free(plain_mem(), text);
    memcpy(w.ids, prompt, n_prompt * sizeof *prompt);
    w.n = n_prompt;
    assert_int_equal(lls_detok_init(&d, t, plain_mem(), prompt, n_prompt, skip, &err), LLM_OK);
    for (int i = 0; i < 24; i++) {
        int32_t id = pick(t, rng, bytes_first);

        window_push(&w, id);
        assert_int_equal(lls_detok_push(&d, id, &err), LLM_OK);
        if (d.len != w.out_len || (d.len != 0 && memcmp(d.text, w.out, d.len) != 0))
            fail_msg("after token %d, id %d: \"%.*s\", expected \"%.*s\"", i, id, (int)d.len,
                     d.text, (int)w.out_len, w.out);
        assert_int_equal(lls_utf8_valid(d.text, d.len), d.len);
    }
    lls_free(plain_mem(), w.prefix);
    lls_detok_deinit(&d);
}

static void random_streams_equal_the_window(void **state)
{
    static const char *const names[] = { "added", "qwen2", "regex", "unk_fuse", "unigram_bytes",
                                         "bert", "t5", "word_level", "suffix", "ctc", "rare",
                                         "first_words" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        lls_tokenizer_t *t = open_small(names[i]);
        uint64_t         rng = 99;

        for (int round = 0; round < (i < 4 ? 3000 : 1000); round++)
            check_stream(t, &rng, i == 0);
        lls_tokenizer_close(t);
    }
    assert_int_equal(plain_mem()->held, 0);
}

static void real_text_comes_back(void **state)
{
    static const char text[] =
        "h\xc3\xa9llo \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9 end";
    lls_tokenizer_t  *t = open_small("llama3");
    lls_detok_t       d, copy;
    int32_t          *ids;
    size_t            n;
    llm_error_t       err;

    (void)state;
    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), text, sizeof text - 1, 0, &ids, &n, &err),
                     LLM_OK);
    assert_int_equal(lls_detok_init(&d, t, plain_mem(), ids, 1, true, &err), LLM_OK);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(lls_detok_push(&d, ids[i], &err), LLM_OK);
    assert_int_equal(d.len, sizeof text - 1);
    assert_memory_equal(d.text, text, d.len);
    assert_int_equal(lls_detok_copy(&copy, &d, &err), LLM_OK);
    assert_memory_equal(copy.text, text, d.len);
    lls_detok_deinit(&copy);
    lls_detok_deinit(&d);
    lls_free(plain_mem(), ids);
    lls_tokenizer_close(t);
}

static void a_character_split_by_the_prompt_is_whole(void **state)
{
    lls_tokenizer_t *t = open_small("added");
    int32_t          prompt[] = { 3 + 'a', 3 + 0xc3 };
    lls_detok_t      d;
    llm_error_t      err;

    (void)state;
    assert_int_equal(lls_detok_init(&d, t, plain_mem(), prompt, 2, true, &err), LLM_OK);
    assert_int_equal(lls_detok_push(&d, 3 + 0xa9, &err), LLM_OK);
    assert_int_equal(d.len, 2);
    assert_memory_equal(d.text, "\xc3\xa9", 2);
    lls_detok_deinit(&d);
    lls_tokenizer_close(t);
}

static void reserved_room_is_enough(void **state)
{
    lls_tokenizer_t *t = open_small("llama3");
    lls_detok_t      d;
    llm_error_t      err;
    uint64_t         calls;
    lls_mem_t        mem;

    (void)state;
    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_detok_init(&d, t, &mem, NULL, 0, true, &err), LLM_OK);
    assert_int_equal(lls_detok_reserve(&d, 4096, &err), LLM_OK);
    calls = mem.n_calls;
    for (int i = 0; i < 200; i++)
        assert_int_equal(lls_detok_push(&d, 300 + i, &err), LLM_OK);
    assert_int_equal(mem.n_calls, calls);
    lls_detok_deinit(&d);
    assert_int_equal(mem.held, 0);
    lls_tokenizer_close(t);
}

static void failed_allocations_lose_nothing(void **state)
{
    lls_tokenizer_t *t = open_small("added");
    llm_status_t     st = LLM_ERR_NO_MEMORY;

    (void)state;
    for (uint64_t n = 1; st != LLM_OK; n++) {
        test_alloc_t    a = { .fail_at = n };
        llm_allocator_t hook = test_allocator(&a);
        lls_mem_t       mem;
        lls_detok_t     d, copy = { 0 };
        int32_t         prompt[] = { 700, 701 };
        llm_error_t     err;

        lls_mem_init(&mem, &hook);
        st = lls_detok_init(&d, t, &mem, prompt, 2, true, &err);
        for (int i = 0; st == LLM_OK && i < 100; i++) {
            size_t len = d.len;
            st = lls_detok_push(&d, 600 + i, &err);
            if (st != LLM_OK)
                assert_int_equal(d.len, len);
        }
        if (st == LLM_OK)
            st = lls_detok_copy(&copy, &d, &err);
        lls_detok_deinit(&copy);
        lls_detok_deinit(&d);
        assert_int_equal(a.live_bytes, 0);
    }
    lls_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_streams_equal_the_window),
        cmocka_unit_test(real_text_comes_back),
        cmocka_unit_test(a_character_split_by_the_prompt_is_whole),
        cmocka_unit_test(reserved_room_is_enough),
        cmocka_unit_test(failed_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
