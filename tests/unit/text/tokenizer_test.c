/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

/* ---- Rules ----------------------------------------------------------------------------------- */

static size_t count_ids(const lls_tokenizer_t *t, const char *text, const uint8_t *mark,
                        uint32_t flags, int32_t id)
{
    int32_t    *ids;
    size_t      n, k = 0;
    llm_error_t err;

    if (mark != NULL)
        assert_int_equal(lls_tokenizer_encode_marked(t, plain_mem(), text, mark, strlen(text),
                                                     flags, &ids, &n, &err),
                         LLM_OK);
    else
        assert_int_equal(
            lls_tokenizer_encode(t, plain_mem(), text, strlen(text), flags, &ids, &n, &err),
            LLM_OK);
    for (size_t i = 0; i < n; i++)
        k += ids[i] == id;
    lls_free(plain_mem(), ids);
    return k;
}

static void marked_specials_stay_text(void **state)
{
    lls_tokenizer_t *t = open_small("qwen2");
    int32_t          start = lls_tokenizer_find(t, "<|im_start|>", 12),
            think = lls_tokenizer_find(t, "<think>", 7);
    uint8_t          mark[32] = { 0 };

    (void)state;
    assert_int_equal(count_ids(t, "<|im_start|>a<|im_start|>", NULL, 0, start), 2);
    assert_int_equal(count_ids(t, "<|im_start|>a<|im_start|>", NULL, LLS_ENCODE_PLAIN, start), 0);
    assert_int_equal(count_ids(t, "<think>", NULL, LLS_ENCODE_PLAIN, think), 1); /* not special */
    mark[13] = 1;                                       /* one byte of a user's is enough */
    assert_int_equal(count_ids(t, "<|im_start|>a<|im_start|>", mark, 0, start), 1);
    mark[13] = 0;
    mark[12] = 1;
    assert_int_equal(count_ids(t, "<|im_start|>a<|im_start|>", mark, 0, start), 2);
    lls_tokenizer_close(t);
}

static void bos_comes_unless_it_is_not_wanted(void **state)
{
    lls_tokenizer_t *t = open_small("llama3");
    int32_t          bos = lls_tokenizer_find(t, "<|begin_of_text|>", 17);

    (void)state;
    assert_int_equal(count_ids(t, "", NULL, 0, bos), 1);
    assert_int_equal(count_ids(t, "x", NULL, LLM_ENCODE_NO_SPECIAL, bos), 0);
    lls_tokenizer_close(t);
}

static void bad_utf8_names_the_byte(void **state)
{
    lls_tokenizer_t *t = open_small("llama3");
    int32_t         *ids;
    size_t           n;
    llm_error_t      err;

    (void)state;
    assert_int_equal(lls_tokenizer_encode(t, plain_mem(), "ab\xff", 3, 0, &ids, &n, &err),
                     LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "byte 2"));
    assert_null(ids);
    lls_tokenizer_close(t);
}

static void decode_drops_specials_and_unknown_ids(void **state)
{
    lls_tokenizer_t *t = open_small("added");
    int32_t          ids[] = { 1, -1, 1 << 30, 3 + 0xC3, 3 + 0xA9, 3 + 0xFF, 2 };
    char            *text;
    size_t           len;
    llm_error_t      err;

    (void)state;
    assert_int_equal(lls_tokenizer_decode(t, plain_mem(), ids, 5, 0, &text, &len, &err), LLM_OK);
    assert_string_equal(text, "é");
    lls_free(plain_mem(), text);
    /* One bad byte spoils the run: a U+FFFD for each. */
    assert_int_equal(
        lls_tokenizer_decode(t, plain_mem(), ids, 7, LLM_DECODE_KEEP_SPECIAL, &text, &len, &err),
        LLM_OK);
    assert_string_equal(text, "<s>\ufffd\ufffd\ufffd</s>");
    lls_free(plain_mem(), text);
    lls_tokenizer_close(t);
}

static void long_runs_are_fast(void **state)    /* the array merge alone would take minutes */
{
    static const char *const units[] = {"a", " ", "\xe4\xb8\x80", "\xcc\x81", "\xcc\x81\xcc\xa3",
                                        "<", "1"};
    char            *text = malloc(1 << 18);
    lls_tokenizer_t *t = open_small("qwen2"), *s = open_small("added");

    (void)state;
    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        size_t unit = strlen(units[k]), n = (1 << 18) / unit, got;

        for (size_t i = 0; i < n; i++)
            memcpy(text + i * unit, units[k], unit);
        for (int which = 0; which < 2; which++) {
            int32_t    *ids;
            llm_error_t err;

            assert_int_equal(lls_tokenizer_encode(which ? t : s, plain_mem(), text, n * unit, 0,
                                                  &ids, &got, &err),
                             LLM_OK);
            lls_free(plain_mem(), ids);
        }
    }
    lls_tokenizer_close(t);
    lls_tokenizer_close(s);
    free(text);
}

/* ---- Files that are wrong -------------------------------------------------------------------- */

static llm_status_t open_text(const char *json, lls_tokenizer_t **t, llm_error_t *err)
{
    char         path[] = "/tmp/lls_tokenizer_XXXXXX";
    int          fd = mkstemp(path);
    llm_status_t st;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), (ssize_t)strlen(json));
    close(fd);
    st = lls_tokenizer_open(plain_mem(), path, t, err);
    unlink(path);
    return st;
}

