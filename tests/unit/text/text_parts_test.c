/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the tokenizers by themselves: trie, JSON scanner, unigram, charsmap, decoder steps. */
#include "text_test.h"

#include "base/utf8.h"
#include "text/charsmap.h"
#include "text/datrie.h"
#include "text/decoder.h"
#include "text/jscan.h"
#include "text/normalizer.h"

/* ---- Double-array trie ----------------------------------------------------------------------- */

static void tries_find_what_was_put_in(void **state)
{
    enum { N = 3000 };
    static char       texts[N][12];
    lls_datrie_key_t *keys = calloc(N, sizeof *keys);
    uint64_t          rng = 7;
    lls_datrie_t      t;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        size_t len = next_random(&rng) % 11 + 1;

        for (size_t k = 0; k < len; k++)        /* few bytes, so that keys share beginnings; NUL */
            texts[i][k] = (char)"\0abc\xff"[next_random(&rng) % 5];
        keys[i] = (lls_datrie_key_t){ texts[i], (uint32_t)len, i };
    }
    assert_true(lls_datrie_build(&t, plain_mem(), keys, N));
    for (uint32_t i = 0; i < N; i++) {
        uint32_t last = 0;
        int32_t  found = -1;

        for (uint32_t k = 0; k < N; k++)        /* of equal keys the largest value counts */
            if (keys[k].len == keys[i].len && memcmp(texts[k], texts[i], keys[i].len) == 0)
                last = k;
        assert_int_equal(lls_datrie_longest(&t, texts[i], keys[i].len, &found), keys[i].len);
        assert_int_equal(found, (int32_t)last);
    }
    assert_int_equal(lls_datrie_longest(&t, "x", 1, &(int32_t){ 0 }), 0);
    assert_int_equal(lls_datrie_longest(&t, "", 0, &(int32_t){ 0 }), 0);
    lls_datrie_deinit(&t, plain_mem());
    assert_true(lls_datrie_build(&t, plain_mem(), NULL, 0));
    lls_datrie_deinit(&t, plain_mem());
    free(keys);
    assert_int_equal(plain_mem()->held, 0);
}

/* ---- JSON scanner ---------------------------------------------------------------------------- */

static lls_jscan_t scan_of(const char *text)
{
    return (lls_jscan_t){ text, strlen(text), 0, false };
}

static void strings_are_unescaped_or_refused(void **state)
{
    static const struct text {
        const char *json, *want;
    } texts[] = {
        { "\"a\\n\\u00e9\\\"\"", "a\n\xc3\xa9\"" }, { "\"\\ud83d\\ude42\"", "\xf0\x9f\x99\x82" },
        { " \"\"", "" }, { "\"a", NULL }, { "\"\\ud83d\"", NULL }, { "\"\\ude42\"", NULL },
        { "\"\\x\"", NULL }, { "\"\\u12g4\"", NULL }, { "\"\xff\"", NULL }, { "\"a\nb\"", NULL },
        { "\"\\", NULL }, { "1", NULL },
    };
    lls_buf_t out = { plain_mem(), NULL, 0, 0 };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lls_jscan_t s = scan_of(texts[i].json);

        assert_int_equal(lls_jscan_string(&s, &out), texts[i].want != NULL);
        if (texts[i].want != NULL) {
            assert_int_equal(out.len, strlen(texts[i].want));
            assert_memory_equal(out.len != 0 ? out.data : "", texts[i].want, out.len);
        }
    }
    lls_buf_deinit(&out);
}

static void numbers_are_serdes(void **state)
{
    static const struct number {
        const char *json;
        double      want;
    } numbers[] = {
        { "-2.0122928619384766", -20122928619384766.0 / 1e16 }, { "0", 0 }, { "1e3", 1000 },
        { "-0.5E-1", -0.05 }, { "12345678901234567890123", 12345678901234567890.0 * 1e3 },
        /* as 33333333333333335 / 1e16: not always the nearest, which strtod() gives */
        { "3.3333333333333335", 33333333333333335.0 / 1e16 }, { "1e-400", 0 },
    };
    static const char *const wrong[] = { "", "-", ".5", "1.", "1e", "1e400", "a" };
    double                   v;
    int64_t                  n;

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lls_jscan_t s = scan_of(numbers[i].json);

        assert_true(lls_jscan_double(&s, &v));
        assert_true(v == numbers[i].want);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(lls_jscan_double(&(lls_jscan_t){ wrong[i], strlen(wrong[i]), 0, false }, &v));
    assert_true(lls_jscan_integer(&(lls_jscan_t){ "-12 ", 4, 0, false }, &n) && n == -12);
    assert_false(lls_jscan_integer(&(lls_jscan_t){ "1.5", 3, 0, false }, &n));
    assert_false(lls_jscan_integer(&(lls_jscan_t){ "9223372036854775808", 19, 0, false }, &n));
}

static void values_are_skipped_to_a_depth(void **state)
{
    char        deep[200];
    lls_jscan_t s = scan_of("{\"a\":[1,{\"b\":\"]\\\"}\"},null],\"c\":-1e5} x");

    (void)state;
    assert_true(lls_jscan_skip(&s));
    assert_int_equal(lls_jscan_peek(&s), 'x');
    memset(deep, '[', sizeof deep);
    s = (lls_jscan_t){ deep, sizeof deep, 0, false };
    assert_false(lls_jscan_skip(&s));
    assert_int_equal(s.at, LLS_JSCAN_MAX_DEPTH + 1);
    s = scan_of("[1,2");
    assert_false(lls_jscan_skip(&s));
}

