#include "graph/graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace myna {
namespace {

constexpr int64_t kSliceRows =
    256;  // rows that pass through all layers together, so that their values stay in the CPU cache
// Of a mixture, whose experts each get only some of the rows: more, so that an expert that is read is used.
constexpr int64_t kMixtureSliceRows = 1024;

// Quantised matrices have bfloat16 activations where attention has tiles. Key biases are added exactly, and
// models that have them (Qwen2) use them to make some scores very large.
Precision attention_precision(const Model& model) {
  const Layer& layer = *std::find_if(model.layers.begin(), model.layers.end(),
                                     [](const Layer& other) { return other.has_keys(); });
  const Matrix& keys = model.latent.rank > 0 ? layer.latent.down : layer.key;
  if (is_float(keys.type) || is_float(layer.output.type)) return Precision::kFloat;
  return layer.key_bias.empty() ? Precision::kBfloat : Precision::kSplitBfloat;
}

}  // namespace

Graph::Graph(const Model& model, const PagedCache& cache, const StateStore* states, ThreadPool& pool)
    : RowSteps(pool, attention_precision(model), cache.shape().type),
      model_(model),
      cache_(cache),
      states_(states) {
  slice_rows_ = model.routing.num_experts > 0 ? kMixtureSliceRows : kSliceRows;
  int64_t channels = 0;
  for (const Layer& layer : model.layers) {
    gate_width_ = std::max({gate_width_, layer.up.rows, layer.input_gate.rows, layer.laurel.left.rows});
    mixed_width_ = std::max({mixed_width_, layer.output.cols, layer.heads.query_width()});
    projected_width_ = std::max(projected_width_, layer.recurrent.input.rows);
    channels = std::max(channels, layer.recurrent.convolution.channels);
    if (layer.is_recurrent()) continue;
    tiles_.reserve(layer.heads, pool.num_threads());
    query_width_ = std::max({query_width_, layer.heads.query_width(), model.latent.query_rank});
    kv_width_ = std::max(kv_width_, layer.heads.kv_width());
  }
  zeros_.assign(static_cast<size_t>(channels), 0.0f);
  const float length = std::sqrt(static_cast<float>(model.recurrent.key_dim));
  query_scale_.assign(static_cast<size_t>(model.recurrent.key_dim), 1 / (length * length));
  key_scale_.assign(static_cast<size_t>(model.recurrent.key_dim), 1 / length);
}

void Graph::forward(std::span<const Span> batch, float* logits) {
  std::vector<Span> slice;
  int64_t room = slice_rows_;
  for (const Span& span : batch) {
    for (int64_t done = 0; done < span.count;) {
      const int64_t count = std::min(room, span.count - done);
      slice.push_back({span.sequence, span.tokens + done, count, span.start + done,
                       std::clamp<int64_t>(span.logits_from - done, 0, count)});
      done += count;
      room -= count;
      if (room > 0) continue;
      run_slice(slice, logits);
      slice.clear();
      room = slice_rows_;
    }
  }
  if (!slice.empty()) run_slice(slice, logits);
}

void Graph::run_slice(std::span<const Span> slice, float*& logits) {
  place_rows(slice);
  embed();
  if (model_.layer_inputs.width > 0) project_inputs();
  const bool has_streams = model_.altup.num_inputs > 1;
  if (has_streams) split_streams();
  for (int i = 0; i < model_.dimensions.num_layers; ++i) run_layer(i);
  if (num_rows_ == 0) return;
  const Matrix* consumers[] = {&model_.output};
  const Pending pending = pending_of(model_.layers.back());
  if (has_streams) merge_streams();
  normalize(has_streams ? nullptr : &pending, model_.output_norm, consumers);
  const Product products[] = {{&model_.output, logits, model_.dimensions.vocabulary}};
  multiply(products);
  finish_logits(logits);
  logits += num_rows_ * model_.dimensions.vocabulary;
}

