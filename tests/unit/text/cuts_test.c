/* SPDX-License-Identifier: Apache-2.0 */
/* Where texts are cut, against a search of all tokens. */
#include "text_test.h"

#include "base/utf8.h"
#include "text/cuts.h"

#define HAN_1 "\xe4\xb8\xad"            /* U+4E2D */
#define HAN_2 "\xe5\x9b\xbd"            /* U+56FD */
#define BLANK "\xe2\x96\x81"

static lls_cuts_t cuts_of(const char *const *tokens, size_t n)
{
    lls_cuts_t c;

    assert_true(lls_cuts_init(&c, plain_mem(), (uint32_t)n));
    for (size_t i = 0; i < n; i++)
        lls_cuts_add(&c, tokens[i], strlen(tokens[i]));
    return c;
}

/* parts: as they should be, with '|' between. */
static void check_parts(const lls_cuts_t *c, const char *parts)
{
    char   text[256], got[256];
    size_t len = 0, n = 0;

    for (const char *p = parts; *p != '\0'; p++)
        if (*p != '|')
            text[len++] = *p;
    for (size_t i = 0, k; i < len; i += k) {
        k = lls_cuts_part(c, text + i, len - i);
        assert_in_range(k, 1, len - i);
        if (i != 0)
            got[n++] = '|';
        memcpy(got + n, text + i, k);
        n += k;
    }
    got[n] = '\0';
    assert_string_equal(got, parts);
}

static void texts_are_cut_where_no_token_goes_on(void **state)
{
    static const char *const tokens[] = { "ab", "bcd", BLANK "a", BLANK BLANK, HAN_1 HAN_2, "x" };
    lls_cuts_t               c = cuts_of(tokens, LLS_ARRAY_LEN(tokens));

    (void)state;
    check_parts(&c, "abcd");
    check_parts(&c, "a|a|d|b|x|y");
    check_parts(&c, "abc|" BLANK "a|" BLANK BLANK "a|" BLANK "|b");
    check_parts(&c, HAN_1 HAN_2 "|" HAN_1 "|" HAN_1 HAN_2);
    check_parts(&c, HAN_2 "|a");
    lls_cuts_deinit(&c, plain_mem());
    assert_int_equal(lls_cuts_part(&c, "ax", 2), 2);        /* without tables nothing is */
}

static void torn_characters_hold_their_neighbours(void **state)
{
    static const char *const tokens[] = {
        " \xe4",                        /* a blank and the beginning of one */
        "\xbd.",                        /* the end of one and a full stop */
        "\xad\xe5",                     /* an end and a beginning */
    };
    lls_cuts_t c = cuts_of(tokens, LLS_ARRAY_LEN(tokens));

    (void)state;
    check_parts(&c, " " HAN_1 HAN_2 ".|" HAN_1 "|.");
    check_parts(&c, HAN_2 "|" HAN_1 "|a| |" HAN_2);
    /* A text that is torn itself is not cut there. */
    check_parts(&c, "\xad" HAN_1 HAN_2 "|x|" HAN_2 "\xe4\xb8");
    lls_cuts_deinit(&c, plain_mem());
}

/* Characters of one to four bytes: where two of them are neighbours in a token there is no cut. */
static void no_token_is_ever_cut(void **state)
{
    static const uint32_t chars[] = { 'a', 'b', ' ', 0xe9, 0x416, 0x2581, 0x4e2d, 0x1f600 };
    char                  tokens[64][16];
    uint64_t              seed = 5;

    (void)state;
    for (int round = 0; round < 200; round++) {
        lls_cuts_t c;

        assert_true(lls_cuts_init(&c, plain_mem(), 64));
        for (size_t t = 0; t < 4; t++) {
            size_t len = 0;
            for (int k = 0; k < 3; k++) {
                seed = lls_mix64(seed, t);
                len += lls_utf8_encode(chars[seed % LLS_ARRAY_LEN(chars)], tokens[t] + len);
            }
            tokens[t][len] = '\0';
            /* Half of them lose a byte at one end. */
            if ((seed >> 20) % 4 == 0)
                tokens[t][--len] = '\0';
            else if ((seed >> 20) % 4 == 1)
                memmove(tokens[t], tokens[t] + 1, len--);
            lls_cuts_add(&c, tokens[t], len);
        }
        for (int k = 0; k < 50; k++) {
            char   text[64];
            size_t len = 0, at = 0;

            for (int j = 0; j < 8; j++) {
                seed = lls_mix64(seed, (uint64_t)j);
                len += lls_utf8_encode(chars[seed % LLS_ARRAY_LEN(chars)], text + len);
            }
            while ((at += lls_cuts_part(&c, text + at, len - at)) < len)
                for (size_t t = 0; t < 4; t++)
                    for (size_t i = 1; i < strlen(tokens[t]); i++)
                        assert_false(at >= i && len - at >= strlen(tokens[t]) - i &&
                                     memcmp(text + at - i, tokens[t], strlen(tokens[t])) == 0);
        }
        lls_cuts_deinit(&c, plain_mem());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_cut_where_no_token_goes_on),
        cmocka_unit_test(torn_characters_hold_their_neighbours),
        cmocka_unit_test(no_token_is_ever_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
