// Inputs of each layer besides the residual: computed once for a slice, added after each feed-forward.
#include <cmath>

#include "graph/graph.h"

namespace myna {

// (norm of what the embedding is projected to + what the token has of its own) / sqrt 2, for all layers.
void Graph::project_inputs() {
  const LayerInputs& given = model_.layer_inputs;
  const Dimensions& d = model_.dimensions;
  const int64_t all = given.width * d.num_layers;
  const gguf::Tensor& table = *given.embedding;
  const auto* bytes = reinterpret_cast<const uint8_t*>(table.data.data());
  inputs_.reserve(static_cast<size_t>(num_rows_ * all));
  own_inputs_.reserve(static_cast<size_t>(num_rows_ * all));
  const Matrix* consumers[] = {&given.projection};
  quantize(residual_.get(), d.embedding, consumers);
  const Product product[] = {{&given.projection, inputs_.get(), all}};
  multiply(product);
  const float projection_scale = 1.0f / std::sqrt(static_cast<float>(d.embedding));
  const float own_scale = std::sqrt(static_cast<float>(given.width)), scale = 1.0f / std::sqrt(2.0f);
  for_rows(num_rows_, 4 * all, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float *input = input_of(row, 0), *own = own_inputs_.get() + row * all;
      dequantize_row(static_cast<TensorType>(table.type),
                     bytes + static_cast<uint64_t>(token_of(row)) * table.row_bytes(), own, all);
      vectors_.scale(own, own_scale, all);
      vectors_.scale(input, projection_scale, all);
      for (int64_t at = 0; at < all; at += given.width)
        vectors_.rms_norm(input + at, given.norm.data(), model_.norm_epsilon, input + at, given.width);
      vectors_.add(input, own, all);
      vectors_.scale(input, scale, all);
    }
  });
}

void Graph::add_input(int index) {
  const Layer& layer = model_.layers[static_cast<size_t>(index)];
  const Pending pending{&layer.down_bias, &layer.post_ffn_norm};
  const Matrix* gate[] = {&layer.input_gate};
  normalize(&pending, Vector(), gate);
  project_input(index);
}

// delta = projection * (activation of (gate * what is ready for it) * the layer's input)
void Graph::project_input(int index) {
  const Layer& layer = model_.layers[static_cast<size_t>(index)];
  const int64_t width = model_.layer_inputs.width;
  const Matrix* projection[] = {&layer.input_projection};
  const Product gated[] = {{&layer.input_gate, gate_.get(), width}};
  multiply(gated);
  for_rows(num_rows_, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      activation()(gate_.get() + row * width, input_of(row, index), width);
  });
  quantize(gate_.get(), width, projection);
  const Product projected[] = {{&layer.input_projection, delta_.get(), model_.dimensions.embedding}};
  multiply(projected);
}

}  // namespace myna
