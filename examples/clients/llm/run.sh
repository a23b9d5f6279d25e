#!/usr/bin/env bash
# llm (https://llm.datasette.io) with a model of an OpenAI-compatible server, in a separate settings folder.
set -euo pipefail
export LLM_USER_PATH=${LLM_USER_PATH:-$(mktemp -d)}
cat > "$LLM_USER_PATH/extra-openai-models.yaml" <<YAML
- model_id: myna
  model_name: qwen2.5-coder-0.5b-instruct
  api_base: ${OPENAI_BASE_URL}
  api_key_name: myna
  supports_tools: true
  supports_schema: true
YAML
llm keys set myna --value "$OPENAI_API_KEY"
llm -m myna -o temperature 0 -o max_tokens 20 "Say hello in Spanish."
llm -m myna -o temperature 0 --schema 'name, age int' "Ann is 34 years old."
