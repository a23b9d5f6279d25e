// The attention of one layer over a slice: keys and values of all texts, then their queries.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "encoder/encoder_graph.h"

namespace myna {

void EncoderGraph::plan_attention() {
  const Dimensions& d = model_.dimensions;
  items_.clear();
  text_block_.clear();
  int64_t num_blocks = 0;
  const int64_t most_queries = queries_per_item({d.num_heads, d.num_kv_heads, d.head_dim},
                                                std::ssize(rows_) * d.num_kv_heads, pool_.num_threads());
  for (size_t t = 0; t + 1 < text_row_.size(); ++t) {
    const int64_t length = text_row_[t + 1] - text_row_[t];
    text_block_.push_back(num_blocks);
    num_blocks += (length + kBlockTokens - 1) / kBlockTokens;
    for (int64_t first = 0; first < length; first += most_queries)
      for (int head = 0; head < d.num_kv_heads; ++head)
        items_.push_back({static_cast<int>(t), head, first, std::min(most_queries, length - first)});
  }
  blocks_.resize(static_cast<size_t>(num_blocks));
  std::iota(blocks_.begin(), blocks_.end(), 0);
  cells_.reserve(static_cast<size_t>(num_blocks * kBlockTokens * 2 * d.kv_width()));
}

// A head's blocks lie one after another, each with its keys before its values.
PagedHead EncoderGraph::head(int index) const {
  const int64_t half = static_cast<int64_t>(kBlockTokens) * model_.dimensions.head_dim;
  uint16_t* first = cells_.get() + index * std::ssize(blocks_) * 2 * half;
  return {first, first + half, 2 * half};
}

void EncoderGraph::attend(const EncoderLayer& layer) {
  for_rows(std::ssize(rows_), 2 * (model_.dimensions.query_width() + 2 * model_.dimensions.kv_width()),
           [&](int64_t begin, int64_t end) {
             for (int64_t row = begin; row < end; ++row) prepare_row(layer, row);
           });
  pool_.parallel_for(std::ssize(items_), [&](int64_t index, int thread) {
    run_item(layer, items_[static_cast<size_t>(index)], thread);
  });
}

// Biases, norms and rotation of a row's queries and keys; keys and values go to their blocks.
void EncoderGraph::prepare_row(const EncoderLayer& layer, int64_t row) {
  const Dimensions& d = model_.dimensions;
  const int64_t half = d.rope_dim / 2, width = d.head_dim;
  const auto rope = static_cast<size_t>(layer.rope);
  const auto turn = [&](float* x, const Vector& norm) {
    if (!norm.empty()) vectors_.rms_norm(x, norm.data(), model_.norm_epsilon, x, width);
    if (!model_.ropes.empty())
      vectors_.rotate_halves(x, cosines_[rope].get() + row * half, sines_[rope].get() + row * half, half);
  };
  float* query = query_.get() + row * d.query_width();
  float* key = key_.get() + row * d.kv_width();
  float* value = value_.get() + row * d.kv_width();
  if (!layer.query.bias.empty()) vectors_.add(query, layer.query.bias.data(), d.query_width());
  if (!layer.key.bias.empty()) vectors_.add(key, layer.key.bias.data(), d.kv_width());
  if (!layer.value.bias.empty()) vectors_.add(value, layer.value.bias.data(), d.kv_width());
  for (int h = 0; h < d.num_heads; ++h) turn(query + h * width, layer.query_norm);
  const auto [text, position] = rows_[static_cast<size_t>(row)];
  const int64_t block = text_block_[static_cast<size_t>(text)] + position / kBlockTokens;
  for (int h = 0; h < d.num_kv_heads; ++h) {
    turn(key + h * width, layer.key_norm);
    const PagedHead cells = head(h);
    vectors_.store_kv(key + h * width, value + h * width, d.head_dim,
                      static_cast<int>(position % kBlockTokens), cells.keys + block * cells.block_stride,
                      cells.values + block * cells.block_stride);
  }
}

void EncoderGraph::run_item(const EncoderLayer& layer, const Item& item, int thread) {
  const Dimensions& d = model_.dimensions;
  const auto text = static_cast<size_t>(item.text);
  const int group = d.num_heads / d.num_kv_heads;
  const int64_t row = text_row_[text] + item.first, length = text_row_[text + 1] - text_row_[text];
  const int64_t group_floats = static_cast<int64_t>(group) * d.head_dim;
  float* queries = tiles_.queries(thread);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  for (int64_t i = 0; i < item.count; ++i) {
    float* packed = queries + i * group_floats;
    std::memcpy(packed, query_.get() + (row + i) * d.query_width() + item.head * group_floats,
                static_cast<size_t>(group_floats) * sizeof(float));
    vectors_.scale(packed, scale, group_floats);
  }
  const QueryRows rows{queries,
                       static_cast<int>(item.count) * group,
                       group,
                       d.head_dim,
                       item.first,
                       layer.window,
                       blocks_.data() + text_block_[text],
                       head(item.head),
                       0,
                       model_.is_causal ? 0 : length};
  float* kernel_scratch = tiles_.kernel(thread);
  const Partial merged = tiles_.partial(thread, 0), next = tiles_.partial(thread, 1);
  const int64_t first_seen = layer.window > 0 ? std::max<int64_t>(0, item.first - layer.window + 1) : 0;
  const int64_t last = model_.is_causal ? item.first + item.count - 1 : length - 1;
  const int64_t first_part = first_seen / kPartTokens;
  for (int64_t part = first_part; part * kPartTokens <= last; ++part) {
    vectors_.attend(rows, part * kPartTokens, part == first_part ? merged : next, kernel_scratch);
    if (part != first_part) vectors_.merge(rows.num_rows, d.head_dim, merged, next);
  }
  for (int r = 0; r < rows.num_rows; ++r)
    vectors_.finish(r, d.head_dim, merged,
                    attended_.get() + (row + r / group) * d.query_width() + item.head * group_floats +
                        (r % group) * d.head_dim);
}

}  // namespace myna
