"""What is found out about the thoughts of each chat template that llama.cpp publishes."""

from typing import Final

from tests.conftest import llama_cpp_models

from myna.core.conversation import Message, ToolCall, ToolSpec
from myna.core.harmony import ANALYSIS, END, FINAL, START
from myna.core.renderer import Thinking
from myna.prompts.template import ChatTemplate
from myna.prompts.template_probe import find_features

# template: marks of the thought and of the answer, what is known of it, levels and variables of its own.
THOUGHTS: Final = {
    "Apertus-8B-Instruct": ("<|inner_prefix|> … <|inner_suffix|>", "skips known", ""),
    "Apriel-1.6-15b-Thinker-fixed": (
        "Here are my reasoning steps: … [BEGIN FINAL RESPONSE]",
        "default open known",
        "",
    ),
    "Bielik-11B-v3.0-Instruct": ("<think> … </think>", "skips open known", ""),
    "ByteDance-Seed-OSS": (
        "<seed:think> … </seed:think>",
        "skips default known",
        "skip:thinking_budget=0 thinking_budget",
    ),
    "Cohere2MoE": (
        "<|START_THINKING|> … <|END_THINKING|> <|START_TEXT|> … <|END_TEXT|>",
        "skips default open known",
        "skip:reasoning_effort=none",
    ),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": (
        "<|START_THINKING|> … <|END_THINKING|> <|START_RESPONSE|> … <|END_RESPONSE|>",
        "skips known",
        "",
    ),
    "GLM-4.6": ("<think> … </think>", "skips default known", ""),
    "GLM-4.7-Flash": ("<think> … </think>", "skips default open known", ""),
    "HuggingFaceTB-SmolLM3-3B": ("<think> … </think>", "skips default known", ""),
    "Kimi-K2-Thinking": ("<think> … </think>", "default", ""),
    "Kimi-K3": (
        "<|open|>think<|sep|> … <|close|>think<|sep|> <|open|>response<|sep|> … <|close|>response<|sep|>",
        "skips default open known",
        "low/high/max",
    ),
    "LFM2.5-8B-A1B": ("<think> … </think>", "default", ""),
    "LFM2.5-Instruct": ("<think> … </think>", "default", ""),
    "MiniMax-M2": ("<think> … </think>", "default open known", ""),
    "MiniMax-M3": ("<mm:think> … </mm:think>", "skips open known", ""),
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ("<think> … </think>", "skips default open known", ""),
    "NVIDIA-Nemotron-Nano-v2": ("<think> … </think>", "default open known", ""),
    "Qwen-QwQ-32B": ("<think> … </think>", "skips open known", ""),
    "Qwen-Qwen3-0.6B": ("<think> … </think>", "skips default known", ""),
    "Qwen3.5-4B": ("<think> … </think>", "skips default open known", ""),
    "Reka-Edge": ("<think> … </think>", "skips open known", ""),
    "Spark2.5": ("<think> … </think>", "skips default open known", ""),
    "StepFun3.5-Flash": ("<think> … </think>", "default open known", ""),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": ("<think> … </think>", "default open known", ""),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ("<think> … </think>", "skips open known", ""),
    "deepseek-ai-DeepSeek-V3.1": ("<think> … </think>", "skips open known", ""),
    "deepseek-ai-DeepSeek-V3.2": ("<think> … </think>", "skips open known", ""),
    "deepseek-ai-DeepSeek-V4-Flash-0731": (
        "<think> … </think>",
        "skips open known",
        "minimal/low/medium/high/xhigh/max",
    ),
    "deepseek-ai-DeepSeek-V4": (
        "<think> … </think>",
        "skips open known",
        "minimal/low/medium/high/xhigh/max",
    ),
    "google-gemma-4-31B-it-interleaved": ("<|channel>thought … <channel|>", "skips known", ""),
    "google-gemma-4-31B-it": ("<|channel>thought … <channel|>", "skips known", ""),
    "ibm-granite-granite-3.3-2B-Instruct": ("<think> … </think>", "skips known", ""),
    "inclusionai-ling-3.0-flash": ("<think> … </think>", "skips default open known", ""),
    "llama-cpp-deepseek-r1": ("<think> … </think>", "default open known", ""),
    "llama-cpp-rwkv-world": ("<think> … </think>", "skips open known", ""),
    "mistralai-Ministral-3-14B-Reasoning-2512": ("[THINK] … [/THINK]", "default", ""),
    "muse-glimmer": (
        "to=self<|message|> … <|eom|><|start|>assistant to=user<|message|> … <|eot|>",
        "default known",
        "low/medium/high",
    ),
    "openai-gpt-oss-120b": (
        "<|channel|>analysis<|message|> … <|end|><|start|>assistant <|channel|>final<|message|> … <|return|>",
        "default known harmony",
        "low/medium/high",
    ),
    "openbmb-MiniCPM5-1B": ("<think> … </think>", "skips open known", ""),
    "poolside-Laguna-S-2.1": ("<think> … </think>", "skips default open known", ""),
    "poolside-Laguna-XS-2.1": ("<think> … </think>", "skips open known", ""),
    "poolside-Laguna-XS.2": ("<think> … </think>", "skips open known", ""),
    "tencent-Hy3": (
        "<think:opensource> … </think:opensource>",
        "skips open known",
        "low/high think:reasoning_effort=high skip:reasoning_effort=no_think",
    ),
    "unsloth-Apriel-1.5": (
        "Here are my reasoning steps: … [BEGIN FINAL RESPONSE]  … [END FINAL RESPONSE]",
        "default",
        "",
    ),
    "upstage-Solar-Open-100B": (
        "<|think|> … <|end|><|begin|>assistant <|content|> … <|end|>",
        "skips default known",
        "skip:reasoning_effort=minimal",
    ),
}


