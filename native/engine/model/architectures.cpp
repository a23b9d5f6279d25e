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

void Build::size_layers() {
  const Dimensions& d = model.dimensions;
  const int64_t window = this->window();
  std::vector<bool> windowed(static_cast<size_t>(d.num_layers), false);
  if (window > 0)
    windowed = windowed_layers(file, key("attention.sliding_window_pattern"), family.pattern, d.num_layers);
  const std::vector<Heads> heads = read_heads(file, family, d, windowed);
  const std::vector<int64_t> feed_forward = read_feed_forward(file, family, d);
  model.layers.resize(static_cast<size_t>(d.num_layers));
  int64_t with_keys = d.num_layers;
  if (family.layers_differ && file.has(key("attention.shared_kv_layers")))
    with_keys -= static_cast<int64_t>(file.integer(key("attention.shared_kv_layers")).value_or(0));
  if (with_keys != d.num_layers && (with_keys < 2 || with_keys > d.num_layers))
    throw CorruptFile("the metadata '" + key("attention.shared_kv_layers") + "' leaves no layers");
  for (size_t i = 0; i < model.layers.size(); ++i) {
    Layer& layer = model.layers[i];
    layer.heads = heads[i];
    layer.feed_forward = feed_forward[i];
    layer.window = windowed[i] ? window : 0;
    layer.cache_layer = static_cast<int>(i);
    if (static_cast<int64_t>(i) < with_keys) continue;
    layer.cache_layer = static_cast<int>(with_keys) - (windowed[i] ? 2 : 1);
    const Layer& other = model.layers[static_cast<size_t>(layer.cache_layer)];
    if (layer.heads.num_kv != other.heads.num_kv || layer.heads.dim != other.heads.dim ||
        layer.window != other.window)
      throw CorruptFile("layer " + std::to_string(i) + " would read the keys of a layer of another kind");
  }
}

void Build::add_joined_heads(const std::string& name, Layer& layer) {
  const int64_t width = model.dimensions.embedding, query = layer.heads.query_width(),
                kv = layer.heads.kv_width(), all = query + 2 * kv;
  layer.query = weights.part(name + ".weight", 0, query, all, width);
  layer.key = weights.part(name + ".weight", query, kv, all, width);
  layer.value = weights.part(name + ".weight", query + kv, kv, all, width);
  const Vector bias = weights.optional_vector(name + ".bias", all);
  if (bias.empty()) return;
  layer.query_bias.assign(bias.begin(), bias.begin() + query);
  layer.key_bias.assign(bias.begin() + query, bias.begin() + query + kv);
  layer.value_bias.assign(bias.begin() + query + kv, bias.end());
}

void Build::add_heads(int index, Layer& layer) {
  const int64_t width = model.dimensions.embedding, query = layer.heads.query_width(),
                kv = layer.heads.kv_width();
  const std::string name = tensor(index, "attn_q.weight");
  if (family.has_query_gate) {
    layer.query = weights.alternate(name, 0, layer.heads.dim, query, width);
    layer.query_gate = weights.alternate(name, 1, layer.heads.dim, query, width);
  } else {
    layer.query = weights.matrix(name, query, width);
  }
  layer.query_bias = weights.optional_vector(tensor(index, "attn_q.bias"), query);
  if (layer.cache_layer != index) {  // files may have what isn't used
    for (const char* name : {"attn_k.", "attn_v.", "attn_k_norm."}) weights.ignore(tensor(index, name));
    return;
  }
  layer.key = weights.matrix(tensor(index, "attn_k.weight"), kv, width);
  layer.key_bias = weights.optional_vector(tensor(index, "attn_k.bias"), kv);
  if (const std::string value = tensor(index, "attn_v.weight"); !family.has_value_norms || weights.has(value))
    layer.value = weights.matrix(value, kv, width);
  layer.value_bias = weights.optional_vector(tensor(index, "attn_v.bias"), kv);
}

void Build::add_latent(int index, Layer& layer) {
  const LatentSizes& sizes = model.latent;
  const int64_t width = model.dimensions.embedding, count = layer.heads.num;
  Latent& latent = layer.latent;
  if (sizes.query_rank > 0) {
    latent.query_down = weights.matrix(tensor(index, "attn_q_a.weight"), sizes.query_rank, width);
    latent.query_norm = weights.vector(tensor(index, "attn_q_a_norm.weight"), sizes.query_rank);
    layer.query = weights.matrix(tensor(index, "attn_q_b.weight"), count * sizes.query(), sizes.query_rank);
  } else {
    layer.query = weights.matrix(tensor(index, "attn_q.weight"), count * sizes.query(), width);
  }
  latent.down = weights.matrix(tensor(index, "attn_kv_a_mqa.weight"), sizes.rank + sizes.rotated, width);
  latent.norm = weights.vector(tensor(index, "attn_kv_a_norm.weight"), sizes.rank);
  latent.key_up =
      weights.stack(tensor(index, "attn_k_b.weight"), count, {0, sizes.rank, sizes.rank}, sizes.plain);
  latent.value_up =
      weights.stack(tensor(index, "attn_v_b.weight"), count, {0, sizes.value, sizes.value}, sizes.rank);
}

