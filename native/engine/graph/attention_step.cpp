// The attention of one layer over a slice: rotates and stores keys and values, then runs the queries.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/graph.h"

namespace myna {
namespace {

// Turns a head's query or key by an orthogonal matrix: Walsh-Hadamard, in blocks of the largest power of two
// that divides the width. Products of both stay the same, and components that are far larger than the others,
// which key biases make, are spread over all: integers that share a scale then lose less of the others.
void spread_components(float* x, int64_t width) {
  const int64_t block = width & -width;
  for (int64_t half = 1; half < block; half *= 2)
    for (int64_t first = 0; first < width; first += 2 * half)
      for (int64_t i = first; i < first + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
  const float scale = 1 / std::sqrt(static_cast<float>(block));
  for (int64_t i = 0; i < width; ++i) x[i] *= scale;
}

}  // namespace

// Splits the slice's attention into work items. All keys must be stored before attention starts if some span
// has several rows, if its sequence is split into parts, or if spans share parts.
void Graph::plan_items(const Heads& heads, bool has_window) {
  if (heads == planned_ && has_window == planned_window_) return;
  planned_ = heads;
  planned_window_ = has_window;
  tiles_.use(heads);
  plan_shared(has_window);
  const int num_heads = heads.num_kv;
  const int64_t most_queries = queries_per_item(heads, num_rows_ * num_heads, pool_.num_threads());
  const bool few = std::ssize(spans_) * num_heads < 4ll * pool_.num_threads();
  is_split_ = !rounds_.empty();
  int64_t num_partials = 0;
  items_.clear();
  for (int s = 0; s < static_cast<int>(spans_.size()); ++s) {
    const Span& span = spans_[static_cast<size_t>(s)];
    if (span.count > 1) is_split_ = true;
    const int64_t first_part = shared_parts_[static_cast<size_t>(s)];
    const int64_t end_part = (span.start + span.count + kPartTokens - 1) / kPartTokens;
    const bool by_parts =
        few && span.count <= tiles_.few_queries() && end_part - first_part > 1 && pool_.num_threads() > 1;
    // The longest tiles come first, so that the threads finish at about the same time.
    for (int64_t end = span.count; end > 0; end -= std::min(end, most_queries)) {
      const int64_t count = std::min(end, most_queries);
      for (int head = 0; head < num_heads; ++head) {
        if (!by_parts) {
          items_.push_back({s, head, end - count, count, -1});
          continue;
        }
        is_split_ = true;
        for (int64_t part = first_part; part < end_part; ++part)
          items_.push_back({s, head, end - count, count, part, num_partials++});
      }
    }
  }
  reserve_partials(num_partials);
}

void Graph::reserve_partials(int64_t count) {
  if (count > 0) partials_.reserve(static_cast<size_t>(count * tiles_.few_partial_floats()));
}

Partial Graph::partial_at(int64_t index) const {
  return tiles_.few_partial_at(partials_.get() + index * tiles_.few_partial_floats());
}

void Graph::attend(const Layer& layer) {
  plan_items(layer.heads, layer.window > 0);
  count_cache_bytes(layer);
  const int num_heads = layer.heads.num_kv;
  if (is_split_) {
    const int64_t cost = layer.heads.query_width() + 2 * layer.heads.kv_width();
    const int64_t chunk = std::max<int64_t>(1, 8192 / cost);
    const int64_t num_chunks = (num_rows_ + chunk - 1) / chunk;
    pool_.parallel_for(num_chunks, [&](int64_t index, int) {
      for (int64_t row = index * chunk; row < std::min(num_rows_, (index + 1) * chunk); ++row)
        for (int head = 0; head < num_heads; ++head) prepare_row(layer, row, head);
    });
  }
  attend_shared(layer);
  pool_.parallel_for(std::ssize(items_), [&](int64_t index, int thread) {
    const Item& item = items_[static_cast<size_t>(index)];
    if (!is_split_) prepare_row(layer, span_row_[static_cast<size_t>(item.span)], item.head);
    run_item(layer, item, thread);
  });
  merge_parts(layer);
}

// Applies biases, norms and rotation to the queries and the key of one key/value head, then stores key and
// value in the cache.
void Graph::prepare_row(const Layer& layer, int64_t row, int head) {
  const int64_t width = layer.heads.dim;
  const bool is_roped = layer.rope != kNoRope;
  const auto rope = static_cast<size_t>(is_roped ? layer.rope : 0);
  const auto half = std::ssize(model_.ropes[rope].frequencies);
  const float* cosines = cosines_[rope].get() + row * half;
  const float* sines = sines_[rope].get() + row * half;
  const auto rotate = model_.ropes[rope].rotates_halves ? vectors_.rotate_halves : vectors_.rotate_pairs;
  const bool are_ready = has_whole_norm(layer);  // biases and norms are done
  const auto turn = [&](float* x, const Vector& bias, int64_t bias_at, const Vector& norm) {
    if (!are_ready && !bias.empty()) vectors_.add(x, bias.data() + bias_at, width);
    const bool has_norm = !are_ready && !norm.empty();
    if (has_norm && !model_.norms_after_rope)
      vectors_.rms_norm(x, norm.data(), model_.norm_epsilon, x, width);
    if (is_roped) rotate(x, cosines, sines, half);
    if (has_norm && model_.norms_after_rope) vectors_.rms_norm(x, norm.data(), model_.norm_epsilon, x, width);
    if (cache_.shape().type == CacheType::kQ8) spread_components(x, width);
  };
  const int group = layer.heads.group();
  const float temperature = model_.temperature.at(positions_[static_cast<size_t>(row)]);
  for (int g = 0; g < group; ++g) {
    const int64_t at = (static_cast<int64_t>(head) * group + g) * width;
    float* query = query_.get() + row * layer.heads.query_width() + at;
    turn(query, layer.query_bias, at, layer.query_norm);
    if (temperature != 1.0f) vectors_.scale(query, temperature, width);
  }
  if (!layer.has_keys()) return;
  float* key = key_.get() + row * layer.heads.kv_width() + head * width;
  float* value = value_.get() + row * layer.heads.kv_width() + head * width;
  if (layer.value.rows == 0) std::memcpy(value, key, static_cast<size_t>(width) * sizeof(float));
  turn(key, layer.key_bias, head * width, layer.key_norm);
  if (!layer.value_bias.empty()) vectors_.add(value, layer.value_bias.data() + head * width, width);
  if (!layer.value_norm.empty())
    vectors_.rms_norm(value, layer.value_norm.data(), model_.norm_epsilon, value, width);

  const Span& span = spans_[static_cast<size_t>(row_span_[static_cast<size_t>(row)])];
  const int64_t position = positions_[static_cast<size_t>(row)];
  const int64_t block = cache_.blocks(span.sequence)[position / kBlockTokens];
  const PagedHead paged = cache_.head(layer.cache_layer, head);
  vectors_.store_kv(key, value, layer.heads.dim, static_cast<int>(position % kBlockTokens),
                    paged.keys + block * paged.block_stride, paged.values + block * paged.block_stride);
}

// Copies a row's scaled queries of one key/value head to place `index` of a tile.
void Graph::pack_query(int64_t row, int head, float* queries, int64_t index) const {
  const int64_t group_floats = static_cast<int64_t>(planned_.group()) * planned_.dim;
  float* packed = queries + index * group_floats;
  std::memcpy(packed, query_.get() + row * planned_.query_width() + head * group_floats,
              static_cast<size_t>(group_floats) * sizeof(float));
  vectors_.scale(packed, model_.query_scale, group_floats);
}

void Graph::run_item(const Layer& layer, const Item& item, int thread) {
  const auto [num_heads, num_kv, head_dim] = layer.heads;
  const Span& span = spans_[static_cast<size_t>(item.span)];
  const int group = num_heads / num_kv;
  const int64_t row = span_row_[static_cast<size_t>(item.span)] + item.first;
  float* queries = tiles_.queries(thread);
  float* kernel_scratch = tiles_.kernel(thread);
  for (int64_t i = 0; i < item.count; ++i) pack_query(row + i, item.head, queries, i);
  const int64_t window = layer.window;
  const QueryRows rows{queries,
                       static_cast<int>(item.count) * group,
                       group,
                       head_dim,
                       span.start + item.first,
                       window,
                       cache_.blocks(span.sequence),
                       cache_.head(layer.cache_layer, item.head),
                       model_.score_cap};
  if (item.part >= 0) {
    vectors_.attend(rows, item.part * kPartTokens, partial_at(item.partial), kernel_scratch);
    return;
  }
  const Partial merged = tiles_.partial(thread, 0), next = tiles_.partial(thread, 1);
  const int64_t first_seen = window > 0 ? std::max<int64_t>(0, rows.first_position - window + 1) : 0;
  const int64_t last = span.start + item.first + item.count - 1;
  const int64_t shared_parts = shared_parts_[static_cast<size_t>(item.span)];
  if (shared_parts > 0) take_shared(item, merged);
  const int64_t first_part = std::max(shared_parts, first_seen / kPartTokens);
  for (int64_t part = first_part; part * kPartTokens <= last; ++part) {
    const bool is_first = part == first_part && shared_parts == 0;
    vectors_.attend(rows, part * kPartTokens, is_first ? merged : next, kernel_scratch);
    if (!is_first) vectors_.merge(rows.num_rows, head_dim, merged, next);
  }
  finish_rows(layer, item, merged);
}

// Keys and values that the layer reads, from the beginning of a part on.
void Graph::count_cache_bytes(const Layer& layer) {
  int64_t positions = 0;
  for (const Item& item : items_) {
    const Span& span = spans_[static_cast<size_t>(item.span)];
    const int64_t end = span.start + item.first + item.count, first = span.start + item.first;
    const int64_t first_seen = layer.window > 0 ? std::max<int64_t>(0, first - layer.window + 1) : 0;
    const int64_t own = shared_parts_[static_cast<size_t>(item.span)] * kPartTokens;
    const int64_t begin =
        item.part >= 0 ? item.part * kPartTokens : std::max(own, first_seen / kPartTokens * kPartTokens);
    positions += (item.part >= 0 ? std::min(end, begin + kPartTokens) : end) - begin;
  }
  for (const SharedRound& round : rounds_)
    positions += round.num_parts * kPartTokens * std::ssize(round.tiles) * layer.heads.num_kv;
  const int64_t block_bytes =
      2 * head_block_halves(cache_.shape().type, layer.heads.dim) * static_cast<int64_t>(sizeof(uint16_t));
  work_.cache_bytes += positions * block_bytes / kBlockTokens;
}

// Writes an item's attention, once all its parts are merged.
void Graph::finish_rows(const Layer& layer, const Item& item, Partial merged) {
  const int group = layer.heads.group(), head_dim = layer.heads.dim;
  const int64_t row = span_row_[static_cast<size_t>(item.span)] + item.first;
  for (int r = 0; r < item.count * group; ++r) {
    const int64_t head = static_cast<int64_t>(item.head) * group + r % group;
    if (!layer.sinks.empty()) vectors_.add_sink(r, head_dim, merged, layer.sinks[static_cast<size_t>(head)]);
    vectors_.finish(r, head_dim, merged,
                    attended_.get() + (row + r / group) * layer.heads.query_width() + head * head_dim);
  }
}

void Graph::merge_parts(const Layer& layer) {
  for (size_t i = 0; i < items_.size();) {
    const Item& item = items_[i];
    if (item.part < 0) {
      ++i;
      continue;
    }
    const bool has_shared = item.part > 0;
    const Partial merged = has_shared ? tiles_.partial(0, 0) : partial_at(item.partial);
    if (has_shared)
      take_shared(item, merged);
    else
      ++i;
    const int num_rows = static_cast<int>(item.count) * layer.heads.group();
    const auto is_of_item = [&](const Item& other) {
      return other.span == item.span && other.head == item.head && other.first == item.first;
    };
    for (; i < items_.size() && is_of_item(items_[i]); ++i)
      vectors_.merge(num_rows, layer.heads.dim, merged, partial_at(items_[i].partial));
    finish_rows(layer, item, merged);
  }
}

}  // namespace myna
