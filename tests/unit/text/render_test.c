/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats of ours against prompts that make_formats.py has from openai_harmony and from the
 * published scripts of DeepSeek V3.2 and Kimi K2.5; who gets which; what stays plain text.
 */
#include "text_test.h"

#include <sys/stat.h>

#include "text/chat.h"
#include "text/render.h"
#include "text/tokenizer_int.h"
#include "unit/files.h"

#define JUNE_28_2025 1751068800

static lls_tokenizer_t *open_with(const char *text)
{
    lls_tokenizer_t *t = open_small("llama3");
    llm_error_t      err;

    if (lls_chat_set_template(t, text, strlen(text), &err) != LLM_OK)
        fail_msg("%s", err.message);
    lls_chat_set_time(t, JUNE_28_2025);
    return t;
}

static void fail_differing(size_t i, const char *want, const char *got)
{
    size_t at = 0;

    while (want[at] == got[at])
        at++;
    at = at > 60 ? at - 60 : 0;
    fail_msg("case %zu, byte %zu: want ..%.120s, got ..%.120s", i, at, want + at, got + at);
}

static void check_case(const lls_tokenizer_t *t, const json_t *c, size_t i)
{
    char        *chat = json_dumps(json_object_get(c, "chat"), 0), *text;
    const char  *want = json_string_value(json_object_get(c, "want"));
    size_t       n;
    llm_error_t  err;
    llm_status_t st = lls_chat_render(t, plain_mem(), chat, strlen(chat), &text, &n, &err);

    if (want == NULL && st == LLM_OK)
        fail_msg("case %zu: not refused: %s", i, chat);
    if (want != NULL && st != LLM_OK)
        fail_msg("case %zu: %s: %s", i, err.message, chat);
    if (want != NULL && strcmp(text, want) != 0)
        fail_differing(i, want, text);
    lls_free(plain_mem(), text);
    free(chat);
}

static void check_file(const char *name, const char *text, size_t least)
{
    json_t          *cases = json_golden(name);
    lls_tokenizer_t *t = open_with(text);

    assert_true(json_array_size(cases) >= least);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(t, json_array_get(cases, i), i);
    lls_tokenizer_close(t);
    json_decref(cases);
}

static void harmony_is_as_the_package_renders_it(void **state)
{
    (void)state;
    check_file("../chat/harmony.json", lls_render_harmony, 90);
}

static void deepseek_v32_is_as_published(void **state)
{
    (void)state;
    check_file("../chat/deepseek_v32.json", lls_render_deepseek_v32, 90);
}

/* A template that asks for them gets tools in order, and as TypeScript where they can be. */
static void tools_of_kimi_are_as_published(void **state)
{
    (void)state;
    check_file("../chat/kimi.json",
               "{{ tools | tojson }}|{{ '=' ~ tools_ts_str if tools_ts_str is defined else "
               "'undefined' }}",
               30);
}

