// Gemma 3 (text): norms around every block, scaled embeddings, GELU; for each global layer, five layers with
// a sliding window and their own rope.
#include <cmath>

#include "errors.h"
#include "model/architectures.h"

namespace myna {
namespace {

constexpr int kPattern = 6;  // every sixth layer is global
constexpr double kLocalBaseFrequency = 10000;
constexpr int kLayersOf27B = 62;  // the only size whose scores are scaled by embedding / heads

}  // namespace

void build_gemma3(Build& build) {
  Model& model = build.model;
  const Dimensions& dimensions = model.dimensions;
  if (build.file.number(build.key("final_logit_softcapping")).value_or(0) != 0 ||
      build.file.number(build.key("attn_logit_softcapping")).value_or(0) != 0)
    throw UnsupportedModel("soft-capped logits are not supported");
  build.add_plain_layers();
  build.add_query_key_norms();
  build.add_post_norms();
  model.activation = Activation::kGelu;
  model.embedding_scale = std::sqrt(static_cast<float>(dimensions.embedding));
  if (dimensions.num_layers == kLayersOf27B)
    model.query_scale = 1.0f / std::sqrt(static_cast<float>(dimensions.embedding / dimensions.num_heads));
  model.ropes.push_back(build.rope(true, build.rope_base(), build.rope_linear_factor()));
  const double local_base = build.file.number(build.key("rope.freq_base_swa")).value_or(kLocalBaseFrequency);
  model.ropes.push_back(build.rope(true, local_base, 1));
  const auto window =
      static_cast<int64_t>(build.file.integer(build.key("attention.sliding_window")).value_or(0));
  if (window <= 0 || window > (1 << 24)) throw CorruptFile("the gemma3 model has no valid sliding window");
  for (int i = 0; i < dimensions.num_layers; ++i) {
    if (i % kPattern == kPattern - 1) continue;
    model.layers[static_cast<size_t>(i)].window = window;
    model.layers[static_cast<size_t>(i)].rope = 1;
  }
}

}  // namespace myna
