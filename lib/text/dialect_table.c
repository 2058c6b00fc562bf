/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects of tool calls and of reasoning, under the names of vLLM's parsers. */
#include "text/dialect.h"

#include <string.h>

#include "base/num.h"

#define OPEN(s)      { LLS_MARK_OPEN, s }
#define CALL(s)      { LLS_MARK_CALL, s }
#define SKIP(s)      { LLS_MARK_SKIP, s }
#define NAME_END(s)  { LLS_MARK_NAME_END, s }
#define PARAM(s)     { LLS_MARK_PARAM, s }
#define VALUE(s)     { LLS_MARK_VALUE, s }
#define PARAM_END(s) { LLS_MARK_PARAM_END, s }
#define QUOTE(s)     { LLS_MARK_QUOTE, s }
#define QUOTE_END(s) { LLS_MARK_QUOTE_END, s }
#define CALL_END(s)  { LLS_MARK_CALL_END, s }
#define CLOSE(s)     { LLS_MARK_CLOSE, s }
#define DROP(s)      { LLS_MARK_DROP, s }

#define FUNCTION_TAGS(open, close) { OPEN(open), CALL("<function="), PARAM("<parameter="), \
    PARAM_END("</parameter>"), CALL_END("</function>"), CLOSE(close) }
#define INVOKE_TAGS(open, close, p) { OPEN(open), CALL("<" p "invoke name="), \
    PARAM("<" p "parameter name="), PARAM_END("</" p "parameter>"), CALL_END("</" p "invoke>"), \
    CLOSE(close) }
#define KEY_TAGS { OPEN("<tool_call>"), PARAM("<arg_key>"), NAME_END("</arg_key>"), \
    VALUE("<arg_value>"), PARAM_END("</arg_value>"), CALL_END("</tool_call>") }

