#include "model/architectures.h"

#include <cmath>

#include "errors.h"

namespace myna {
namespace {

struct Family {
  const char* name;
  void (*build)(Build&);
};

constexpr Family kFamilies[] = {
    {"llama", build_llama},
    {"qwen2", build_qwen2},
    {"qwen3", build_qwen3},
    {"gemma3", build_gemma3},
};

const Family& find_family(const std::string& name) {
  for (const Family& family : kFamilies)
    if (name == family.name) return family;
  throw UnsupportedModel("the architecture '" + name.substr(0, 60) + "' is not supported");
}

int64_t bounded(const gguf::Model& file, const std::string& key, int64_t least, int64_t most) {
  const auto value = file.integer(key);
  if (!value) throw CorruptFile("the metadata '" + key + "' is missing");
  if (*value < static_cast<uint64_t>(least) || *value > static_cast<uint64_t>(most))
    throw CorruptFile("the metadata '" + key + "' is " + std::to_string(*value) + ", not within " +
                      std::to_string(least) + " and " + std::to_string(most));
  return static_cast<int64_t>(*value);
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

Dimensions read_dimensions(const gguf::Model& file, const std::string& architecture) {
  const std::string prefix = architecture + ".";
  Dimensions d{};
  d.num_layers = static_cast<int>(bounded(file, prefix + "block_count", 1, 1024));
  d.embedding = bounded(file, prefix + "embedding_length", 1, 1 << 17);
  d.context = bounded(file, prefix + "context_length", 1, 1 << 24);
  d.feed_forward = same_for_all_layers(file, prefix + "feed_forward_length", 1 << 20);
  d.num_heads = static_cast<int>(same_for_all_layers(file, prefix + "attention.head_count", 1024));
  d.num_kv_heads = file.has(prefix + "attention.head_count_kv")
                       ? static_cast<int>(same_for_all_layers(file, prefix + "attention.head_count_kv", 1024))
                       : d.num_heads;
  const int64_t head_dim = or_default(file, prefix + "attention.key_length", d.embedding / d.num_heads, 1024);
  d.head_dim = static_cast<int>(head_dim);
  if (or_default(file, prefix + "attention.value_length", head_dim, 1024) != head_dim)
    throw UnsupportedModel("keys and values have different lengths");
  if (d.num_heads % d.num_kv_heads != 0)
    throw CorruptFile("the number of query heads is not a multiple of the key/value heads");
  if (head_dim < 16 || head_dim % 16 != 0 || head_dim > 1024)
    throw UnsupportedModel("heads have " + std::to_string(head_dim) + " dimensions, not a multiple of 16");
  d.rope_dim = static_cast<int>(or_default(file, prefix + "rope.dimension_count", head_dim, head_dim));
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

void refuse_variants(const gguf::Model& file, const std::string& architecture) {
  if (file.integer(architecture + ".expert_count").value_or(0) != 0)
    throw UnsupportedModel("mixtures of experts are not supported");
  for (const char* key :
       {"attention.scale", "logit_scale", "residual_scale", "embedding_scale", "attention.clamp_kqv"})
    if (file.has(architecture + "." + key))
      throw UnsupportedModel("'" + architecture + "." + key + "' is not supported");
}

}  // namespace

std::string Build::tensor(int layer, const std::string& name) const {
  return "blk." + std::to_string(layer) + "." + name;
}

void Build::add_plain_layers() {
  const Dimensions& d = model.dimensions;
  for (int i = 0; i < d.num_layers; ++i) {
    Layer layer;
    layer.attention_norm = weights.vector(tensor(i, "attn_norm.weight"), d.embedding);
    layer.query = weights.matrix(tensor(i, "attn_q.weight"), d.query_width(), d.embedding);
    layer.key = weights.matrix(tensor(i, "attn_k.weight"), d.kv_width(), d.embedding);
    layer.value = weights.matrix(tensor(i, "attn_v.weight"), d.kv_width(), d.embedding);
    layer.output = weights.matrix(tensor(i, "attn_output.weight"), d.embedding, d.query_width());
    layer.ffn_norm = weights.vector(tensor(i, "ffn_norm.weight"), d.embedding);
    layer.gate = weights.matrix(tensor(i, "ffn_gate.weight"), d.feed_forward, d.embedding);
    layer.up = weights.matrix(tensor(i, "ffn_up.weight"), d.feed_forward, d.embedding);
    layer.down = weights.matrix(tensor(i, "ffn_down.weight"), d.embedding, d.feed_forward);
    model.layers.push_back(std::move(layer));
  }
}

void Build::add_query_key_biases() {
  const Dimensions& d = model.dimensions;
  for (int i = 0; i < d.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    layer.query_bias = weights.optional_vector(tensor(i, "attn_q.bias"), d.query_width());
    layer.key_bias = weights.optional_vector(tensor(i, "attn_k.bias"), d.kv_width());
    layer.value_bias = weights.optional_vector(tensor(i, "attn_v.bias"), d.kv_width());
  }
}

void Build::add_query_key_norms() {
  for (int i = 0; i < model.dimensions.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    layer.query_norm = weights.vector(tensor(i, "attn_q_norm.weight"), model.dimensions.head_dim);
    layer.key_norm = weights.vector(tensor(i, "attn_k_norm.weight"), model.dimensions.head_dim);
  }
}

void Build::add_post_norms() {
  for (int i = 0; i < model.dimensions.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    layer.post_attention_norm =
        weights.vector(tensor(i, "post_attention_norm.weight"), model.dimensions.embedding);
    layer.post_ffn_norm = weights.vector(tensor(i, "post_ffw_norm.weight"), model.dimensions.embedding);
  }
}

double Build::rope_base() const {
  const double base = file.number(key("rope.freq_base")).value_or(10000);
  if (!(base > 0)) throw CorruptFile("the rope's base frequency is not positive");
  return base;
}

double Build::rope_linear_factor() const {
  const std::string scaling = file.text(key("rope.scaling.type")).value_or("none");
  if (scaling != "none" && scaling != "linear")
    throw UnsupportedModel("the rope scaling '" + scaling.substr(0, 40) + "' is not supported");
  const double factor = file.number(key("rope.scaling.factor")).value_or(0);
  if (factor < 0) throw CorruptFile("the rope's scaling factor is negative");
  return scaling == "none" || factor == 0 ? 1 : factor;
}

Rope Build::rope(bool rotates_halves, double base_frequency, double linear_factor) const {
  Rope rope;
  rope.rotates_halves = rotates_halves;
  const int dimensions = model.dimensions.rope_dim;
  for (int i = 0; i < dimensions / 2; ++i)
    rope.frequencies.push_back(std::pow(base_frequency, -2.0 * i / dimensions) / linear_factor);
  return rope;
}

std::unique_ptr<Model> load_model(const gguf::Model& file, ThreadPool& pool) {
  const auto architecture = file.text("general.architecture");
  if (!architecture) throw CorruptFile("the file does not name its architecture");
  const Family& family = find_family(*architecture);
  refuse_variants(file, *architecture);
  auto model = std::make_unique<Model>();
  model->architecture = *architecture;
  model->dimensions = read_dimensions(file, *architecture);
  const Dimensions& d = model->dimensions;
  const std::string epsilon_key = *architecture + ".attention.layer_norm_rms_epsilon";
  const auto epsilon = file.number(epsilon_key);
  if (!epsilon || *epsilon < 0) throw CorruptFile("the metadata '" + epsilon_key + "' is missing");
  model->norm_epsilon = static_cast<float>(*epsilon);
  model->query_scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  Weights weights(file, model->arena, pool);
  model->embedding = weights.rows("token_embd.weight", d.vocabulary, d.embedding);
  Build build{file, weights, *model};
  family.build(build);
  model->output_norm = weights.vector("output_norm.weight", d.embedding);
  model->output = weights.matrix(weights.has("output.weight") ? "output.weight" : "token_embd.weight",
                                 d.vocabulary, d.embedding);
  weights.expect_all_used();
  return model;
}

}  // namespace myna