void Graph::place_rows(std::span<const Span> slice) {
  spans_.assign(slice.begin(), slice.end());
  span_row_.clear();
  positions_.clear();
  row_span_.clear();
  wanted_.clear();
  for (size_t i = 0; i < slice.size(); ++i) {
    span_row_.push_back(static_cast<int64_t>(positions_.size()));
    for (int64_t j = 0; j < slice[i].count; ++j) {
      if (j >= slice[i].logits_from) wanted_.push_back(static_cast<int64_t>(positions_.size()));
      positions_.push_back(slice[i].start + j);
      row_span_.push_back(static_cast<int>(i));
    }
  }
  num_rows_ = static_cast<int64_t>(positions_.size());
  const Dimensions& d = model_.dimensions;
  const auto rows = static_cast<size_t>(num_rows_);
  for (Buffer<float>* buffer : {&residual_, &normed_, &delta_}) buffer->reserve(rows * d.embedding);
  query_.reserve(rows * static_cast<size_t>(query_width_));
  attended_.reserve(rows * static_cast<size_t>(mixed_width_));
  for (Buffer<float>* buffer : {&key_, &value_}) buffer->reserve(rows * static_cast<size_t>(kv_width_));
  projected_.reserve(rows * static_cast<size_t>(projected_width_));
  convolved_.reserve(rows * zeros_.size());
  read_.reserve(rows * static_cast<size_t>(model_.recurrent.width()));
  for (Buffer<float>* buffer : {&decays_, &rates_})
    buffer->reserve(rows * static_cast<size_t>(model_.recurrent.num_heads));
  for (Buffer<float>* buffer : {&gate_, &up_}) buffer->reserve(rows * static_cast<size_t>(gate_width_));
  planned_ = {};
}

void Graph::embed() {
  const Dimensions& d = model_.dimensions;
  const gguf::Tensor& table = *model_.embedding;
  const auto* bytes = reinterpret_cast<const uint8_t*>(table.data.data());
  int64_t angles = 0;
  for (size_t r = 0; r < model_.ropes.size(); ++r) {
    const size_t half = model_.ropes[r].frequencies.size();
    cosines_[r].reserve(static_cast<size_t>(num_rows_) * half);
    sines_[r].reserve(static_cast<size_t>(num_rows_) * half);
    angles += static_cast<int64_t>(half);
  }
  for_rows(num_rows_, d.embedding + 16 * angles, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = residual_.get() + row * d.embedding;
      dequantize_row(static_cast<TensorType>(table.type),
                     bytes + static_cast<uint64_t>(token_of(row)) * table.row_bytes(), out, d.embedding);
      if (model_.embedding_scale != 1.0f) vectors_.scale(out, model_.embedding_scale, d.embedding);
      const auto position = static_cast<double>(positions_[static_cast<size_t>(row)]);
      for (size_t r = 0; r < model_.ropes.size(); ++r) {
        const Rope& rope = model_.ropes[r];
        const auto half = std::ssize(rope.frequencies);
        for (int64_t i = 0; i < half; ++i) {
          const double angle = position * rope.frequencies[static_cast<size_t>(i)];
          cosines_[r].get()[row * half + i] = static_cast<float>(std::cos(angle) * rope.magnitude);
          sines_[r].get()[row * half + i] = static_cast<float>(std::sin(angle) * rope.magnitude);
        }
      }
    }
  });
}

