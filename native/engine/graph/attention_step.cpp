// The attention of one layer over a slice: rotates and stores keys and values, then runs the queries.
#include <algorithm>
#include <cstring>

#include "graph/graph.h"

namespace myna {

// Splits the slice's attention into work items. All keys must be stored before attention starts if some span
// has several rows, or its sequence is split into parts.
void Graph::plan_items(const Heads& heads) {
  if (heads == planned_) return;
  planned_ = heads;
  tile_queries_ = queries_per_tile(heads);
  tile_rows_ = padded_rows(tile_queries_ * heads.group());
  const int num_heads = heads.num_kv;
  const bool few = std::ssize(spans_) * num_heads < 4ll * pool_.num_threads();
  is_split_ = false;
  int64_t num_partials = 0;
  items_.clear();
  for (int s = 0; s < static_cast<int>(spans_.size()); ++s) {
    const Span& span = spans_[static_cast<size_t>(s)];
    if (span.count > 1) is_split_ = true;
    const int64_t num_parts = (span.start + span.count + kPartTokens - 1) / kPartTokens;
    const bool by_parts = few && span.count <= tile_queries_ && num_parts > 1 && pool_.num_threads() > 1;
    // The longest tiles come first, so that the threads finish at about the same time.
    for (int64_t end = span.count; end > 0; end -= std::min(end, tile_queries_)) {
      const int64_t count = std::min(end, tile_queries_);
      for (int head = 0; head < num_heads; ++head) {
        if (!by_parts) {
          items_.push_back({s, head, end - count, count, -1});
          continue;
        }
        is_split_ = true;
        for (int64_t part = 0; part < num_parts; ++part)
          items_.push_back({s, head, end - count, count, part, num_partials++});
      }
    }
  }
  if (num_partials > 0) partials_.reserve(static_cast<size_t>(num_partials * tile_rows_ * (heads.dim + 32)));
}

Partial Graph::partial_at(int64_t index) const {
  const int64_t head_dim = planned_.dim;
  float* base = partials_.get() + index * tile_rows_ * (head_dim + 32);
  return {base, base + tile_rows_ * head_dim, base + tile_rows_ * (head_dim + 16)};
}

Partial Graph::scratch_partial(int thread, int which) const {
  const int64_t head_dim = planned_.dim;
  float* base = scratch_.get() + thread * scratch_floats_ + which * tile_rows_ * (head_dim + 32);
  return {base, base + tile_rows_ * head_dim, base + tile_rows_ * (head_dim + 16)};
}

void Graph::attend(const Layer& layer) {
  plan_items(layer.heads);
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

void Graph::run_item(const Layer& layer, const Item& item, int thread) {
  const auto [num_heads, num_kv, head_dim] = layer.heads;
  const Span& span = spans_[static_cast<size_t>(item.span)];
  const int group = num_heads / num_kv;
  const int64_t row = span_row_[static_cast<size_t>(item.span)] + item.first;
  float* queries = scratch_.get() + thread * scratch_floats_ + 2 * tile_rows_ * (head_dim + 32);
  float* kernel_scratch = queries + tile_rows_ * head_dim;
  const int64_t group_floats = static_cast<int64_t>(group) * head_dim;
  for (int64_t i = 0; i < item.count; ++i) {
    float* packed = queries + i * group_floats;
    std::memcpy(packed, query_.get() + (row + i) * layer.heads.query_width() + item.head * group_floats,
                static_cast<size_t>(group_floats) * sizeof(float));
    vectors_.scale(packed, model_.query_scale, group_floats);
  }
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
  const Partial merged = scratch_partial(thread, 0), next = scratch_partial(thread, 1);
  const int64_t first_seen = window > 0 ? std::max<int64_t>(0, rows.first_position - window + 1) : 0;
  const int64_t last = span.start + item.first + item.count - 1;
  const int64_t first_part = first_seen / kPartTokens;
  for (int64_t part = first_part; part * kPartTokens <= last; ++part) {
    vectors_.attend(rows, part * kPartTokens, part == first_part ? merged : next, kernel_scratch);
    if (part != first_part) vectors_.merge(rows.num_rows, head_dim, merged, next);
  }
  finish_rows(layer, item, merged);
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
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.part != 0) continue;
    const Partial merged = partial_at(item.partial);
    const int num_rows = static_cast<int>(item.count) * layer.heads.group();
    for (size_t j = i + 1; j < items_.size() && items_[j].part > 0; ++j)
      vectors_.merge(num_rows, layer.heads.dim, merged, partial_at(items_[j].partial));
    finish_rows(layer, item, merged);
  }
}

}  // namespace myna
