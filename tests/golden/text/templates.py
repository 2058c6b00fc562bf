# SPDX-License-Identifier: Apache-2.0
# Templates and data for the chat template interpreter: common kinds of real ones, written anew, and
# small ones about one thing each.
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
CHATML_SYSTEM = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helper<|im_end|>\n' }}"
                 "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                 "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}\n")
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
          "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
          "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA31 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system message comes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
MISTRAL = ("{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
           "{{ raise_exception('roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
           "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('unknown role') }}{% endif %}{% endfor %}")
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nYou may call one or more functions.\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nAnswer each call in <tool_call></tool_call> tags.<|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
REAL = [CHATML, CHATML_SYSTEM, LLAMA3, LLAMA31, ZEPHYR, MISTRAL, QWEN]

CHATS = [
    {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    {"messages": [{"role": "system", "content": "  Be brief. "}, {"role": "user", "content": "What is 2+2?\n"}, {"role": "assistant", "content": "4"},
                  {"role": "user", "content": "日本語 🙂 <|im_end|>"}], "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}], "add_generation_prompt": False},
    {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": "get", "arguments": {"city": "Paris", "n": 3, "x": 1.5, "y": None, "z": [True, "é\"\n"]}}}]},
        {"role": "tool", "content": "{\"t\": 20}"}, {"role": "tool", "content": "ok"}],
     "tools": [{"type": "function", "function": {"name": "get", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": []}}}],
     "add_generation_prompt": True},
    {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]},
    {"messages": []},
]

DATA = {"a": 1, "b": -7, "f": 2.5, "s": "Hello, World", "u": "héé 日本", "e": "", "l": [1, 2, 3, "x"], "d": {"k": "v", "items": 5, "n": None}, "t": True,
        "n": None, "ws": "  \t x y \n", "nested": [{"name": "p", "v": 1, "o": {"q": "r"}}, {"name": "q", "v": 2, "o": {"q": "s"}}], "big": 123456789012345678,
        "fs": [1.0, 0.1, 1e16, 1e15, 1e-5, 0.0001, 1.5e300, -0.0, 3.14159, 100.0], "q": "it's \"q\" \\ \u0001\u007f\u00a0"}
