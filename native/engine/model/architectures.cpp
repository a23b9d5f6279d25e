#include "model/architectures.h"

#include <cmath>

#include "errors.h"
#include "model/metadata.h"

namespace myna {

std::string Build::tensor(int layer, const std::string& name) const {
  return "blk." + std::to_string(layer) + "." + name;
}

double Build::number(const std::string& name, double otherwise, double least) const {
  return number_or(file, key(name), otherwise, least);
}

void Build::add_attention(int index, Layer& layer) {
  const Dimensions& d = model.dimensions;
  const int64_t query = d.query_width(), kv = d.kv_width();
  if (family.attention_norm != nullptr)
    layer.attention_norm =
        weights.vector(tensor(index, std::string(family.attention_norm) + ".weight"), d.embedding);
  if (const std::string joined = tensor(index, "attn_qkv"); weights.has(joined + ".weight")) {
    const std::string name = joined + ".weight";
    layer.query = weights.part(name, 0, query, query + 2 * kv, d.embedding);
    layer.key = weights.part(name, query, kv, query + 2 * kv, d.embedding);
    layer.value = weights.part(name, query + kv, kv, query + 2 * kv, d.embedding);
    if (const Vector bias = weights.optional_vector(joined + ".bias", query + 2 * kv); !bias.empty()) {
      layer.query_bias.assign(bias.begin(), bias.begin() + query);
      layer.key_bias.assign(bias.begin() + query, bias.begin() + query + kv);
      layer.value_bias.assign(bias.begin() + query + kv, bias.end());
    }
  } else {
    layer.query = weights.matrix(tensor(index, "attn_q.weight"), query, d.embedding);
    layer.key = weights.matrix(tensor(index, "attn_k.weight"), kv, d.embedding);
    layer.value = weights.matrix(tensor(index, "attn_v.weight"), kv, d.embedding);
    layer.query_bias = weights.optional_vector(tensor(index, "attn_q.bias"), query);
    layer.key_bias = weights.optional_vector(tensor(index, "attn_k.bias"), kv);
    layer.value_bias = weights.optional_vector(tensor(index, "attn_v.bias"), kv);
  }
  layer.output = weights.matrix(tensor(index, "attn_output.weight"), d.embedding, query);
  layer.output_bias = weights.optional_vector(tensor(index, "attn_output.bias"), d.embedding);
  if (family.head_norms == Family::HeadNorms::kNone) return;
  const bool is_whole = family.head_norms == Family::HeadNorms::kWhole;
  layer.query_norm = weights.vector(tensor(index, "attn_q_norm.weight"), is_whole ? query : d.head_dim);
  layer.key_norm = weights.vector(tensor(index, "attn_k_norm.weight"), is_whole ? kv : d.head_dim);
}

void Build::add_feed_forward(int index, Layer& layer) {
  const Dimensions& d = model.dimensions;
  if (family.ffn_norm != nullptr)
    layer.ffn_norm = weights.vector(tensor(index, std::string(family.ffn_norm) + ".weight"), d.embedding);
  const std::string up = tensor(index, "ffn_up.weight");
  if (family.has_joined_gate) {
    layer.gate = weights.part(up, 0, d.feed_forward, 2 * d.feed_forward, d.embedding);
    layer.up = weights.part(up, d.feed_forward, d.feed_forward, 2 * d.feed_forward, d.embedding);
  } else {
    layer.gate = weights.matrix(tensor(index, "ffn_gate.weight"), d.feed_forward, d.embedding);
    layer.up = weights.matrix(up, d.feed_forward, d.embedding);
    layer.gate_bias = weights.optional_vector(tensor(index, "ffn_gate.bias"), d.feed_forward);
    layer.up_bias = weights.optional_vector(tensor(index, "ffn_up.bias"), d.feed_forward);
  }
  layer.down = weights.matrix(tensor(index, "ffn_down.weight"), d.embedding, d.feed_forward);
  layer.down_bias = weights.optional_vector(tensor(index, "ffn_down.bias"), d.embedding);
}

void Build::add_layers() {
  const Dimensions& d = model.dimensions;
  for (int i = 0; i < d.num_layers; ++i) {
    Layer layer;
    add_attention(i, layer);
    add_feed_forward(i, layer);
    if (family.has_post_norms) {
      layer.post_attention_norm = weights.vector(tensor(i, "post_attention_norm.weight"), d.embedding);
      layer.post_ffn_norm = weights.vector(tensor(i, "post_ffw_norm.weight"), d.embedding);
    }
    model.layers.push_back(std::move(layer));
  }
}

std::unique_ptr<Model> load_model(const gguf::Model& file, ThreadPool& pool, int64_t context) {
  const auto architecture = file.text("general.architecture");
  if (!architecture) throw CorruptFile("the file does not name its architecture");
  const Family& family = find_family(*architecture);
  refuse_unknown_keys(file, family);
  auto model = std::make_unique<Model>();
  model->architecture = *architecture;
  model->dimensions = read_dimensions(file, family);
  const Dimensions& d = model->dimensions;
  model->norm_epsilon = read_epsilon(file, family);
  model->norm = family.norm;
  model->activation = family.activation;
  model->is_parallel = family.is_parallel;
  model->norms_after_rope = family.head_norms == Family::HeadNorms::kAfterRope;
  model->query_scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  Weights weights(file, model->arena, pool);
  model->embedding = weights.rows("token_embd.weight", d.vocabulary, d.embedding);
  Build build{file, family, weights, *model, context > 0 ? std::min(context, d.context) : d.context};
  build.add_layers();
  build.add_positions();
  if (family.finish != nullptr) family.finish(build);
  model->output_norm = weights.vector("output_norm.weight", d.embedding);
  model->output = weights.matrix(weights.has("output.weight") ? "output.weight" : "token_embd.weight",
                                 d.vocabulary, d.embedding);
  weights.expect_all_used();
  return model;
}

}  // namespace myna
