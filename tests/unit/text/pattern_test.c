/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "base/utf8.h"
#include "text/pattern.h"

#define TAIL(digits)                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                          \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define POSSESSIVE \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| " \
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*" \
    "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"

#define UPPER "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SLASHES "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const known[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    TAIL("\\p{N}{1,3}"),
    TAIL("\\p{N}"),
    POSSESSIVE,
    UPPER "*" LOWER "+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" UPPER "+" LOWER
          "*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}" SLASHES,
    UPPER "*" LOWER "+|" UPPER "+" LOWER "*|\\p{N}" SLASHES,
};

static lls_uniclass_t classes;
static lls_unicat_t   cats;

#define N_KNOWN (sizeof known / sizeof *known)

static lls_pattern_t pattern_of(const char *regex, bool plain)
{
    lls_pattern_t p;
    llm_error_t   err;

    if (lls_pattern_regex(&p, plain_mem(), "test", regex, strlen(regex), plain, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return p;
}

/* Both cut text in the same places. */
static void check_same(const lls_pattern_t *own, const lls_pattern_t *onig,
                       const lls_pattern_ctx_t *ctx, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t begin, end, n = lls_pattern_scan(own, ctx, text + at, len - at);

        assert_int_equal(lls_pattern_find(onig, ctx, text, len, at, &begin, &end), 1);
        if (begin != at || end != at + n)
            fail_msg("at byte %zu of \"%.*s\": scanner %zu, onig %zu to %zu", at, (int)len, text, n,
                     begin, end);
        at = end;
    }
}

/* Whether the engine installed knows the code point as we do: it may be older. */
static bool same_class(const lls_pattern_t onig[6], const lls_pattern_ctx_t *ctx, uint32_t cp)
{
    static const uint8_t bits[] = { LLS_UC_LETTER, LLS_UC_NUMBER, LLS_UC_SPACE, LLS_UC_MARK };
    char   text[4];
    size_t n = lls_utf8_encode(cp, text), begin, end;

    for (int i = 0; i < 4; i++)
        if ((lls_pattern_find(&onig[i], ctx, text, n, 0, &begin, &end) == 1) !=
            ((lls_uniclass(&classes, cp) & bits[i]) != 0))
            return false;
    for (int i = 4; i < 6; i++)
        if ((lls_pattern_find(&onig[i], ctx, text, n, 0, &begin, &end) == 1) !=
            ((lls_unicat(&cats, cp) & (i == 4 ? LLS_CAT_UPPER : LLS_CAT_LOWER)) != 0))
            return false;
    return true;
}

static void scanners_equal_onig_on_every_code_point(void **state)
{
    static const char *const around[][2] = {{"a", "b"},    {" ", "'s"}, {"1", "2"}, {"!", "\n"},
                                            {" \n ", " "}, {"'", "e"},  {"\t", ""}};
    lls_pattern_t            own[N_KNOWN], onig[N_KNOWN],
        classes_of[6] = {pattern_of("\\p{L}", true), pattern_of("\\p{N}", true),
                         pattern_of("\\s", true), pattern_of("\\p{M}", true),
                         pattern_of("\\p{Lu}|\\p{Lt}", true), pattern_of("\\p{Ll}", true)};
    lls_pattern_ctx_t ctx = { &classes, &cats, lls_regex_match_create(plain_mem()), NULL };
    size_t            n_newer = 0;

    (void)state;
    for (int i = 0; i < (int)N_KNOWN; i++) {
        own[i] = pattern_of(known[i], false);
        onig[i] = pattern_of(known[i], true);
        assert_true(lls_pattern_is_total(&own[i]));
        assert_int_equal(onig[i].kind, LLS_PAT_REGEX);
    }
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char   text[32];
        size_t k = cp % 7, n;

        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        if (cp >= 0x3400 && cp % 16 != 0 &&
            lls_uniclass(&classes, cp) == lls_uniclass(&classes, cp - 1) &&
            lls_uniclass(&classes, cp + 1) == lls_uniclass(&classes, cp))
            continue;                                   /* the middle of a long run */
        if (!same_class(classes_of, &ctx, cp)) {
            n_newer++;
            continue;
        }
        n = (size_t)sprintf(text, "%s", around[k][0]);
        n += lls_utf8_encode(cp, text + n);
        n += lls_utf8_encode(cp, text + n);
        n += (size_t)sprintf(text + n, "%s", around[k][1]);
        for (int i = 0; i < (int)N_KNOWN; i++)
            check_same(&own[i], &onig[i], &ctx, text, n);
    }
    print_message("%zu code points that the engine installed does not know\n", n_newer);
    for (int i = 0; i < (int)N_KNOWN; i++) {
        lls_pattern_deinit(&own[i], plain_mem());
        lls_pattern_deinit(&onig[i], plain_mem());
    }
    for (int i = 0; i < 6; i++)
        lls_pattern_deinit(&classes_of[i], plain_mem());
    lls_regex_match_destroy(ctx.match);
}

