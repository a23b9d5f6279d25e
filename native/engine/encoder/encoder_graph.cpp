#include "encoder/encoder_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace myna {
namespace {

constexpr int64_t kSliceRows = 256;  // after which no further text joins a slice

}  // namespace

EncoderGraph::EncoderGraph(const Encoder& model, ThreadPool& pool)
    : RowSteps(pool, Precision::kFloat, CacheType::kFloat16),
      model_(model),
      cosines_(model.ropes.size()),
      sines_(model.ropes.size()) {
  const Dimensions& d = model.dimensions;
  tiles_.reserve({d.num_heads, d.num_kv_heads, d.head_dim}, pool.num_threads());
}

void EncoderGraph::embed(std::span<const Text> texts, float* vectors) {
  const int64_t width = model_.dimensions.embedding;
  pooled_.reserve(texts.size() * static_cast<size_t>(width));
  float* pooled = pooled_.get();
  while (!texts.empty()) {
    size_t count = 0;
    int64_t num_rows = 0;
    do {
      num_rows += std::ssize(texts[count++]);
    } while (count < texts.size() && num_rows + std::ssize(texts[count]) <= kSliceRows);
    run_slice(texts.first(count), pooled);
    pooled += static_cast<int64_t>(count) * width;
    texts = texts.subspan(count);
  }
  finish_vectors((pooled - pooled_.get()) / width, vectors);
}

void EncoderGraph::run_slice(std::span<const Text> texts, float* pooled) {
  place_rows(texts);
  add_embeddings(texts);
  enter_attention(nullptr, model_.layers.front());
  for (size_t i = 0; i < model_.layers.size(); ++i) run_layer(i);
  pool_texts(pooled);
}

void EncoderGraph::place_rows(std::span<const Text> texts) {
  rows_.clear();
  text_row_.clear();
  for (size_t t = 0; t < texts.size(); ++t) {
    text_row_.push_back(std::ssize(rows_));
    for (int64_t i = 0; i < std::ssize(texts[t]); ++i) rows_.push_back({static_cast<int>(t), i});
  }
  text_row_.push_back(std::ssize(rows_));
  const Dimensions& d = model_.dimensions;
  const size_t rows = rows_.size();
  for (Buffer<float>* buffer : {&residual_, &normed_, &delta_}) buffer->reserve(rows * d.embedding);
  for (Buffer<float>* buffer : {&query_, &attended_}) buffer->reserve(rows * d.query_width());
  for (Buffer<float>* buffer : {&key_, &value_}) buffer->reserve(rows * d.kv_width());
  for (Buffer<float>* buffer : {&gate_, &up_}) buffer->reserve(rows * d.feed_forward);
  for (auto* tables : {&cosines_, &sines_})
    for (Buffer<float>& table : *tables) table.reserve(rows * d.rope_dim / 2);
  plan_attention();
}

void EncoderGraph::add_embeddings(std::span<const Text> texts) {
  const Dimensions& d = model_.dimensions;
  const int64_t width = d.embedding, half = d.rope_dim / 2;
  const auto read_row = [&](const gguf::Tensor& table, int64_t row, float* out) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(table.data.data());
    dequantize_row(static_cast<TensorType>(table.type),
                   bytes + static_cast<uint64_t>(row) * table.row_bytes(), out, width);
  };
  for_rows(
      std::ssize(rows_), 4 * width + 16 * half * std::ssize(model_.ropes), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const auto [text, position] = rows_[static_cast<size_t>(row)];
          float* out = residual_.get() + row * width;
          read_row(*model_.embedding, texts[static_cast<size_t>(text)][static_cast<size_t>(position)], out);
          if (model_.embedding_scale != 1.0f) vectors_.scale(out, model_.embedding_scale, width);
          if (!model_.segment.empty()) vectors_.add(out, model_.segment.data(), width);
          if (model_.positions != nullptr) {
            float* delta = delta_.get() + row * width;
            read_row(*model_.positions, position, delta);
            vectors_.add(out, delta, width);
          }
          if (!model_.embedding_norm.weight.empty()) normalize(model_.embedding_norm, out, out);
          for (size_t r = 0; r < model_.ropes.size(); ++r)
            for (int64_t i = 0; i < half; ++i) {
              const double angle =
                  static_cast<double>(position) * model_.ropes[r].frequencies[static_cast<size_t>(i)];
              cosines_[r].get()[row * half + i] = static_cast<float>(std::cos(angle));
              sines_[r].get()[row * half + i] = static_cast<float>(std::sin(angle));
            }
        }
      });
}

void EncoderGraph::run_layer(size_t index) {
  const Dimensions& d = model_.dimensions;
  const EncoderLayer& layer = model_.layers[index];
  const Product heads[] = {{&layer.query.weight, query_.get(), d.query_width()},
                           {&layer.key.weight, key_.get(), d.kv_width()},
                           {&layer.value.weight, value_.get(), d.kv_width()}};
  multiply(heads);
  attend(layer);
  const Matrix* outputs[] = {&layer.output.weight};
  prepare(attended_.get(), std::ssize(rows_), d.query_width(), outputs);
  const Product output[] = {{&layer.output.weight, delta_.get(), d.embedding}};
  multiply(output);

  const size_t num_ups = layer.gate.weight.rows > 0 ? 2 : 1;
  const Matrix* ups[] = {&layer.up.weight, &layer.gate.weight};
  const Finished attended{layer.output.bias, layer.attention};
  enter_block(&attended, layer.feed_forward.input, std::span(ups).first(num_ups));
  const Product up_and_gate[] = {{&layer.up.weight, up_.get(), d.feed_forward},
                                 {&layer.gate.weight, gate_.get(), d.feed_forward}};
  multiply(std::span(up_and_gate).first(num_ups));
  activate(layer);
  const Product down[] = {{&layer.down.weight, delta_.get(), d.embedding}};
  multiply(down);

  const Finished fed_forward{layer.down.bias, layer.feed_forward};
  if (index + 1 == model_.layers.size())
    enter_block(&fed_forward, model_.output_norm, {});
  else
    enter_attention(&fed_forward, model_.layers[index + 1]);
}

