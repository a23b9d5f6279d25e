#include "model/metadata.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace myna {
namespace {

// Honoured for every architecture.
constexpr const char* kCommonKeys[] = {
    "block_count",          "context_length",          "embedding_length",     "feed_forward_length",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"};
// Honoured where queries and keys rotate; elsewhere the first two are remarks.
constexpr const char* kRopeKeys[] = {"rope.dimension_count",        "rope.freq_base",
                                     "rope.scale_linear",           "rope.scaling.attn_factor",
                                     "rope.scaling.factor",         "rope.scaling.original_context_length",
                                     "rope.scaling.type",           "rope.scaling.yarn_beta_fast",
                                     "rope.scaling.yarn_beta_slow", "rope.scaling.yarn_log_multiplier"};
constexpr const char* kRmsEpsilon = "attention.layer_norm_rms_epsilon";
constexpr const char* kLayerEpsilon = "attention.layer_norm_epsilon";

// Never part of the arithmetic: remarks of converters, and what the tensors' shapes say anyway. The epsilon
// of a kind of norm that the architecture doesn't have is one, too.
constexpr const char* kRemarks[] = {"vocab_size", "tensor_data_layout", "rope.scaling.finetuned", kRmsEpsilon,
                                    kLayerEpsilon};

// Of families whose layers differ.
constexpr const char* kLayerKeys[] = {"attention.key_length_swa", "attention.value_length_swa",
                                      "attention.shared_kv_layers", "rope.dimension_count_swa"};

constexpr const char* kLatentKeys[] = {"attention.key_length_mla", "attention.value_length_mla",
                                       "attention.kv_lora_rank", "attention.q_lora_rank"};

constexpr const char* kAltUpKeys[] = {"activation_sparsity_scale", "altup.num_inputs"};

// What a mixture's file says of its routing, and what the tensors of its layers say anyway.
constexpr const char* kMixtureKeys[] = {
    "expert_count",        "expert_used_count",       "expert_gating_func",
    "expert_group_count",  "expert_group_used_count", "expert_weights_norm",
    "expert_weights_scale"};
constexpr const char* kMixtureRemarks[] = {"expert_feed_forward_length", "expert_shared_count",
                                           "expert_shared_feed_forward_length", "interleave_moe_layer_step",
                                           "leading_dense_block_count"};

// Values with which a key that isn't honoured changes nothing.
struct Neutral {
  const char* key;
  double value;
};
constexpr Neutral kNeutral[] = {{"altup.active_idx", 0},
                                {"attention.causal", 1},
                                {"attention.clamp_kqv", 0},
                                {"attention.max_alibi_bias", 0},
                                {"attention.scale", 0},
                                {"attention.sliding_window", 0},
                                {"attention.temperature_scale", 0},
                                {"attn_logit_softcapping", 0},
                                {"embedding_scale", 0},
                                {"embedding_scale", 1},
                                {"expert_count", 0},
                                {"expert_group_count", 0},
                                {"expert_group_count", 1},
                                {"expert_group_used_count", 0},
                                {"expert_group_used_count", 1},
                                {"expert_shared_count", 0},
                                {"expert_used_count", 0},
                                {"expert_weights_scale", 0},
                                {"expert_weights_scale", 1},
                                {"final_logit_softcapping", 0},
                                {"leading_dense_block_count", 0},
                                {"logit_scale", 0},
                                {"logit_scale", 1},
                                {"nextn_predict_layers", 0},
                                {"pooling_type", 0},
                                {"residual_scale", 0},
                                {"residual_scale", 1},
                                {"rope.scaling.alpha", 0},
                                {"rope.scaling.yarn_attn_factor", 1},
                                {"rope.scaling.yarn_ext_factor", 1},
                                {"use_parallel_residual", 0}};

const char* epsilon_of(const Family& family) {
  return family.norm == NormKind::kRms ? kRmsEpsilon : kLayerEpsilon;
}

bool is_one_of(std::span<const char* const> names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
}

bool is_neutral(std::string_view name, const gguf::Value& value) {
  double number = 0;
  if (const auto* flag = std::get_if<bool>(&value))
    number = *flag ? 1 : 0;
  else if (const auto* unsigned_number = std::get_if<uint64_t>(&value))
    number = static_cast<double>(*unsigned_number);
  else if (const auto* signed_number = std::get_if<int64_t>(&value))
    number = static_cast<double>(*signed_number);
  else if (const auto* real = std::get_if<double>(&value))
    number = *real;
  else
    return false;
  return std::any_of(std::begin(kNeutral), std::end(kNeutral),
                     [&](const Neutral& neutral) { return name == neutral.key && number == neutral.value; });
}

// One number for all layers, or one per layer.
std::vector<int64_t> of_layers(const gguf::Model& file, const std::string& key, int num_layers, int64_t most,
                               int64_t least = 1) {
  const auto values = file.integers(key, 4096);
  if (!values || values->empty()) throw CorruptFile("the metadata '" + key + "' is missing");
  std::vector<int64_t> numbers;
  for (const uint64_t value : *values) {
    if (value < static_cast<uint64_t>(least) || value > static_cast<uint64_t>(most))
      throw CorruptFile("the metadata '" + key + "' is " + std::to_string(value));
    numbers.push_back(static_cast<int64_t>(value));
  }
  if (numbers.size() == 1) numbers.resize(static_cast<size_t>(num_layers), numbers.front());
  if (std::ssize(numbers) < num_layers)
    throw CorruptFile("the metadata '" + key + "' doesn't have a number for each layer");
  return numbers;
}

int64_t of_most_layers(const gguf::Model& file, const Family& family, const std::string& key, int num_layers,
                       int64_t most) {
  const std::vector<int64_t> numbers = of_layers(file, key, num_layers, most);
  const bool differ = std::any_of(numbers.begin(), numbers.end(), [&](int64_t n) { return n != numbers[0]; });
  if (differ && !family.layers_differ) throw UnsupportedModel("'" + key + "' differs between layers");
  return numbers.front();
}

// Of those that have any: the same number for all of them.
int64_t of_some_layers(const gguf::Model& file, const std::string& key, uint64_t bound) {
  const auto values = file.integers(key, 4096);
  if (!values || values->empty()) throw CorruptFile("the metadata '" + key + "' is missing");
  const uint64_t most = *std::max_element(values->begin(), values->end());
  if (most < 1 || most > bound) throw CorruptFile("the metadata '" + key + "' is " + std::to_string(most));
  for (const uint64_t value : *values)
    if (value != 0 && value != most) throw UnsupportedModel("'" + key + "' differs between layers");
  return static_cast<int64_t>(most);
}

void check_heads(const Heads& heads) {
  if (heads.num % heads.num_kv != 0)
    throw CorruptFile("the number of query heads is not a multiple of the key/value heads");
  if (heads.dim < 16 || heads.dim % 16 != 0 || heads.dim > 1024)
    throw UnsupportedModel("heads have " + std::to_string(heads.dim) + " dimensions, not a multiple of 16");
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

int64_t bounded_or(const gguf::Model& file, const std::string& key, int64_t otherwise, int64_t most) {
  return file.has(key) ? bounded(file, key, 1, most) : otherwise;
}

double number_or(const gguf::Model& file, const std::string& key, double otherwise, double least) {
  const double value = file.number(key).value_or(otherwise);
  if (!(value >= least))
    throw CorruptFile("the metadata '" + key + "' is " + std::to_string(value) + ", less than " +
                      std::to_string(least));
  return value;
}

Dimensions read_dimensions(const gguf::Model& file, const Family& family) {
  const std::string prefix = std::string(family.name) + ".";
  Dimensions d{};
  d.num_layers = static_cast<int>(bounded(file, prefix + "block_count", 1, 1024));
  d.embedding = bounded(file, prefix + "embedding_length", 1, 1 << 17);
  d.context = bounded(file, prefix + "context_length", 1, 1 << 24);
  if (family.has_lone_blocks)
    d.feed_forward = of_some_layers(file, prefix + "feed_forward_length", 1 << 20);
  else if (!family.is_mixture || file.has(prefix + "feed_forward_length"))
    d.feed_forward = of_most_layers(file, family, prefix + "feed_forward_length", d.num_layers, 1 << 20);
  const auto number = [&](const char* name) {
    return static_cast<int>(of_most_layers(file, family, prefix + name, d.num_layers, 1024));
  };
  d.num_heads = number("attention.head_count");
  if (!file.has(prefix + "attention.head_count_kv"))
    d.num_kv_heads = d.num_heads;
  else if (family.recurrence != Recurrence::kNone)
    d.num_kv_heads = static_cast<int>(of_some_layers(file, prefix + "attention.head_count_kv", 1024));
  else
    d.num_kv_heads = number("attention.head_count_kv");
  const int64_t head_dim = bounded_or(file, prefix + "attention.key_length", d.embedding / d.num_heads, 1024);
  d.head_dim = static_cast<int>(head_dim);
  if (!family.has_latent && bounded_or(file, prefix + "attention.value_length", head_dim, 1024) != head_dim)
    throw UnsupportedModel("keys and values have different lengths");
  if (!family.layers_differ) check_heads({d.num_heads, d.num_kv_heads, d.head_dim});
  if (family.roped != Roped::kNone)
    d.rope_dim = static_cast<int>(bounded_or(file, prefix + "rope.dimension_count", head_dim, head_dim));
  if (d.rope_dim % 2 != 0) throw CorruptFile("the rope has an odd number of dimensions");
  const auto* embedding = file.find("token_embd.weight");
  if (embedding == nullptr) throw UnsupportedModel("the tensor 'token_embd.weight' is missing");
  if (embedding->shape[1] > (1u << 24)) throw CorruptFile("the vocabulary is too large");
  d.vocabulary = static_cast<int64_t>(embedding->shape[1]);
  const auto tokens = file.array_length("tokenizer.ggml.tokens");
  if (tokens && *tokens != embedding->shape[1])
    throw CorruptFile("the vocabulary has " + std::to_string(*tokens) + " tokens, the embedding " +
                      std::to_string(embedding->shape[1]));
  return d;
}

std::vector<Heads> read_heads(const gguf::Model& file, const Family& family, const Dimensions& d,
                              const std::vector<bool>& windowed) {
  std::vector<Heads> heads(static_cast<size_t>(d.num_layers), {d.num_heads, d.num_kv_heads, d.head_dim});
  if (!family.layers_differ) return heads;
  const std::string prefix = std::string(family.name) + ".attention.";
  const auto num = of_layers(file, prefix + "head_count", d.num_layers, 1024);
  const auto num_kv =
      of_layers(file, prefix + (file.has(prefix + "head_count_kv") ? "head_count_kv" : "head_count"),
                d.num_layers, 1024);
  const int64_t local = bounded_or(file, prefix + "key_length_swa", d.head_dim, 1024);
  if (bounded_or(file, prefix + "value_length_swa", local, 1024) != local)
    throw UnsupportedModel("keys and values have different lengths");
  for (size_t i = 0; i < heads.size(); ++i) {
    heads[i] = {static_cast<int>(num[i]), static_cast<int>(num_kv[i]),
                windowed[i] ? static_cast<int>(local) : d.head_dim};
    check_heads(heads[i]);
  }
  return heads;
}

std::vector<int64_t> read_feed_forward(const gguf::Model& file, const Family& family, const Dimensions& d) {
  if (family.layers_differ || family.has_lone_blocks)
    return of_layers(file, std::string(family.name) + ".feed_forward_length", d.num_layers, 1 << 20,
                     family.has_lone_blocks ? 0 : 1);
  return std::vector<int64_t>(static_cast<size_t>(d.num_layers), d.feed_forward);
}

LatentSizes read_latent(const gguf::Model& file, const Family& family, const Dimensions& d) {
  LatentSizes sizes;
  if (!family.has_latent) return sizes;
  const std::string prefix = std::string(family.name) + ".attention.";
  const auto number = [&](const char* name, int64_t most) { return bounded(file, prefix + name, 1, most); };
  if (!file.has(prefix + "key_length_mla"))
    throw UnsupportedModel("it was made before latent attention had tensors of its own; convert it again");
  sizes.rank = number("kv_lora_rank", 1024);
  if (file.integer(prefix + "q_lora_rank").value_or(0) != 0)
    sizes.query_rank = number("q_lora_rank", 1 << 16);
  sizes.rotated = d.rope_dim;
  sizes.plain = static_cast<int>(number("key_length_mla", 1024)) - d.rope_dim;
  sizes.value = static_cast<int>(number("value_length_mla", 1024));
  if (d.num_kv_heads != 1 || sizes.rank + sizes.rotated != d.head_dim || sizes.plain < 1 ||
      bounded_or(file, prefix + "value_length", sizes.rank, 1024) != sizes.rank)
    throw CorruptFile("the sizes of its latent attention contradict each other");
  return sizes;
}

Routing read_routing(const gguf::Model& file, const Family& family) {
  const std::string prefix = std::string(family.name) + ".";
  Routing routing{family.scores};
  if (!family.is_mixture || file.integer(prefix + "expert_count").value_or(0) == 0) return routing;
  routing.num_experts = static_cast<int>(bounded(file, prefix + "expert_count", 1, 1024));
  routing.num_used = static_cast<int>(bounded(file, prefix + "expert_used_count", 1, routing.num_experts));
  if (const auto kind = file.integer(prefix + "expert_gating_func").value_or(0); kind != 0) {
    if (kind > 3) throw UnsupportedModel("'" + prefix + "expert_gating_func' is " + std::to_string(kind));
    constexpr Routing::Scores kKinds[] = {Routing::Scores::kSoftmax, Routing::Scores::kSigmoid,
                                          Routing::Scores::kSoftmaxOfChosen};
    routing.scores = kKinds[kind - 1];
  }
  routing.renormalizes = file.flag(prefix + "expert_weights_norm").value_or(family.renormalizes);
  const double scale = number_or(file, prefix + "expert_weights_scale", 0, 0);
  if (scale != 0) routing.scale = static_cast<float>(scale);
  if (file.integer(prefix + "expert_group_count").value_or(0) <= 1) return routing;
  routing.num_groups = static_cast<int>(bounded(file, prefix + "expert_group_count", 1, routing.num_experts));
  routing.num_groups_used =
      static_cast<int>(bounded(file, prefix + "expert_group_used_count", 1, routing.num_groups));
  const int size = routing.num_experts / routing.num_groups;
  if (routing.num_experts % routing.num_groups != 0 || routing.num_used > size * routing.num_groups_used)
    throw CorruptFile("the groups of experts don't divide them, or have too few to choose from");
  return routing;
}

float read_epsilon(const gguf::Model& file, const Family& family) {
  std::string key = std::string(family.name) + "." + epsilon_of(family);
  // Newer converters write the other one, too, and may leave this one out.
  if (family.has_lone_blocks && !file.has(key)) key = std::string(family.name) + "." + kLayerEpsilon;
  const auto epsilon = file.number(key);
  if (!epsilon || *epsilon < 0) throw CorruptFile("the metadata '" + key + "' is missing");
  return static_cast<float>(*epsilon);
}

void refuse_unknown_keys(const gguf::Model& file, const Family& family) {
  const std::string prefix = std::string(family.name) + ".";
  const std::vector<std::string> honoured = honoured_keys(family);
  for (const auto& [key, value] : file.metadata()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(key).substr(prefix.size());
    if (std::find(honoured.begin(), honoured.end(), name) != honoured.end() || is_one_of(kRemarks, name) ||
        (family.is_mixture && is_one_of(kMixtureRemarks, name)) ||
        (family.roped == Roped::kNone && is_one_of(std::span(kRopeKeys).first(2), name)) ||
        is_neutral(name, value))
      continue;
    throw UnsupportedModel("the metadata '" + key.substr(0, 120) + "' is not supported");
  }
}

std::vector<std::string> honoured_keys(const Family& family) {
  std::vector<std::string> keys(std::begin(kCommonKeys), std::end(kCommonKeys));
  if (family.roped != Roped::kNone) keys.insert(keys.end(), std::begin(kRopeKeys), std::end(kRopeKeys));
  keys.emplace_back(epsilon_of(family));
  keys.insert(keys.end(), family.keys.begin(), family.keys.end());
  if (family.is_mixture) keys.insert(keys.end(), std::begin(kMixtureKeys), std::end(kMixtureKeys));
  const auto recurrent = recurrent_keys(family.recurrence);
  keys.insert(keys.end(), recurrent.begin(), recurrent.end());
  if (family.has_guessing_layers) keys.emplace_back("nextn_predict_layers");
  if (family.is_multimodal_rope) keys.emplace_back("rope.dimension_sections");
  if (family.layers_differ) keys.insert(keys.end(), std::begin(kLayerKeys), std::end(kLayerKeys));
  if (family.has_latent) keys.insert(keys.end(), std::begin(kLatentKeys), std::end(kLatentKeys));
  if (family.has_layer_inputs) keys.emplace_back("embedding_length_per_layer_input");
  if (family.has_altup) keys.insert(keys.end(), std::begin(kAltUpKeys), std::end(kAltUpKeys));
  if (family.has_windows) {
    keys.emplace_back("attention.sliding_window");
    keys.emplace_back("attention.sliding_window_pattern");
    keys.emplace_back("rope.freq_base_swa");
  }
  return keys;
}

}  // namespace myna
