"""The chat templates of the table, each in the form and file in which makers ship it."""

from collections.abc import Callable
from typing import Any, NamedTuple

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set said = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set messages = messages[1:] %}"
    "{% else %}{% set said = '' %}{% endif %}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ ' [INST] ' + (said if loop.first else '') + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for m in messages %}{% set said = '<|im_start|>' + m['role'] + '<|im_end|>\n\n' + m['content'] | trim + '<|bot|>' %}"
    "{% if loop.first %}{% set said = bos_token + said %}{% endif %}{{ said }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_end|>\n\n' }}{% endif %}"
)
ALTERNATES = (
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}" + ALTERNATES + "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    + ALTERNATES
    + "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
QWEN3 = (
    "{%- for message in messages %}\n    {%- set said = message.content %}\n"
    "    {%- if message.role == 'assistant' and '</think>' in said %}\n"
    "        {%- set said = said.split('</think>')[-1].lstrip('\\n') %}\n    {%- endif %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + said + '<|im_end|>\\n' }}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n        {{- '<think>\\n\\n</think>\\n\\n' }}\n"
    "    {%- endif %}\n{%- endif %}\n"
)
GENERATION = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ '<|im_start|>assistant\n' + m.content }}"
    "{{ '<|im_end|>' }}{% endgeneration %}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOJSON = "{% for m in messages %}{{ m | tojson }}\n{{ m.content | tojson(indent=2) }}{{ eos_token }}{% endfor %}assistant:"
LOOPS = (
    "{% for m in messages %}{% if not m.content | trim %}{% continue %}{% endif %}"
    "{{ '### ' + m.role | upper + ':\n' + m.content }}"
    "\n\n{% if loop.index > 8 %}{% break %}{% endif %}{% endfor %}{{ '### ASSISTANT:\n' }}"
)
YEAR = "{{ bos_token }}Now: {{ strftime_now('%Y') }}\n" + CHATML  # of a year, so that midnight seldom makes a test fail
TOOLS = "{% for tool in tools %}{{ tool | tojson }}{% endfor %}" + CHATML
NO_END = "{% for m in messages %}{{ m.role + ': ' + m.content }}\n{% endfor %}assistant:"


class Template(NamedTuple):
    """`setting` is `chat_template` of tokenizer_config.json; `files` stand beside it. `system`: it takes such a message."""

    setting: Any = None
    files: dict[str, str] = {}  # noqa: RUF012 (nobody writes to it)
    system: bool = True
    chats: bool = True


def _named(**templates: str) -> list[dict[str, str]]:
    return [{"name": name, "template": template} for name, template in templates.items()]


TEMPLATES: dict[str, Template] = {
    "ChatML": Template(CHATML),
    "none": Template(chats=False),
    "chat_template.jinja": Template(files={"chat_template.jinja": CHATML}),
    "chat_template.jinja beside a string": Template(NO_END, {"chat_template.jinja": CHATML}),
    "a list with a default": Template(_named(default=CHATML, tool_use=TOOLS, rag=NO_END)),
    "a list without a default": Template(_named(tool_use=TOOLS), chats=False),
    "additional_chat_templates/": Template(
        files={"chat_template.jinja": CHATML, "additional_chat_templates/tool_use.jinja": TOOLS}
    ),
    "Llama 2": Template(LLAMA2),
    "Llama 3": Template(LLAMA3),
    "Gemma": Template(GEMMA, system=False),
    "Mistral": Template(MISTRAL, system=False),
    "Qwen 3": Template(QWEN3),
    "a date": Template(YEAR),
    "{% generation %}": Template(GENERATION),
    "tojson": Template(TOJSON),
    "loop controls": Template(LOOPS),
    "no end of turn": Template(NO_END),
}


def chats(texts: tuple[str, ...], template: Template) -> list[list[dict[str, str]]]:
    """A chat about each text: a question alone, one under a system message, and one behind an earlier exchange, in turn."""
    forms: list[Callable[[str], list[tuple[str, str]]]] = [
        lambda text: [("user", text)],
        lambda text: [("system", text), ("user", "Who are you?")],
        lambda text: [("user", "Who are you?"), ("assistant", text), ("user", "And what else?")],
        lambda text: [("system", "Be brief."), ("user", "Hello"), ("assistant", "A fox."), ("user", text)],
    ]
    usable = [form for form in forms if template.system or form("")[0][0] != "system"]
    return [
        [{"role": role, "content": content} for role, content in usable[n % len(usable)](text)] for n, text in enumerate(texts)
    ]
