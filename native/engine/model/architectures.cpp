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
    const std::string name = tensor(index, "attn_q.weight");
    if (family.has_query_gate) {
      layer.query = weights.alternate(name, 0, d.head_dim, query, d.embedding);
      layer.query_gate = weights.alternate(name, 1, d.head_dim, query, d.embedding);
    } else {
      layer.query = weights.matrix(name, query, d.embedding);
    }
    layer.key = weights.matrix(tensor(index, "attn_k.weight"), kv, d.embedding);
    layer.value = weights.matrix(tensor(index, "attn_v.weight"), kv, d.embedding);
    layer.query_bias = weights.optional_vector(tensor(index, "attn_q.bias"), query);
    layer.key_bias = weights.optional_vector(tensor(index, "attn_k.bias"), kv);
    layer.value_bias = weights.optional_vector(tensor(index, "attn_v.bias"), kv);
  }
  layer.output = weights.matrix(tensor(index, "attn_output.weight"), d.embedding, query);
  layer.cache_layer = model.num_cache_layers++;
  layer.output_bias = weights.optional_vector(tensor(index, "attn_output.bias"), d.embedding);
  if (family.has_sinks) layer.sinks = weights.vector(tensor(index, "attn_sinks.weight"), d.num_heads);
  add_head_norms(index, layer);
}

void Build::add_head_norms(int index, Layer& layer) {
  using Norms = Family::HeadNorms;
  const Dimensions& d = model.dimensions;
  const std::string query = tensor(index, "attn_q_norm.weight"), key = tensor(index, "attn_k_norm.weight");
  if (family.head_norms == Norms::kNone || (family.head_norms == Norms::kPerHeadIfAny && !weights.has(query)))
    return;
  const bool is_whole = family.head_norms == Norms::kWhole;
  layer.query_norm = weights.vector(query, is_whole ? d.query_width() : d.head_dim);
  layer.key_norm = weights.vector(key, is_whole ? d.kv_width() : d.head_dim);
}

void Build::add_feed_forward(int index, Layer& layer) {
  const Dimensions& d = model.dimensions;
  if (family.ffn_norm != nullptr)
    layer.ffn_norm = weights.vector(tensor(index, std::string(family.ffn_norm) + ".weight"), d.embedding);
  if (model.routing.num_experts > 0 && weights.has(tensor(index, "ffn_gate_inp.weight")))
    return add_experts(index, layer);
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

// Their widths are the tensors'.
void Build::add_experts(int index, Layer& layer) {
  const int64_t width = model.dimensions.embedding, count = model.routing.num_experts;
  const int64_t hidden = weights.height(tensor(index, "ffn_up_exps.weight"));
  const int64_t shared = weights.height(tensor(index, "ffn_up_shexp.weight"));
  Experts& experts = layer.experts;
  experts.router = weights.matrix(tensor(index, "ffn_gate_inp.weight"), count, width);
  experts.router_bias = weights.optional_vector(tensor(index, "ffn_gate_inp.bias"), count);
  experts.choice_bias = weights.optional_vector(tensor(index, "exp_probs_b.bias"), count);
  experts.gate = weights.stack(tensor(index, "ffn_gate_exps.weight"), count, hidden, width);
  experts.up = weights.stack(tensor(index, "ffn_up_exps.weight"), count, hidden, width);
  experts.down = weights.stack(tensor(index, "ffn_down_exps.weight"), count, width, hidden);
  experts.gate_bias = weights.optional_table(tensor(index, "ffn_gate_exps.bias"), count, hidden);
  experts.up_bias = weights.optional_table(tensor(index, "ffn_up_exps.bias"), count, hidden);
  experts.down_bias = weights.optional_table(tensor(index, "ffn_down_exps.bias"), count, width);
  if (shared == 0) return;
  layer.gate = weights.matrix(tensor(index, "ffn_gate_shexp.weight"), shared, width);
  layer.up = weights.matrix(tensor(index, "ffn_up_shexp.weight"), shared, width);
  layer.down = weights.matrix(tensor(index, "ffn_down_shexp.weight"), width, shared);
  experts.shared_gate = weights.optional_vector(tensor(index, "ffn_gate_inp_shexp.weight"), width);
}

void Build::add_layers() {
  const Dimensions& d = model.dimensions;
  const std::vector<bool> recurrent = recurrent_layers(file, family, d.num_layers);
  for (int i = 0; i < d.num_layers; ++i) {
    Layer layer;
    if (recurrent[static_cast<size_t>(i)])
      add_recurrent(i, layer);
    else
      add_attention(i, layer);
    add_feed_forward(i, layer);
    if (family.has_post_norms) {
      layer.post_attention_norm = weights.vector(tensor(i, "post_attention_norm.weight"), d.embedding);
      layer.post_ffn_norm = weights.vector(tensor(i, "post_ffw_norm.weight"), d.embedding);
    }
    model.layers.push_back(std::move(layer));
  }
}

void Build::leave_guessing_layers() {
  Dimensions& d = model.dimensions;
  const auto found = static_cast<int64_t>(file.integer(key("nextn_predict_layers")).value_or(0));
  if (found < 0 || found >= d.num_layers)
    throw CorruptFile("the metadata '" + key("nextn_predict_layers") + "' leaves no layers");
  const int unused = static_cast<int>(found);
  for (int i = d.num_layers - unused; i < d.num_layers; ++i) weights.ignore("blk." + std::to_string(i) + ".");
  d.num_layers -= unused;
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
  model->routing = read_routing(file, family);
  model->recurrent = read_recurrent_sizes(file, family);
  model->norm_epsilon = read_epsilon(file, family);
  model->norm = family.norm;
  model->activation = family.activation;
  model->is_parallel = family.is_parallel;
  model->norms_after_rope = family.head_norms == Family::HeadNorms::kAfterRope;
  model->query_scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  Weights weights(file, model->arena, pool);
  model->embedding = weights.rows("token_embd.weight", d.vocabulary, d.embedding);
  Build build{file, family, weights, *model, context > 0 ? std::min(context, d.context) : d.context};
  if (family.has_guessing_layers) build.leave_guessing_layers();
  build.add_layers();
  if (model->num_cache_layers == 0) throw UnsupportedModel("no layer has attention");
  build.add_positions();
  if (family.finish != nullptr) family.finish(build);
  model->output_norm = weights.vector(std::string(family.output_norm) + ".weight", d.embedding);
  model->output = weights.matrix(weights.has("output.weight") ? "output.weight" : "token_embd.weight",
                                 d.vocabulary, d.embedding);
  weights.expect_all_used();
  return model;
}

}  // namespace myna
