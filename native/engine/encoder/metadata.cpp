#include "encoder/metadata.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string_view>

#include "errors.h"
#include "model/metadata.h"

namespace myna {
namespace {

using Keys = std::span<const char* const>;

constexpr const char* kCommonKeys[] = {"block_count",
                                       "context_length",
                                       "embedding_length",
                                       "feed_forward_length",
                                       "pooling_type",
                                       "vocab_size",
                                       "attention.causal",
                                       "attention.head_count",
                                       "attention.head_count_kv",
                                       "attention.key_length",
                                       "attention.value_length",
                                       "attention.layer_norm_epsilon",
                                       "attention.layer_norm_rms_epsilon"};
constexpr const char* kRopeKeys[] = {"rope.dimension_count", "rope.freq_base", "rope.scaling.type",
                                     "rope.scaling.factor"};
constexpr const char* kWindowKeys[] = {"attention.sliding_window", "attention.sliding_window_pattern",
                                       "rope.freq_base_swa"};
constexpr const char* kDenseKeys[] = {"dense_2_feat_in", "dense_2_feat_out", "dense_3_feat_in",
                                      "dense_3_feat_out"};

bool contains(Keys keys, std::string_view name) {
  return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return name == key; });
}

void refuse_unknown_keys(const gguf::Model& file, const EncoderFamily& family) {
  const std::string prefix = std::string(family.name) + ".";
  for (const auto& [key, value] : file.metadata()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(key).substr(prefix.size());
    const bool is_rope = name.starts_with("rope.");
    if (contains(kCommonKeys, name) || (family.has_rope ? contains(kRopeKeys, name) : is_rope) ||
        (family.has_windows && contains(kWindowKeys, name)) ||
        (family.has_dense && contains(kDenseKeys, name)))
      continue;
    throw UnsupportedModel("the metadata '" + key.substr(0, 120) + "' is not supported");
  }
}

Pooling read_pooling(const gguf::Model& file, const std::string& key) {
  const uint64_t number = file.integer(key).value_or(static_cast<uint64_t>(Pooling::kMean));
  if (number < 1 || number > 3)
    throw UnsupportedModel("'" + key + "' is " + std::to_string(number) +
                           ", but must be 1 (mean), 2 (first token) or 3 (last token)");
  return static_cast<Pooling>(number);
}

}  // namespace

void read_metadata(const gguf::Model& file, const EncoderFamily& family, Encoder& model) {
  refuse_unknown_keys(file, family);
  const std::string prefix = std::string(family.name) + ".";
  model.architecture = family.name;
  model.has_layer_norms = family.has_layer_norms;
  model.is_causal = file.flag(prefix + "attention.causal").value_or(family.is_causal);
  model.pooling = read_pooling(file, prefix + "pooling_type");
  const Family shape{.name = family.name, .norm = family.has_layer_norms ? NormKind::kLayer : NormKind::kRms};
  model.norm_epsilon = read_epsilon(file, shape);
  model.dimensions = read_dimensions(file, shape);
}

}  // namespace myna
