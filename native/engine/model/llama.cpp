// Llama 2 and 3, SmolLM2 and similar models: adjacent pairs rotate; Llama 3's rope scaling is a tensor.
#include "model/architectures.h"

namespace myna {

void build_llama(Build& build) {
  build.add_plain_layers();
  build.add_query_key_biases();
  Rope rope = build.rope(false, build.rope_base(), build.rope_linear_factor());
  const Vector factors = build.weights.optional_vector("rope_freqs.weight", std::ssize(rope.frequencies));
  for (size_t i = 0; i < factors.size(); ++i) rope.frequencies[i] /= factors[i];
  build.model.ropes.push_back(std::move(rope));
}

}  // namespace myna
