"""lm-eval's local-completions: a small task scored by log-probability, with prompts as text and as token ids.

Usage: run.py MODEL.gguf (the tokenizer is read from that file)
"""

import os
import sys
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.tasks import TaskManager
from tokenizer_of_gguf import save_tokenizer

here = Path(__file__).parent
weights = Path(sys.argv[1]).resolve()
os.chdir(here)  # the task names its questions by a relative path
with tempfile.TemporaryDirectory() as tokenizer:
    save_tokenizer(weights, tokenizer)
    for name, as_ids in (("text", False), ("token ids", True)):
        results = lm_eval.simple_evaluate(
            model="local-completions",
            model_args={
                "model": "qwen2.5-coder-0.5b-instruct",
                "base_url": os.environ["OPENAI_BASE_URL"] + "/completions",
                "tokenizer": tokenizer,
                "tokenized_requests": as_ids,
                "max_length": 512,
                "num_concurrent": 1,
            },
            tasks=["capitals"],
            task_manager=TaskManager(include_path=str(here), include_defaults=False),
            batch_size=4,
            bootstrap_iters=0,
        )
        print(name, results["results"]["capitals"]["acc,none"])