/* ORDER of "auto": the more particular patterns first */
static const lls_dialect_t dialects[] = {
    { "openai", LLS_READ_HARMONY, 0,
      { { LLS_MARK_CHANNEL, "<|channel|>" }, { LLS_MARK_MESSAGE, "<|message|>" },
        OPEN("<|start|>"), { LLS_MARK_STOP, "<|call|>" }, { LLS_MARK_STOP, "<|end|>" },
        { LLS_MARK_STOP, "<|return|>" }, DROP("<|constrain|>") },
      { "<|channel|>", "<|message|>" } },
    { "qwen3_coder", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { "<tool_call>", "<function=" } },
    { "qwen3_xml", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL } },
    { "mimo", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL } },
    { "nemotron_v3", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL } },
    { "step3p5", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL } },
    { "seed_oss", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<seed:tool_call>", "</seed:tool_call>"), { "<seed:tool_call>", NULL } },
    { "minimax_m2", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM,
      INVOKE_TAGS("<minimax:tool_call>", "</minimax:tool_call>", ""),
      { "<minimax:tool_call>", NULL } },
    { "deepseek_v32", LLS_READ_TAGS, 0,
      INVOKE_TAGS("<｜DSML｜function_calls>", "</｜DSML｜function_calls>", "｜DSML｜"),
      { "｜DSML｜", "function_calls" } },
    { "deepseek_v4", LLS_READ_TAGS, 0,
      INVOKE_TAGS("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", "｜DSML｜"),
      { "｜DSML｜", NULL } },
    { "step3", LLS_READ_TAGS, LLS_DIALECT_TRIM,
      { OPEN("<｜tool_calls_begin｜>"), DROP("<｜tool_call_begin｜>function<｜tool_sep｜>"),
        CALL("<steptml:invoke name="), PARAM("<steptml:parameter name="),
        PARAM_END("</steptml:parameter>"), CALL_END("</steptml:invoke>"),
        DROP("<｜tool_call_end｜>"), CLOSE("<｜tool_calls_end｜>") },
      { "<steptml:invoke", NULL } },
    { "dots", LLS_READ_TAGS, LLS_DIALECT_TRIM,
      INVOKE_TAGS("<dots_function_call>", "</dots_function_call>", ""),
      { "<dots_function_call>", NULL } },
    { "minicpm5", LLS_READ_TAGS, LLS_DIALECT_BARE_CALL | LLS_DIALECT_TRIM,
      { CALL("<function name="), PARAM("<param name="), PARAM_END("</param>"),
        QUOTE("<![CDATA["), QUOTE_END("]]>"), CALL_END("</function>") },
      { "<function name=", NULL } },
    { "glm45", LLS_READ_KEYS, 0, KEY_TAGS, { "<arg_key>", NULL } },
    { "glm47", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL } },
    { "ling3", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL } },
    { "poolside_v1", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL } },
    { "kimi_k2", LLS_READ_NAMED, LLS_DIALECT_KEEP_ID,
      { OPEN("<|tool_calls_section_begin|>"), CALL("<|tool_call_begin|>"),
        NAME_END("<|tool_call_argument_begin|>"), CALL_END("<|tool_call_end|>"),
        CLOSE("<|tool_calls_section_end|>") },
      { "<|tool_calls_section_begin|>", NULL } },
    { "deepseek_v3", LLS_READ_NAMED, 0,
      { OPEN("<｜tool▁calls▁begin｜>"), CALL("<｜tool▁call▁begin｜>"), SKIP("<｜tool▁sep｜>"),
        NAME_END("```json"), DROP("```"), CALL_END("<｜tool▁call▁end｜>"),
        CLOSE("<｜tool▁calls▁end｜>") },
      { "<｜tool▁calls▁begin｜>", "```json" } },
    { "deepseek_v31", LLS_READ_NAMED, 0,
      { OPEN("<｜tool▁calls▁begin｜>"), CALL("<｜tool▁call▁begin｜>"),
        NAME_END("<｜tool▁sep｜>"), CALL_END("<｜tool▁call▁end｜>"),
        CLOSE("<｜tool▁calls▁end｜>") },
      { "<｜tool▁calls▁begin｜>", NULL } },
    { "mistral", LLS_READ_NAMED, LLS_DIALECT_SHORT_ID | LLS_DIALECT_ECHO_LIST,
      { OPEN("[TOOL_CALLS]"), SKIP("[CALL_ID]"), NAME_END("[ARGS]") },
      { "[TOOL_CALLS]", NULL } },
    { "llama4_pythonic", LLS_READ_PYTHON, LLS_DIALECT_BARE,
      { OPEN("<|python_start|>"), CLOSE("<|python_end|>") }, { "<|python_start|>", NULL } },
    { "lfm2", LLS_READ_PYTHON, 0,
      { OPEN("<|tool_call_start|>"), CLOSE("<|tool_call_end|>") },
      { "<|tool_call_start|>", NULL } },
    { "olmo3", LLS_READ_PYTHON, LLS_DIALECT_NO_LIST,
      { OPEN("<function_calls>"), CLOSE("</function_calls>") }, { "<function_calls>", NULL } },
    { "pythonic", LLS_READ_PYTHON, LLS_DIALECT_BARE, { { 0, NULL } }, { NULL, NULL } },
    { "internlm", LLS_READ_OBJECTS, 0,
      { OPEN("<|action_start|><|plugin|>"), OPEN("<|action_start|> <|plugin|>"),
        CLOSE("<|action_end|>") },
      { "<|action_start|>", "<|plugin|>" } },
    { "llama3_json", LLS_READ_OBJECTS, LLS_DIALECT_BARE, { OPEN("<|python_tag|>") },
      { "<|python_tag|>", NULL } },
    { "llama4_json", LLS_READ_OBJECTS, LLS_DIALECT_BARE, { OPEN("<|python_tag|>") },
      { NULL, NULL } },
    { "longcat", LLS_READ_OBJECTS, 0,
      { OPEN("<longcat_tool_call>"), CLOSE("</longcat_tool_call>") },
      { "<longcat_tool_call>", NULL } },
    { "apertus", LLS_READ_OBJECTS, LLS_DIALECT_NAME_IS_KEY,
      { OPEN("<|tools_prefix|>"), CLOSE("<|tools_suffix|>") }, { "<|tools_prefix|>", NULL } },
    { "gigachat3", LLS_READ_OBJECTS, 0,
      { OPEN("function call<|role_sep|>\n"), OPEN("<|function_call|>"), DROP("<|message_sep|>") },
      { "<|role_sep|>", "<|message_sep|>" } },
    { "phi4_mini_json", LLS_READ_OBJECTS, 0, { OPEN("functools") }, { "functools", NULL } },
    { "granite", LLS_READ_OBJECTS, 0,
      { OPEN("<|tool_call|>"), OPEN("<tool_call>") }, { "<|tool_call|>", NULL } },
    { "granite-20b-fc", LLS_READ_OBJECTS, 0, { OPEN("<function_call>") },
      { "<function_call>", NULL } },
    { "hunyuan_a13b", LLS_READ_OBJECTS, 0,
      { OPEN("<tool_calls>"), CLOSE("</tool_calls>"), DROP("<answer>"), DROP("</answer>") },
      { "<tool_calls>", "<answer>" } },
    { "jamba", LLS_READ_OBJECTS, 0, { OPEN("<tool_calls>"), CLOSE("</tool_calls>") },
      { "<tool_calls>", NULL } },
    { "xlam", LLS_READ_OBJECTS, LLS_DIALECT_BARE,
      { OPEN("```json"), OPEN("[TOOL_CALLS]"), OPEN("<tool_call>"), CLOSE("</tool_call>"),
        CLOSE("```") },
      { NULL, NULL } },
    { "ernie45", LLS_READ_OBJECTS, 0,
      { OPEN("<tool_call>"), CLOSE("</tool_call>"), DROP("<response>\n"), DROP("\n</response>"),
        DROP("<response>"), DROP("</response>") },
      { "<tool_call>", "<response>" } },
    { "granite4", LLS_READ_OBJECTS, 0, { OPEN("<tool_call>"), CLOSE("</tool_call>") },
      { "<tool_call>", "<|start_of_role|>" } },
    { "hermes", LLS_READ_OBJECTS, 0, { OPEN("<tool_call>"), CLOSE("</tool_call>") },
      { "<tool_call>", NULL } },
};

