"""What a vLLM worker says about models that vLLM refuses."""

from pydantic import BaseModel, ValidationError, field_validator

from myna.workers.vllm.engine import reason_of


class Config(BaseModel):
    """Refuses everything as vLLM's does."""

    model: str

    @field_validator("model")
    @classmethod
    def refuse(cls, model: str) -> str:
        raise ValueError(f"no model type `{model}`.\n\nUpdate Transformers.")


def test_the_reason_is_given_without_its_frame() -> None:
    try:
        Config(model="fancy")
    except ValidationError as error:
        assert reason_of(error) == "no model type `fancy`."
    assert reason_of(RuntimeError("out of memory")) == "out of memory"
