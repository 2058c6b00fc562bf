# SPDX-License-Identifier: Apache-2.0
# Templates of the common kinds, written anew, with whether they walk over the parts of content; and
# conversations to render with them.
CHATML = """{%- if messages[0].role == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if not (loop.first and message.role == 'system') %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>' ~ '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
TOOLS = """{%- macro render_type(schema, depth=0) -%}
    {%- if schema.type == 'object' -%}
        { {%- for key, value in schema.properties | dictsort %}{{ key }}: {{ render_type(value, depth + 1) }}{{ ', ' if not loop.last }}{% endfor %} }
    {%- elif schema.type == 'array' -%}{{ render_type(schema['items'], depth + 1) }}[]
    {%- elif schema.enum is defined -%}{{ schema.enum | map('tojson') | join(' | ') }}
    {%- else -%}{{ schema.type | default('any', true) }}{%- endif -%}
{%- endmacro -%}
{{- bos_token }}
{%- if tools %}
{{- '<tools>\\n' }}
{%- for tool in tools %}
    {%- set f = tool.function if tool.function is defined else tool %}
    {{- f.name ~ '(' ~ render_type(f.parameters) ~ ')' }}{% if f.description %}  // {{ f.description | trim }}{% endif %}{{ '\\n' }}
    {{- tool | tojson }}{{ '\\n' }}
    {{- tool | tojson(indent=2) }}{{ '\\n' }}
{%- endfor %}
{{- '</tools>\\n' }}
{%- endif %}
{%- set ns = namespace(tool=false, last=-1) %}
{%- for message in messages %}{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {%- if message.content %}{{ message.content }}{% endif %}
        {%- for call in message.tool_calls %}
            {{- '<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' ~ call.function.arguments | tojson ~ '}\\n</tool_call>' }}
            {%- for k, v in call.function.arguments | items %}{{ '\\n' ~ k ~ '=' ~ (v if v is string else v | tojson) }}{% endfor %}
        {%- endfor %}
        {{- eos_token }}
    {%- elif message.role == 'tool' %}
        {%- if not ns.tool %}{{ '<results>' }}{% set ns.tool = true %}{% endif %}
        {{- '[' ~ (message.tool_call_id | default('?')) ~ '] ' ~ message.content }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '</results>' }}{% set ns.tool = false %}{% endif %}
    {%- else %}
        {%- if message.reasoning_content is string and loop.index0 > ns.last %}{{ '<think>' ~ message.reasoning_content.strip('\\n') ~ '</think>' }}{% endif %}
        {{- '[' ~ message.role | upper ~ ']' ~ message.content.split('</think>')[-1].lstrip('\\n') }}{% if message.role == 'assistant' %}{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '[ASSISTANT]' }}{% endif %}
"""
PARTS = """{% for message in messages %}
<{{ message.role }}>
{% if message['content'] is string %}
{{ message['content'] }}
{% else %}
{% for part in message['content'] %}
{% if part.type == 'text' %}{{ part.text | trim }}{% endif %}
{% endfor %}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}<assistant>
{% endif %}"""
STRICT = ("{{ bos_token }}{% for m in messages %}{% if m.role not in ['user', 'assistant', 'system'] %}{{ raise_exception('unknown role ' ~ m.role) }}{% endif %}"
          "{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]{% else %}{{ m['content'] | trim ~ eos_token }}{% endif %}{% endfor %}")
DEVELOPER = ("{% for m in messages %}{{ m.role }}{% if m.role == 'developer' and m.tools %}({{ m.tools | length }}){% endif %}: {{ m.content }}\n"
             "{% endfor %}{{ documents | length if documents }}{{ 'gen' if add_generation_prompt }}{{ tools is defined }}{{ tools is none }}")
REPR = "{% for m in messages %}{{ m }}{{ m | tojson(sort_keys=true) }}{% endfor %}"
TEMPLATES = [(CHATML, False), (TOOLS, False), (PARTS, True), (STRICT, False), (DEVELOPER, False), (REPR, False)]

CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\", \"days\": 2, \"opts\": {\"unit\": \"°C\", \"x\": [1.5, null, true]}}"}}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": " The weather of a city. ", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "array", "items": {"type": "integer"}}}, "required": ["city"]}}}
CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Hi"}],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "  spaces  \n\n"}],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "日本語 🙂 naïve\r\n\ttab \"quotes\" 'single' \\ <b>&</b>"}],
    [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two\n"}]}],
    [{"role": "user", "content": ["plain", {"type": "input_text", "text": " in "}, {"type": "text", "text": None}]}, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
    [{"role": "developer", "content": "Rules."}, {"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "A"}, {"role": "user", "content": "Hi"}, {"role": "developer", "content": "B", "tools": [TOOL]}, {"role": "user", "content": "Go"}],
    [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "18"}],
    [{"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Calling", "tool_calls": [CALL, {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": ""}}]},
     {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, {"role": "tool", "content": "x"}, {"role": "assistant", "content": "Done."}],
    [{"role": "user", "content": "Think"}, {"role": "assistant", "reasoning": "\nhm\n", "content": "ok"}],
    [{"role": "user", "content": "Think"}, {"role": "assistant", "content": "<think>old</think>\n\nok"}, {"role": "user", "content": "again"}, {"role": "assistant", "content": "so "}],
    [{"role": "user", "content": "named", "name": "bob"}, {"role": "assistant", "content": "", "tool_calls": []}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "g", "arguments": {"a": 1}}}]}],
    [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "g"}}]}],
    [{"role": "critic", "content": "odd role"}],
    [{"role": "user", "content": "{{ 7 * 7 }}{% raw %} not a template"}],
    [{"role": "user", "content": "<s>[INST] <|im_end|> </s>"}],
]
EXTRAS = [
    {}, {"add_generation_prompt": False}, {"tools": [TOOL]}, {"tools": []}, {"continue_final_message": True}, {"chat_template_kwargs": {"enable_thinking": False}},
    {"documents": [{"title": "t", "text": "x"}]}, {"tools": [TOOL, {"name": "bare", "parameters": {}}], "add_generation_prompt": False},
]