#define THINK { "<think>", NULL }, { "</think>", NULL }, { NULL, NULL }

static const lls_thinking_t thinkings[] = {
    { "openai_gptoss", LLS_THINK_BY_MODEL, 0, { NULL, NULL }, { NULL, NULL }, { NULL, NULL } },
    { "deepseek_r1", LLS_THINK_OPEN, 0, THINK },
    { "deepseek_v3", LLS_THINK_DEFAULT_OFF, 0, THINK },
    { "deepseek_v4", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "ernie45", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, { "<think>", NULL }, { "</think>", NULL },
      { "<response>\n", "\n</response>" } },
    { "glm45", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "glm47", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "granite", LLS_THINK_BY_MODEL, 0,
      { "Here's my thought process:", "Here is my thought process:" },
      { "Here's my response:", "Here is my response:" }, { NULL, NULL } },
    { "holo2", LLS_THINK_DEFAULT_ON, 0, THINK },
    { "hunyuan_a13b", LLS_THINK_BY_MODEL, 0, { "<think>\n", "<think>" },
      { "\n</think>\n<answer>\n", "</think>" }, { "<answer>", "\n</answer>" } },
    { "kimi_k2", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "ling3", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "mimo", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "minimax_m2", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, THINK },
    { "minimax_m2_append_think", LLS_THINK_BY_MODEL, LLS_THINK_APPEND, { NULL, NULL },
      { NULL, NULL }, { NULL, NULL } },
    { "mistral", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS, { "[THINK]", NULL },
      { "[/THINK]", NULL }, { NULL, NULL } },
    { "nemotron_v3", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "olmo3", LLS_THINK_OPEN, 0, THINK },
    { "poolside_v1", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "qwen3", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "seed_oss", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, { "<seed:think>", NULL },
      { "</seed:think>", NULL }, { NULL, NULL } },
    { "step3", LLS_THINK_OPEN, 0, THINK },
    { "step3p5", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, THINK },
};

