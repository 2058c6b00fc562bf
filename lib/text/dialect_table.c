/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects of tool calls and of reasoning, under the names of vLLM's parsers. */
#include "text/dialect.h"

#include <string.h>

#include "base/num.h"

#define OPEN(s)      { LLS_MARK_OPEN, s }
#define CALL(s)      { LLS_MARK_CALL, s }
#define HEAD(s)      { LLS_MARK_HEAD, s }
#define SKIP(s)      { LLS_MARK_SKIP, s }
#define NAME_END(s)  { LLS_MARK_NAME_END, s }
#define PARAM(s)     { LLS_MARK_PARAM, s }
#define KEY_END(s)   { LLS_MARK_KEY_END, s }
#define VALUE(s)     { LLS_MARK_VALUE, s }
#define PARAM_END(s) { LLS_MARK_PARAM_END, s }
#define QUOTE(s)     { LLS_MARK_QUOTE, s }
#define QUOTE_END(s) { LLS_MARK_QUOTE_END, s }
#define CALL_END(s)  { LLS_MARK_CALL_END, s }
#define CLOSE(s)     { LLS_MARK_CLOSE, s }
#define DROP(s)      { LLS_MARK_DROP, s }
#define SPECIAL(s)   { LLS_MARK_SPECIAL, s }

#define FUNCTION_TAGS(open, close) { OPEN(open), CALL("<function="), PARAM("<parameter="), \
    PARAM_END("</parameter>"), CALL_END("</function>"), CLOSE(close) }
#define INVOKE_TAGS(open, close, p) { OPEN(open), CALL("<" p "invoke name="), \
    PARAM("<" p "parameter name="), PARAM_END("</" p "parameter>"), CALL_END("</" p "invoke>"), \
    CLOSE(close) }
#define KEY_TAGS { OPEN("<tool_call>"), PARAM("<arg_key>"), KEY_END("</arg_key>"), \
    VALUE("<arg_value>"), PARAM_END("</arg_value>"), CALL_END("</tool_call>") }

/* ---- How calls are written ------------------------------------------------------------------- */

/* An object in markers of its own; a list of objects. */
#define OBJECT_TAG(trigger, before, args, after, between) \
    { trigger, "", before "{\"name\": \"", "\", \"" args "\": ", "}" after, between, "", \
      NULL, NULL, NULL, NULL, NULL }
#define LIST_TAG(trigger, open, close) \
    { trigger, open "[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]" close, \
      NULL, NULL, NULL, NULL, NULL }
#define NAMED_TAG(trigger, open, begin, args, end, close) \
    { trigger, open, begin, args, end, "", close, NULL, NULL, NULL, NULL, NULL }
#define FUNCTION_TAG(open, close) \
    { open, "", open "\n<function=", ">\n", "</function>\n" close, "\n", "", \
      "<parameter=", ">\n", "\n</parameter>\n", "", NULL }
#define INVOKE_TAG(open, close, p, value, json_value) \
    { open, open "\n", "<" p "invoke name=\"", "\">\n", "</" p "invoke>\n", "", close, \
      "<" p "parameter name=\"", value, "</" p "parameter>\n", "", json_value }
#define KEY_TAG(n) \
    { "<tool_call>", "", "<tool_call>", n, "</tool_call>", n, "", \
      "<arg_key>", "</arg_key>" n "<arg_value>", "</arg_value>" n, "", NULL }
#define PYTHON_TAG(trigger, open, between, close) \
    { trigger, open, "", "(", ")", between, close, "", "=", "", ", ", NULL }
#define BARE_TAG(trigger, close) \
    { trigger, "", trigger "call:", "{", "}" close, "", "", "", ":", "", ",", NULL }

static const lls_structural_tag_t tool_call_tag =
    OBJECT_TAG("<tool_call>", "<tool_call>\n", "arguments", "\n</tool_call>", "\n");
static const lls_structural_tag_t longcat_tag = OBJECT_TAG(
    "<longcat_tool_call>", "<longcat_tool_call>\n", "arguments", "\n</longcat_tool_call>", "\n");
