// Gemma 3n's layers from a file, beyond those of other Gemmas.
#include "errors.h"
#include "model/architectures.h"
#include "model/metadata.h"

namespace myna {

void Build::add_altup() {
  const int64_t width = model.dimensions.embedding;
  if (model.layer_inputs.width == 0)
    throw CorruptFile("the metadata '" + key("embedding_length_per_layer_input") + "' is missing");
  const int64_t count = bounded(file, key("altup.num_inputs"), 2, 16);
  model.altup.num_inputs = static_cast<int>(count);
  model.altup.projections = weights.stack("altup_proj.weight", count - 1, {0, width, width}, width);
  model.altup.unembeds = weights.stack("altup_unembd_proj.weight", count - 1, {0, width, width}, width);
  const auto sparsity = file.numbers(key("activation_sparsity_scale"), 4096).value_or(std::vector<double>());
  if (sparsity.size() < model.layers.size())
    throw CorruptFile("the metadata '" + key("activation_sparsity_scale") +
                      "' doesn't have a number for each layer");
  for (int i = 0; i < model.dimensions.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    layer.sparsity = static_cast<float>(sparsity[static_cast<size_t>(i)]);
    layer.altup.router_norm = weights.vector(tensor(i, "altup_router_norm.weight"), width);
    for (float& weight : layer.altup.router_norm) weight /= static_cast<float>(width);
    layer.altup.router = weights.matrix(tensor(i, "altup_router.weight"), count, width);
    layer.altup.predict = weights.table(tensor(i, "altup_predict_coef.weight"), count * count, count);
    layer.altup.correct = weights.table(tensor(i, "altup_correct_coef.weight"), count, count);
    layer.altup.correct_scale = weights.vector(tensor(i, "altup_correct_scale.weight"), width);
    const std::string left = tensor(i, "laurel_l.weight");
    const int64_t rank = weights.height(left);
    layer.laurel.left = weights.matrix(left, rank, width);
    layer.laurel.right = weights.matrix(tensor(i, "laurel_r.weight"), width, rank);
    layer.laurel.norm = weights.vector(tensor(i, "laurel_post_norm.weight"), width);
  }
}

}  // namespace myna