void Build::add_attention(int index, Layer& layer) {
  const Dimensions& d = model.dimensions;
  if (family.attention_norm != nullptr)
    layer.attention_norm =
        weights.vector(tensor(index, std::string(family.attention_norm) + ".weight"), d.embedding);
  if (const std::string joined = tensor(index, "attn_qkv"); family.has_latent)
    add_latent(index, layer);
  else if (weights.has(joined + ".weight"))
    add_joined_heads(joined, layer);
  else
    add_heads(index, layer);
  const int64_t read =
      family.has_latent ? int64_t{layer.heads.num} * model.latent.value : layer.heads.query_width();
  layer.output = weights.matrix(tensor(index, "attn_output.weight"), d.embedding, read);
  layer.output_bias = weights.optional_vector(tensor(index, "attn_output.bias"), d.embedding);
  if (family.has_sinks) layer.sinks = weights.vector(tensor(index, "attn_sinks.weight"), layer.heads.num);
  add_head_norms(index, layer);
}

void Build::add_head_norms(int index, Layer& layer) {
  using Norms = Family::HeadNorms;
  const Heads& heads = layer.heads;
  if (family.has_value_norms && layer.has_keys()) layer.value_norm.assign(static_cast<size_t>(heads.dim), 1);
  const std::string query = tensor(index, "attn_q_norm.weight"), key = tensor(index, "attn_k_norm.weight");
  if (family.head_norms == Norms::kNone || (family.head_norms == Norms::kPerHeadIfAny && !weights.has(query)))
    return;
  const bool is_whole = family.head_norms == Norms::kWhole;
  layer.query_norm = weights.vector(query, is_whole ? heads.query_width() : heads.dim);
  if (layer.has_keys()) layer.key_norm = weights.vector(key, is_whole ? heads.kv_width() : heads.dim);
}

void Build::add_feed_forward(int index, Layer& layer) {
  const int64_t width = model.dimensions.embedding, hidden = layer.feed_forward;
  if (family.ffn_norm != nullptr)
    layer.ffn_norm = weights.vector(tensor(index, std::string(family.ffn_norm) + ".weight"), width);
  if (model.routing.num_experts > 0 && weights.has(tensor(index, "ffn_gate_inp.weight"))) {
    add_experts(index, layer);
    if (!family.has_dense_beside_experts) return;
  }
  const std::string up = tensor(index, "ffn_up.weight");
  if (family.has_joined_gate) {
    layer.gate = weights.part(up, 0, hidden, 2 * hidden, width);
    layer.up = weights.part(up, hidden, hidden, 2 * hidden, width);
  } else {
    if (family.has_gate()) layer.gate = weights.matrix(tensor(index, "ffn_gate.weight"), hidden, width);
    layer.up = weights.matrix(up, hidden, width);
    layer.gate_bias = weights.optional_vector(tensor(index, "ffn_gate.bias"), hidden);
    layer.up_bias = weights.optional_vector(tensor(index, "ffn_up.bias"), hidden);
  }
  layer.down = weights.matrix(tensor(index, "ffn_down.weight"), width, hidden);
  layer.down_bias = weights.optional_vector(tensor(index, "ffn_down.bias"), width);
}

// Their widths are the tensors'.
void Build::add_expert_matrices(int index, Experts& experts) {
  const int64_t width = model.dimensions.embedding, count = model.routing.num_experts;
  const std::string gate = tensor(index, "ffn_gate_exps.weight"), up = tensor(index, "ffn_up_exps.weight"),
                    joined = tensor(index, "ffn_gate_up_exps.weight");
  const bool is_joined = weights.has(joined);
  const int64_t hidden = is_joined ? weights.height(joined) / 2 : weights.height(up);
  const auto half = [&](int64_t first) {
    return weights.stack(joined, count, {first, hidden, 2 * hidden}, width);
  };
  if (family.has_gate())
    experts.gate = is_joined ? half(0) : weights.stack(gate, count, {0, hidden, hidden}, width);
  experts.up = is_joined ? half(hidden) : weights.stack(up, count, {0, hidden, hidden}, width);
  experts.down = weights.stack(tensor(index, "ffn_down_exps.weight"), count, {0, width, width}, hidden);
  experts.gate_bias = weights.optional_table(tensor(index, "ffn_gate_exps.bias"), count, hidden);
  experts.up_bias = weights.optional_table(tensor(index, "ffn_up_exps.bias"), count, hidden);
  experts.down_bias = weights.optional_table(tensor(index, "ffn_down_exps.bias"), count, width);
}