static const lls_structural_tag_t internlm_tag =
    OBJECT_TAG("<|action_start|><|plugin|>", "<|action_start|><|plugin|>\n", "parameters",
               "<|action_end|>\n", "");
static const lls_structural_tag_t llama_tag =
    OBJECT_TAG("{\"name\": \"", "", "parameters", "", "; ");
static const lls_structural_tag_t gigachat3_tag =
    OBJECT_TAG("<|function_call|>", "<|function_call|>", "arguments", "", NULL);
static const lls_structural_tag_t granite_20b_tag =
    OBJECT_TAG("<function_call>", "<function_call> ", "arguments", "", " ");

static const lls_structural_tag_t inkling_tag =
    { "<|content_invoke_tool_json|>", "", "<|content_invoke_tool_json|>{\"name\":\"",
      "\",\"args\":", "}<|end_message|>", "<|message_model|>", "",
      NULL, NULL, NULL, NULL, NULL };

static const lls_structural_tag_t functools_tag = LIST_TAG("functools[", "functools", "");
static const lls_structural_tag_t granite_tag = LIST_TAG("<|tool_call|>", "<|tool_call|>", "");
static const lls_structural_tag_t tool_calls_tag =
    LIST_TAG("<tool_calls>", "<tool_calls>", "</tool_calls>");
static const lls_structural_tag_t xlam_tag = LIST_TAG("[{\"name\": \"", "", "");
static const lls_structural_tag_t apertus_tag =
    { "<|tools_prefix|>", "<|tools_prefix|>[", "{\"", "\": ", "}", ", ", "]<|tools_suffix|>",
      NULL, NULL, NULL, NULL, NULL };
static const lls_structural_tag_t cohere_tag =
    { "<|START_ACTION|>", "<|START_ACTION|>[", "{\"tool_call_id\": \"#\", \"tool_name\": \"",
      "\", \"parameters\": ", "}", ", ", "]<|END_ACTION|>", NULL, NULL, NULL, NULL, NULL };

static const lls_structural_tag_t harmony_tag =
    { "<|channel|>commentary to=", "", "<|channel|>commentary to=functions.",
      " <|constrain|>json<|message|>", "<|call|>", "<|start|>assistant", "",
      NULL, NULL, NULL, NULL, NULL };
static const lls_structural_tag_t kimi_k2_tag =
    NAMED_TAG("<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>",
              "<|tool_call_begin|>functions.", ":#<|tool_call_argument_begin|>",
              "<|tool_call_end|>", "<|tool_calls_section_end|>");
static const lls_structural_tag_t deepseek_v3_tag =
    NAMED_TAG("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜>",
              "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
              "\n```<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>");
static const lls_structural_tag_t deepseek_v31_tag =
    NAMED_TAG("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>",
              "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>");
static const lls_structural_tag_t mistral_tag =
    NAMED_TAG("[TOOL_CALLS]", "", "[TOOL_CALLS]", "[ARGS]", "", "");

static const lls_structural_tag_t function_tag = FUNCTION_TAG("<tool_call>", "</tool_call>");
static const lls_structural_tag_t seed_tag = FUNCTION_TAG("<seed:tool_call>", "</seed:tool_call>");
static const lls_structural_tag_t minimax_tag =
    INVOKE_TAG("<minimax:tool_call>", "</minimax:tool_call>", "", "\">", NULL);
static const lls_structural_tag_t dots_tag =
    INVOKE_TAG("<dots_function_call>", "</dots_function_call>", "", "\">", NULL);
#define DSML "｜DSML｜"
static const lls_structural_tag_t deepseek_v32_tag =
    INVOKE_TAG("<" DSML "function_calls>", "</" DSML "function_calls>", DSML,
               "\" string=\"true\">", "\" string=\"false\">");
static const lls_structural_tag_t deepseek_v4_tag =
    INVOKE_TAG("<" DSML "tool_calls>", "</" DSML "tool_calls>", DSML,
               "\" string=\"true\">", "\" string=\"false\">");
