// Recurrent layers over a slice: positions of a sequence in their order, channels and heads in parallel.
#include <algorithm>
#include <array>

#include "graph/segments.h"

namespace myna {
namespace {

constexpr int64_t kChannels = 512;  // of a work item
constexpr size_t kMostTaps = 16;

}  // namespace

// Channels [channel, channel + count) of one span's rows. The state holds the last inputs, oldest first.
void Graph::convolve(const Layer& layer, int span, int64_t channel, int64_t count, Rows in, Rows out) {
  const Convolution& convolution = layer.recurrent.convolution;
  const int past = convolution.taps - 1;
  const int64_t state_begin = layer.recurrent.state_begin + channel;
  const auto weights = convolution.weights.data() + channel;
  for_segments(span, [&](int64_t first, int64_t end, const float* from, float* to) {
    const auto input = [&](int64_t row) -> const float* {
      if (row >= first) return in.at(row) + channel;
      if (from == nullptr) return zeros_.data();
      return from + state_begin + (row - first + past) * convolution.channels;
    };
    std::array<const float*, kMostTaps> taps;
    for (int64_t row = first; row < end; ++row) {
      for (int t = 0; t <= past; ++t) taps[static_cast<size_t>(t)] = input(row - past + t);
      float* sums = out.at(row) + channel;
      vectors_.convolve(taps.data(), convolution.taps, weights, convolution.channels, sums, count);
      if (!convolution.bias.empty()) vectors_.add(sums, convolution.bias.data() + channel, count);
    }
    // In this order, also if both states are one: what is overwritten is no longer needed.
    for (int i = 0; i < past; ++i)
      std::copy_n(input(end - past + i), count, to + state_begin + i * convolution.channels);
  });
}

void Graph::run_recurrent(const Layer& layer, const Pending* pending) {
  const Recurrent& recurrent = layer.recurrent;
  const size_t count = recurrent.gate.rows > 0 ? 4 : 1;
  const Matrix* inputs[] = {&recurrent.input, &recurrent.gate, &recurrent.decay, &recurrent.rate};
  normalize(pending, layer.attention_norm, std::span(inputs).first(count));
  const int64_t width = model_.recurrent.width(), heads = model_.recurrent.num_heads;
  const Product products[] = {{&recurrent.input, projected_.get(), recurrent.input.rows},
                              {&recurrent.gate, attended_.get(), width},
                              {&recurrent.decay, decays_.get(), heads},
                              {&recurrent.rate, rates_.get(), heads}};
  multiply(std::span(products).first(count));
  if (model_.recurrent.kind == Recurrence::kShortConvolution) return run_short_convolution(layer);
  if (model_.recurrent.kind == Recurrence::kDeltaRule) return run_delta_rule(layer);
  run_scan(layer);
}

// Rows of the projection are a gate before the convolution, one after it, and the values.
void Graph::run_short_convolution(const Layer& layer) {
  const int64_t width = layer.recurrent.convolution.channels, stride = layer.recurrent.input.rows;
  const Rows gates{projected_.get(), stride}, mixed{attended_.get(), width};
  const int64_t num_parts = (width + kChannels - 1) / kChannels;
  for_span_parts(num_parts, 8 * width, [&](int span, int64_t part) {
    const int64_t channel = part * kChannels, count = std::min(kChannels, width - channel);
    const int64_t begin = span_row_[static_cast<size_t>(span)];
    const int64_t end = begin + spans_[static_cast<size_t>(span)].count;
    for (int64_t row = begin; row < end; ++row) {
      float* gate = gates.at(row) + channel;
      vectors_.multiply(gate, gate + 2 * width, count);
    }
    convolve(layer, span, channel, count, gates, mixed);
    for (int64_t row = begin; row < end; ++row)
      vectors_.multiply(mixed.at(row) + channel, gates.at(row) + width + channel, count);
  });
}

}  // namespace myna