def described(thinking: Thinking) -> tuple[str, str, str]:
    marks = f"{thinking.begin} … {thinking.end}"
    if thinking.answer or thinking.close:
        marks += f" {thinking.answer} … {thinking.close}"
    flags = {
        "skips": thinking.can_skip,
        "default": thinking.is_default,
        "open": thinking.is_open,
        "known": thinking.is_known,
        "harmony": thinking.is_harmony,
    }
    words = [f"think:{name}={value}" for name, value in thinking.think.items()]
    words += [f"skip:{name}={value}" for name, value in thinking.skip.items()]
    words += [thinking.budget] if thinking.budget else []
    levels = ["/".join(thinking.efforts)] if thinking.efforts else []
    return marks, " ".join(flag for flag, is_set in flags.items() if is_set), " ".join([*levels, *words])


def test_the_thoughts_of_all_published_templates_are_found() -> None:
    found = {}
    for path in sorted((llama_cpp_models() / "templates").glob("*.jinja")):
        thinking = find_features(path.read_text(), bos="<s>", eos="</s>").thinking
        if thinking is not None:
            found[path.stem] = described(thinking)
    assert found == THOUGHTS


def test_what_ends_a_turn_after_its_answer_is_found() -> None:
    source = (llama_cpp_models() / "templates" / "Kimi-K3.jinja").read_text()
    thinking = find_features(source, bos="", eos="").thinking
    assert thinking is not None
    assert thinking.ending == "<|close|>message<|sep|><|end_of_msg|>"


def test_gpt_oss_sees_a_thought_until_its_question_is_answered() -> None:
    source = (llama_cpp_models() / "templates" / "openai-gpt-oss-120b.jinja").read_text()
    template = ChatTemplate.load(source, bos="", eos="")
    call = ToolCall("call_1", "weather", '{"city": "Bern"}')
    messages = [
        Message.of("user", "Warm?"),
        Message.of("assistant", None, tool_calls=(call,), reasoning="I look."),
        Message.of("tool", "18C", tool_call_id="call_1"),
    ]
    looking = template.render(messages, tools=[ToolSpec("weather")], switches={"reasoning_effort": "high"})
    assert f"{START}{ANALYSIS}I look.{END}{START} to=functions.weather" in looking
    assert "Reasoning: high" in looking
    answered = [
        *messages,
        Message.of("assistant", "Yes.", reasoning="So it is."),
        Message.of("user", "Sure?"),
    ]
    later = template.render(answered, tools=[ToolSpec("weather")])
    assert f"{START} to=functions.weather" in later
    assert f"{START}{FINAL}Yes.{END}" in later
    assert "Reasoning: medium" in later
    assert "I look." not in later
    assert "So it is." not in later
