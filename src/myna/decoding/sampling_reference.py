"""Sampling in plain numpy: the reference for the extension, and the fallback where it isn't built."""

import numpy as np
import numpy.typing as npt

from myna.decoding.sampling_batch import Bitmask, Floats, RowStatus, Sampled, SamplingBatch

Doubles = npt.NDArray[np.float64]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
_FLOOR = np.float32(-87)
_COLDEST = np.float32(1e-30)


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second & _WORD, (first >> 32) ^ c3 ^ k1, first & _WORD
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def uniform(seed: int, choice: int, position: int) -> float:
    """In [0, 1), 53 bits, determined by the request's seed, the choice and the token's position."""
    low, high, _, _ = philox((position, 0, choice, 0), (seed & _WORD, seed >> 32))
    return float(((high << 32 | low) >> 11) * 2.0**-53)


def sample(logits: Floats, batch: SamplingBatch, out: Sampled) -> None:
    _check(logits, batch)
    for index in range(len(batch)):
        raw = np.asarray(logits[batch.row[index]])
        if np.isnan(raw).any() or (raw == np.inf).any():
            out.status[index] = RowStatus.BAD_LOGITS
            continue
        scores = _scores(raw, batch, index)
        if (scores == np.inf).any():
            out.status[index] = RowStatus.BAD_LOGITS
            continue
        token = _draw(scores, batch, index)
        if token < 0:
            out.status[index] = RowStatus.NOTHING_ALLOWED
            continue
        out.tokens[index] = token
        if batch.num_logprobs[index] >= 0:
            _report(raw, token, int(batch.num_logprobs[index]), out, index)


def score(logits: Floats, targets: npt.NDArray[np.int32], num_top: int, out: Sampled) -> None:
    if len(targets) and not 0 <= targets.min() <= targets.max() < logits.shape[1]:
        raise ValueError("a target is outside the vocabulary")
    for index, target in enumerate(targets):
        raw = np.asarray(logits[index])
        if np.isnan(raw).any() or (raw == np.inf).any() or not (raw > -np.inf).any():
            out.status[index] = RowStatus.BAD_LOGITS
            continue
        out.tokens[index] = target
        _report(raw, int(target), num_top, out, index)


def _check(logits: Floats, batch: SamplingBatch) -> None:
    num_rows, vocab_size = logits.shape
    num_draws = len(batch)
    if num_draws and not 0 <= batch.row.min() <= batch.row.max() < num_rows:
        raise ValueError("a draw's row is not a row of the logits")
    for values in (batch.temperature, batch.top_p, batch.min_p):
        if len(values) != num_draws or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("temperature, top-p and min-p must be one number >= 0 per draw")
    repetition = batch.repetition_penalty
    if len(repetition) != num_draws or not np.isfinite(repetition).all() or (repetition <= 0).any():
        raise ValueError("a repetition penalty must be one number above 0 per draw")
    num_prompts = 0 if batch.prompt_offsets is None else len(batch.prompt_offsets) - 1
    num_biases = 0 if batch.bias_offsets is None else len(batch.bias_offsets) - 1
    for num_lists, offsets, tokens, entries in (
        (num_draws, batch.count_offsets, batch.count_tokens, batch.count_values),
        (num_prompts, batch.prompt_offsets, batch.prompt_tokens, batch.prompt_tokens),
        (num_biases, batch.bias_offsets, batch.bias_tokens, batch.bias_values),
    ):
        if offsets is None or tokens is None or entries is None:
            continue
        if len(offsets) != num_lists + 1 or len(tokens) != len(entries) or offsets[-1] != len(tokens):
            raise ValueError("offsets of counts, prompts or biases don't match their entries")
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size:
            raise ValueError("a count, prompt or bias has a token outside the vocabulary")
    for count, rows in ((num_prompts, batch.prompt_row), (num_biases, batch.bias_row)):
        if count and (rows is None or not (rows < count).all()):
            raise ValueError("a draw's prompt or bias is not one of the lists")
    if batch.masks is not None:
        if batch.mask_row is None or not (batch.mask_row < len(batch.masks)).all():
            raise ValueError("a draw's mask is not a row of the masks")
        if batch.masks.shape[1] * 32 < vocab_size:
            raise ValueError("the masks have fewer bits than the vocabulary has tokens")


