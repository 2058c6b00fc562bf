/* SPDX-License-Identifier: Apache-2.0 */
/* llm_parser_*: arguments out of range, and a completion from text to events. */
#include "unit/test.h"

#include <stdio.h>

static llm_tokenizer_t *tokenizer;
static test_alloc_t     counter;

static int set_up(void **state)
{
    llm_allocator_t hook = test_allocator(&counter);
    llm_error_t     err;

    if (llm_tokenizer_create(TEST_DIR "/golden/dialect/tokenizer.json", &hook, &tokenizer, &err) ==
        LLM_OK)
        return 0;
    print_error("%s\n", err.message);
    return -1;
}

static int tear_down(void **state)
{
    llm_tokenizer_destroy(tokenizer);
    return counter.live_bytes != 0 || counter.live_blocks != 0;
}

static llm_status_t create(const llm_parser_config_t *config, const char *param)
{
    llm_parser_t *parser = (llm_parser_t *)&counter;
    llm_error_t   err = { 0 };
    llm_status_t  st = llm_parser_create(tokenizer, config, &parser, &err);

    assert_true((st == LLM_OK) == (parser != NULL));
    if (st != LLM_OK) {
        assert_int_equal(err.status, st);
        assert_string_equal(err.param, param);
        assert_true(err.message[0] != '\0' && strchr(err.message, '\n') == NULL);
    }
    llm_parser_destroy(parser);
    return st;
}

static void arguments_out_of_range_are_refused(void **state)
{
    llm_parser_config_t c = LLM_INIT(llm_parser_config_t);
    llm_parser_t       *parser;

    assert_int_equal(create(&c, ""), LLM_OK);
    assert_int_equal(create(NULL, "config"), LLM_ERR_INVALID);
    c.struct_size = 8;
    assert_int_equal(create(&c, "struct_size"), LLM_ERR_INVALID);
    c.struct_size = sizeof c;
    c.flags = 2;
    assert_int_equal(create(&c, "flags"), LLM_ERR_UNSUPPORTED);
    c.flags = 0;
    c.tool_parser = "none such";
    assert_int_equal(create(&c, "tool_parser"), LLM_ERR_INVALID);
    c.tool_parser = "minimax_m3";
    assert_int_equal(create(&c, "tool_parser"), LLM_ERR_UNSUPPORTED);
    c.tool_parser = NULL;
    c.reasoning_parser = "hermes";
    assert_int_equal(create(&c, "reasoning_parser"), LLM_ERR_INVALID);
    c.reasoning_parser = NULL;
    c.chat = "{";
    c.chat_len = LLM_CSTR;
    assert_int_equal(create(&c, ""), LLM_ERR_FORMAT);
    c.chat = NULL;
    c.n_prompt_ids = 1;
    assert_int_equal(create(&c, "prompt_ids"), LLM_ERR_INVALID);
    assert_int_equal(llm_parser_create(NULL, &c, &parser, NULL), LLM_ERR_INVALID);
    assert_null(parser);
    assert_int_equal(llm_parser_create(tokenizer, &c, NULL, NULL), LLM_ERR_INVALID);
    llm_parser_destroy(NULL);
    assert_null(llm_parser_next(NULL));
    assert_int_equal(llm_parser_feed(NULL, "", 0, NULL, 0, 0, NULL), LLM_ERR_INVALID);
}