static const lls_structural_tag_t step3_tag =
    { "<｜tool_calls_begin｜>", "<｜tool_calls_begin｜>",
      "<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name=\"", "\">",
      "</steptml:invoke><｜tool_call_end｜>", "", "<｜tool_calls_end｜>",
      "<steptml:parameter name=\"", "\">", "</steptml:parameter>", "", NULL };
static const lls_structural_tag_t minicpm5_tag =
    { "<function name=\"", "", "<function name=\"", "\">", "</function>", "", "",
      "<param name=\"", "\">", "</param>", "", NULL };
static const lls_structural_tag_t kimi_k3_tag =
    { "<|open|>tools<|sep|>", "<|open|>tools<|sep|>", "<|open|>call tool=\"",
      "\" index=\"#\"<|sep|>", "<|close|>call<|sep|>", "", "<|close|>tools<|sep|>",
      "<|open|>argument key=\"", "\" type=\"string\"<|sep|>", "<|close|>argument<|sep|>", "",
      "\" type=\"@\"<|sep|>" };
static const lls_structural_tag_t hy_v3_tag =
    { "<tool_calls>", "<tool_calls>\n", "<tool_call>", "<tool_sep>\n", "</tool_call>\n", "",
      "</tool_calls>", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n", "", NULL };
static const lls_structural_tag_t glm45_tag = KEY_TAG("\n");
static const lls_structural_tag_t glm47_tag = KEY_TAG("");

static const lls_structural_tag_t pythonic_tag = PYTHON_TAG(NULL, "[", ", ", "]");
static const lls_structural_tag_t llama4_pythonic_tag =
    PYTHON_TAG("<|python_start|>", "<|python_start|>[", ", ", "]<|python_end|>");
static const lls_structural_tag_t lfm2_tag =
    PYTHON_TAG("<|tool_call_start|>", "<|tool_call_start|>[", ", ", "]<|tool_call_end|>");
static const lls_structural_tag_t olmo3_tag =
    PYTHON_TAG("<function_calls>", "<function_calls>", "\n", "</function_calls>");

static const lls_structural_tag_t gemma4_tag = BARE_TAG("<|tool_call>", "<tool_call|>");
static const lls_structural_tag_t functiongemma_tag =
    BARE_TAG("<start_function_call>", "<end_function_call>");

/* ---- Dialects -------------------------------------------------------------------------------- */

/* ORDER of "auto": the more particular patterns first */
static const lls_dialect_t dialects[] = {
    { "openai", LLS_READ_HARMONY, 0,
      { { LLS_MARK_CHANNEL, "<|channel|>" }, { LLS_MARK_MESSAGE, "<|message|>" },
        OPEN("<|start|>"), { LLS_MARK_STOP, "<|call|>" }, { LLS_MARK_STOP, "<|end|>" },
        { LLS_MARK_STOP, "<|return|>" }, DROP("<|constrain|>") },
      { "<|channel|>", "<|message|>" }, &harmony_tag },
    { "qwen3_coder", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { "<tool_call>", "<function=" },
      &function_tag },
    { "qwen3_xml", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL }, &function_tag },
    { "mimo", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL }, &function_tag },
    { "nemotron_v3", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL }, &function_tag },
    { "step3p5", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<tool_call>", "</tool_call>"), { NULL, NULL }, &function_tag },
    { "seed_oss", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION | LLS_DIALECT_TRIM_LINE,
      FUNCTION_TAGS("<seed:tool_call>", "</seed:tool_call>"), { "<seed:tool_call>", NULL },
      &seed_tag },
    { "minimax_m2", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION,
      INVOKE_TAGS("<minimax:tool_call>", "</minimax:tool_call>", ""),
      { "<minimax:tool_call>", NULL }, &minimax_tag },
    { "deepseek_v32", LLS_READ_TAGS, 0,
      INVOKE_TAGS("<" DSML "function_calls>", "</" DSML "function_calls>", DSML),
      { DSML, "function_calls" }, &deepseek_v32_tag },
    { "deepseek_v4", LLS_READ_TAGS, 0,
      INVOKE_TAGS("<" DSML "tool_calls>", "</" DSML "tool_calls>", DSML), { DSML, NULL },
      &deepseek_v4_tag },
    { "step3", LLS_READ_TAGS, 0,
      { OPEN("<｜tool_calls_begin｜>"), DROP("<｜tool_call_begin｜>"),
        DROP("function<｜tool_sep｜>"), DROP("<｜tool_sep｜>"), CALL("<steptml:invoke name="),
        PARAM("<steptml:parameter name="),
        PARAM_END("</steptml:parameter>"), CALL_END("</steptml:invoke>"),
        DROP("<｜tool_call_end｜>"), CLOSE("<｜tool_calls_end｜>") },
      { "<steptml:invoke", NULL }, &step3_tag },
    { "dots", LLS_READ_TAGS, 0,
      INVOKE_TAGS("<dots_function_call>", "</dots_function_call>", ""),
      { "<dots_function_call>", NULL }, &dots_tag },
    { "minicpm5", LLS_READ_TAGS, LLS_DIALECT_NO_SECTION,
      { CALL("<function name="), PARAM("<param name="), PARAM_END("</param>"),
        QUOTE("<![CDATA["), QUOTE_END("]]>"), CALL_END("</function>") },
      { "<function name=", NULL }, &minicpm5_tag },
    { "kimi_k3", LLS_READ_TAGS, 0,      /* the last letter of <|sep|> ends names and keys */
      { OPEN("<|open|>tools<|sep|>"), CALL("<|open|>call tool="), PARAM("<|open|>argument key="),
        PARAM_END("<|close|>argument<|sep|>"), CALL_END("<|close|>call<|sep|>"),
        CLOSE("<|close|>tools<|sep|>"), SPECIAL("<|open|>response<|sep|>"),
        SPECIAL("<|close|>response<|sep|>"), SPECIAL("<|close|>message<|sep|>") },
      { "<|open|>", "<|sep|>" }, &kimi_k3_tag },
    { "hy_v3", LLS_READ_KEYS, 0,
      { OPEN("<tool_calls>"), CALL("<tool_call>"), NAME_END("<tool_sep>"), PARAM("<arg_key>"),
        KEY_END("</arg_key>"), VALUE("<arg_value>"), PARAM_END("</arg_value>"),
        CALL_END("</tool_call>"), CLOSE("</tool_calls>") },
      { "<tool_sep>", "<arg_key>" }, &hy_v3_tag },
    { "glm45", LLS_READ_KEYS, 0, KEY_TAGS, { "<arg_key>", NULL }, &glm45_tag },
    { "glm47", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL }, &glm47_tag },
    { "ling3", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL }, &glm47_tag },
    { "poolside_v1", LLS_READ_KEYS, 0, KEY_TAGS, { NULL, NULL }, &glm45_tag },
    { "kimi_k2", LLS_READ_NAMED, LLS_DIALECT_KEEP_ID,
      { OPEN("<|tool_calls_section_begin|>"), CALL("<|tool_call_begin|>"),
        NAME_END("<|tool_call_argument_begin|>"), CALL_END("<|tool_call_end|>"),
        CLOSE("<|tool_calls_section_end|>") },
      { "<|tool_calls_section_begin|>", NULL }, &kimi_k2_tag },
    { "deepseek_v3", LLS_READ_NAMED, 0,
      { OPEN("<｜tool▁calls▁begin｜>"), CALL("<｜tool▁call▁begin｜>"), SKIP("<｜tool▁sep｜>"),
        NAME_END("```json"), DROP("```"), CALL_END("<｜tool▁call▁end｜>"),
        CLOSE("<｜tool▁calls▁end｜>") },
      { "<｜tool▁calls▁begin｜>", "```json" }, &deepseek_v3_tag },
    { "deepseek_v31", LLS_READ_NAMED, 0,
      { OPEN("<｜tool▁calls▁begin｜>"), CALL("<｜tool▁call▁begin｜>"),
        NAME_END("<｜tool▁sep｜>"), CALL_END("<｜tool▁call▁end｜>"),
        CLOSE("<｜tool▁calls▁end｜>") },
      { "<｜tool▁calls▁begin｜>", NULL }, &deepseek_v31_tag },
    { "mistral", LLS_READ_NAMED, LLS_DIALECT_SHORT_ID | LLS_DIALECT_ECHO_LIST,
      { OPEN("[TOOL_CALLS]"), SKIP("[CALL_ID]"), NAME_END("[ARGS]") },
      { "[TOOL_CALLS]", NULL }, &mistral_tag },
    { "gemma4", LLS_READ_BARE_KEYS, 0,
      { OPEN("<|tool_call>"), CALL("call:"), QUOTE("<|\"|>"), CLOSE("<tool_call|>") },
      { "<|tool_call>", "<tool_call|>" }, &gemma4_tag },
    { "functiongemma", LLS_READ_BARE_KEYS, 0,
      { OPEN("<start_function_call>"), CALL("call:"), QUOTE("<escape>"),
        CLOSE("<end_function_call>") },
      { "<start_function_call>", NULL }, &functiongemma_tag },
    { "llama4_json", LLS_READ_OBJECTS, LLS_DIALECT_UNMARKED,
      { OPEN("<|python_tag|>"), OPEN("<|python_start|>"), CLOSE("<|python_end|>") },
      { "<|header_start|>", "\"parameters\": " }, &llama_tag },
    { "llama4_pythonic", LLS_READ_PYTHON, LLS_DIALECT_UNMARKED,
      { OPEN("<|python_start|>"), CLOSE("<|python_end|>") }, { "<|header_start|>", NULL },
      &llama4_pythonic_tag },
    { "lfm2", LLS_READ_PYTHON, 0,
      { OPEN("<|tool_call_start|>"), CLOSE("<|tool_call_end|>") },
      { "<|tool_call_start|>", NULL }, &lfm2_tag },
    { "olmo3", LLS_READ_PYTHON, LLS_DIALECT_NO_LIST,
      { OPEN("<function_calls>"), CLOSE("</function_calls>") }, { "<function_calls>", NULL },
      &olmo3_tag },
    { "pythonic", LLS_READ_PYTHON, LLS_DIALECT_UNMARKED, { { 0, NULL } }, { "[func_name1(", NULL },
      &pythonic_tag },
    { "internlm", LLS_READ_OBJECTS, 0,
      { OPEN("<|action_start|><|plugin|>"), OPEN("<|action_start|> <|plugin|>"),
        CLOSE("<|action_end|>") },
      { "<|action_start|>", "<|plugin|>" }, &internlm_tag },
    { "llama3_json", LLS_READ_OBJECTS, LLS_DIALECT_UNMARKED, { OPEN("<|python_tag|>") },
      { "<|python_tag|>", NULL }, &llama_tag },
    { "longcat", LLS_READ_OBJECTS, 0,
      { OPEN("<longcat_tool_call>"), CLOSE("</longcat_tool_call>") },
      { "<longcat_tool_call>", NULL }, &longcat_tag },
    { "apertus", LLS_READ_OBJECTS, LLS_DIALECT_NAME_IS_KEY,
      { OPEN("<|tools_prefix|>"), CLOSE("<|tools_suffix|>") }, { "<|tools_prefix|>", NULL },
      &apertus_tag },
    { "cohere_command4", LLS_READ_OBJECTS, LLS_DIALECT_TOOL_NAME,
      { OPEN("<|START_ACTION|>"), CLOSE("<|END_ACTION|>"), SPECIAL("<|START_TEXT|>"),
        SPECIAL("<|END_TEXT|>") },
      { "<|START_ACTION|>", "<|START_TEXT|>" }, &cohere_tag },
    { "cohere_command3", LLS_READ_OBJECTS, LLS_DIALECT_TOOL_NAME,
      { OPEN("<|START_ACTION|>"), CLOSE("<|END_ACTION|>"), SPECIAL("<|START_RESPONSE|>"),
        SPECIAL("<|END_RESPONSE|>") },
      { "<|START_ACTION|>", NULL }, &cohere_tag },
    { "inkling", LLS_READ_OBJECTS, LLS_DIALECT_ARGS,
      { HEAD("<|message_model|>"), OPEN("<|content_invoke_tool_json|>"), CLOSE("<|end_message|>"),
        CLOSE("<|content_model_end_sampling|>"), DROP("<|end_message|>"),
        DROP("<|content_model_end_sampling|>"), DROP("<|content_text|>"),
        DROP("<|content_invoke_tool_text|>"), DROP("<|content_tool_error|>") },
      { "<|content_invoke_tool_json|>", NULL }, &inkling_tag },
    { "gigachat3", LLS_READ_OBJECTS, 0,
      { OPEN("function call<|role_sep|>\n"), OPEN("<|function_call|>"), DROP("<|message_sep|>") },
      { "<|role_sep|>", "<|message_sep|>" }, &gigachat3_tag },
    { "phi4_mini_json", LLS_READ_OBJECTS, 0, { OPEN("functools") }, { "functools", NULL },
      &functools_tag },
    { "granite", LLS_READ_OBJECTS, 0,
      { OPEN("<|tool_call|>"), OPEN("<tool_call>") }, { "<|tool_call|>", NULL }, &granite_tag },
    { "granite-20b-fc", LLS_READ_OBJECTS, 0, { OPEN("<function_call>") },
      { "<function_call>", NULL }, &granite_20b_tag },
    { "hunyuan_a13b", LLS_READ_OBJECTS, 0,
      { OPEN("<tool_calls>"), CLOSE("</tool_calls>"), DROP("<answer>"), DROP("</answer>") },
      { "<tool_calls>", "<answer>" }, &tool_calls_tag },
    { "jamba", LLS_READ_OBJECTS, 0, { OPEN("<tool_calls>"), CLOSE("</tool_calls>") },
      { "<tool_calls>", NULL }, &tool_calls_tag },
    { "xlam", LLS_READ_OBJECTS, LLS_DIALECT_UNMARKED,
      { OPEN("```json"), OPEN("[TOOL_CALLS]"), OPEN("<tool_call>"), CLOSE("</tool_call>"),
        CLOSE("```") },
      { "\"tool_call_name\"", NULL }, &xlam_tag },
    { "ernie45", LLS_READ_OBJECTS, 0,
      { OPEN("<tool_call>"), CLOSE("</tool_call>"), DROP("<response>\n"), DROP("\n</response>"),
        DROP("<response>"), DROP("</response>") },
      { "<tool_call>", "<response>" }, &tool_call_tag },
    { "granite4", LLS_READ_OBJECTS, 0, { OPEN("<tool_call>"), CLOSE("</tool_call>") },
      { "<tool_call>", "<|start_of_role|>" }, &tool_call_tag },
    { "hermes", LLS_READ_OBJECTS, 0, { OPEN("<tool_call>"), CLOSE("</tool_call>") },
      { "<tool_call>", NULL }, &tool_call_tag },
};