void EncoderGraph::enter_attention(const Finished* before, const EncoderLayer& layer) {
  const Matrix* projections[] = {&layer.query.weight, &layer.key.weight, &layer.value.weight};
  enter_block(before, layer.attention.input, projections);
}

void EncoderGraph::normalize(const Norm& norm, const float* x, float* out) const {
  const int64_t width = model_.dimensions.embedding;
  const auto function = model_.has_layer_norms ? vectors_.layer_norm : vectors_.rms_norm;
  function(x, norm.weight.data(), model_.norm_epsilon, out, width);
  if (!norm.bias.empty()) vectors_.add(out, norm.bias.data(), width);
}

// Adds the previous block's output to the residual, then prepares the next block's input for `consumers`.
void EncoderGraph::enter_block(const Finished* before, const Norm& input,
                               std::span<const Matrix* const> consumers) {
  const int64_t width = model_.dimensions.embedding;
  resize_inputs(consumers, std::ssize(rows_), width);
  hidden_ = input.weight.empty() ? residual_.get() : normed_.get();
  for_rows(std::ssize(rows_), width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* residual = residual_.get() + row * width;
      if (before != nullptr) {
        float* delta = delta_.get() + row * width;
        if (!before->bias.empty()) vectors_.add(delta, before->bias.data(), width);
        if (!before->norms.branch.weight.empty()) normalize(before->norms.branch, delta, delta);
        vectors_.add(residual, delta, width);
        if (!before->norms.sum.weight.empty()) normalize(before->norms.sum, residual, residual);
      }
      if (!input.weight.empty()) normalize(input, residual, normed_.get() + row * width);
    }
    set_inputs(hidden_, width, begin, end);
  });
}

void EncoderGraph::activate(const EncoderLayer& layer) {
  const int64_t width = model_.dimensions.feed_forward;
  const bool is_gated = layer.gate.weight.rows > 0;
  float* result = is_gated ? gate_.get() : up_.get();
  const auto activation =
      model_.activation == Activation::kSilu ? vectors_.silu_multiply : vectors_.gelu_multiply;
  const Matrix* consumers[] = {&layer.down.weight};
  resize_inputs(consumers, std::ssize(rows_), width);
  for_rows(std::ssize(rows_), 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float *gate = gate_.get() + row * width, *up = up_.get() + row * width;
      if (!layer.up.bias.empty()) vectors_.add(up, layer.up.bias.data(), width);
      if (is_gated && !layer.gate.bias.empty()) vectors_.add(gate, layer.gate.bias.data(), width);
      if (is_gated)
        activation(gate, up, width);
      else
        vectors_.gelu(up, width);
    }
    set_inputs(result, width, begin, end);
  });
}

void EncoderGraph::pool_texts(float* pooled) {
  const int64_t width = model_.dimensions.embedding, num_texts = std::ssize(text_row_) - 1;
  const int64_t rows_per_text = std::ssize(rows_) / num_texts;
  for_rows(num_texts, width * rows_per_text, [&](int64_t begin, int64_t end) {
    for (int64_t text = begin; text < end; ++text) {
      const int64_t first = text_row_[static_cast<size_t>(text)];
      const int64_t last = text_row_[static_cast<size_t>(text) + 1] - 1;
      float* out = pooled + text * width;
      const int64_t from = model_.pooling == Pooling::kLast ? last : first;
      std::memcpy(out, hidden_ + from * width, static_cast<size_t>(width) * sizeof(float));
      if (model_.pooling != Pooling::kMean) continue;
      for (int64_t row = first + 1; row <= last; ++row) vectors_.add(out, hidden_ + row * width, width);
      vectors_.scale(out, 1.0f / static_cast<float>(last - first + 1), width);
    }
  });
}

// The dense layers of all texts at once, then unit length.
void EncoderGraph::finish_vectors(int64_t num_texts, float* vectors) {
  const float* source = pooled_.get();
  int64_t width = model_.dimensions.embedding;
  for (size_t i = 0; i < model_.dense.size(); ++i) {
    const Matrix& weight = model_.dense[i];
    const Matrix* consumers[] = {&weight};
    float* out = dense_[i % 2].reserve(static_cast<size_t>(num_texts * weight.rows));
    prepare(source, num_texts, width, consumers);
    const Product product[] = {{&weight, out, weight.rows}};
    multiply(product);
    source = out;
    width = weight.rows;
  }
  for (int64_t text = 0; text < num_texts; ++text) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i)
      sum += static_cast<double>(source[text * width + i]) * source[text * width + i];
    const double scale = 1 / std::max(std::sqrt(sum), 1e-12);
    for (int64_t i = 0; i < width; ++i)
      vectors[text * width + i] = static_cast<float>(source[text * width + i] * scale);
  }
}

}  // namespace myna
