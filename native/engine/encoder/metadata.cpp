#include "encoder/metadata.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>

#include "errors.h"

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

// Some files have one number per layer; they must all be the same.
int64_t same_for_all_layers(const gguf::Model& file, const std::string& key, int64_t most) {
  const auto values = file.integers(key, 4096);
  if (!values || values->empty()) throw CorruptFile("the metadata '" + key + "' is missing");
  for (const uint64_t value : *values) {
    if (value != values->front()) throw UnsupportedModel("'" + key + "' differs between layers");
    if (value < 1 || value > static_cast<uint64_t>(most))
      throw CorruptFile("the metadata '" + key + "' is " + std::to_string(value));
  }
  return static_cast<int64_t>(values->front());
}

int64_t or_default(const gguf::Model& file, const std::string& key, int64_t otherwise, int64_t most) {
  return file.has(key) ? bounded(file, key, 1, most) : otherwise;
}

void read_heads(const gguf::Model& file, const std::string& prefix, Dimensions& d) {
  d.num_heads = static_cast<int>(same_for_all_layers(file, prefix + "attention.head_count", 1024));
  d.num_kv_heads = file.has(prefix + "attention.head_count_kv")
                       ? static_cast<int>(same_for_all_layers(file, prefix + "attention.head_count_kv", 1024))
                       : d.num_heads;
  if (d.num_heads % d.num_kv_heads != 0)
    throw CorruptFile("the number of query heads is not a multiple of the key/value heads");
  const int64_t head_dim = or_default(file, prefix + "attention.key_length", d.embedding / d.num_heads, 1024);
  if (or_default(file, prefix + "attention.value_length", head_dim, 1024) != head_dim)
    throw UnsupportedModel("keys and values have different lengths");
  if (head_dim < 16 || head_dim % 16 != 0 || head_dim > 1024)
    throw UnsupportedModel("heads have " + std::to_string(head_dim) + " dimensions, not a multiple of 16");
  d.head_dim = static_cast<int>(head_dim);
}

int64_t read_vocabulary(const gguf::Model& file) {
  const auto* embedding = file.find("token_embd.weight");
  if (embedding == nullptr) throw UnsupportedModel("the tensor 'token_embd.weight' is missing");
  if (embedding->shape[1] > (1u << 24)) throw CorruptFile("the vocabulary is too large");
  const auto tokens = file.array_length("tokenizer.ggml.tokens");
  if (tokens && *tokens != embedding->shape[1])
    throw CorruptFile("the vocabulary has " + std::to_string(*tokens) + " tokens, the embedding " +
                      std::to_string(embedding->shape[1]));
  return static_cast<int64_t>(embedding->shape[1]);
}

Pooling read_pooling(const gguf::Model& file, const std::string& key) {
  const uint64_t number = file.integer(key).value_or(static_cast<uint64_t>(Pooling::kMean));
  if (number < 1 || number > 3)
    throw UnsupportedModel("'" + key + "' is " + std::to_string(number) +
                           ", but must be 1 (mean), 2 (first token) or 3 (last token)");
  return static_cast<Pooling>(number);
}

}  // namespace

int64_t bounded(const gguf::Model& file, const std::string& key, int64_t least, int64_t most) {
  const auto value = file.integer(key);
  if (!value) throw CorruptFile("the metadata '" + key + "' is missing");
  if (*value < static_cast<uint64_t>(least) || *value > static_cast<uint64_t>(most))
    throw CorruptFile("the metadata '" + key + "' is " + std::to_string(*value) + ", not within " +
                      std::to_string(least) + " and " + std::to_string(most));
  return static_cast<int64_t>(*value);
}

std::vector<bool> windowed_layers(const gguf::Model& file, const std::string& key, uint64_t otherwise,
                                  size_t num_layers) {
  const auto values = file.integers(key, 4096).value_or(std::vector{otherwise});
  std::vector<bool> windowed(num_layers);
  if (file.has(key) && std::holds_alternative<gguf::Array>(file.metadata().find(key)->second)) {
    if (values.size() != num_layers)
      throw CorruptFile("the metadata '" + key + "' doesn't have a value for each layer");
    for (size_t i = 0; i < num_layers; ++i) windowed[i] = values[i] != 0;
    return windowed;
  }
  const uint64_t pattern = values.front();
  for (size_t i = 0; i < num_layers; ++i) windowed[i] = pattern == 0 || i % pattern < pattern - 1;
  return windowed;
}

void read_metadata(const gguf::Model& file, const EncoderFamily& family, Encoder& model) {
  refuse_unknown_keys(file, family);
  const std::string prefix = std::string(family.name) + ".";
  model.architecture = family.name;
  model.has_layer_norms = family.has_layer_norms;
  model.is_causal = file.flag(prefix + "attention.causal").value_or(family.is_causal);
  model.pooling = read_pooling(file, prefix + "pooling_type");
  const std::string epsilon_key =
      prefix + (family.has_layer_norms ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon");
  const auto epsilon = file.number(epsilon_key);
  if (!epsilon || *epsilon < 0) throw CorruptFile("the metadata '" + epsilon_key + "' is missing");
  model.norm_epsilon = static_cast<float>(*epsilon);
  Dimensions& d = model.dimensions;
  d.num_layers = static_cast<int>(bounded(file, prefix + "block_count", 1, 1024));
  d.embedding = bounded(file, prefix + "embedding_length", 1, 1 << 17);
  d.context = bounded(file, prefix + "context_length", 1, 1 << 24);
  d.feed_forward = same_for_all_layers(file, prefix + "feed_forward_length", 1 << 20);
  read_heads(file, prefix, d);
  d.rope_dim = static_cast<int>(or_default(file, prefix + "rope.dimension_count", d.head_dim, d.head_dim));
  if (d.rope_dim % 2 != 0) throw CorruptFile("the rope has an odd number of dimensions");
  d.vocabulary = read_vocabulary(file);
}

}  // namespace myna