void Graph::run_layer(int index) {
  const Dimensions& d = model_.dimensions;
  const Layer& layer = model_.layers[static_cast<size_t>(index)];
  const bool is_first = index == 0, has_streams = model_.altup.num_inputs > 1;
  const Pending added = is_first ? Pending{} : pending_of(model_.layers[static_cast<size_t>(index) - 1]);
  const Pending* pending = is_first || has_streams ? nullptr : &added;
  if (has_streams) predict_streams(layer);
  if (layer.is_recurrent())
    run_recurrent(layer, pending);
  else if (layer.has_mixer())
    run_attention(layer, pending);
  if (index == d.num_layers - 1) compact_to_wanted();
  if (num_rows_ == 0) return;

  Pending mixed{&layer.output_bias, &layer.post_attention_norm};
  if (has_streams) {
    mixed.extra = laurel_.get();
    mixed.output_scale = 1.0f / std::sqrt(2.0f);
  }
  if (layer.has_mixer()) {
    project_mixed(layer);
    pending = &mixed;
  }
  if (layer.has_feed_forward()) feed_forward(layer, pending);
  if (has_streams)
    correct_streams(index);
  else if (model_.layer_inputs.width > 0)
    add_input(index);
}

// What a layer's attention, or what is in its place, adds to the residual.
void Graph::project_mixed(const Layer& layer) {
  const bool is_latent = model_.latent.rank > 0;
  if (is_latent) project_back(layer);
  const Matrix* outputs[] = {&layer.output};
  quantize(is_latent ? head_queries_.get() : attended_.get(), layer.output.cols, outputs);
  const Product output[] = {{&layer.output, delta_.get(), model_.dimensions.embedding}};
  multiply(output);
}

void Graph::project_heads(const Layer& layer, const Pending* pending) {
  const int64_t query_width = layer.heads.query_width(), kv_width = layer.heads.kv_width();
  const bool has_gate = layer.query_gate.rows > 0;
  if (has_gate) query_gate_.reserve(static_cast<size_t>(num_rows_ * query_width));
  const int64_t rank = layer.laurel.left.rows;
  float* low = gate_.get();  // the feed-forward's, which comes later
  std::array<const Matrix*, 5> projections;
  std::array<Product, 5> products;
  size_t count = 0;
  for (const Product& product :
       {Product{&layer.query, query_.get(), query_width}, Product{&layer.key, key_.get(), kv_width},
        Product{&layer.value, value_.get(), kv_width},
        Product{&layer.query_gate, query_gate_.get(), query_width}, Product{&layer.laurel.left, low, rank}}) {
    if (product.weights->rows == 0) continue;
    projections[count] = product.weights;
    products[count++] = product;
  }
  normalize(pending, layer.attention_norm, std::span(projections).first(count));
  multiply(std::span(products).first(count));
  if (rank > 0) finish_laurel(layer, low);
  normalize_heads(layer);
}

void Graph::run_attention(const Layer& layer, const Pending* pending) {
  if (model_.latent.rank > 0)
    project_latent(layer, pending);
  else
    project_heads(layer, pending);
  attend(layer);
  if (layer.query_gate.rows == 0) return;
  const int64_t width = layer.heads.query_width();
  for_rows(num_rows_, width, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * width;
    vectors_.sigmoid_multiply(attended_.get() + at, query_gate_.get() + at, (end - begin) * width);
  });
}

// What a layer leaves in `delta_`.
Graph::Pending Graph::pending_of(const Layer& layer) {
  if (!layer.has_feed_forward()) return {&layer.output_bias, &layer.post_attention_norm};
  const Vector& norm = layer.input_gate.rows > 0 ? layer.post_input_norm : layer.post_ffn_norm;
  return {&layer.down_bias, &norm, layer.output_scale};
}

