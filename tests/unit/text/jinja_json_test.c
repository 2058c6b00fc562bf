/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "base/num.h"
#include "text/jinja.h"

/* json.dumps() of what is read from {"v": text}; NULL if it is no JSON, with the reason in err. */
static char *read_and_write(lls_mem_t *mem, const char *text, size_t len, llm_error_t *err)
{
    static const char template[] = "{{ v | tojson }}";
    size_t           n = len + 7;
    char            *exact = malloc(n), *out = NULL; /* no NUL behind it */
    lls_jdata_t     *data;
    lls_jinja_t     *j;
    lls_jinja_text_t written;

    memcpy(exact, "{\"v\": ", 6);
    memcpy(exact + 6, text, len);
    exact[n - 1] = '}';
    if (lls_jdata_read(mem, "chat", exact, n, &data, err) == LLM_OK) {
        lls_jinja_input_t in = {.vars = data};

        if (lls_jinja_compile(mem, template, sizeof template - 1, &j, err) == LLM_OK) {
            if (lls_jinja_render(j, mem, &in, &written, err) == LLM_OK)
                out = strdup(written.text);
            lls_jinja_text_free(mem, &written);
        }
        lls_jinja_free(j);
    }
    lls_jdata_free(data);
    free(exact);
    return out;
}

static void check(const char *text, const char *want)
{
    llm_error_t err;
    char       *got = read_and_write(plain_mem(), text, strlen(text), &err);

    if (got == NULL)
        fail_msg("%s: %s, expected %s", text, err.message, want);
    if (strcmp(got, want) != 0)
        fail_msg("%s: %s, expected %s", text, got, want);
    free(got);
}

/* What json.dumps(json.loads(text), ensure_ascii=False) gives. */
static void what_python_reads_is_read_the_same(void **state)
{
    static const char *const same[][2] = {
        {"[1,-2,0,-0,10,{\"b\":null}]", "[1, -2, 0, 0, 10, {\"b\": null}]"},
        {"\"x\\n\\u00e9\\ud83d\\ude42 \xc3\xa9\\/\"", "\"x\\n\xc3\xa9\xf0\x9f\x99\x82 \xc3\xa9/\""},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"9223372036854775808", "9223372036854775808"},
        {"[18446744073709551615, -123456789012345678901234567890]",
         "[18446744073709551615, -123456789012345678901234567890]"},
        {"[1.5,1e3,-0.0,1E-2,1e16,1e-7]", "[1.5, 1000.0, -0.0, 0.01, 1e+16, 1e-07]"},
        {"[1e400, -1e400, NaN, Infinity, -Infinity]",
         "[Infinity, -Infinity, NaN, Infinity, -Infinity]"},
        {"{\"a\":1,\"b\":3,\"a\":2}", "{\"a\": 2, \"b\": 3}"},
        {"{\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"1\":9,\"9\":0}",
         "{\"1\": 9, \"2\": 2, \"3\": 3, \"4\": 4, \"5\": 5, \"6\": 6, \"7\": 7, \"8\": 8, "
         "\"9\": 0}"},
        {"{\"a\\u0000b\":\"\\u0000\"}", "{\"a\\u0000b\": \"\\u0000\"}"},
        {"{\"\":[[],{}]}", "{\"\": [[], {}]}"},
        {" [ 1 , \"\" , [ ] ] \r\n\t", "[1, \"\", []]"},
    };

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(same); i++)
        check(same[i][0], same[i][1]);
    assert_int_equal(plain_mem()->held, 0);
}

/* What jansson reads we read the same; what only we read is what Python reads, too. */
static void check_beside_jansson(const char *text, size_t len)
{
    json_error_t why = {0};
    llm_error_t  err;
    json_t      *want = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why), *back;
    char        *got = read_and_write(plain_mem(), text, len, &err);
    bool more = memmem(text, len, "NaN", 3) != NULL || memmem(text, len, "Inf", 3) != NULL ||
                json_error_code(&why) == json_error_numeric_overflow ||
                json_error_code(&why) == json_error_null_byte_in_key;

    if (got == NULL ? want != NULL : want == NULL && !more)
        fail_msg("%.*s: we %s, jansson %s", (int)len, text, got != NULL ? got : err.message,
                 why.text);
    back = got != NULL ? json_loads(got, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL) : NULL;
    if (want != NULL && !json_equal(want, back))
        fail_msg("%.*s became %s", (int)len, text, got);
    json_decref(back);
    json_decref(want);
    free(got);
}

static const char *const texts[] = {
    "{\"a\":[1,-2,0,10,{\"b\":null}],\"d\":\"x\\n\\u00e9\\ud83d\\ude42 \xc3\xa9\",\"e\":false}",
    "[1.5,1e3,-0.0,1E-2]",
    "{\"some key\":{\"\":[]},\"another\":[true,\"text\"]}",
    "-7 ",
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
    "{1:1}",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
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
    "\"",
    "\"\\",
    "\"\\u12",
    "-I",
    "[1,2",
    "{\"a\":1",
    "+1",
    ".5",
    "1e",
    "1e+",
};

static void damaged_texts_are_read_as_jansson_does(void **state)
{
    static const char alphabet[] = "{}[]\",:\\u0123 9-.eEtrfalsn\n\xc3\xa9\xff";
    uint64_t          rng = 11;
    char              bad[200];

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(texts); i++)
        check_beside_jansson(texts[i], strlen(texts[i]));
    for (int round = 0; round < 20000; round++) {
        const char *good = texts[next_random(&rng) % 3];
        size_t      len = strlen(good);

        memcpy(bad, good, len);
        for (uint64_t k = next_random(&rng) % 3 + 1; k > 0; k--)
            bad[next_random(&rng) % len] = alphabet[next_random(&rng) % (sizeof alphabet - 1)];
        check_beside_jansson(bad, next_random(&rng) % 4 == 0 ? next_random(&rng) % len : len);
    }
    assert_int_equal(plain_mem()->held, 0);
}

static void depth_and_mistakes_are_named(void **state)
{
    lls_jdata_t *data;
    llm_error_t  err;
    char         deep[300];

    (void)state;
    for (size_t n = 1; n < 140; n++) {
        memset(deep, '[', n);
        memset(deep + n, ']', n);
        assert_int_equal(lls_jdata_read(plain_mem(), "chat", deep, 2 * n, &data, &err),
                         n <= 100 ? LLM_OK : LLM_ERR_INVALID);
        lls_jdata_free(data);
    }
    assert_non_null(strstr(err.message, "100 deep"));
    assert_int_equal(lls_jdata_read(plain_mem(), "chat", "{\n \"a\" 1}", 9, &data, &err),
                     LLM_ERR_FORMAT);
    assert_non_null(strstr(err.message, "chat: line 2"));
    assert_int_equal(plain_mem()->held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_python_reads_is_read_the_same),
        cmocka_unit_test(damaged_texts_are_read_as_jansson_does),
        cmocka_unit_test(depth_and_mistakes_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