static void feeding_checks_its_arguments(void **state)
{
    llm_parser_config_t c = LLM_INIT(llm_parser_config_t);
    llm_parser_t       *p;
    llm_error_t         err;

    assert_int_equal(llm_parser_create(tokenizer, &c, &p, &err), LLM_OK);
    assert_int_equal(llm_parser_feed(p, NULL, 3, NULL, 0, 0, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "text");
    assert_int_equal(llm_parser_feed(p, "", 0, NULL, 3, 0, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "tokens");
    assert_int_equal(llm_parser_feed(p, "abc", LLM_CSTR, NULL, 0, 1, &err), LLM_OK);
    assert_string_equal(llm_parser_next(p)->text, "abc");
    assert_null(llm_parser_next(p));
    assert_int_equal(llm_parser_feed(p, "abc", 3, NULL, 0, 0, &err), LLM_ERR_STATE);
    llm_parser_destroy(p);
}

static void names_are_listed(void **state)
{
    size_t n_tools = 0, n_thinking = 0;

    for (; llm_parser_name(LLM_PARSER_TOOLS, n_tools) != NULL; n_tools++) {
        llm_parser_config_t c = LLM_INIT(llm_parser_config_t);

        c.tool_parser = llm_parser_name(LLM_PARSER_TOOLS, n_tools);
        assert_int_equal(create(&c, ""), LLM_OK);
    }
    for (; llm_parser_name(LLM_PARSER_REASONING, n_thinking) != NULL; n_thinking++) {
        llm_parser_config_t c = LLM_INIT(llm_parser_config_t);

        c.reasoning_parser = llm_parser_name(LLM_PARSER_REASONING, n_thinking);
        assert_int_equal(create(&c, ""), LLM_OK);
    }
    assert_int_equal(n_tools, 47);
    assert_int_equal(n_thinking, 29);
    assert_null(llm_parser_name(0, 0));
    assert_null(llm_parser_name(LLM_PARSER_TOOLS, (size_t)-1));
}

/* One completion, whose prompt ends in <think> or does not. */
static void parse(const llm_parser_config_t *config, char *out, size_t cap)
{
    static const char  text[] = "hm</think>ok <tool_call>{\"name\": \"f\", \"arguments\": "
                                "{\"a\":1}}</tool_call>";
    const llm_event_t *e;
    llm_parser_t      *p;
    llm_error_t        err;
    size_t             n = 0;

    if (llm_parser_create(tokenizer, config, &p, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(llm_parser_feed(p, text + i, 1, NULL, 0, 0, &err), LLM_OK);
        assert_true(!(config->flags & LLM_PARSER_WHOLE) || llm_parser_next(p) == NULL);
    }
    assert_int_equal(llm_parser_feed(p, NULL, 0, NULL, 0, 1, &err), LLM_OK);
    while ((e = llm_parser_next(p)) != NULL) {
        assert_int_equal(e->struct_size, sizeof *e);
        assert_true((e->id != NULL) == (e->kind == LLM_EVENT_TOOL_START));
        n += (size_t)snprintf(out + n, cap - n, "%d:%s;", e->kind, e->text);
    }
    llm_parser_destroy(p);
}

static void a_prompt_says_where_the_completion_starts(void **state)
{
    llm_parser_config_t c = LLM_INIT(llm_parser_config_t);
    int32_t             ids[20] = { 0 };
    char                out[512];

    c.tool_parser = "hermes";
    c.reasoning_parser = "deepseek_v3";
    c.flags = LLM_PARSER_WHOLE;
    parse(&c, out, sizeof out);
    assert_string_equal(out, "1:hmok;3:f;4:{\"a\": 1};5:;");
    c.prompt = "x<think>\n";
    c.prompt_len = LLM_CSTR;
    parse(&c, out, sizeof out);
    assert_string_equal(out, "2:hm;1:ok;3:f;4:{\"a\": 1};5:;");
    c.prompt = NULL;
    c.prompt_ids = ids;
    c.n_prompt_ids = 20;
    ids[19] = llm_tokenizer_find(tokenizer, "<think>", LLM_CSTR);
    assert_true(ids[19] > 0);
    parse(&c, out, sizeof out);
    assert_string_equal(out, "2:hm;1:ok;3:f;4:{\"a\": 1};5:;");
    ids[19] = llm_tokenizer_find(tokenizer, "</think>", LLM_CSTR);
    c.reasoning_parser = "deepseek_r1";
    parse(&c, out, sizeof out);
    assert_string_equal(out, "1:hmok;3:f;4:{\"a\": 1};5:;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_out_of_range_are_refused),
        cmocka_unit_test(feeding_checks_its_arguments),
        cmocka_unit_test(names_are_listed),
        cmocka_unit_test(a_prompt_says_where_the_completion_starts),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