void Graph::feed_forward(const Layer& layer, const Pending* pending) {
  const bool is_dense = layer.experts.up.empty(), has_shared = layer.up.rows > 0;
  const bool has_own_norms = !layer.experts.router_norm.empty();
  const bool has_gate = layer.gate.rows > 0;
  const Matrix* gate = has_gate ? &layer.gate : &layer.up;
  const Matrix* both[] = {gate, &layer.up};
  const Matrix* all[] = {gate, &layer.up, &layer.experts.router};
  std::span<const Matrix* const> consumers = all;
  if (is_dense || has_own_norms) consumers = both;
  if (!has_shared) consumers = consumers.subspan(2);
  if (model_.is_parallel)
    add_parallel(*pending, consumers);
  else
    normalize(pending, layer.ffn_norm, consumers);
  if (!is_dense && !has_own_norms) choose_experts(layer);
  if (has_shared) {
    if (is_gated_at_once(layer)) {
      multiply_gated(layer);
    } else {
      const int64_t width = layer.up.rows;
      const Product gate_and_up[] = {{gate, gate_.get(), width}, {&layer.up, up_.get(), width}};
      multiply(std::span(gate_and_up).first(has_gate ? 2 : 1));
      activate(layer);
    }
    const Product down[] = {{&layer.down, delta_.get(), model_.dimensions.embedding}};
    multiply(down);
  }
  if (has_own_norms) {
    const Matrix* router[] = {&layer.experts.router};
    normalize(nullptr, layer.experts.router_norm, router);
    choose_experts(layer);
    normalize(nullptr, layer.experts.norm, {});
  }
  if (!is_dense) run_experts(layer);
}

// After the last layer's attention, rows without requested logits are no longer needed.
void Graph::compact_to_wanted() {
  const Dimensions& d = model_.dimensions;
  const auto compact = [&](float* rows, int64_t width, int64_t from, int64_t to) {
    std::memcpy(rows + to * width, rows + from * width, static_cast<size_t>(width) * sizeof(float));
  };
  const Layer& last = model_.layers.back();
  const int64_t attended_width = last.is_recurrent() ? last.output.cols : last.heads.query_width();
  const bool has_mixer = last.has_mixer();
  for (size_t i = 0; i < wanted_.size(); ++i) {
    const int64_t from = wanted_[i], to = static_cast<int64_t>(i);
    if (from == to) continue;
    compact(residual_.get(), d.embedding, from, to);
    if (has_mixer)
      compact(attended_.get(), attended_width, from, to);
    else
      compact(delta_.get(), d.embedding, from, to);
    if (const int64_t width = model_.layer_inputs.width; width > 0)
      compact(inputs_.get(), width * d.num_layers, from, to);
    if (model_.is_parallel) compact(normed_.get(), d.embedding, from, to);
    if (model_.altup.num_inputs == 1) continue;
    compact(laurel_.get(), d.embedding, from, to);
    for (int64_t input = 0; input < model_.altup.num_inputs; ++input)
      compact(stream(predicted_, input, 0), d.embedding, from, to);
  }
  num_rows_ = static_cast<int64_t>(wanted_.size());
}

void Graph::add_pending(float* delta, int64_t row, const Pending& pending) {
  const int64_t width = model_.dimensions.embedding;
  if (!pending.bias->empty()) vectors_.add(delta, pending.bias->data(), width);
  if (!pending.norm->empty())
    vectors_.rms_norm(delta, pending.norm->data(), model_.norm_epsilon, delta, width);
  if (model_.residual_scale != 1.0f) vectors_.scale(delta, model_.residual_scale, width);
  vectors_.add(residual_.get() + row * width, delta, width);
  if (pending.extra != nullptr)
    vectors_.add(residual_.get() + row * width, pending.extra + row * width, width);
  if (pending.output_scale != 1.0f)
    vectors_.scale(residual_.get() + row * width, pending.output_scale, width);
}

// Adds the previous block's output to the residual, then prepares its norm for `consumers`.
void Graph::normalize(const Pending* pending, const Vector& norm, std::span<const Matrix* const> consumers) {
  const int64_t width = model_.dimensions.embedding;
  const float epsilon = model_.norm_epsilon;
  resize_inputs(consumers, num_rows_, width);
  const auto normalized = model_.norm == NormKind::kRms ? vectors_.rms_norm : vectors_.layer_norm;
  const float* source = norm.empty() ? residual_.get() : normed_.get();
  for_rows(num_rows_, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (pending != nullptr) add_pending(delta_.get() + row * width, row, *pending);
      if (norm.empty()) continue;
      normalized(residual_.get() + row * width, norm.data(), epsilon, normed_.get() + row * width, width);
    }
    set_inputs(source, width, begin, end);
  });
}

