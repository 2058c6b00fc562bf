/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects' table, and what a parser does at its limits. */
#include "unit/text/text_test.h"

#include "base/utf8.h"
#include "text/buf.h"
#include "text/chat.h"
#include "text/dialect.h"

static lls_tokenizer_t *marked_tokenizer(lls_mem_t *mem)
{
    lls_tokenizer_t *t;
    llm_error_t      err;

    if (lls_tokenizer_open(mem, TEST_DIR "/golden/dialect/tokenizer.json", &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return t;
}

static lls_dparse_t *parser(const lls_tokenizer_t *t, const char *tools, const char *thinking,
                            uint64_t seed, bool whole)
{
    lls_dparse_config_t c = { .seed = seed, .whole = whole };
    lls_dparse_t       *p;
    llm_error_t         err;

    assert_int_equal(lls_dialect_find(t, tools, &c.tools, &err), LLM_OK);
    assert_int_equal(lls_thinking_find(t, thinking, &c.thinking, &err), LLM_OK);
    if (lls_dparse_create(plain_mem(), t, &c, &p, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return p;
}

static void feed(lls_dparse_t *p, const char *text, size_t n, bool last)
{
    llm_error_t err;

    if (lls_dparse_feed(p, text, n, NULL, 0, last, &err) != LLM_OK)
        fail_msg("%s", err.message);
}

/* All events as lines: "content|text". */
static void drain(lls_dparse_t *p, lls_buf_t *out)
{
    static const char *const kinds[] = { "",       "content|",   "reasoning|",
                                         "start|", "arguments|", "end|" };
    const llm_event_t       *e;

    while ((e = lls_dparse_next(p)) != NULL) {
        lls_buf_put(out, kinds[e->kind], strlen(kinds[e->kind]));
        lls_buf_put(out, e->text, e->text_len);
        lls_buf_put(out, "\n", 1);
    }
    lls_buf_end(out);
}

/* ---- The table ---- */

static void names_are_unique_and_every_row_opens(void **state)
{
    lls_tokenizer_t      *t = marked_tokenizer(plain_mem());
    const lls_dialect_t  *d;
    const lls_thinking_t *k;

    for (size_t i = 0; (d = lls_dialect_at(i)) != NULL; i++) {
        assert_false(lls_dialect_is_foreign(d->name));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(d->name, lls_dialect_at(j)->name);
        for (size_t j = 0; (k = lls_thinking_at(j)) != NULL; j++)
            lls_dparse_destroy(parser(t, d->name, k->name, 0, false));
    }
    for (size_t i = 0; (k = lls_thinking_at(i)) != NULL; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(k->name, lls_thinking_at(j)->name);
    lls_tokenizer_close(t);
}

static void names_that_are_not_there_are_refused(void **state)
{
    lls_tokenizer_t      *t = marked_tokenizer(plain_mem());
    const lls_dialect_t  *d;
    const lls_thinking_t *k;
    llm_error_t           err;

    assert_int_equal(lls_dialect_find(t, "nobody", &d, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "tool_parser");
    assert_null(d);
    assert_int_equal(lls_dialect_find(t, "muse_glimmer", &d, &err), LLM_ERR_UNSUPPORTED);
    assert_int_equal(lls_thinking_find(t, "minimax_m3", &k, &err), LLM_ERR_UNSUPPORTED);
    assert_string_equal(err.param, "reasoning_parser");
    assert_int_equal(lls_thinking_find(t, "", &k, &err), LLM_ERR_INVALID);
    lls_tokenizer_close(t);
}

static void auto_goes_by_the_template(void **state)
{
    static const char *const cases[][3] = {
        { "plain {{ messages }}", NULL, NULL },
        { "<tool_call>", "hermes", NULL },
        { "<tool_call> <|start_of_role|>", "granite4", NULL },
        { "<think> <tool_call>\\n<function=", "qwen3_coder", "think" },
        { "<think><tool_call>{{ 1 }}<arg_key>", "glm45", "think" },
        { "<|channel|>analysis<|message|>", "openai", "openai_gptoss" },
        { "[TOOL_CALLS][THINK]", "mistral", "mistral" },
        { "<｜tool▁calls▁begin｜> ```json", "deepseek_v3", NULL },
        { "<｜tool▁calls▁begin｜>", "deepseek_v31", NULL },
        { "<｜DSML｜function_calls>", "deepseek_v32", NULL },
        { "<｜DSML｜tool_calls>", "deepseek_v4", NULL },
        { "<|tool_calls_section_begin|>", "kimi_k2", NULL },
        { "<minimax:tool_call></think>", "minimax_m2", "think" },
        { "<seed:tool_call><seed:think>", "seed_oss", "seed_oss" },
        { "<|python_tag|>", "llama3_json", NULL },
        { "<|header_start|> [func_name1(", "llama4_pythonic", NULL },
        { "<|header_start|> {\"name\": function name, \"parameters\": ", "llama4_json", NULL },
        { "the format [func_name1(params_name1=", "pythonic", NULL },
        { "[{\"name\": \"tool_call_name\", \"arguments\"", "xlam", NULL },
        { "<|tool_call>call: <tool_call|> <|channel>thought", "gemma4", "gemma4" },
        { "<start_function_call>", "functiongemma", NULL },
        { "<|content_invoke_tool_json|><|content_thinking|>", "inkling", "inkling" },
        { "<tool_calls><tool_call><tool_sep><arg_key> <think>", "hy_v3", "think" },
        { "<|open|>call tool <|sep|>", "kimi_k3", "kimi_k3" },
        { "<|START_ACTION|> <|START_THINKING|> <|START_TEXT|>", "cohere_command4",
          "cohere_command4" },
        { "<|START_ACTION|> <|START_THINKING|> <|START_RESPONSE|>", "cohere_command3",
          "cohere_command3" },
        { "<tool_calls>", "jamba", NULL },
        { "<tool_calls><answer>", "hunyuan_a13b", NULL },
        { "<|tool_call|> or <tool_call>", "granite", NULL },
        { "<tool_call> <response>", "ernie45", NULL },
        { "<|action_start|><|plugin|>", "internlm", NULL },
        { "Here's my thought process:", NULL, "granite" },
    };
    llm_error_t err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lls_tokenizer_t      *t = marked_tokenizer(plain_mem());
        const lls_dialect_t  *d;
        const lls_thinking_t *k;

        if (lls_chat_set_template(t, cases[i][0], strlen(cases[i][0]), &err) != LLM_OK)
            fail_msg("%s", err.message);
        assert_int_equal(lls_dialect_find(t, "auto", &d, &err), LLM_OK);
        assert_int_equal(lls_thinking_find(t, "auto", &k, &err), LLM_OK);
        assert_string_equal(d == NULL ? "-" : d->name, cases[i][1] == NULL ? "-" : cases[i][1]);
        assert_string_equal(k == NULL ? "-" : k->name, cases[i][2] == NULL ? "-" : cases[i][2]);
        lls_tokenizer_close(t);
    }
}

static bool same_syntax(const lls_dialect_t *a, const lls_dialect_t *b)
{
    bool same = a->reader == b->reader && a->flags == b->flags;

    for (size_t i = 0; i < LLS_DIALECT_MARKS && same; i++) {
        same = a->marks[i].mark == b->marks[i].mark &&
               (a->marks[i].text == NULL) == (b->marks[i].text == NULL);
        if (same && a->marks[i].text == NULL)
            break;
        same = same && strcmp(a->marks[i].text, b->marks[i].text) == 0;
    }
    return same;
}

/* The first row that reads the same and says how to tell it. */
static const lls_dialect_t *with_patterns(const lls_dialect_t *d)
{
    const lls_dialect_t *e;

    for (size_t i = 0; (e = lls_dialect_at(i)) != NULL; i++)
        if (e->in_template[0] != NULL && same_syntax(e, d))
            return e;
    return NULL;
}

/* A template with what a row looks for finds that row, or one that reads the same. */
static void auto_finds_every_syntax(void **state)
{
    const lls_dialect_t *d, *found;
    char                 template[200];
    llm_error_t          err;

    for (size_t i = 0; (d = lls_dialect_at(i)) != NULL; i++) {
        lls_tokenizer_t     *t = marked_tokenizer(plain_mem());
        const lls_dialect_t *twin = with_patterns(d);

        if (twin == NULL)
            fail_msg("nothing tells %s from a template", d->name);
        snprintf(template, sizeof template, "%s %s", twin->in_template[0],
                 twin->in_template[1] == NULL ? "" : twin->in_template[1]);
        if (lls_chat_set_template(t, template, strlen(template), &err) != LLM_OK)
            fail_msg("%s: %s", d->name, err.message);
        assert_int_equal(lls_dialect_find(t, "auto", &found, &err), LLM_OK);
        if (found == NULL || !same_syntax(found, d))
            fail_msg("%s is taken for %s", d->name, found == NULL ? "none" : found->name);
        lls_tokenizer_close(t);
    }
}

static void auto_goes_by_the_vocabulary_without_a_template(void **state)
{
    lls_tokenizer_t     *t = marked_tokenizer(plain_mem());
    const lls_dialect_t *d;

    assert_int_equal(lls_dialect_find(t, "auto", &d, NULL), LLM_OK);
    assert_string_equal(d->name, "openai");     /* it has every dialect's tokens: the first row */
    lls_tokenizer_close(t);
}

/* ---- Tokens ---- */

static void a_marker_spelled_in_letters_is_text_where_tokens_are_fed(void **state)
{
    static const char text[] = "<tool_call>{\"name\": \"f\", \"arguments\": {}}";
    lls_tokenizer_t  *t = marked_tokenizer(plain_mem());
    lls_dparse_t     *p = parser(t, "hermes", NULL, 0, false);
    lls_buf_t         out = { .mem = plain_mem() };
    int32_t           marker = lls_tokenizer_find(t, "<tool_call>", 11), letter = 'x';
    llm_error_t       err;

    assert_int_equal(lls_dparse_feed(p, text, strlen(text), &letter, 1, true, &err), LLM_OK);
    drain(p, &out);
    assert_string_equal(out.data, "content|<tool_call>{\"name\": \"f\", \"arguments\": {}}\n");
    lls_dparse_destroy(p);
    out.len = 0;
    p = parser(t, "hermes", NULL, 0, false);
    assert_int_equal(lls_dparse_feed(p, NULL, 0, &marker, 1, false, &err), LLM_OK);
    assert_int_equal(lls_dparse_feed(p, text, strlen(text), &letter, 1, true, &err), LLM_OK);
    drain(p, &out);
    assert_string_equal(out.data, "start|f\narguments|{}\nend|\n");
    lls_dparse_destroy(p);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

/* ---- Pieces ---- */

static void arguments_stream_while_they_are_written(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_dparse_t    *p = parser(t, "qwen3_coder", NULL, 0, false);
    lls_buf_t        out = { .mem = plain_mem() };

    feed(p, "<tool_call><function=f><parameter=a>\nlong te", 44, false);
    drain(p, &out);
    assert_string_equal(out.data, "start|f\narguments|{\"a\": \"long te\n");
    out.len = 0;
    feed(p, "xt</para", 8, false);
    drain(p, &out);
    assert_string_equal(out.data, "arguments|xt\n");
    out.len = 0;
    feed(p, "meter></function></tool_call>", 29, true);
    drain(p, &out);
    assert_string_equal(out.data, "arguments|\"}\nend|\n");
    lls_dparse_destroy(p);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

static void events_that_are_not_drained_come_first_later(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_dparse_t    *p = parser(t, "hermes", "deepseek_r1", 0, false);
    lls_buf_t        out = { .mem = plain_mem() };

    feed(p, "a", 1, false);
    feed(p, "b</think>c", 10, false);
    feed(p, "d", 1, true);
    drain(p, &out);
    assert_string_equal(out.data, "reasoning|a\nreasoning|b\ncontent|c\ncontent|d\n");
    assert_int_equal(lls_dparse_feed(p, "x", 1, NULL, 0, false, NULL), LLM_ERR_STATE);
    lls_dparse_destroy(p);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

static void bytes_that_are_not_utf8_are_replaced_once_each(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_dparse_t    *p = parser(t, "hermes", NULL, 0, false);
    lls_buf_t        out = { .mem = plain_mem() };

    feed(p, "a\xff\xc3", 3, false);
    drain(p, &out);
    assert_string_equal(out.data, "content|a\xef\xbf\xbd\n");
    out.len = 0;
    feed(p, "\xa9\xe2\x82z\xed\xa0", 6, true);
    drain(p, &out);
    assert_string_equal(out.data, "content|\xc3\xa9\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\n");
    lls_dparse_destroy(p);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

/* ---- Malformed as a whole ---- */

/* Reasoning that comes behind a call is content too when a later call is broken: nothing of the
 * calls that were read before stays. */
static void a_broken_call_takes_the_calls_before_it_along(void **state)
{
    static const char text[] = "<|channel|>commentary to=functions.f<|message|>{}<|call|>"
                               "<|start|>assistant<|channel|>analysis<|message|>so<|end|>"
                               "<|start|>assistant<|channel|>commentary to=functions.g"
                               "<|message|>{\"a\": ";
    lls_tokenizer_t  *t = marked_tokenizer(plain_mem());
    lls_dparse_t     *p = parser(t, "openai", NULL, 0, true);
    lls_buf_t         out = { .mem = plain_mem() };
    char              want[300];

    feed(p, text, strlen(text), true);
    drain(p, &out);
    snprintf(want, sizeof want, "content|%s\n", text);
    assert_string_equal(out.data, want);
    lls_dparse_destroy(p);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

/* ---- Ids ---- */

/* An id is a string of C: one that has a NUL is made up instead. */
static void an_id_with_a_nul_is_not_kept(void **state)
{
    static const char  text[] = "<|tool_calls_section_begin|><|tool_call_begin|>\0functions.f:0"
                                "<|tool_call_argument_begin|>{}<|tool_call_end|>";
    lls_tokenizer_t   *t = marked_tokenizer(plain_mem());
    lls_dparse_t      *p = parser(t, "kimi_k2", NULL, 0, false);
    const llm_event_t *e;

    feed(p, text, sizeof text - 1, true);
    e = lls_dparse_next(p);
    assert_non_null(e);
    assert_int_equal(e->kind, LLM_EVENT_TOOL_START);
    assert_memory_equal(e->id, "chatcmpl-tool-", 14);
    lls_dparse_destroy(p);
    lls_tokenizer_close(t);
}

static void ids_of(const lls_tokenizer_t *t, const char *tools, uint64_t seed, char ids[2][64])
{
    static const char  text[] = "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}},"
                                "{\"name\": \"f\", \"arguments\": {}}]";
    lls_dparse_t      *p = parser(t, tools, NULL, seed, false);
    const llm_event_t *e;

    feed(p, text, strlen(text), true);
    while ((e = lls_dparse_next(p)) != NULL)
        if (e->kind == LLM_EVENT_TOOL_START)
            snprintf(ids[e->index], 64, "%s", e->id);
    lls_dparse_destroy(p);
}

static void ids_come_from_the_seed(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    char             a[2][64], b[2][64];

    ids_of(t, "xlam", 1, a);
    ids_of(t, "xlam", 1, b);
    assert_string_equal(a[0], b[0]);
    assert_string_equal(a[1], b[1]);
    assert_string_not_equal(a[0], a[1]);
    ids_of(t, "xlam", 2, b);
    assert_string_not_equal(a[0], b[0]);
    assert_int_equal(strlen(a[0]), 14 + 32);
    ids_of(t, "mistral", 2, b);
    assert_int_equal(strlen(b[0]), 9);
    lls_tokenizer_close(t);
}

/* ---- Large and deep ---- */

/* The steps for an argument of n letters, and that nothing of it is kept. */
static uint64_t steps_of(const lls_tokenizer_t *t, const char *tools, const char *before,
                         const char *after, const char *unit, size_t n)
{
    lls_dparse_t *p = parser(t, tools, NULL, 0, false);
    uint64_t      held, most = 0, steps;
    size_t        len = strlen(unit), taken = 0;

    feed(p, before, strlen(before), false);
    while (lls_dparse_next(p) != NULL)
        ;
    held = atomic_load(&plain_mem()->held);
    for (size_t i = 0; i < n; i += len) {
        const llm_event_t *e;

        feed(p, unit, len, false);
        while ((e = lls_dparse_next(p)) != NULL)
            taken += e->text_len;
        most = lls_max_u64(most, atomic_load(&plain_mem()->held) - held);
    }
    assert_true(2 * taken >= n);     /* an escape is shorter than it was written */
    assert_true(most < 8192);
    feed(p, after, strlen(after), true);
    steps = lls_dparse_steps(p);
    lls_dparse_destroy(p);
    return steps;
}

static void long_arguments_cost_what_they_are_long(void **state)
{
    static const char *const cases[][4] = {
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"",
          "\"}}</tool_call>", "<tool_cal" },
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": [1", "]}</tool_call>", ",{}" },
        { "qwen3_coder", "<tool_call><function=f><parameter=a>", "</parameter></function>",
          "</param" },
        { "minimax_m2", "<minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">",
          "</invoke>", "x  \n" },
        { "pythonic", "[f(a='", "')]", "x\\'<" },
        { "openai", "<|channel|>final<|message|>", "", "<|end<|" },
        { "hermes", "", "", "  <tool_call  " },
    };
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t once = steps_of(t, cases[i][0], cases[i][1], cases[i][2], cases[i][3], 1 << 19);
        uint64_t twice = steps_of(t, cases[i][0], cases[i][1], cases[i][2], cases[i][3], 1 << 20);

        assert_true(twice <= 2 * once + 64);
        assert_true(twice <= (uint64_t)8 << 20);
    }
    lls_tokenizer_close(t);
}

/* A text in one piece: the steps of n times `unit`, read by a reader that stops at each string. */
static uint64_t steps_at_once(const lls_tokenizer_t *t, const char *tools, const char *before,
                              const char *unit, size_t n)
{
    lls_dparse_t *p = parser(t, tools, NULL, 0, false);
    lls_buf_t     text = { .mem = plain_mem() };
    uint64_t      steps;

    lls_buf_put(&text, before, strlen(before));
    for (size_t i = 0; i < n; i++)
        lls_buf_put(&text, unit, strlen(unit));
    feed(p, text.data, text.len, true);
    steps = lls_dparse_steps(p);
    lls_buf_deinit(&text);
    lls_dparse_destroy(p);
    return steps;
}

/* The run up to the next marker is found once, not once for each string in it. */
static void many_strings_in_one_piece_cost_what_they_are_long(void **state)
{
    static const char *const cases[][3] = {
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": [", "\"\"," },
        { "kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
                     "<|tool_call_argument_begin|>[", "\"\"," },
        { "lfm2", "<|tool_call_start|>[f(a=[", "''," },
    };
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t once = steps_at_once(t, cases[i][0], cases[i][1], cases[i][2], 2000);
        uint64_t twice = steps_at_once(t, cases[i][0], cases[i][1], cases[i][2], 4000);

        assert_true(twice <= 2 * once + 64);
    }
    lls_tokenizer_close(t);
}

/* A run that was found inside a string says nothing of the text behind it: there markers count. */
static void a_marker_behind_a_string_of_the_same_piece_counts(void **state)
{
    static const char *const cases[][3] = {
        { "hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"<b\" </tool_call>x",
          "start|f\narguments|{\"a\": \"<b\" \nend|\ncontent|x\n" },
        { "kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
                     "<|tool_call_argument_begin|>{\"a\": \"<b\" <|tool_call_end|>",
          "start|f\narguments|{\"a\": \"<b\" \nend|\n" },
        { "lfm2", "<|tool_call_start|>[f(a='<b' <|tool_call_end|>x",
          "start|f\narguments|{\"a\": \"<b\"}\nend|\ncontent|x\n" },
    };
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_buf_t        out = { .mem = plain_mem() };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lls_dparse_t *p = parser(t, cases[i][0], NULL, 0, false);

        out.len = 0;
        feed(p, cases[i][1], strlen(cases[i][1]), true);
        drain(p, &out);
        assert_string_equal(out.data, cases[i][2]);
        lls_dparse_destroy(p);
    }
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

/* A word or a key that is too long to be one ends between characters. */
static void long_words_are_cut_between_characters(void **state)
{
    static const char *const before[] = { "a:x", "a:", "x", "" };
    lls_tokenizer_t         *t = marked_tokenizer(plain_mem());
    lls_buf_t                text = { .mem = plain_mem() }, out = { .mem = plain_mem() };

    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        lls_dparse_t *p = parser(t, "gemma4", NULL, 0, false);

        text.len = out.len = 0;
        lls_buf_put(&text, "<|tool_call>call:f{", 19);
        lls_buf_put(&text, before[i], strlen(before[i]));
        for (int k = 0; k < 300; k++)
            lls_buf_put(&text, "\xc3\xa9", 2);
        feed(p, text.data, text.len, true);
        drain(p, &out);
        assert_int_equal(lls_utf8_valid(out.data, out.len - 1), out.len - 1);
        assert_non_null(strstr(out.data, "end|\ncontent|\xc3\xa9"));
        lls_dparse_destroy(p);
    }
    lls_buf_deinit(&text);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

static void deep_nesting_is_content_in_the_end(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_buf_t        text = { .mem = plain_mem() }, out = { .mem = plain_mem() };
    lls_dparse_t    *p;

    lls_buf_put(&text, "<tool_call>{\"name\": \"f\", \"arguments\": ", 39);
    for (int i = 0; i < 100000; i++)
        lls_buf_put(&text, "[", 1);
    for (int i = 0; i < 100000; i++)
        lls_buf_put(&text, "]", 1);
    lls_buf_put(&text, "}</tool_call>", 13);
    p = parser(t, "hermes", NULL, 0, true);
    feed(p, text.data, text.len, true);
    drain(p, &out);
    assert_int_equal(out.len, strlen("content|\n") + text.len);
    lls_dparse_destroy(p);
    text.len = out.len = 0;
    lls_buf_put(&text, "[f(a=", 5);
    for (int i = 0; i < 100000; i++)
        lls_buf_put(&text, i & 1 ? "{1:" : "[", i & 1 ? 3 : 1);
    p = parser(t, "pythonic", NULL, 0, false);
    feed(p, text.data, text.len, true);
    drain(p, &out);
    assert_memory_equal(out.data, "start|f\narguments|{\"a\": [{\"1\": [", 32);
    lls_dparse_destroy(p);
    lls_buf_deinit(&text);
    lls_buf_deinit(&out);
    lls_tokenizer_close(t);
}

/* ---- Memory ---- */

static const char *const walked[][2] = {
    { "hermes", "hi\n<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>" },
    { "qwen3_coder", "<tool_call><function=f><parameter=n>\n5\n</parameter></function>"
                     "</tool_call>" },
    { "pythonic", "[f(a=[1, {'b': \"c\"}], d=2.5)]" },
    { "kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
                 "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>" },
    { "openai", "<|channel|>analysis<|message|>x<|end|><|start|>assistant to=functions.f"
                "<|channel|>commentary<|message|>{}<|call|>" },
};

static llm_status_t walk_once(lls_mem_t *mem, const lls_tokenizer_t *t, size_t i, bool whole)
{
    static const char   chat[] = "{\"tools\": [{\"function\": {\"name\": \"f\", \"parameters\": "
                                 "{\"properties\": {\"n\": {\"type\": \"integer\"}}}}}]}";
    lls_dparse_config_t c = { .chat = chat, .chat_len = strlen(chat), .whole = whole };
    lls_dparse_t       *p;
    llm_status_t        st;
    size_t              n = strlen(walked[i][1]);

    lls_dialect_find(t, walked[i][0], &c.tools, NULL);
    st = lls_dparse_create(mem, t, &c, &p, NULL);
    for (size_t at = 0; at < n && st == LLM_OK; at += 5) {
        st = lls_dparse_feed(p, walked[i][1] + at, n - at < 5 ? n - at : 5, NULL, 0, at + 5 >= n,
                             NULL);
        while (lls_dparse_next(p) != NULL)
            ;
    }
    if (st != LLM_OK && p != NULL)
        assert_int_equal(lls_dparse_feed(p, "x", 1, NULL, 0, false, NULL), LLM_ERR_STATE);
    lls_dparse_destroy(p);
    return st;
}

static void every_failed_allocation_is_survived(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());

    for (size_t i = 0; i < 2 * sizeof walked / sizeof *walked; i++) {
        llm_status_t st = LLM_ERR_NO_MEMORY;

        for (uint64_t n = 1; st != LLM_OK; n++) {
            test_alloc_t    counter = { .fail_at = n };
            llm_allocator_t hook = test_allocator(&counter);
            lls_mem_t       mem;

            lls_mem_init(&mem, &hook);
            st = walk_once(&mem, t, i / 2, i & 1);
            assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
            assert_int_equal(counter.live_blocks, 0);
            assert_true(n < 1000);
        }
    }
    lls_tokenizer_close(t);
}

/* After the first feeds content costs no allocation. */
static void content_allocates_nothing_once_warm(void **state)
{
    lls_tokenizer_t *t = marked_tokenizer(plain_mem());
    lls_dparse_t    *p = parser(t, "hermes", "qwen3", 0, false);
    uint64_t         before = 0;

    feed(p, "a</think>", 9, false);
    for (int i = 0; i < 100; i++) {
        if (i == 10)
            before = atomic_load(&plain_mem()->n_calls);
        feed(p, " word < of", 10, false);
        while (lls_dparse_next(p) != NULL)
            ;
    }
    assert_int_equal(atomic_load(&plain_mem()->n_calls), before);
    lls_dparse_destroy(p);
    lls_tokenizer_close(t);
}

static void chat_that_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = { "", "[]", "{", "3" };
    lls_tokenizer_t         *t = marked_tokenizer(plain_mem());
    lls_dparse_t            *p;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lls_dparse_config_t c = { .chat = bad[i], .chat_len = strlen(bad[i]) };

        assert_int_equal(lls_dparse_create(plain_mem(), t, &c, &p, NULL), LLM_ERR_FORMAT);
        assert_null(p);
    }
    lls_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique_and_every_row_opens),
        cmocka_unit_test(names_that_are_not_there_are_refused),
        cmocka_unit_test(auto_goes_by_the_template),
        cmocka_unit_test(auto_finds_every_syntax),
        cmocka_unit_test(auto_goes_by_the_vocabulary_without_a_template),
        cmocka_unit_test(a_marker_spelled_in_letters_is_text_where_tokens_are_fed),
        cmocka_unit_test(arguments_stream_while_they_are_written),
        cmocka_unit_test(events_that_are_not_drained_come_first_later),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced_once_each),
        cmocka_unit_test(a_broken_call_takes_the_calls_before_it_along),
        cmocka_unit_test(an_id_with_a_nul_is_not_kept),
        cmocka_unit_test(ids_come_from_the_seed),
        cmocka_unit_test(long_arguments_cost_what_they_are_long),
        cmocka_unit_test(many_strings_in_one_piece_cost_what_they_are_long),
        cmocka_unit_test(a_marker_behind_a_string_of_the_same_piece_counts),
        cmocka_unit_test(long_words_are_cut_between_characters),
        cmocka_unit_test(deep_nesting_is_content_in_the_end),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(content_allocates_nothing_once_warm),
        cmocka_unit_test(chat_that_is_no_object_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
