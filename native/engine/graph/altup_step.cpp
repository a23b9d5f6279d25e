// Models whose residual is the first of several inputs ("AltUp"), of which all other steps know only that
// one. Between layers it is also the first of `streams_`.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/graph.h"

namespace myna {
namespace {

double length_of(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return std::sqrt(sum);
}

// The factor that makes a vector as long as another one.
float stretch(double length, const float* x, int64_t n) {
  return static_cast<float>(length / std::max(length_of(x, n), 1e-30));
}

float dot(const Vector& rows, int64_t row, const float* x, int64_t n) {
  return std::inner_product(x, x + n, rows.data() + row * n, 0.0f);
}

}  // namespace

// The embedding is the first input; the others are projected from it, each as long as it is.
void Graph::split_streams() {
  const int64_t width = model_.dimensions.embedding, count = model_.altup.num_inputs;
  stream_rows_ = num_rows_;
  for (Buffer<float>* streams : {&streams_, &predicted_})
    streams->reserve(static_cast<size_t>(count * num_rows_ * width));
  modalities_.reserve(static_cast<size_t>(num_rows_ * count));
  laurel_.reserve(static_cast<size_t>(num_rows_ * width));
  const auto first = [&](int64_t row, int64_t) { return residual_.get() + row * width; };
  multiply_each(model_.altup.projections, first, stream(streams_, 1, 0));
  for_rows(num_rows_, 2 * count * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::copy_n(first(row, 0), width, stream(streams_, 0, row));
      const double length = length_of(first(row, 0), width);
      for (int64_t i = 1; i < count; ++i) {
        float* other = stream(streams_, i, row);
        vectors_.scale(other, stretch(length, other, width), width);
      }
    }
  });
}

// What the router makes of the residual's norm, in `modalities_`.
void Graph::route_streams(const Layer& layer, const Pending* pending) {
  const int64_t count = model_.altup.num_inputs;
  const Matrix* router[] = {&layer.altup.router};
  normalize(pending, layer.altup.router_norm, router);
  const Product product[] = {{&layer.altup.router, modalities_.get(), count}};
  multiply(product);
  for_rows(num_rows_, 16 * count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * count; i < end * count; ++i)
      modalities_.get()[i] = std::tanh(modalities_.get()[i]);
  });
}

// Each input becomes itself and a weighted sum of all; the first is the layer's residual.
void Graph::predict_streams(const Layer& layer) {
  const int64_t width = model_.dimensions.embedding, count = model_.altup.num_inputs;
  route_streams(layer, nullptr);
  for_rows(num_rows_, count * count * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* modalities = modalities_.get() + row * count;
      for (int64_t i = 0; i < count; ++i) {
        float* out = stream(predicted_, i, row);
        std::copy_n(stream(streams_, i, row), width, out);
        for (int64_t j = 0; j < count; ++j)
          vectors_.add_scaled(out, stream(streams_, j, row),
                              dot(layer.altup.predict, i * count + j, modalities, count), width);
      }
      std::copy_n(stream(predicted_, 0, row), width, residual_.get() + row * width);
    }
  });
}

// After the feed-forward: by how much the first input differs from what was predicted is added to all of
// them, weighted. All but the first also get the layer's own input, gated by the first.
void Graph::correct_streams(int index) {
  const Layer& layer = model_.layers[static_cast<size_t>(index)];
  const int64_t width = model_.dimensions.embedding, count = model_.altup.num_inputs;
  const Pending pending{&layer.down_bias, &layer.post_ffn_norm};
  route_streams(layer, &pending);
  for_rows(num_rows_, 2 * count * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* modalities = modalities_.get() + row * count;
      float *residual = residual_.get() + row * width, *gate = normed_.get() + row * width;
      vectors_.add_scaled(residual, stream(predicted_, 0, row), -1, width);
      for (int64_t i = 0; i < count; ++i) {
        float* out = stream(streams_, i, row);
        std::copy_n(stream(predicted_, i, row), width, out);
        vectors_.add_scaled(out, residual, 1 + dot(layer.altup.correct, i, modalities, count), width);
      }
      std::copy_n(stream(streams_, 0, row), width, residual);
      std::copy_n(residual, width, gate);
      vectors_.multiply(gate, layer.altup.correct_scale.data(), width);
    }
  });
  const Matrix* gate[] = {&layer.input_gate};
  quantize(normed_.get(), width, gate);
  project_input(index);
  for_rows(num_rows_, count * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* delta = delta_.get() + row * width;
      vectors_.rms_norm(delta, layer.post_input_norm.data(), model_.norm_epsilon, delta, width);
      for (int64_t i = 1; i < count; ++i) vectors_.add(stream(streams_, i, row), delta, width);
    }
  });
}

// The residual becomes the mean of the first input and of what the others are projected to, each as long as
// the first.
void Graph::merge_streams() {
  const int64_t width = model_.dimensions.embedding, others = model_.altup.num_inputs - 1;
  float* projected = predicted_.get();
  multiply_each(
      model_.altup.unembeds, [&](int64_t row, int64_t i) { return stream(streams_, i + 1, row); }, projected);
  for_rows(num_rows_, 3 * others * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* sum = residual_.get() + row * width;
      const double length = length_of(sum, width);
      for (int64_t i = 0; i < others; ++i) {
        float* other = projected + (i * num_rows_ + row) * width;
        vectors_.scale(other, stretch(length, other, width), width);
        vectors_.add(sum, other, width);
      }
      vectors_.scale(sum, 1.0f / static_cast<float>(others + 1), width);
    }
  });
}

// laurel = norm(right * left * the attention's input) + the attention's input; `low` is the product with
// left.
void Graph::finish_laurel(const Layer& layer, const float* low) {
  const int64_t width = model_.dimensions.embedding;
  const Matrix* right[] = {&layer.laurel.right};
  quantize(low, layer.laurel.right.cols, right);
  const Product product[] = {{&layer.laurel.right, laurel_.get(), width}};
  multiply(product);
  for_rows(num_rows_, 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* laurel = laurel_.get() + row * width;
      vectors_.rms_norm(laurel, layer.laurel.norm.data(), model_.norm_epsilon, laurel, width);
      vectors_.add(laurel, normed_.get() + row * width, width);
    }
  });
}

}  // namespace myna