def allowed(words: Bitmask, vocab_size: int) -> npt.NDArray[np.bool_]:
    """A packed mask as one flag per token."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
    return bits[:vocab_size].astype(np.bool_)


def _scores(raw: Floats, batch: SamplingBatch, index: int) -> Floats:
    """Logits with penalties, then bias, then the mask: float32, in that order."""
    scores = np.array(raw, np.float32)
    with np.errstate(over="ignore"):
        _penalise_repetition(scores, batch, index)
        _add_changes(scores, batch, index)
    if batch.masks is not None and batch.mask_row is not None and batch.mask_row[index] >= 0:
        scores[~allowed(batch.masks[batch.mask_row[index]], len(scores))] = -np.inf
    return scores


def _penalise_repetition(scores: Floats, batch: SamplingBatch, index: int) -> None:
    penalty = batch.repetition_penalty[index]
    if penalty == 1:
        return
    seen = np.zeros(len(scores), np.bool_)
    if batch.count_offsets is not None:
        assert batch.count_tokens is not None
        seen[batch.count_tokens[batch.count_offsets[index] : batch.count_offsets[index + 1]]] = True
    if batch.prompt_offsets is not None:
        assert batch.prompt_tokens is not None and batch.prompt_row is not None
        row = batch.prompt_row[index]
        if row >= 0:
            seen[batch.prompt_tokens[batch.prompt_offsets[row] : batch.prompt_offsets[row + 1]]] = True
    scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)


def _add_changes(scores: Floats, batch: SamplingBatch, index: int) -> None:
    if batch.count_offsets is not None:
        assert batch.count_tokens is not None and batch.count_values is not None
        span = slice(batch.count_offsets[index], batch.count_offsets[index + 1])
        counts = batch.count_values[span].astype(np.float32)
        penalty = counts * batch.frequency_penalty[index] + batch.presence_penalty[index]
        np.subtract.at(scores, batch.count_tokens[span], penalty * (counts > 0))
    if batch.bias_offsets is not None:
        assert batch.bias_tokens is not None and batch.bias_values is not None and batch.bias_row is not None
        bias = batch.bias_row[index]
        if bias < 0:
            return
        span = slice(batch.bias_offsets[bias], batch.bias_offsets[bias + 1])
        np.add.at(scores, batch.bias_tokens[span], batch.bias_values[span])


def draw_interval(logits: Floats, batch: SamplingBatch, index: int, token: int) -> tuple[float, float]:
    """The token's interval of the cumulative distribution relative to the random point: it is sampled if
    low <= 0 < high."""
    weights = _weights(_scores(np.asarray(logits[batch.row[index]]), batch, index), batch, index)
    cumulative = np.cumsum(weights) / weights.sum()
    point = _point(batch, index)
    return float(cumulative[token] - weights[token] / weights.sum() - point), float(cumulative[token] - point)


def _draw(scores: Floats, batch: SamplingBatch, index: int) -> int:
    best = int(scores.argmax())
    if scores[best] == -np.inf:
        return -1
    if batch.temperature[index] == 0:
        return best
    weights = _weights(scores, batch, index)
    cumulative = np.cumsum(weights)
    token = int(np.searchsorted(cumulative, _point(batch, index) * cumulative[-1], side="right"))
    return min(token, int(np.flatnonzero(weights)[-1]))


def _point(batch: SamplingBatch, index: int) -> float:
    return uniform(int(batch.seed[index]), int(batch.choice[index]), int(batch.position[index]))


def _weights(scores: Floats, batch: SamplingBatch, index: int) -> Doubles:
    return kept_weights(
        scores,
        float(batch.temperature[index]),
        int(batch.top_k[index]),
        float(batch.top_p[index]),
        float(batch.min_p[index]),
    )


def kept_weights(scores: Floats, temperature: float, top_k: int, top_p: float, min_p: float) -> Doubles:
    """Each token's weight in the draw (1 for the most likely), 0 if a filter drops it."""
    scale = np.float32(1) / max(np.float32(temperature), _COLDEST)
    with np.errstate(over="ignore"):
        exponents = (scores - scores.max()) * scale
    weights: Doubles = np.exp(exponents.astype(np.float64))
    weights[exponents < _FLOOR] = 0
    if 0 < top_k < len(scores):
        weights[_by_likelihood(scores)[top_k:]] = 0
    if top_p < 1:
        order = _by_likelihood(scores)
        mass = np.cumsum(weights[order])
        num_kept = int(np.searchsorted(mass, top_p * weights.sum(), side="left")) + 1
        weights[order[num_kept:]] = 0
    weights[weights < min(min_p, 1)] = 0
    return weights


def _by_likelihood(scores: Floats) -> npt.NDArray[np.intp]:
    """Token ids, most likely first, ties to the lower id."""
    return np.argsort(-scores, kind="stable")


def _report(raw: Floats, token: int, num_top: int, out: Sampled, index: int) -> None:
    peak = raw.max()
    total = np.log(np.exp((raw - peak).astype(np.float64)).sum())
    logprobs = (raw.astype(np.float64) - peak - total).astype(np.float32)
    out.logprobs[index] = logprobs[token]
    most_likely = _by_likelihood(raw)[: min(num_top, int((raw > -np.inf).sum()))]
    out.top_tokens[index, : len(most_likely)] = most_likely
    out.top_logprobs[index, : len(most_likely)] = logprobs[most_likely]
