"""Speculative decoding: chooses how many draft tokens to verify per step. Pure but for the draft model.

A draft token is worth verifying while its probability of being accepted outweighs the time it adds.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from myna.scheduling.draft_model import DraftModel
from myna.scheduling.followers import FollowerTable
from myna.scheduling.kv_cache import BLOCK_TOKENS, KVCacheManager
from myna.scheduling.ngram import NgramProposer, Proposal, index_ngrams
from myna.scheduling.sequence import Sequence
from myna.scheduling.step_costs import CAUTION, StepCosts, StepPlan

_MAX_SEQUENCES: Final = 8  # larger batches already share the weights well
_MAX_DRAFT_TOKENS: Final = 15  # of one sequence: 16 rows are a tile of the kernels
_MAX_ALONE: Final = 31  # if no other runs: kernels unpack weights once for two tiles


class Speculation:
    """Proposes draft tokens for decoding sequences. Report the durations of steps to `costs`."""

    __slots__ = ("_draft_model", "_followers", "_kv_cache", "_max_sequences", "costs")

    def __init__(
        self, kv_cache: KVCacheManager, *, can_trim: bool, draft_model: DraftModel | None = None
    ) -> None:
        """An engine that can't trim can't roll drafts back."""
        self._draft_model = draft_model
        self._kv_cache = kv_cache
        self._max_sequences = _MAX_SEQUENCES if can_trim else 0
        self._followers = FollowerTable()
        self.costs = StepCosts()

    def propose(self, running: Collection[Sequence]) -> dict[Sequence, list[int]]:
        """Draft tokens by sequence; sequences for which verifying doesn't pay are left out."""
        if len(running) > self._max_sequences:
            return {}
        plan = StepPlan(float(len(running)), self.costs.relative(len(running)))
        most = _MAX_ALONE if len(running) == 1 else _MAX_DRAFT_TOKENS
        proposals = {one: self._repeated(one, most) for one in running if one.is_decoding}
        if self._draft_model is not None:
            proposals |= self._drafted(self._draft_model, proposals, plan)
        drafts: dict[Sequence, list[int]] = {}
        for sequence, proposal in proposals.items():
            size, _ = self._add_worthwhile(proposal, plan)
            if size and (draft := self._allowed(sequence, list(proposal.tokens[:size]))):
                drafts[sequence] = draft
        # Each may begin a block and copy another; running sequences keep their reserved room.
        needed = sum(map(len, drafts.values())) + (len(running) + 2 * len(drafts)) * BLOCK_TOKENS
        return drafts if drafts and self._kv_cache.has_room(needed) else {}

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        if self._draft_model is not None:
            self._draft_model.forget(sequence)

    def _repeated(self, sequence: Sequence, most: int) -> Proposal:
        """Up to that many tokens, from what repeats itself."""
        proposer = sequence.proposer or self._begin(sequence)
        proposer.observe(sequence.tokens)
        limit = min(_num_left(sequence), most)
        return proposer.propose(sequence.tokens, limit, CAUTION * self.costs.slope)

    def _drafted(
        self, model: DraftModel, proposals: Mapping[Sequence, Proposal], plan: StepPlan
    ) -> dict[Sequence, Proposal]:
        """From the draft model, for sequences where it promises more than these proposals."""
        slope, limits = self.costs.slope, dict[Sequence, int]()
        for sequence, proposal in proposals.items():
            limit = _num_left(sequence)
            _, net = self._add_worthwhile(proposal, replace(plan))
            if model.promise(sequence, plan, slope, limit, len(proposals)) > net:
                limits[sequence] = limit
        found = model.propose(limits, plan, self.costs) if limits else {}
        return {sequence: proposal for sequence, proposal in found.items() if proposal.tokens}

    def _add_worthwhile(self, proposal: Proposal, plan: StepPlan) -> tuple[int, float]:
        """Add the draft tokens that are worth verifying to the plan: how many they are, and how many more
        tokens they yield than the step would in the same time without them."""
        probability, size, net, slope = 1.0, 0, 0.0, self.costs.slope
        for rate in proposal.rates:
            probability *= rate
            if not plan.pays(probability, slope):
                break
            net += plan.net(probability, slope)
            plan.add(probability, slope)
            size += 1
        return size, net

    def _allowed(self, sequence: Sequence, tokens: list[int]) -> list[int]:
        """The draft tokens before an end token that the grammar allows."""
        ends = sequence.group.output.end_tokens
        tokens = tokens[: next((i for i, token in enumerate(tokens) if token in ends), len(tokens))]
        if tokens and sequence.grammar is not None:
            tokens = tokens[: sequence.grammar.num_allowed(tokens)]
        return tokens

    def _begin(self, sequence: Sequence) -> NgramProposer:
        group, request = sequence.group, sequence.group.request
        if group.ngrams is None:
            group.ngrams = index_ngrams(request.prompt_tokens)
        salt = hash((request.owner, request.cache_salt))
        sequence.proposer = NgramProposer(
            group.ngrams, sequence.num_prompt, request.prediction_tokens, self._followers, salt
        )
        return sequence.proposer


def _num_left(sequence: Sequence) -> int:
    """How many tokens it may still have beyond the step's own."""
    return sequence.group.request.max_tokens - sequence.num_generated - 1