void Build::add_experts(int index, Layer& layer) {
  const int64_t width = model.dimensions.embedding, count = model.routing.num_experts;
  const int64_t shared = weights.height(tensor(index, "ffn_up_shexp.weight"));
  Experts& experts = layer.experts;
  experts.router = weights.matrix(tensor(index, "ffn_gate_inp.weight"), count, width);
  experts.router_bias = weights.optional_vector(tensor(index, "ffn_gate_inp.bias"), count);
  experts.choice_bias = weights.optional_vector(tensor(index, "exp_probs_b.bias"), count);
  add_expert_matrices(index, experts);
  if (family.has_dense_beside_experts) {
    experts.down_scale = weights.optional_vector(tensor(index, "ffn_down_exps.scale"), count);
    experts.router_norm = weights.vector(tensor(index, "ffn_gate_inp.scale"), width);
    for (float& weight : experts.router_norm) weight /= std::sqrt(static_cast<float>(width));
    experts.norm = weights.vector(tensor(index, "pre_ffw_norm_2.weight"), width);
    experts.post_shared_norm = weights.vector(tensor(index, "post_ffw_norm_1.weight"), width);
    experts.post_norm = weights.vector(tensor(index, "post_ffw_norm_2.weight"), width);
  }
  if (shared == 0) return;
  if (family.has_gate()) layer.gate = weights.matrix(tensor(index, "ffn_gate_shexp.weight"), shared, width);
  layer.up = weights.matrix(tensor(index, "ffn_up_shexp.weight"), shared, width);
  layer.down = weights.matrix(tensor(index, "ffn_down_shexp.weight"), width, shared);
  experts.shared_gate = weights.optional_vector(tensor(index, "ffn_gate_inp_shexp.weight"), width);
}

void Build::add_layers() {
  const Dimensions& d = model.dimensions;
  const std::vector<bool> recurrent = recurrent_layers(file, family, d.num_layers);
  int num_caches = 0;
  for (int i = 0; i < d.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    const bool has_mixer = !family.has_lone_blocks || layer.feed_forward == 0;
    if (has_mixer && recurrent[static_cast<size_t>(i)])
      add_recurrent(i, layer);
    else if (has_mixer)
      add_attention(i, layer);
    if (layer.has_keys() && family.recurrence != Recurrence::kNone) layer.cache_layer = num_caches++;
    if (!has_mixer || !family.has_lone_blocks) add_feed_forward(i, layer);
    if (family.has_post_norms) {
      layer.post_attention_norm = weights.vector(tensor(i, "post_attention_norm.weight"), d.embedding);
      layer.post_ffn_norm = weights.vector(tensor(i, "post_ffw_norm.weight"), d.embedding);
    }
  }
  if (family.recurrence != Recurrence::kNone && num_caches == 0)
    throw UnsupportedModel("no layer has attention");
}

void Build::add_layer_inputs() {
  const Dimensions& d = model.dimensions;
  LayerInputs& inputs = model.layer_inputs;
  for (int i = 0; i < d.num_layers; ++i)
    if (const Vector scale = weights.optional_vector(tensor(i, "layer_output_scale.weight"), 1);
        !scale.empty())
      model.layers[static_cast<size_t>(i)].output_scale = scale.front();
  const std::string name = key("embedding_length_per_layer_input");
  if (file.integer(name).value_or(0) == 0) return;
  inputs.width = bounded(file, name, 1, 1 << 16);
  const int64_t all = inputs.width * d.num_layers;
  inputs.embedding = weights.rows("per_layer_token_embd.weight", d.vocabulary, all);
  inputs.projection = weights.matrix("per_layer_model_proj.weight", all, d.embedding);
  inputs.norm = weights.vector("per_layer_proj_norm.weight", inputs.width);
  for (int i = 0; i < d.num_layers; ++i) {
    Layer& layer = model.layers[static_cast<size_t>(i)];
    layer.input_gate = weights.matrix(tensor(i, "inp_gate.weight"), inputs.width, d.embedding);
    layer.input_projection = weights.matrix(tensor(i, "proj.weight"), d.embedding, inputs.width);
    layer.post_input_norm = weights.vector(tensor(i, "post_norm.weight"), d.embedding);
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
  model->latent = read_latent(file, family, d);
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
  build.size_layers();
  build.add_layers();
  if (family.has_layer_inputs) build.add_layer_inputs();
  if (family.has_altup) build.add_altup();
  build.add_positions();
  if (family.finish != nullptr) family.finish(build);
  model->output_norm = weights.vector(std::string(family.output_norm) + ".weight", d.embedding);
  model->output = weights.matrix(weights.has("output.weight") ? "output.weight" : "token_embd.weight",
                                 d.vocabulary, d.embedding);
  weights.expect_all_used();
  return model;
}

}  // namespace myna
