// Recurrent layers whose state has a matrix for each head: each position adds to it and reads from it.
#include <algorithm>
#include <cmath>

#include "graph/segments.h"

namespace myna {
namespace {

constexpr int64_t kChannels = 512;  // of a work item

float softplus(double x) { return static_cast<float>(x > 20 ? x : std::log1p(std::exp(x))); }

}  // namespace

void Graph::convolve_all(const Layer& layer, Rows in) {
  const int64_t width = layer.recurrent.convolution.channels;
  const Rows out{convolved_.get(), width};
  for_span_parts((width + kChannels - 1) / kChannels, 8 * width, [&](int span, int64_t part) {
    const int64_t channel = part * kChannels, count = std::min(kChannels, width - channel);
    convolve(layer, span, channel, count, in, out);
    const int64_t begin = span_row_[static_cast<size_t>(span)];
    const int64_t end = begin + spans_[static_cast<size_t>(span)].count;
    for (int64_t row = begin; row < end; ++row) vectors_.silu(out.at(row) + channel, count);
  });
}

// Heads are independent, and so are the columns of their matrices; positions follow each other.
void Graph::update_states(const Layer& layer, int64_t keys, int64_t queries, int64_t values) {
  const RecurrentSizes& sizes = model_.recurrent;
  const auto update = sizes.kind == Recurrence::kDeltaRule ? vectors_.correct_state : vectors_.add_to_state;
  const int64_t heads = sizes.num_heads, head_dim = sizes.head_dim, key_dim = sizes.key_dim;
  const Rows inputs{convolved_.get(), layer.recurrent.convolution.channels}, out{read_.get(), sizes.width()};
  const int64_t state_begin = layer.recurrent.state_begin + layer.recurrent.convolution.state_floats();
  const int64_t blocks = (head_dim + kStateColumns - 1) / kStateColumns;
  for_span_parts(heads * blocks, 2 * sizes.matrix_floats(), [&](int span, int64_t part) {
    const int64_t head = part / blocks, column = part % blocks * kStateColumns;
    const int64_t count = std::min(kStateColumns, head_dim - column);
    const int64_t key = sizes.key_of(static_cast<int>(head)) * key_dim;
    const int64_t at = head * head_dim + column;
    for_segments(span, [&](int64_t first, int64_t end, const float* from, float* to) {
      float* state = to + state_begin + (head * head_dim + column) * key_dim;
      const float* before = from == nullptr ? state : from + (state - to);
      if (from == nullptr) std::fill_n(state, key_dim * count, 0.0f);
      for (int64_t row = first; row < end; ++row) {
        const float* input = inputs.at(row);
        const StateUpdate change{input + keys + key, input + queries + key, decays_.get()[row * heads + head],
                                 rates_.get()[row * heads + head]};
        update(before, state, key_dim, count, change, input + values + at, out.at(row) + at);
        before = state;
      }
    });
  });
}

// Keys and queries get unit length, queries are scaled, and the products of decay and rate become factors.
void Graph::normalize_keys(float* row, float* decays, float* rates, const Layer& layer) {
  const RecurrentSizes& sizes = model_.recurrent;
  const int64_t dim = sizes.key_dim;
  const float epsilon = model_.norm_epsilon / static_cast<float>(dim);
  for (int k = 0; k < 2 * sizes.num_keys; ++k) {
    const Vector& scale = k < sizes.num_keys ? query_scale_ : key_scale_;
    vectors_.rms_norm(row + k * dim, scale.data(), epsilon, row + k * dim, dim);
  }
  for (int h = 0; h < sizes.num_heads; ++h) {
    const auto i = static_cast<size_t>(h);
    const float step = softplus(decays[h] + layer.recurrent.step_bias[i]);
    decays[h] = static_cast<float>(std::exp(static_cast<double>(step * layer.recurrent.decay_scale[i])));
    rates[h] = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(rates[h]))));
  }
}

// The gate is in `attended_`, which it leaves times the norm of what was read.
void Graph::run_delta_rule(const Layer& layer) {
  const RecurrentSizes& sizes = model_.recurrent;
  const int64_t channels = layer.recurrent.convolution.channels, width = sizes.width(),
                heads = sizes.num_heads;
  convolve_all(layer, {projected_.get(), channels});
  for_rows(num_rows_, channels, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      normalize_keys(convolved_.get() + row * channels, decays_.get() + row * heads,
                     rates_.get() + row * heads, layer);
  });
  update_states(layer, sizes.key_width(), 0, 2 * sizes.key_width());
  for_rows(num_rows_, 2 * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* read = read_.get() + row * width;
      for (int64_t at = 0; at < width; at += sizes.head_dim)
        vectors_.rms_norm(read + at, layer.recurrent.norm.data(), model_.norm_epsilon, read + at,
                          sizes.head_dim);
      vectors_.silu_multiply(attended_.get() + row * width, read, width);
    }
  });
}

// Rows of the projection are a gate, the convolution's input, and a step for each head.
void Graph::run_scan(const Layer& layer) {
  const RecurrentSizes& sizes = model_.recurrent;
  const Recurrent& recurrent = layer.recurrent;
  const int64_t width = sizes.width(), heads = sizes.num_heads, channels = recurrent.convolution.channels;
  const Rows projected{projected_.get(), recurrent.input.rows};
  convolve_all(layer, {projected_.get() + width, projected.stride});
  for_rows(num_rows_, 16 * heads, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t h = 0; h < heads; ++h) {
        const auto i = static_cast<size_t>(h);
        const float step = softplus(projected.at(row)[width + channels + h] + recurrent.step_bias[i]);
        decays_.get()[row * heads + h] =
            static_cast<float>(std::exp(static_cast<double>(step * recurrent.decay_scale[i])));
        rates_.get()[row * heads + h] = step;
      }
  });
  update_states(layer, width, width + sizes.key_width(), 0);
  const int64_t group = width / sizes.num_keys;
  for_rows(num_rows_, 3 * width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float *read = read_.get() + row * width, *gate = projected.at(row),
            *values = convolved_.get() + row * channels;
      for (int64_t h = 0; h < heads; ++h)
        vectors_.scale(values + h * sizes.head_dim, recurrent.skip[static_cast<size_t>(h)], sizes.head_dim);
      vectors_.add(read, values, width);
      vectors_.silu_multiply(gate, read, width);
      for (int64_t at = 0; at < width; at += group)
        vectors_.rms_norm(gate + at, recurrent.norm.data() + at, model_.norm_epsilon,
                          attended_.get() + row * width + at, group);
    }
  });
}

}  // namespace myna
