// Recurrent layers from a file: their sizes, which layers they are, and their tensors.
#include "model/recurrent.h"

#include <algorithm>

#include "errors.h"
#include "model/architectures.h"
#include "model/metadata.h"

namespace myna {
namespace {

constexpr int64_t kMostTaps = 16;
constexpr const char* kShortConvolutionKeys[] = {"shortconv.l_cache"};
constexpr const char* kScanKeys[] = {"ssm.conv_kernel", "ssm.group_count", "ssm.inner_size", "ssm.state_size",
                                     "ssm.time_step_rank"};
constexpr const char* kDeltaRuleKeys[] = {"ssm.conv_kernel",        "ssm.group_count",
                                          "ssm.inner_size",         "ssm.state_size",
                                          "ssm.time_step_rank",     "attention.recurrent_layers",
                                          "full_attention_interval"};

// Those of the delta rule: all but every n-th layer, or as the file says.
std::vector<bool> layers_by_interval(const gguf::Model& file, const std::string& prefix, int num_layers) {
  std::vector<bool> found(static_cast<size_t>(num_layers));
  const std::string key = prefix + "attention.recurrent_layers";
  if (const auto flags = file.integers(key, 4096)) {
    if (flags->empty() || (flags->size() > 1 && std::ssize(*flags) < num_layers))
      throw CorruptFile("the metadata '" + key + "' doesn't have a value for each layer");
    for (size_t i = 0; i < found.size(); ++i) found[i] = (*flags)[flags->size() > 1 ? i : 0] != 0;
    return found;
  }
  const auto interval = static_cast<size_t>(bounded_or(file, prefix + "full_attention_interval", 4, 1024));
  for (size_t i = 0; i < found.size(); ++i) found[i] = (i + 1) % interval != 0;
  return found;
}

}  // namespace

std::span<const char* const> recurrent_keys(Recurrence recurrence) {
  if (recurrence == Recurrence::kShortConvolution) return kShortConvolutionKeys;
  if (recurrence == Recurrence::kDeltaRule) return kDeltaRuleKeys;
  if (recurrence == Recurrence::kScan) return kScanKeys;
  return {};
}

std::vector<bool> recurrent_layers(const gguf::Model& file, const Family& family, int num_layers) {
  std::vector<bool> found(static_cast<size_t>(num_layers), false);
  if (family.recurrence == Recurrence::kNone) return found;
  if (family.recurrence == Recurrence::kDeltaRule)
    return layers_by_interval(file, std::string(family.name) + ".", num_layers);
  const std::string key = std::string(family.name) + ".attention.head_count_kv";
  const auto heads = file.integers(key, 4096);
  if (!heads || heads->size() == 1) return found;
  if (std::ssize(*heads) < num_layers)
    throw CorruptFile("the metadata '" + key + "' doesn't have a number for each layer");
  for (size_t i = 0; i < found.size(); ++i) found[i] = (*heads)[i] == 0;
  return found;
}

RecurrentSizes read_recurrent_sizes(const gguf::Model& file, const Family& family) {
  const std::string prefix = std::string(family.name) + ".";
  RecurrentSizes sizes{family.recurrence, family.shares_keys_at_distance};
  const auto number = [&](const char* name, int64_t least, int64_t most) {
    return static_cast<int>(bounded(file, prefix + name, least, most));
  };
  if (family.recurrence == Recurrence::kNone) return sizes;
  if (family.recurrence == Recurrence::kShortConvolution) {
    sizes.taps = number("shortconv.l_cache", 2, kMostTaps);
    return sizes;
  }
  sizes.taps = number("ssm.conv_kernel", 2, kMostTaps);
  sizes.num_keys = number("ssm.group_count", 1, 1024);
  sizes.num_heads = number("ssm.time_step_rank", 1, 1024);
  sizes.key_dim = number("ssm.state_size", 1, 1024);
  const int width = number("ssm.inner_size", 1, 1 << 17);
  if (width % sizes.num_heads != 0 || sizes.num_heads % sizes.num_keys != 0)
    throw CorruptFile("the heads of recurrent layers don't divide their width, or their keys the heads");
  sizes.head_dim = width / sizes.num_heads;
  if (sizes.head_dim % 16 != 0)
    throw UnsupportedModel("heads of recurrent layers have " + std::to_string(sizes.head_dim) +
                           " dimensions, not a multiple of 16");
  if (family.recurrence == Recurrence::kDeltaRule && sizes.head_dim != sizes.key_dim)
    throw UnsupportedModel("keys and values of recurrent layers have different lengths");
  return sizes;
}

Convolution Build::convolution(const std::string& name, int64_t channels) {
  Convolution convolution{model.recurrent.taps, channels, {}, {}};
  const int taps = convolution.taps;
  const Vector rows = weights.table(name + ".weight", channels, taps);
  convolution.weights.resize(rows.size());
  for (int64_t c = 0; c < channels; ++c)
    for (int t = 0; t < taps; ++t)
      convolution.weights[static_cast<size_t>(t * channels + c)] = rows[static_cast<size_t>(c * taps + t)];
  convolution.bias = weights.optional_vector(name + ".bias", channels);
  return convolution;
}

void Build::add_delta_rule(int index, Layer& layer) {
  const RecurrentSizes& sizes = model.recurrent;
  const int64_t embedding = model.dimensions.embedding, width = sizes.width(), heads = sizes.num_heads;
  const int64_t channels = 2 * sizes.key_width() + width;
  Recurrent& recurrent = layer.recurrent;
  recurrent.input = weights.matrix(tensor(index, "attn_qkv.weight"), channels, embedding);
  recurrent.gate = weights.matrix(tensor(index, "attn_gate.weight"), width, embedding);
  if (const std::string joined = tensor(index, "ssm_ba.weight"); weights.has(joined)) {
    const int64_t group = heads / sizes.num_keys;
    recurrent.rate = weights.alternate(joined, 0, group, heads, embedding);
    recurrent.decay = weights.alternate(joined, 1, group, heads, embedding);
  } else {
    recurrent.rate = weights.matrix(tensor(index, "ssm_beta.weight"), heads, embedding);
    recurrent.decay = weights.matrix(tensor(index, "ssm_alpha.weight"), heads, embedding);
  }
  recurrent.convolution = convolution(tensor(index, "ssm_conv1d"), channels);
  recurrent.step_bias = weights.vector(tensor(index, "ssm_dt.bias"), heads);
  recurrent.decay_scale = weights.vector(tensor(index, "ssm_a"), heads);
  recurrent.norm = weights.vector(tensor(index, "ssm_norm.weight"), sizes.head_dim);
  layer.output = weights.matrix(tensor(index, "ssm_out.weight"), embedding, width);
}

void Build::add_scan(int index, Layer& layer) {
  const RecurrentSizes& sizes = model.recurrent;
  const int64_t embedding = model.dimensions.embedding, width = sizes.width(), heads = sizes.num_heads;
  const int64_t channels = 2 * sizes.key_width() + width;
  Recurrent& recurrent = layer.recurrent;
  recurrent.input = weights.matrix(tensor(index, "ssm_in.weight"), width + channels + heads, embedding);
  recurrent.convolution = convolution(tensor(index, "ssm_conv1d"), channels);
  recurrent.step_bias = weights.vector(tensor(index, "ssm_dt.bias"), heads);
  recurrent.decay_scale = weights.table(tensor(index, "ssm_a"), heads, 1);
  recurrent.skip = weights.table(tensor(index, "ssm_d"), heads, 1);
  recurrent.norm = weights.table(tensor(index, "ssm_norm.weight"), sizes.num_keys, width / sizes.num_keys);
  layer.output = weights.matrix(tensor(index, "ssm_out.weight"), embedding, width);
}

void Build::add_recurrent(int index, Layer& layer) {
  const int64_t width = model.dimensions.embedding;
  Recurrent& recurrent = layer.recurrent;
  layer.attention_norm = weights.vector(tensor(index, std::string(family.attention_norm) + ".weight"), width);
  switch (model.recurrent.kind) {
    case Recurrence::kDeltaRule:
      add_delta_rule(index, layer);
      break;
    case Recurrence::kScan:
      add_scan(index, layer);
      break;
    default:
      recurrent.input = weights.matrix(tensor(index, "shortconv.in_proj.weight"), 3 * width, width);
      recurrent.convolution = convolution(tensor(index, "shortconv.conv"), width);
      layer.output = weights.matrix(tensor(index, "shortconv.out_proj.weight"), width, width);
  }
  recurrent.state_begin = model.state_floats;
  model.state_floats += recurrent.convolution.state_floats() + model.recurrent.matrix_floats();
}

}  // namespace myna