SMALL = [
    "", "x", "x\n", "x\n\n", "\n", "{{ a }}", "{{ a }}\n", "{{ a }}\n\n", "  {{ a }}  ", "{% if t %}\nx\n{% endif %}\ny", "  {% if t %}  \n  x\n  {% endif %}\ny",
    "a {% if t %} b {% endif %} c", "a\n  {%- if t %} b {% endif -%} \n c", "a  {#- c -#}  b", "a {# c #}\nb", "\n  {# c #}\nb", "{{- a -}}", " {{- a -}} \n x", "x {%+ if t %}y{% endif %}",
    "x\n  {%+ if t %}\ny{% endif %}", "{% if t +%}\nx{% endif %}", "{% set x = 1 %}\n{{ x }}", "{{ n }}{{ t }}{{ f }}{{ missing }}", "{{ l }}{{ d }}", "{{ fs }}", "{{ fs | tojson }}", "{{ q }}{{ [q] }}{{ q | tojson }}",
    "{{ d | tojson }}{{ d | tojson(indent=2) }}{{ [] | tojson(indent=2) }}{{ {} | tojson }}", "{{ u | tojson(ensure_ascii=True) }}", "{{ a + 1 }} {{ a - 1 }} {{ b // 2 }} {{ b % 3 }} {{ b / 2 }} {{ a * 3 }}", "{{ 7 // -2 }} {{ 7 % -3 }} {{ 2.5 // 1 }} {{ -7.5 % 2 }}",
    "{{ s + ' ' + u }}", "{{ s ~ a ~ n ~ f ~ missing }}", "{{ 'a' + 1 }}", "{{ a == 1.0 }} {{ a == true }} {{ 'a' < 'b' }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}", "{{ 1 in l }} {{ 'x' in l }} {{ 'Hell' in s }} {{ 'k' in d }} {{ 'z' not in d }} {{ 1 not in l }}",
    "{{ not t }} {{ t and a }} {{ e or 'z' }} {{ n and a }} {{ not e and t }}", "{{ 'y' if t else 'n' }} {{ 'y' if e }}|", "{{ l[0] }} {{ l[-1] }} {{ l[9] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:] }} {{ l[3:1] }} {{ l[3:0:-1] }}",
    "{{ u[0] }} {{ u[1] }} {{ u[-1] }} {{ u[1:4] }} {{ u[::-1] }} {{ s[:5] }}", "{{ d.k }} {{ d['k'] }} {{ d['items'] }} {{ d.n }} {{ d.zz }} {{ d['zz'] }}", "{{ missing.a }}", "{{ n.a }}|", "{{ missing | length }} {{ e | length }} {{ u | length }} {{ d | length }} {{ l | length }}", "{{ n | length }}",
    "{{ ws | trim }}|{{ ws.strip() }}|{{ ws.lstrip() }}|{{ ws.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ n | trim }}", "{{ s.upper() }} {{ s | lower }} {{ s.title() }} {{ 'aBC dEF' | capitalize }} {{ 'a-b c1d' .title() }}", "{{ s.split(', ') }} {{ ws.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b  c d'.split(none, 2) }} {{ ''.split() }} {{ ''.split(',') }}",
    "{{ s.replace('l', 'L') }} {{ s | replace('o', '') }} {{ s.startswith('He') }} {{ s.endswith('x') }} {{ s.startswith(('x', 'H')) }} {{ s.find('W') }} {{ s.find('z') }} {{ s.count('l') }}", "{{ l | join(', ') }} {{ l | join }} {{ '-'.join(['a', 'b']) }} {{ u | join('.') }}",
    "{{ l | first }} {{ l | last }} {{ [] | first }} {{ l | list }} {{ u | list }} {{ d | list }} {{ l | reverse | list }}", "{{ missing | default('x') }} {{ e | default('x') }} {{ e | default('x', true) }} {{ n | d('x') }}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d | items %}{{ k }}={{ v }};{% endfor %}{{ d.keys() | list }}{{ d.values() | list }}{{ d.get('k') }}{{ d.get('z') }}{{ d.get('z', 1) }}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}", "{% for x in l if x != 2 %}{{ x }}{{ loop.length }}{% endfor %}", "{% for x in l %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 'x' %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in missing %}x{% endfor %}ok", "{% for x in n %}x{% endfor %}",
    "{% for c in u %}{{ c }}.{% endfor %}", "{% set x = 1 %}{% for i in l %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% set ns = namespace(x=1, y='a') %}{% for i in l %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}", "{% set x, y = 1, 2 %}{{ y }}{{ x }}",
    "{% set x %}a{{ a }}b{% endset %}{{ x }}|{{ x | length }}", "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(1, 10, 3) | list }}{{ range(5, 0, -2) | list }}", "{{ raise_exception('no') }}", "{{ missing is defined }} {{ a is defined }} {{ n is none }} {{ s is string }} {{ a is string }} {{ d is mapping }} {{ l is iterable }} {{ l is sequence }} {{ a is iterable }} {{ d is sequence }}",
    "{{ a is number }} {{ f is float }} {{ a is integer }} {{ t is integer }} {{ t is boolean }} {{ t is true }} {{ e is false }} {{ a is odd }} {{ a is even }} {{ a is not defined }} {{ not a is defined }} {{ a is eq 1 }} {{ a is eq(2) }} {{ a is in [1] }}", "{{ nested | map(attribute='name') | join(',') }} {{ nested | map(attribute='o.q') | list }} {{ ['a'] | map('upper') | list }}",
    "{{ nested | selectattr('name', 'equalto', 'p') | list }} {{ nested | rejectattr('v', 'eq', 1) | list | length }} {{ nested | selectattr('v') | list | length }} {{ l | select('string') | list }} {{ l | reject('string') | list }}", "{{ '12' | int }} {{ 'x' | int }} {{ 3.9 | int }} {{ a | string + 'x' }} {{ t | string }}", "{{ [1, 'a', none, true, 1.0, [2], {'k': 'v'}] }}{{ (1, 2)[0] }}{{ 'a' 'b' }}",
    "{{ {'a': 1, 'b': [1, 2]}.b[1] }}{{ {'a': 1}['a'] }}", "{{ a if a > 0 else b if b > 0 else f }}", "{{ -a }} {{ - f }} {{ +a }} {{ 1 - -1 }} {{ -l[0] }} {{ 2 * (3 + 4) }} {{ 1 + 2 * 3 ~ 'x' }}", "{{ [1] + [2] }} {{ 'ab' * 2 }} {{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ l.append(1) }}", "{{ d.__class__ }}|", "{{ 'a\\nb\\t\\'\\u00e9\\x41' }}", "{{ \"a'b\" }}", "{% if a == 1 %}1{% elif a == 2 %}2{% else %}3{% endif %}",
    "{% if b == 1 %}1{% elif b == -7 %}2{% else %}3{% endif %}", "{% if missing %}1{% else %}2{% endif %}", "{% generation %}x{% endgeneration %}", "{{ missing | tojson }}", "{{ big }} {{ big | tojson }}", "{{ s | length > 3 and l | length == 4 }}", "{{ ('a' ~ 'b') | upper }}", "{{ nested[0].o.q }}{{ nested[0]['o']['q'] }}{{ nested[-1].name }}", "{{ a.b.c }}", "{{ l.0 }}", "{% for a, b in [[1, 2], [3, 4]] %}{{ a + b }},{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}", "{{ 1_000 }} {{ 1.5 }}", "{% if not (a == 1 or b) and t %}x{% else %}y{% endif %}", "{{ s is string and s | length > 2 }}", "{{ e is none or e == '' }}", "{{ 'x' if missing is defined and missing else 'y' }}", "{{ d.items }}"[:0] + "{{ d['items'] + 1 }}", "{{ strftime_now is defined }}", "{{ ' a ' ~ ws | trim ~ 'b' }}",
    "{{ s | safe }}", "{{ none == missing }} {{ missing == missing2 }} {{ 1 == '1' }} {{ [1] == [1.0] }} {{ {'a': 1} == {'a': true} }}", "a\r\nb\rc", "{% set x = 'a\n' %}{{ x }}", "{{ '{{ x }}' }}{{ '%}' }}", "x{% if t %}\r\ny{% endif %}", "{%if t%}x{%endif%}", "{{a}}{{-a}}", "{{ a\n+\n1 }}", "{{ ['a', 'b',] }}{{ {'a': 1,} }}",
    # what is wrong or not known
    "{{ a", "{% if t %}", "{% endif %}", "{{ 'abc }}", "{% for x in %}{% endfor %}", "{{ a b }}", "{% foo %}", "{{ a | nofilter }}", "{{ a is notest }}", "{% set 1 = 2 %}", "{{ [1, }}", "{{ a..b }}", "{# x", "{{ }}", "{% else %}", "{% break %}", "{{ nofunc() }}", "{{ s.nomethod() }}", "{{ @ }}", "{% for x in l %}{% endif %}{% endfor %}",
]