/* What "auto" takes for <think>: the prompt or the model says when it begins. */
static const lls_thinking_t by_prompt =
    { "think", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS, THINK };

static const char *const foreign[] = {
    "cohere_command3", "cohere_command4", "functiongemma", "gemma4", "hy_v3", "inkling", "kimi_k3",
    "minimax_m3", "muse_glimmer",
};

const lls_dialect_t *lls_dialect_at(size_t index)
{
    return index < LLS_ARRAY_LEN(dialects) ? &dialects[index] : NULL;
}

const lls_thinking_t *lls_thinking_at(size_t index)
{
    return index < LLS_ARRAY_LEN(thinkings) ? &thinkings[index] : NULL;
}

bool lls_dialect_is_foreign(const char *name)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(foreign); i++)
        if (strcmp(foreign[i], name) == 0)
            return true;
    return false;
}

/* ---- By name, by template -------------------------------------------------------------------- */

/* Whether the model knows a piece of markup: its template has it, or without a template its
 * vocabulary does. */
static bool knows(const lls_tokenizer_t *t, const char *piece)
{
    size_t      len;
    const char *text = lls_tokenizer_chat_template(t, &len);

    if (text == NULL)
        return lls_tokenizer_find(t, piece, strlen(piece)) >= 0;
    return memmem(text, len, piece, strlen(piece)) != NULL;
}

static bool speaks(const lls_tokenizer_t *t, const lls_dialect_t *d)
{
    if (d->in_template[0] == NULL || !knows(t, d->in_template[0]))
        return false;
    return d->in_template[1] == NULL || knows(t, d->in_template[1]);
}

static llm_status_t refuse(const char *param, const char *name, llm_error_t *err)
{
    if (lls_dialect_is_foreign(name))
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, param,
                              "%s %s is not built; llm_parser_name() lists those that are", param,
                              name);
    return lls_fail_param(err, LLM_ERR_INVALID, param,
                          "there is no %s \"%.64s\"; llm_parser_name() lists them", param, name);
}

llm_status_t lls_dialect_find(const lls_tokenizer_t *t, const char *name,
                              const lls_dialect_t **out, llm_error_t *err)
{
    bool by_model = name != NULL && strcmp(name, "auto") == 0;

    *out = NULL;
    if (name == NULL)
        return LLM_OK;
    for (size_t i = 0; i < LLS_ARRAY_LEN(dialects); i++) {
        if (by_model ? speaks(t, &dialects[i]) : strcmp(dialects[i].name, name) == 0) {
            *out = &dialects[i];
            return LLM_OK;
        }
    }
    return by_model ? LLM_OK : refuse("tool_parser", name, err);
}

static const lls_thinking_t *thinking_of_model(const lls_tokenizer_t *t)
{
    const lls_thinking_t *found = NULL;

    if (knows(t, "<|channel|>") && knows(t, "<|message|>"))
        return &thinkings[0];
    for (size_t i = 1; i < LLS_ARRAY_LEN(thinkings) && found == NULL; i++)
        if (thinkings[i].open[0] != NULL && strncmp(thinkings[i].open[0], "<think>", 7) != 0 &&
            knows(t, thinkings[i].open[0]))
            found = &thinkings[i];
    if (found == NULL && (knows(t, "<think>") || knows(t, "</think>")))
        found = &by_prompt;
    return found;
}

llm_status_t lls_thinking_find(const lls_tokenizer_t *t, const char *name,
                               const lls_thinking_t **out, llm_error_t *err)
{
    *out = NULL;
    if (name == NULL)
        return LLM_OK;
    if (strcmp(name, "auto") == 0) {
        *out = thinking_of_model(t);
        return LLM_OK;
    }
    for (size_t i = 0; i < LLS_ARRAY_LEN(thinkings); i++) {
        if (strcmp(thinkings[i].name, name) == 0) {
            *out = &thinkings[i];
            return LLM_OK;
        }
    }
    return refuse("reasoning_parser", name, err);
}
