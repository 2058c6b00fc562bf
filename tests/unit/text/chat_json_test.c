/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "base/num.h"
#include "text/chat_json.h"

/* Both readers, on a text without a NUL behind it. */
static void check_same(const char *text, size_t len)
{
    char        *exact = malloc(len + 1);
    json_t      *ours, *want;
    llm_error_t  err = {0}, want_err = {0};
    llm_status_t st, want_st;

    memcpy(exact + 1, text, len);
    st = lls_chat_read_json(plain_mem(), exact + 1, len, &ours, &err);
    want_st = lls_json_parse("chat", exact + 1, len, &want, &want_err);
    if (st != want_st || (st == LLM_OK && !json_equal(ours, want)) ||
        (st != LLM_OK && strcmp(err.message, want_err.message) != 0))
        fail_msg("%.*s: %s, expected %s", (int)len, text, st == LLM_OK ? "a value" : err.message,
                 want_st == LLM_OK ? "another value" : want_err.message);
    json_decref(ours);
    json_decref(want);
    free(exact);
}

static const char *const texts[] = {
    "{\"a\":[1,-2,0,-0,10,{\"b\":null}],\"d\":\"x\\n\\u00e9\\ud83d\\ude42 \xc3\xa9\",\"e\":false}",
    " { } ",
    "[]",
    "[ 1 , \"\" , [ ] ]\r\n\t",
    "\"text\"",
    "7",
    "-7 ",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "[1.5,1e3,-0.0,1E-2]",
    "01",
    "-01",
    "-",
    "1.",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\":1,}",
    "{\"a\" 1}",
    "{a:1}",
    "{\"a\":1,\"a\":2,\"b\":3}",
    "{\"\":1}",
    "{\"a\\u0000b\":1}",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\x\"",
    "\"a\nb\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "tru",
    "truex",
    "nullnull",
    "{} {}",
    "{\"a\":",
    "[",
    "",
    "  ",
};

static void what_jansson_reads_is_read_the_same(void **state)
{
    char deep[200], wide[300] = "{\"";

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(texts); i++)
        check_same(texts[i], strlen(texts[i]));
    check_same("[1]\0", 4);
    check_same("[\0]", 3);
    for (size_t n = 1; n < 100; n++) {
        memset(deep, '[', n);
        memset(deep + n, ']', n);
        check_same(deep, 2 * n);
    }
    for (size_t n = 120; n < 140; n++) {
        memset(wide + 2, 'k', n);
        memcpy(wide + 2 + n, "\":1}", 5);
        check_same(wide, n + 6);
    }
}

static void damaged_texts_are_read_the_same(void **state)
{
    static const char alphabet[] = "{}[]\",:\\u0123 9-.eEtrfalsn\n\xc3\xa9\xff";
    uint64_t          rng = 11;
    char              bad[200];

    (void)state;
    for (int round = 0; round < 40000; round++) {
        const char *good = texts[next_random(&rng) % 4];
        size_t      len = strlen(good);

        memcpy(bad, good, len);
        for (uint64_t k = next_random(&rng) % 3 + 1; k > 0; k--)
            bad[next_random(&rng) % len] = alphabet[next_random(&rng) % (sizeof alphabet - 1)];
        check_same(bad, next_random(&rng) % 4 == 0 ? next_random(&rng) % len : len);
    }
    assert_int_equal(plain_mem()->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_jansson_reads_is_read_the_same),
        cmocka_unit_test(damaged_texts_are_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
