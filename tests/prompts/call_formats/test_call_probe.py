"""Which call format each published template has: found by rendering, listed here for all of them."""

from pathlib import Path
from typing import Final

import pytest
from tests.conftest import llama_cpp_models

from myna.prompts.call_probe import find_call_format
from myna.prompts.template_sandbox import CompiledTemplate

# By the templates' file names. "": it writes no calls.
FOUND: Final = {
    "Apertus-8B-Instruct": "apertus",
    "Apriel-1.6-15b-Thinker-fixed": "apriel",
    "Bielik-11B-v3.0-Instruct": "hermes",
    "ByteDance-Seed-OSS": "seed",
    "Cohere2MoE": "command",
    "CohereForAI-c4ai-command-r-plus-tool_use": "command-r-plus",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "command",
    "GLM-4.6": "glm-4.6",
    "GLM-4.7-Flash": "glm-4.7",
    "GigaChat3-10B-A1.8B": "gigachat",
    "GigaChat3.1-10B-A1.8B": "gigachat-3.1",
    "HuggingFaceTB-SmolLM3-3B": "",
    "Kimi-K2-Instruct": "kimi-k2",
    "Kimi-K2-Thinking": "kimi-k2",
    "Kimi-K3": "kimi-k3",
    "LFM2-8B-A1B": "",
    "LFM2.5-8B-A1B": "lfm2",
    "LFM2.5-Instruct": "",
    "MiMo-VL": "hermes",
    "MiniMax-M1": "minimax-m1",
    "MiniMax-M2": "minimax-m2",
    "MiniMax-M3": "minimax-m3",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-small-3.2",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "qwen3-coder",
    "NVIDIA-Nemotron-Nano-v2": "nemotron-v2",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "Qwen-QwQ-32B": "hermes",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "Qwen3-Coder": "qwen3-coder",
    "Qwen3.5-4B": "qwen3-coder",
    "Reka-Edge": "reka",
    "Spark2.5": "glm-4.7",
    "StepFun3.5-Flash": "step",
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek-r1",
    "deepseek-ai-DeepSeek-V3.1": "deepseek-v3.1",
    "deepseek-ai-DeepSeek-V3.2": "deepseek-v3.2",
    "deepseek-ai-DeepSeek-V4": "deepseek-v4",
    "deepseek-ai-DeepSeek-V4-Flash-0731": "deepseek-v4",
    "fireworks-ai-llama-3-firefunction-v2": "firefunction",
    "google-gemma-2-2b-it": "",
    "google-gemma-4-31B-it": "gemma-4",
    "google-gemma-4-31B-it-interleaved": "gemma-4",
    "ibm-granite-granite-3.3-2B-Instruct": "granite-3",  # it writes none, but describes the form
    "ibm-granite-granite-4.0": "hermes",
    "ibm-granite-granite-4.1": "hermes",
    "inclusionai-ling-3.0-flash": "ling",
    "llama-cpp-deepseek-r1": "deepseek-r1",
    "llama-cpp-rwkv-world": "",
    "meetkai-functionary-medium-v3.1": "functionary-3.1",
    "meetkai-functionary-medium-v3.2": "functionary-3.2",
    "meta-llama-Llama-3.1-8B-Instruct": "parameters",
    "meta-llama-Llama-3.2-3B-Instruct": "parameters",
    "meta-llama-Llama-3.3-70B-Instruct": "parameters",
    "microsoft-Phi-3.5-mini-instruct": "",
    "mistralai-Ministral-3-14B-Reasoning-2512": "devstral",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "moonshotai-Kimi-K2": "kimi-k2",
    "muse-glimmer": "muse",
    "openbmb-MiniCPM5-1B": "minicpm5",
    "poolside-Laguna-S-2.1": "glm-4.7",
    "poolside-Laguna-XS-2.1": "glm-4.6",
    "poolside-Laguna-XS.2": "glm-4.6",
    "tencent-Hy3": "hunyuan",
    "unsloth-Apriel-1.5": "apriel",
    "unsloth-mistral-Devstral-Small-2507": "devstral",
    "upstage-Solar-Open-100B": "solar",
}
_ELSEWHERE: Final = {"openai-gpt-oss-120b"}  # see test_harmony_calls.py


def sources() -> list[Path]:
    return sorted((llama_cpp_models() / "templates").glob("*.jinja"))


def test_every_published_template_is_listed() -> None:
    assert {path.stem for path in sources()} - _ELSEWHERE == FOUND.keys()


@pytest.mark.parametrize("name", FOUND)
def test_a_templates_format_is_the_one_whose_text_it_writes(name: str) -> None:
    template = CompiledTemplate((llama_cpp_models() / "templates" / f"{name}.jinja").read_text())

    def render(*messages: object, **more: object) -> str:
        variables = {"messages": messages, "add_generation_prompt": True, "bos_token": "", "eos_token": ""}
        variables |= {"functions": "", "datetime": ""}  # firefunction's
        return template.render(variables | more)

    assert find_call_format(render) == FOUND[name]


def test_words_in_a_template_are_not_a_format() -> None:
    """A template that only removes tags, as some do with thoughts, or mentions them in a comment."""
    source = (
        "{# <tool_call>, [TOOL_CALLS] #}{% for m in messages %}{{ m.role }}: "
        "{{ m.content.split('<tool_call>')[0] }}\n{% endfor %}"
    )
    template = CompiledTemplate(source)

    def render(*messages: object, **more: object) -> str:
        return template.render({"messages": messages, "add_generation_prompt": True} | more)

    assert find_call_format(render) == ""
