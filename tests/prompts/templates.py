"""Chat templates in the manner of several families, written for tests."""

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
FIRST_SYSTEM_ONLY = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}"
    "{{ raise_exception('system must come first') }}{% endif %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
)
DEVELOPER = (
    "{% for m in messages %}<|{{ 'developer' if m.role == 'developer' else m.role }}|>{{ m.content }}"
    "{% endfor %}"
)
ARGUMENTS_AS_TEXT = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name + '(' + c.function.arguments + ')' }}{% endfor %}\n"
    "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
)
ARGUMENTS_AS_EITHER = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}"
    "call:{{ c.function.name }}{{ '{' }}{% if c.function.arguments is mapping %}"
    "{% for k, v in c.function.arguments.items() %}{{ k }}:{{ v }}{% endfor %}"
    "{% else %}{{ c.function.arguments }}{% endif %}{{ '}' }}{% endfor %}\n{% endfor %}{{ tools }}"
)
TYPED_PARTS = (
    "{% for m in messages %}{{ m.role }}: "
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}\n{% endfor %}"
)
SHORT_IDS = (
    "{% for m in messages %}{% for c in m.tool_calls or [] %}{% if c.id | length != 9 %}"
    "{{ raise_exception('ids have length 9') }}{% endif %}"
    "{{ c.function.name ~ (c.function.arguments | tojson) }}#{{ c.id }} {% endfor %}"
    "{% if m.role == 'tool' %}{{ m.content }}#{{ m.tool_call_id }} "
    "{% elif m.content is not none %}{{ 'EMPTY' + m.content[0] + m.content[1:] }}{% endif %}{% endfor %}"
)
# As SmolLM3's makers write it: calls are only described, and earlier ones not written.
XML_TOOLS = (
    "{% if xml_tools %}<tools>{% for t in xml_tools[:] %}{{ t | string }}\n{% endfor %}</tools> Call with "
    "<tool_call>\n{'name': …}\n</tool_call>\n{% endif %}{% for m in messages %}<|im_start|>"
    "{{ 'user' if m.role == 'tool' else m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NAMED_RESULTS = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ '[' + m.name + ']' }}{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
)
THINKING = "{% for m in messages %}[{{ m.thinking }}]{{ m.content }}{% endfor %}"
UNGUARDED = (
    "{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}"
)
LAST_SYSTEM_WINS = (
    "{% set n = namespace(s='') %}"
    "{% for m in messages if m.role == 'system' %}{% set n.s = m.content %}{% endfor %}{{ '{' ~ n.s ~ '}' }}"
    "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
)
KNOWN_ROLES = (
    "{% for m in messages if m.role in ('user', 'assistant') %}[{{ m.role }}]{{ m.content }}{% endfor %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}[INST]{{ m.content }}[/INST]{% endfor %}"
)
FURNISHED = (
    "{%- for m in messages %}\n    {%- if m.role == 'skip' %}\n        {%- continue %}\n    {%- endif %}\n"
    "    {% generation %}{{ m | tojson(indent=2) }}{% endgeneration %}\n"
    "{%- endfor %}\n{{ strftime_now('%Y') | length }}{{ ('a' ~ 1 ~ none) }}{{ '%02d' % 7 }}"
)
_TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
)
HYBRID = (
    _TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
ON_REQUEST = (
    _TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if thinking %}<think>{% else %}</think>{% endif %}{% endif %}"
)
ALWAYS = _TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
DROPS_OLD = (
    "{% for m in messages %}<|{{ m.role }}|>{{ (m.content or '').split('</think>')[-1] }}{% endfor %}<|go|>"
)
EFFORT = (
    "[EFFORT]{{ reasoning_effort | default('medium') }}[/EFFORT]"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{# thoughts: [THINK]...[/THINK] #}"
)
