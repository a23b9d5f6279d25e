"""Embeddings per second: Myna and llama-server over HTTP, on one file, in alternating pairs (A B A B).

Each request has 32 short texts, new ones each time. The result is the median of the pairs' ratios and its
interquartile range. Without --llama-server, the engines are called in this process instead, llama.cpp
through llama-cpp-python, and the published FOLDER by sentence-transformers. The seconds are then those of the
processor, of all threads together, which other programs on the machine change less than the clock's; with one
thread, none of them are spent waiting for another thread.

    python bench/embeddings.py --gguf all-minilm-l6-v2-q8_0.gguf --llama-server /path/to/llama-server
    python bench/embeddings.py --gguf all-minilm-l6-v2-q8_0.gguf --folder all-MiniLM-L6-v2 --threads 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from compare import KEY, free_port, server

TEXTS_PER_REQUEST = 32
WORDS = """
the a of and in to is was on for with from by at as it that which one two first last old new small
large river mountain city harbour garden letter window question answer engine model number night
morning winter music teacher student doctor market bridge train paper story science energy water
fire stone glass forest writes reads finds keeps opens closes moves carries turns begins ends grows
falls rises measures explains
"""

Embed = Callable[[list[str]], object]
Clock = Callable[[], float]


def short_texts(random_: random.Random) -> list[str]:
    """Sentences of 8 to 24 words, which are 10 to 30 tokens."""
    words = WORDS.split()
    return [
        " ".join(random_.choice(words) for _ in range(random_.randint(8, 24))) + "."
        for _ in range(TEXTS_PER_REQUEST)
    ]


def over_http(port: int, model: str) -> Embed:
    def embed(texts: list[str]) -> object:
        body = json.dumps({"model": model, "input": texts, "encoding_format": "base64"}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/embeddings", body, headers)
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        assert len(answer["data"]) == len(texts)
        return answer

    return embed


@contextlib.contextmanager
def servers(gguf: Path, llama_server: Path, threads: int) -> Iterator[dict[str, Embed]]:
    """Both servers, with the flags that suit batches of short texts."""
    ours, theirs = free_port(), free_port()
    myna = [sys.executable, "-m", "myna.cli", "serve", str(gguf), "--port", str(ours), "--engine", "native"]
    llama = [str(llama_server), "-m", str(gguf), "--port", str(theirs), "--embedding", "-t", str(threads)]
    llama += ["-tb", str(threads), "-np", str(TEXTS_PER_REQUEST), "-b", "2048", "-ub", "2048"]
    llama += ["-c", str(512 * TEXTS_PER_REQUEST), "--kv-unified", "--no-webui"]
    os.environ["MYNA_THREADS"] = str(threads)
    with (
        server("myna", myna, ours, "/health") as first,
        server("llama-server", llama, theirs, "/health") as second,
    ):
        yield {"myna": over_http(first.port, gguf.stem), "llama-server": over_http(second.port, gguf.stem)}


@contextlib.contextmanager
def engines(gguf: Path, folder: Path | None, threads: int) -> Iterator[dict[str, Embed]]:
    """Both engines in this process, with the same tokens, and sentence-transformers if there is a folder."""
    from myna.engines.registry import load_embedding_engine
    from myna.prompts.gguf import read_header
    from myna.prompts.text_encoder import GgufTextEncoder

    encoder = GgufTextEncoder(read_header(gguf))
    loaded = {
        name: load_embedding_engine(name, str(gguf), context_tokens=512, memory_bytes=0, threads=threads)
        for name in ("native", "llamacpp")
    }

    def embed(engine: str) -> Embed:
        def run(texts: list[str]) -> object:
            tokens, limit = encoder.encode_batch(texts), loaded[engine].info.kv_tokens
            parts: list[list[list[int]]] = [[]]
            for text in tokens:
                if sum(map(len, parts[-1])) + len(text) > limit:
                    parts.append([])
                parts[-1].append(text)
            return [loaded[engine].embed(part) for part in parts]

        return run

    subjects = {"myna": embed("native"), "llama.cpp": embed("llamacpp")}
    if folder:
        subjects["sentence-transformers"] = by_sentence_transformers(folder, threads)
    yield subjects
    for engine in loaded.values():
        engine.close()


def by_sentence_transformers(folder: Path, threads: int) -> Embed:
    """In one batch, as it sorts and pads them; in float32, which is what it loads on a CPU."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(texts, normalize_embeddings=True, batch_size=TEXTS_PER_REQUEST)


def texts_per_s(embed: Embed, clock: Clock, seconds: float, random_: random.Random) -> float:
    """The median request decides, which pauses by other programs don't change."""
    durations = []
    end = clock() + seconds
    while clock() < end or len(durations) < 3:
        texts = short_texts(random_)
        started = clock()
        embed(texts)
        durations.append(clock() - started)
    return TEXTS_PER_REQUEST / statistics.median(durations)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--llama-server", type=Path)
    parser.add_argument("--folder", type=Path, help="the published model, without --llama-server")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5, help="of each half of a pair")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    opened = (
        servers(options.gguf, options.llama_server, options.threads)
        if options.llama_server
        else engines(options.gguf, options.folder, options.threads)
    )
    clock = time.monotonic if options.llama_server else time.process_time
    random_ = random.Random(1)
    with opened as subjects:
        for embed in subjects.values():
            texts_per_s(embed, clock, 1, random_)
        pairs = [
            {name: texts_per_s(embed, clock, options.seconds, random_) for name, embed in subjects.items()}
            for _ in range(options.pairs)
        ]
    ours, *others = subjects
    report: dict[str, object] = {
        "file": options.gguf.name,
        "texts_per_request": TEXTS_PER_REQUEST,
        "threads": options.threads,
        "seconds_of": "the clock" if options.llama_server else "the processor",
        "load": os.getloadavg()[0],
        "texts_per_s": {name: statistics.median(pair[name] for pair in pairs) for name in subjects},
    }
    for name in others:
        ratios = [pair[ours] / pair[name] for pair in pairs]
        quartiles = statistics.quantiles(ratios, n=4)[::2]
        report[f"compared with {name}"] = {"ratio": statistics.median(ratios), "quartiles": quartiles}
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