static void wrong_files_say_where(void **state)
{
    static const struct wrong {
        const char  *json;
        llm_status_t st;
        const char  *says;
    } wrong[] = {
        {"", LLM_ERR_FORMAT, "line"},
        {"[]", LLM_ERR_FORMAT, "object"},
        {"{}", LLM_ERR_FORMAT, "model"},
        {"{\"model\":{\"type\":\"Bigram\"}}", LLM_ERR_UNSUPPORTED, "Bigram"},
        {"{\"model\":{\"type\":\"Unigram\"}}", LLM_ERR_FORMAT, "model.vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1],[\"b\"]]}}", LLM_ERR_FORMAT,
         "byte 50: model.vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1]],\"unk_id\":1}}", LLM_ERR_FORMAT,
         "model.unk_id"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", LLM_ERR_FORMAT,
         "continuing_subword_prefix"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999},\"merges\":[]}}", LLM_ERR_FORMAT,
         "\"a\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", LLM_ERR_FORMAT,
         "twice"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", LLM_ERR_FORMAT,
         "merges[0]"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", LLM_ERR_FORMAT,
         "result"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}}",
         LLM_ERR_FORMAT, "unk_token"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Nope\"}]}}",
         LLM_ERR_UNSUPPORTED, "pre_tokenizer.pretokenizers[0].type: Nope"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
         "\"Isolated\"}}",
         LLM_ERR_FORMAT, "regex"},
        {"{\"normalizer\":{\"type\":\"NFX\"}}", LLM_ERR_UNSUPPORTED, "NFX"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}}",
         LLM_ERR_FORMAT, "base64"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AQAAAA==\"}}",
         LLM_ERR_FORMAT, "charsmap"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lls_tokenizer_t *t;
        llm_error_t      err;

        assert_int_equal(open_text(wrong[i].json, &t, &err), wrong[i].st);
        assert_null(t);
        if (strstr(err.message, wrong[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, wrong[i].says);
    }
    assert_int_equal(plain_mem()->held, 0);
}

/* Bytes of a good file changed at random: an error or a tokenizer that works. */
static void mutated_files_do_no_harm(void **state)
{
    size_t   len, n;
    char    *good = read_golden("unk_fuse.json", &len), *bad = malloc(len + 1);
    uint64_t rng = 42;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        lls_tokenizer_t *t;
        int32_t         *ids;
        llm_error_t      err;

        memcpy(bad, good, len + 1);
        for (uint64_t k = next_random(&rng) % 4 + 1; k > 0; k--) {
            size_t at = next_random(&rng) % len, from = next_random(&rng) % len,
                   span = next_random(&rng) % 12;

            if (next_random(&rng) % 2 != 0)
                bad[at] = (char)(next_random(&rng) % 96 + 32);
            else if (at + span < len && from + span < len)
                memmove(bad + at, bad + from, span);
        }
        if (open_text(bad, &t, &err) != LLM_OK)
            continue;
        if (lls_tokenizer_encode(t, plain_mem(), "ab\xc3\xa9 Z\xe2\x82\xac", 8, 0, &ids, &n,
                                 &err) == LLM_OK) {
            char  *text;
            size_t k;
            assert_int_equal(lls_tokenizer_decode(t, plain_mem(), ids, n, 0, &text, &k, &err),
                             LLM_OK);
            lls_free(plain_mem(), text);
        }
        lls_free(plain_mem(), ids);
        lls_tokenizer_close(t);
    }
    free(bad);
    lls_free(plain_mem(), good);
    assert_int_equal(plain_mem()->held, 0);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static llm_status_t use(lls_mem_t *mem, const char *path, llm_error_t *err)
{
    static const char text[] = "[M] e\xcc\x81 two words <s>aZ\xe2\x82\xac norm  1234 ";
    lls_tokenizer_t  *t;
    int32_t          *ids = NULL;
    char             *out = NULL;
    size_t            n = 0, len;
    llm_status_t      st = lls_tokenizer_open(mem, path, &t, err);

    if (st == LLM_OK)
        st = lls_tokenizer_encode(t, mem, text, sizeof text - 1, LLS_ENCODE_PLAIN, &ids, &n, err);
    if (st == LLM_OK)
        st = lls_tokenizer_decode(t, mem, ids, n, 0, &out, &len, err);
    lls_free(mem, out);
    lls_free(mem, ids);
    lls_tokenizer_close(t);
    return st;
}

static void failed_allocations_lose_nothing(void **state)
{
    static const char *const names[] = { "unk_fuse.json", "added.json", "regex.json", "t5.json",
                                         "bert.json", "clip.json", "rare.json", "spm_bpe.model",
                                         "spm_unigram.model", "small.tiktoken",
                                         "small_tekken.json" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char         path[512];
        uint64_t     n = 0;
        llm_status_t st = LLM_ERR_NO_MEMORY;

        snprintf(path, sizeof path, GOLDEN "%s", names[i]);
        while (st != LLM_OK) {
            test_alloc_t    a = { .fail_at = ++n };
            llm_allocator_t hook = test_allocator(&a);
            lls_mem_t       mem;
            llm_error_t     err;

            lls_mem_init(&mem, &hook);
            st = use(&mem, path, &err);
            assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
            assert_int_equal(a.live_bytes, 0);
            assert_int_equal(mem.held, 0);
        }
        assert_true(n > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marked_specials_stay_text),
        cmocka_unit_test(bos_comes_unless_it_is_not_wanted),
        cmocka_unit_test(bad_utf8_names_the_byte),
        cmocka_unit_test(decode_drops_specials_and_unknown_ids),
        cmocka_unit_test(long_runs_are_fast),
        cmocka_unit_test(wrong_files_say_where),
        cmocka_unit_test(mutated_files_do_no_harm),
        cmocka_unit_test(failed_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