static char *rendered(const lls_tokenizer_t *t, const char *chat)
{
    char       *text;
    size_t      n;
    llm_error_t err;

    if (lls_chat_render(t, plain_mem(), chat, strlen(chat), &text, &n, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return text;
}

static void what_a_request_gives_kimi_wins(void **state)
{
    static const char tools[] = "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
    lls_tokenizer_t  *t = open_with("{{ tools_ts_str }}|{{ thinking }}|{{ preserve_thinking }}");
    char              chat[500], *text;

    (void)state;
    snprintf(chat, sizeof chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],%s}", tools);
    text = rendered(t, chat);
    assert_string_equal(text, "# Tools\n\n## functions\nnamespace functions {\n"
                              "type f = (_: {}) => any;\n}\n|True|False");
    lls_free(plain_mem(), text);
    snprintf(chat, sizeof chat,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],%s,\"chat_template_kwargs\":"
             "{\"tools_ts_str\":\"mine\",\"thinking\":false}}",
             tools);
    text = rendered(t, chat);
    assert_string_equal(text, "mine|False|False");
    lls_free(plain_mem(), text);
    lls_tokenizer_close(t);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void walk_allocations(const char *format, const json_t *chat_of)
{
    lls_tokenizer_t *t = open_with(format);
    char            *chat = json_dumps(chat_of, 0);
    llm_status_t     st = LLM_ERR_NO_MEMORY;
    uint64_t         n = 0;

    lls_free(plain_mem(), rendered(t, chat)); /* compiles the template, on the tokenizer's memory */
    while (st == LLM_ERR_NO_MEMORY) {
        test_alloc_t    a = {.fail_at = ++n};
        llm_allocator_t hook = test_allocator(&a);
        lls_mem_t       mem;
        int32_t        *ids;
        size_t          n_ids;
        llm_error_t     err;

        lls_mem_init(&mem, &hook);
        st = lls_chat_encode(t, &mem, chat, strlen(chat), &ids, &n_ids, &err);
        lls_free(&mem, ids);
        assert_int_equal(a.live_bytes, 0);
    }
    assert_int_equal(st, LLM_OK);
    assert_true(n > 5);
    free(chat);
    lls_tokenizer_close(t);
}

static void failed_allocations_lose_nothing(void **state)
{
    static const struct format {
        const char *file, *text;
        size_t      at;
    } formats[] = {{"../chat/harmony.json", lls_render_harmony, 33},
                   {"../chat/harmony.json", lls_render_harmony, 20},
                   {"../chat/deepseek_v32.json", lls_render_deepseek_v32, 32},
                   {"../chat/kimi.json", "{{ tools_ts_str }}", 24}};

    (void)state;
    for (size_t i = 0; i < LLS_ARRAY_LEN(formats); i++) {
        json_t *cases = json_golden(formats[i].file);

        walk_allocations(formats[i].text,
                         json_object_get(json_array_get(cases, formats[i].at), "chat"));
        json_decref(cases);
    }
    assert_int_equal(plain_mem()->held, 0);
}

/* ---- Going on -------------------------------------------------------------------------------- */

static void check_end(const char *template, const char *chat, const char *want)
{
    lls_tokenizer_t *t = open_with(template);
    char            *text;
    size_t           n;
    llm_error_t      err;

    if (lls_chat_render(t, plain_mem(), chat, strlen(chat), &text, &n, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_true(n >= strlen(want));
    assert_string_equal(text + n - strlen(want), want);
    lls_free(plain_mem(), text);
    lls_tokenizer_close(t);
}

static void the_final_message_is_gone_on_with(void **state)
{
    static const char chat[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"write\"},{\"role\":\"assistant\","
        "\"content\":\"partial answer\"}],\"continue_final_message\":true,"
        "\"chat_template_kwargs\":{\"thinking\":true}}";

    (void)state;
    check_end(lls_render_harmony, chat,
              "<|start|>assistant<|channel|>final<|message|>partial answer");
    check_end(lls_render_deepseek_v32, chat, "<think>partial answer");
}

/* ---- Plain text ------------------------------------------------------------------------------ */

static size_t count_of(const lls_tokenizer_t *t, const char *chat, const char *special)
{
    int32_t     *ids, id = lls_tokenizer_find(t, special, strlen(special));
    size_t       n, found = 0;
    llm_error_t  err;

    assert_true(id >= 0);
    if (lls_chat_encode(t, plain_mem(), chat, strlen(chat), &ids, &n, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < n; i++)
        found += ids[i] == id;
    lls_free(plain_mem(), ids);
    return found;
}

/* One token for each that the format puts, none for those that the request spells anywhere. */
static void special_tokens_of_a_request_stay_text(void **state)
{
    static const char plain[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
        "\"u\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}}]},{\"role\":"
        "\"tool\",\"tool_call_id\":\"1\",\"content\":\"r\"}],\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"p\":{\"type\":\"string\",\"default\":\"e\"}}}}}]}";
    static const char *const words[] = {"\"s\"", "\"u\"", "\"r\"", "\"d\"", "\"e\"", "\"p\"",
                                        "\"f\"", "\\\"a\\\""};
    lls_tokenizer_t  *t = open_with(lls_render_harmony);
    size_t            before = count_of(t, plain, "<|eot_id|>");

    (void)state;
    assert_int_equal(before, 0);
    for (size_t i = 0; i < LLS_ARRAY_LEN(words); i++) {
        char   chat[2048];
        size_t n = 0, len = strlen(words[i]), quote = words[i][0] == '\\' ? 2 : 1;

        for (const char *p = plain; *p != '\0';) {      /* each of the word becomes the token */
            bool here = strncmp(p, words[i], len) == 0 &&
                        (p[len] != ':' || words[i][1] == 'p' || quote == 2);

            n += (size_t)snprintf(chat + n, sizeof chat - n, "%.*s",
                                  here ? (int)quote : 1, p);
            if (here)
                n += (size_t)snprintf(chat + n, sizeof chat - n, "<|eot_id|>%.*s", (int)quote, p);
            p += here ? len : 1;
        }
        assert_int_equal(count_of(t, chat, "<|eot_id|>"), 0);
    }
    lls_tokenizer_close(t);
}

/* ---- Who gets which -------------------------------------------------------------------------- */

static void formats_are_found_by_architecture(void **state)
{
    (void)state;
    assert_ptr_equal(lls_render_find("gpt_oss"), lls_render_harmony);
    assert_ptr_equal(lls_render_find("gpt-oss"), lls_render_harmony);
    assert_ptr_equal(lls_render_find("deepseek_v32"), lls_render_deepseek_v32);
    assert_null(lls_render_find("deepseek_v3"));
    assert_null(lls_render_find(""));
    assert_null(lls_render_find(NULL));
}

static void a_directory_gets_its_format(void **state)
{
    static const char own[] = "{\"chat_template\":\"the model's\"}";
    static const char config[] = "{\"model_type\":\"gpt_oss\"}";
    char              dir[] = "/tmp/render_test.XXXXXX";
    size_t            len, n;
    char             *tokenizer = read_golden("llama3.json", &len);
    lls_tokenizer_t  *t;

    (void)state;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "tokenizer.json", tokenizer, len);
    write_file(dir, "tokenizer_config.json", own, sizeof own - 1);
    t = open_tokenizer(dir);
    assert_string_equal(lls_tokenizer_chat_template(t, &n), "the model's");
    lls_tokenizer_close(t);
    write_file(dir, "config.json", config, sizeof config - 1);
    t = open_tokenizer(dir);
    assert_string_equal(lls_tokenizer_chat_template(t, &n), lls_render_harmony);
    lls_tokenizer_close(t);
    remove_file(dir, "tokenizer.json");
    remove_file(dir, "tokenizer_config.json");
    remove_file(dir, "config.json");
    rmdir(dir);
    lls_free(plain_mem(), tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmony_is_as_the_package_renders_it),
        cmocka_unit_test(deepseek_v32_is_as_published),
        cmocka_unit_test(tools_of_kimi_are_as_published),
        cmocka_unit_test(what_a_request_gives_kimi_wins),
        cmocka_unit_test(failed_allocations_lose_nothing),
        cmocka_unit_test(the_final_message_is_gone_on_with),
        cmocka_unit_test(special_tokens_of_a_request_stay_text),
        cmocka_unit_test(formats_are_found_by_architecture),
        cmocka_unit_test(a_directory_gets_its_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