/* ---- Charsmap -------------------------------------------------------------------------------- */

/* One key of one byte: unit 0 leads to 'a', which has a leaf. */
static void charsmaps_are_checked(void **state)
{
    uint32_t       units[512] = { 0 };
    uint8_t        data[4 + sizeof units + 4];
    lls_charsmap_t c;
    const char    *to;
    size_t         len;
    uint32_t       n = sizeof units;
    llm_error_t    err;

    (void)state;
    units[0] = 1u << 10;                                /* base 1 */
    units[1 ^ 'a'] = 'a' | 1u << 8 | (1u ^ 'a' ^ 2u) << 10;
    units[2] = 1u << 31 | 0;                            /* its leaf: text 0 */
    memcpy(data, &n, 4);
    memcpy(data + 4, units, sizeof units);
    memcpy(data + 4 + sizeof units, "xy\0", 4);
    assert_int_equal(lls_charsmap_init(&c, plain_mem(), "map", data, sizeof data, &err), LLM_OK);
    assert_int_equal(lls_charsmap_find(&c, "ab", 2, true, &to, &len), 1);
    assert_int_equal(len, 2);
    assert_memory_equal(to, "xy", 2);
    assert_int_equal(lls_charsmap_find(&c, "b", 1, true, &to, &len), 0);
    c.units[2] = 1u << 31 | 500;                        /* beyond the texts */
    assert_int_equal(lls_charsmap_find(&c, "ab", 2, true, &to, &len), 0);
    lls_charsmap_deinit(&c, plain_mem());
    assert_int_equal(lls_charsmap_init(&c, plain_mem(), "map", data, 3, &err), LLM_ERR_FORMAT);
    data[0] = 2;
    assert_int_equal(lls_charsmap_init(&c, plain_mem(), "map", data, 9, &err), LLM_ERR_FORMAT);
    assert_int_equal(lls_charsmap_init(&c, plain_mem(), "map", data, 0, &err), LLM_OK);
    assert_int_equal(lls_charsmap_find(&c, "ab", 2, true, &to, &len), 0);
    lls_charsmap_deinit(&c, plain_mem());
}

/* ---- Decoder steps --------------------------------------------------------------------------- */

static void byte_tokens_are_read_as_rust_does(void **state)
{
    (void)state;
    assert_int_equal(lls_byte_of_token("<0x4a>", 6), 0x4a);
    assert_int_equal(lls_byte_of_token("<0x+A>", 6), 10);
    assert_int_equal(lls_byte_of_token("<0x-1>", 6), -1);
    assert_int_equal(lls_byte_of_token("<0x4g>", 6), -1);
    assert_int_equal(lls_byte_of_token("<0x4a>x", 7), -1);
}

/* ---- Case and normal forms ------------------------------------------------------------------- */

static void lower_case_is_rusts(void **state)
{
    uint32_t out[2];

    (void)state;
    assert_int_equal(lls_lower(0x130, out), 2);
    assert_int_equal(out[1], 0x307);
    assert_int_equal(lls_lower(0x1e9e, out), 1);
    assert_int_equal(out[0], 0xdf);
    assert_int_equal(lls_lower(0x101, out), 1);         /* between two of a run */
    assert_int_equal(out[0], 0x101);
    assert_int_equal(lls_lower('Q', out), 1);
    assert_int_equal(out[0], 'q');
}

static void quick_checks_agree_with_normalizing(void **state)
{
    lls_norm_work_t w;
    lls_buf_t       out = { plain_mem(), NULL, 0, 0 }, mark = { plain_mem(), NULL, 0, 0 };

    (void)state;
    lls_norm_work_init(&w, plain_mem());
    for (uint32_t cp = 0; cp < 0x30000; cp++) {
        char         text[8] = { 'a' };
        size_t       n;
        lls_normed_t in;

        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        n = 1 + lls_utf8_encode(cp, text + 1);
        for (uint8_t form = LLS_NORM_NFC; form <= LLS_NORM_NFKD; form++) {
            if (!lls_unorm_is_quick(form, text, n))
                continue;
            in = lls_normed(text, NULL, n);
            out.len = 0;
            assert_true(lls_unorm(&w, form, &in, &out, &mark));
            if (out.len != n || memcmp(out.data, text, n) != 0)
                fail_msg("form %d, U+%X: quick, but it changes", form, cp);
        }
    }
    lls_norm_work_deinit(&w);
    lls_buf_deinit(&out);
    lls_buf_deinit(&mark);
    assert_int_equal(plain_mem()->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_find_what_was_put_in),
        cmocka_unit_test(strings_are_unescaped_or_refused),
        cmocka_unit_test(numbers_are_serdes),
        cmocka_unit_test(values_are_skipped_to_a_depth),
        cmocka_unit_test(charsmaps_are_checked),
        cmocka_unit_test(byte_tokens_are_read_as_rust_does),
        cmocka_unit_test(lower_case_is_rusts),
        cmocka_unit_test(quick_checks_agree_with_normalizing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
