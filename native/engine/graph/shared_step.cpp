// Attention over parts that several spans read from the same blocks (users of one prefix, choices of one
// prompt): their queries are stacked, and each part is read once for all of them. Parts are the same as for a
// span alone, and are merged in the same order, so that the bits are the same.
#include <algorithm>
#include <utility>

#include "graph/graph.h"

namespace myna {
namespace {

constexpr int64_t kMaxPartialFloats = 4 << 20;  // of one round

}  // namespace

// Finds the spans that share parts. Sequences share blocks from the first one on, so that those with the same
// block in one place have the same blocks before it.
void Graph::plan_shared(bool has_window) {
  rounds_.clear();
  shared_parts_.assign(spans_.size(), 0);
  shared_slot_.resize(spans_.size());
  if (has_window || tiles_.few_queries() < 2) return;  // with a window, what rows see begins anywhere
  std::vector<std::pair<int32_t, int>> readers;        // the part's last block, and a span
  for (int s = 0; s < static_cast<int>(spans_.size()); ++s)
    if (2 * spans_[static_cast<size_t>(s)].count <= tiles_.few_queries()) readers.emplace_back(0, s);
  for (int64_t part = 0;; ++part) {
    keep_shared(part, readers);
    if (readers.empty()) break;
    for (const auto& [block, s] : readers) shared_parts_[static_cast<size_t>(s)] = part + 1;
    add_to_rounds(stack_rows(part, readers));
  }
  int64_t num_partials = 0, num_slots = 0;
  for (const SharedRound& round : rounds_)
    num_partials = std::max(num_partials, std::ssize(round.tiles) * round.num_parts * planned_.num_kv);
  reserve_partials(num_partials);
  for (size_t s = 0; s < spans_.size(); ++s) {
    shared_slot_[s] = num_slots;
    if (shared_parts_[s] > 0) num_slots += spans_[s].count;
  }
  shared_.reserve(static_cast<size_t>(num_slots * planned_.num * (planned_.dim + 32)));
}

// Leaves the readers whose rows all see the whole part and that share it with another; those that share it
// are next to each other.
void Graph::keep_shared(int64_t part, std::vector<std::pair<int32_t, int>>& readers) const {
  const int64_t end = (part + 1) * kPartTokens;
  std::erase_if(readers,
                [&](const auto& reader) { return spans_[static_cast<size_t>(reader.second)].start < end; });
  for (auto& [block, s] : readers)
    block = cache_.blocks(spans_[static_cast<size_t>(s)].sequence)[end / kBlockTokens - 1];
  std::sort(readers.begin(), readers.end());
  std::vector<std::pair<int32_t, int>> kept;
  for (size_t i = 0; i < readers.size(); ++i) {
    const int32_t block = readers[i].first;
    if ((i > 0 && readers[i - 1].first == block) || (i + 1 < readers.size() && readers[i + 1].first == block))
      kept.push_back(readers[i]);
  }
  readers = std::move(kept);
}

// The readers' rows in tiles, each of rows that read the same blocks.
Graph::SharedRound Graph::stack_rows(int64_t part,
                                     const std::vector<std::pair<int32_t, int>>& readers) const {
  SharedRound round{part, 1, 0, {}, {}};
  for (size_t i = 0; i < readers.size(); ++i) {
    const auto [block, s] = readers[i];
    const Span& span = spans_[static_cast<size_t>(s)];
    const bool is_new_group = i == 0 || readers[i - 1].first != block;
    round.num_groups += is_new_group ? 1 : 0;
    for (int64_t index = 0; index < span.count; ++index) {
      if ((is_new_group && index == 0) || round.tiles.back().count == tiles_.few_queries())
        round.tiles.push_back({std::ssize(round.rows), 0, span.sequence});
      round.rows.push_back({s, index, std::ssize(round.tiles) - 1, round.tiles.back().count++});
    }
  }
  return round;
}

// Adds a part to the last round if the same spans share it, as far as there is memory for partial results.
void Graph::add_to_rounds(SharedRound next) {
  const int64_t part_floats = std::ssize(next.tiles) * planned_.num_kv * tiles_.few_partial_floats();
  if (!rounds_.empty()) {
    SharedRound& last = rounds_.back();
    // Groups only lose spans or fall apart, so as many are the same.
    if (last.rows.size() == next.rows.size() && last.num_groups == next.num_groups &&
        (last.num_parts + 1) * part_floats <= kMaxPartialFloats) {
      ++last.num_parts;
      return;
    }
  }
  rounds_.push_back(std::move(next));
}

// The running result of one row and key/value head.
Partial Graph::shared_at(const SharedRow& row, int head) const {
  const int64_t group = planned_.group(), dim = planned_.dim;
  const int64_t slot = shared_slot_[static_cast<size_t>(row.span)] + row.index;
  float* base = shared_.get() + (slot * planned_.num_kv + head) * group * (dim + 32);
  return {base, base + group * dim, base + group * (dim + 16)};
}

void Graph::attend_shared(const Layer& layer) {
  const int num_heads = planned_.num_kv;
  for (const SharedRound& round : rounds_) {
    const int64_t num_tiles = std::ssize(round.tiles);
    // The tiles of a part come one after another, so that its keys and values stay in the CPU cache.
    pool_.parallel_for(num_heads * round.num_parts * num_tiles, [&](int64_t index, int thread) {
      const int64_t part = index / num_tiles % round.num_parts;
      run_shared(layer, round, round.tiles[static_cast<size_t>(index % num_tiles)], part,
                 static_cast<int>(index / num_tiles / round.num_parts), partial_at(index), thread);
    });
    pool_.parallel_for(std::ssize(round.rows) * num_heads, [&](int64_t index, int) {
      merge_shared(round, round.rows[static_cast<size_t>(index / num_heads)],
                   static_cast<int>(index % num_heads));
    });
  }
}

// `part` is relative to the round's first one.
void Graph::run_shared(const Layer& layer, const SharedRound& round, const SharedTile& tile, int64_t part,
                       int head, Partial out, int thread) {
  float* queries = tiles_.queries(thread);
  for (int64_t i = 0; i < tile.count; ++i) {
    const SharedRow& row = round.rows[static_cast<size_t>(tile.first + i)];
    pack_query(span_row_[static_cast<size_t>(row.span)] + row.index, head, queries, i);
  }
  const int64_t begin = (round.first_part + part) * kPartTokens;
  const int num_rows = static_cast<int>(tile.count) * planned_.group();
  // All rows are taken to be at the part's last position: they see all of it.
  const QueryRows rows{queries,
                       num_rows,
                       num_rows,
                       planned_.dim,
                       begin + kPartTokens - 1,
                       0,
                       cache_.blocks(tile.sequence),
                       cache_.head(layer.cache_layer, head),
                       model_.score_cap};
  vectors_.attend(rows, begin, out, tiles_.kernel(thread));
}

void Graph::merge_shared(const SharedRound& round, const SharedRow& row, int head) {
  const int group = planned_.group();
  const int64_t dim = planned_.dim, first = row.place * group;
  const Partial into = shared_at(row, head);
  if (round.first_part == 0) std::fill_n(into.maximum, group, kMinusInfinity);
  for (int64_t part = 0; part < round.num_parts; ++part) {
    const Partial from = partial_at((head * round.num_parts + part) * std::ssize(round.tiles) + row.tile);
    vectors_.merge(group, planned_.dim, into,
                   {from.sums + first * dim, from.weights + first * 16, from.maximum + first});
  }
}

// The result of an item's rows so far: that of the parts which they share with others.
void Graph::take_shared(const Item& item, Partial into) const {
  const int64_t group = planned_.group(), dim = planned_.dim;
  for (int64_t i = 0; i < item.count; ++i) {
    const Partial from = shared_at({item.span, item.first + i, 0, 0}, item.head);
    std::copy_n(from.sums, group * dim, into.sums + i * group * dim);
    std::copy_n(from.weights, group * 16, into.weights + i * group * 16);
    std::copy_n(from.maximum, group, into.maximum + i * group);
  }
}

}  // namespace myna
