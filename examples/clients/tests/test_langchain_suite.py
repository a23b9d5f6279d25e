"""LangChain's own integration tests of a chat model, for its OpenAI client against a Myna server."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


@pytest.mark.usefixtures("server")
class TestChatOpenAI(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "qwen2.5-coder-0.5b-instruct",
            "temperature": 0,
            "max_tokens": 400,
            "max_retries": 0,
            "stream_usage": True,
        }

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        # At temperature 0 a small model repeats itself endlessly inside a string; this prevents that.
        return {"frequency_penalty": 0.3}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": [], "stream": []}