/* ---- Reasoning ------------------------------------------------------------------------------- */

#define THINK { "<think>", NULL }, { "</think>", NULL }, { NULL, NULL }, { NULL, NULL }

static const lls_thinking_t thinkings[] = {
    { "openai_gptoss", LLS_THINK_BY_MODEL, 0, { NULL, NULL }, { NULL, NULL }, { NULL, NULL },
      { "<|channel|>", "<|message|>" } },
    { "cohere_command4", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS,
      { "<|START_THINKING|>", NULL }, { "<|END_THINKING|>", NULL },
      { "<|START_TEXT|>", "<|END_TEXT|>" }, { "<|START_THINKING|>", "<|START_TEXT|>" } },
    { "cohere_command3", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS,
      { "<|START_THINKING|>", NULL }, { "<|END_THINKING|>", NULL },
      { "<|START_RESPONSE|>", "<|END_RESPONSE|>" }, { "<|START_THINKING|>", NULL } },
    { "deepseek_r1", LLS_THINK_OPEN, 0, THINK },
    { "deepseek_v3", LLS_THINK_DEFAULT_OFF, 0, THINK },
    { "deepseek_v4", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "ernie45", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, { "<think>", NULL }, { "</think>", NULL },
      { "<response>\n", "\n</response>" }, { NULL, NULL } },
    { "gemma4", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS,
      { "<|channel>", "<|channel>thought\n" }, { "<channel|>", NULL }, { NULL, NULL },
      { "<|channel>", NULL } },
    { "glm45", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "glm47", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "granite", LLS_THINK_BY_MODEL, 0,
      { "Here's my thought process:", "Here is my thought process:" },
      { "Here's my response:", "Here is my response:" }, { NULL, NULL },
      { "Here's my thought process:", NULL } },
    { "holo2", LLS_THINK_DEFAULT_ON, 0, THINK },
    { "hunyuan_a13b", LLS_THINK_BY_MODEL, 0, { "<think>\n", "<think>" },
      { "\n</think>\n<answer>\n", "</think>" }, { "<answer>", "\n</answer>" }, { NULL, NULL } },
    { "hy_v3", LLS_THINK_DEFAULT_OFF, 0, THINK },
    { "inkling", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS | LLS_THINK_AGAIN,
      { "<|content_thinking|>", NULL }, { "<|end_message|>", "<|content_model_end_sampling|>" },
      { "<|message_model|>", "<|content_text|>" }, { "<|content_thinking|>", NULL } },
    { "kimi_k2", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "kimi_k3", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, { "<|open|>think<|sep|>", NULL },
      { "<|close|>think<|sep|>", NULL },
      { "<|open|>response<|sep|>", "<|close|>response<|sep|>" }, { "<|open|>", "<|sep|>" } },
    { "ling3", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "mimo", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "minimax_m2", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, THINK },
    { "minimax_m2_append_think", LLS_THINK_BY_MODEL, LLS_THINK_APPEND, { NULL, NULL },
      { NULL, NULL }, { NULL, NULL }, { NULL, NULL } },
    { "mistral", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS, { "[THINK]", NULL },
      { "[/THINK]", NULL }, { NULL, NULL }, { "[THINK]", NULL } },
    { "nemotron_v3", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "olmo3", LLS_THINK_OPEN, 0, THINK },
    { "poolside_v1", LLS_THINK_DEFAULT_OFF, LLS_THINK_TOOL_ENDS, THINK },
    { "qwen3", LLS_THINK_DEFAULT_ON, LLS_THINK_TOOL_ENDS, THINK },
    { "seed_oss", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, { "<seed:think>", NULL },
      { "</seed:think>", NULL }, { NULL, NULL }, { "<seed:think>", NULL } },
    { "step3", LLS_THINK_OPEN, 0, THINK },
    { "step3p5", LLS_THINK_OPEN, LLS_THINK_TOOL_ENDS, THINK },
};

/* What "auto" takes for <think>: the prompt or the model says when it begins. */
static const lls_thinking_t by_prompt =
    { "think", LLS_THINK_BY_MODEL, LLS_THINK_TOOL_ENDS, THINK };

static const char *const foreign[] = { "minimax_m3", "muse_glimmer" };

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

static bool speaks(const lls_tokenizer_t *t, const char *const in_template[2])
{
    return in_template[0] != NULL && knows(t, in_template[0]) &&
           (in_template[1] == NULL || knows(t, in_template[1]));
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
        if (by_model ? speaks(t, dialects[i].in_template) : strcmp(dialects[i].name, name) == 0) {
            *out = &dialects[i];
            return LLM_OK;
        }
    }
    return by_model ? LLM_OK : refuse("tool_parser", name, err);
}

static const lls_thinking_t *thinking_of_model(const lls_tokenizer_t *t)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(thinkings); i++)
        if (speaks(t, thinkings[i].in_template))
            return &thinkings[i];
    return knows(t, "<think>") || knows(t, "</think>") ? &by_prompt : NULL;
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