static void scanners_equal_onig_on_random_texts(void **state)
{
    static const char *const bits[] = {"a",
                                       "B",
                                       "\xc3\xa9",
                                       "\xe6\x97\xa5",
                                       "1",
                                       "22",
                                       "\xd9\xa3",
                                       " ",
                                       "  ",
                                       "\n",
                                       "\r",
                                       "\t",
                                       "\xc2\xa0",
                                       "'s",
                                       "'S",
                                       "'\xc5\xbf",
                                       "'re",
                                       "'rE",
                                       "'",
                                       "!",
                                       "-",
                                       "\xcc\x81",
                                       "\xf0\x9f\x99\x82",
                                       "\xe3\x80\x80",
                                       "\xe2\x80\x8d",
                                       "ll",
                                       "'l",
                                       "d", "/", "AB", "\xc3\x89", "\xc7\x85", "\xca\xb0", "\r\n"};
    lls_pattern_ctx_t ctx = { &classes, &cats, lls_regex_match_create(plain_mem()), NULL };
    uint64_t          rng = 1;

    (void)state;
    for (int i = 0; i < (int)N_KNOWN; i++) {
        lls_pattern_t own = pattern_of(known[i], false), onig = pattern_of(known[i], true);

        for (int round = 0; round < 4000; round++) {
            char   text[128];
            size_t n = 0;

            for (uint64_t k = next_random(&rng) % 16 + 1; k > 0; k--)
                n += (size_t)sprintf(text + n, "%s",
                                     bits[next_random(&rng) % (sizeof bits / sizeof *bits)]);
            check_same(&own, &onig, &ctx, text, n);
        }
        lls_pattern_deinit(&own, plain_mem());
        lls_pattern_deinit(&onig, plain_mem());
    }
    lls_regex_match_destroy(ctx.match);
}

static void a_regex_that_explodes_is_an_error(void **state)
{
    lls_pattern_t     p = pattern_of("(x+x+)+y", true);
    llm_error_t       err;
    lls_pattern_ctx_t ctx = { &classes, &cats, lls_regex_match_create(plain_mem()), &err };
    char              text[64];
    size_t            begin, end;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(lls_pattern_find(&p, &ctx, text, sizeof text, 0, &begin, &end),
                     LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "steps"));
    assert_non_null(strstr(err.message, "(x+x+)+y"));
    lls_pattern_deinit(&p, plain_mem());
    lls_regex_match_destroy(ctx.match);
}

static int setup(void **state)
{
    (void)state;
    lls_uniclass_init(&classes);
    lls_unicat_init(&cats);
    for (uint32_t cp = 0; cp < LLS_UNICLASS_PLANE; cp++)
        assert_int_equal(classes.plane0[cp], lls_uniclass_search(cp));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanners_equal_onig_on_every_code_point),
        cmocka_unit_test(scanners_equal_onig_on_random_texts),
        cmocka_unit_test(a_regex_that_explodes_is_an_error),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