// As above where the consumers read the norm that the layer's attention had.
void Graph::add_parallel(const Pending& pending, std::span<const Matrix* const> consumers) {
  const int64_t width = model_.dimensions.embedding;
  for_rows(num_rows_, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) add_pending(delta_.get() + row * width, row, pending);
  });
  quantize(normed_.get(), width, consumers);
}

// Norms over all heads together, which come before a layer's attention takes the heads apart.
void Graph::normalize_heads(const Layer& layer) {
  const int64_t query = layer.heads.query_width(), kv = layer.heads.kv_width();
  if (!has_whole_norm(layer)) return;
  const auto normalized = [&](float* x, const Vector& bias, const Vector& norm, int64_t width) {
    if (!bias.empty()) vectors_.add(x, bias.data(), width);
    vectors_.rms_norm(x, norm.data(), model_.norm_epsilon, x, width);
  };
  for_rows(num_rows_, query + kv, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      normalized(query_.get() + row * query, layer.query_bias, layer.query_norm, query);
      normalized(key_.get() + row * kv, layer.key_bias, layer.key_norm, kv);
    }
  });
}

void Graph::finish_logits(float* logits) {
  const int64_t width = model_.dimensions.vocabulary;
  if (model_.logit_scale == 1.0f && model_.logit_cap == 0.0f) return;
  for_rows(num_rows_, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (model_.logit_scale != 1.0f) vectors_.scale(logits + row * width, model_.logit_scale, width);
      if (model_.logit_cap > 0) vectors_.soft_cap(logits + row * width, model_.logit_cap, width);
    }
  });
}

void (*Graph::activation() const)(float*, const float*, int64_t) {
  if (model_.activation == Activation::kSilu) return vectors_.silu_multiply;
  if (model_.activation == Activation::kSquaredRelu) return vectors_.relu_multiply;
  return model_.activation == Activation::kGelu ? vectors_.gelu_multiply : vectors_.clipped_silu_multiply;
}

void Graph::activate(const Layer& layer) {
  const int64_t width = layer.up.rows;
  Activations& ready = is_float(layer.down.type) ? floats_ : narrow_;
  const auto activation = this->activation();
  ready.resize(kernels_.kind_for(layer.down.type), num_rows_, width);
  for_rows(num_rows_, 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* gate = gate_.get() + row * width;
      float* up = layer.gate.rows > 0 ? up_.get() + row * width : gate;
      if (!layer.gate_bias.empty()) vectors_.add(gate, layer.gate_bias.data(), width);
      if (!layer.up_bias.empty()) vectors_.add(up, layer.up_bias.data(), width);
      if (layer.is_sparse()) vectors_.sparsify(gate, layer.sparsity, width);
      activation(gate, up, width);
    }
    kernels_.quantize(gate_.get(), width, begin, end, ready);
  });
}

// Whether the kernels can turn the products of the gate and of what it gates into activations in one pass.
bool Graph::is_gated_at_once(const Layer& layer) const {
  return kernels_.matmul_gated != nullptr && model_.activation != Activation::kClippedSilu &&
         layer.gate.type == layer.up.type && !is_float(layer.up.type) && !is_float(layer.down.type) &&
         layer.gate.rows == layer.up.rows && layer.up.rows % kBlock == 0 && layer.gate_bias.empty() &&
         layer.up_bias.empty() && !layer.is_sparse();
}

void Graph::multiply_gated(const Layer& layer) {
  for (const Matrix* weights : {&layer.gate, &layer.up}) count_product(*weights, num_rows_);
  gated_.resize(kernels_.quantised, num_rows_, layer.up.rows);
  const Gate function = model_.activation == Activation::kSilu ? Gate::kSilu : Gate::kGelu;
  matmul(pool_, narrow_, GatedProduct{&layer.gate, &layer.up, function, &gated_});
  std::swap(narrow_, gated_);
}

}  // namespace myna
