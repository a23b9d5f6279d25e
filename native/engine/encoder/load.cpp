#include "encoder/load.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "encoder/metadata.h"
#include "errors.h"
#include "model/metadata.h"

namespace myna {
namespace {

// What an architecture's parts are built from and into.
struct EncoderBuild {
  const gguf::Model& file;
  Weights& weights;
  Encoder& model;

  std::string key(const char* name) const { return model.architecture + "." + name; }
  std::string layer_tensor(int layer, const char* name) const {
    return "blk." + std::to_string(layer) + "." + name;
  }
  EncoderLayer& layer(int index) { return model.layers[static_cast<size_t>(index)]; }

  Linear linear(const std::string& name, int64_t rows, int64_t columns) {
    return {weights.matrix(name + ".weight", rows, columns), weights.optional_vector(name + ".bias", rows)};
  }
  Norm norm(const std::string& name) {
    const int64_t width = model.dimensions.embedding;
    return {weights.vector(name + ".weight", width), weights.optional_vector(name + ".bias", width)};
  }

  void add_projections(int index);
  void add_feed_forward(int index, bool is_gated);
  void add_head_norms(int index);
  void add_rope(double base_frequency, double factor);
  void add_scaled_rope(double default_base);
  void add_bert_embedding(bool has_positions);
  void add_sum_norms(int index);
  void add_dense();
};

void EncoderBuild::add_projections(int index) {
  const Dimensions& d = model.dimensions;
  const int64_t query = d.query_width(), kv = d.kv_width(), all = query + 2 * kv;
  EncoderLayer& to = layer(index);
  const std::string joined = layer_tensor(index, "attn_qkv");
  if (weights.has(joined + ".weight")) {
    const Vector bias = weights.optional_vector(joined + ".bias", all);
    const auto part = [&](int64_t first, int64_t rows) {
      Linear linear{weights.part(joined + ".weight", first, rows, all, d.embedding), {}};
      if (!bias.empty()) linear.bias.assign(bias.begin() + first, bias.begin() + first + rows);
      return linear;
    };
    to.query = part(0, query);
    to.key = part(query, kv);
    to.value = part(query + kv, kv);
  } else {
    to.query = linear(layer_tensor(index, "attn_q"), query, d.embedding);
    to.key = linear(layer_tensor(index, "attn_k"), kv, d.embedding);
    to.value = linear(layer_tensor(index, "attn_v"), kv, d.embedding);
  }
  to.output = linear(layer_tensor(index, "attn_output"), d.embedding, query);
}

void EncoderBuild::add_feed_forward(int index, bool is_gated) {
  const Dimensions& d = model.dimensions;
  EncoderLayer& to = layer(index);
  if (is_gated) to.gate = linear(layer_tensor(index, "ffn_gate"), d.feed_forward, d.embedding);
  to.up = linear(layer_tensor(index, "ffn_up"), d.feed_forward, d.embedding);
  to.down = linear(layer_tensor(index, "ffn_down"), d.embedding, d.feed_forward);
}

void EncoderBuild::add_head_norms(int index) {
  const int64_t width = model.dimensions.head_dim;
  layer(index).query_norm = weights.vector(layer_tensor(index, "attn_q_norm.weight"), width);
  layer(index).key_norm = weights.vector(layer_tensor(index, "attn_k_norm.weight"), width);
}

void EncoderBuild::add_rope(double base_frequency, double factor) {
  if (!(base_frequency > 0)) throw CorruptFile("the rope's base frequency is not positive");
  Rope rope;
  const int dimensions = model.dimensions.rope_dim;
  for (int i = 0; i < dimensions / 2; ++i)
    rope.frequencies.push_back(std::pow(base_frequency, -2.0 * i / dimensions) / factor);
  model.ropes.push_back(std::move(rope));
}

void EncoderBuild::add_scaled_rope(double default_base) {
  const std::string scaling = file.text(key("rope.scaling.type")).value_or("none");
  if (scaling != "none" && scaling != "linear")
    throw UnsupportedModel("the rope scaling '" + scaling.substr(0, 40) + "' is not supported");
  const double factor = scaling == "none" ? 1 : file.number(key("rope.scaling.factor")).value_or(1);
  if (!(factor > 0)) throw CorruptFile("the rope's scaling factor is not positive");
  add_rope(file.number(key("rope.freq_base")).value_or(default_base), factor);
}

// All texts are of the first of two segments, which only pairs of texts use.
void EncoderBuild::add_bert_embedding(bool has_positions) {
  const Dimensions& d = model.dimensions;
  if (has_positions) model.positions = weights.rows("position_embd.weight", d.context, d.embedding);
  if (weights.has("token_types.weight")) {
    const int64_t count = bounded(file, "tokenizer.ggml.token_type_count", 1, 1 << 16);
    const gguf::Tensor& table = *weights.rows("token_types.weight", count, d.embedding);
    model.segment.resize(static_cast<size_t>(d.embedding));
    dequantize_row(static_cast<TensorType>(table.type), reinterpret_cast<const uint8_t*>(table.data.data()),
                   model.segment.data(), d.embedding);
  }
  model.embedding_norm = norm("token_embd_norm");
}

void EncoderBuild::add_sum_norms(int index) {
  layer(index).attention.sum = norm(layer_tensor(index, "attn_output_norm"));
  layer(index).feed_forward.sum = norm(layer_tensor(index, "layer_output_norm"));
}

// Two layers after pooling, of which converters leave out both or none.
void EncoderBuild::add_dense() {
  const int64_t width = model.dimensions.embedding;
  if (!weights.has("dense_2.weight") && !file.has(key("dense_2_feat_out"))) return;
  const int64_t inner = bounded(file, key("dense_2_feat_out"), 1, 1 << 17);
  if (bounded(file, key("dense_2_feat_in"), 1, 1 << 17) != width ||
      bounded(file, key("dense_3_feat_in"), 1, 1 << 17) != inner)
    throw UnsupportedModel("the sizes of the dense layers don't fit each other");
  const int64_t outer = bounded(file, key("dense_3_feat_out"), 1, 1 << 17);
  model.dense.push_back(weights.matrix("dense_2.weight", inner, width));
  model.dense.push_back(weights.matrix("dense_3.weight", outer, inner));
}

// BERT: learned positions, norms of the sums, biases, GELU.
void build_bert(EncoderBuild& build) {
  build.add_bert_embedding(true);
  for (int i = 0; i < build.model.dimensions.num_layers; ++i) {
    build.add_projections(i);
    build.add_feed_forward(i, false);
    build.add_sum_norms(i);
  }
}

// Nomic's BERT: rotated positions and SiLU gates.
void build_nomic_bert(EncoderBuild& build) {
  build.add_bert_embedding(false);
  build.add_scaled_rope(1000);
  for (int i = 0; i < build.model.dimensions.num_layers; ++i) {
    build.add_projections(i);
    build.add_feed_forward(i, true);
    build.add_sum_norms(i);
  }
}

void add_decoder_layer(EncoderBuild& build, int index) {
  build.add_projections(index);
  build.add_feed_forward(index, true);
  build.add_head_norms(index);
  build.layer(index).attention.input = build.norm(build.layer_tensor(index, "attn_norm"));
  build.layer(index).feed_forward.input = build.norm(build.layer_tensor(index, "ffn_norm"));
}

void build_qwen3(EncoderBuild& build) {
  for (int i = 0; i < build.model.dimensions.num_layers; ++i) add_decoder_layer(build, i);
  build.add_scaled_rope(10000);
  build.model.output_norm = build.norm("output_norm");
}

// Gemma 3's layers in both directions: all but every sixth see half the window's width to each side.
void build_gemma_embedding(EncoderBuild& build) {
  constexpr int kPattern = 6;
  constexpr double kLocalBaseFrequency = 10000;
  Encoder& model = build.model;
  const int num_layers = model.dimensions.num_layers;
  model.embedding_scale = std::sqrt(static_cast<float>(model.dimensions.embedding));
  model.activation = Activation::kGelu;
  build.add_scaled_rope(1000000);
  build.add_rope(build.file.number(build.key("rope.freq_base_swa")).value_or(kLocalBaseFrequency), 1);
  const int64_t width = bounded(build.file, build.key("attention.sliding_window"), 1, 1 << 24);
  const std::vector<bool> is_local =
      windowed_layers(build.file, build.key("attention.sliding_window_pattern"), kPattern, num_layers);
  for (int i = 0; i < num_layers; ++i) {
    add_decoder_layer(build, i);
    EncoderLayer& layer = build.layer(i);
    layer.attention.branch = build.norm(build.layer_tensor(i, "post_attention_norm"));
    layer.feed_forward.branch = build.norm(build.layer_tensor(i, "post_ffw_norm"));
    if (!is_local[static_cast<size_t>(i)]) continue;
    layer.window = width / 2 + 1;
    layer.rope = 1;
  }
  model.output_norm = build.norm("output_norm");
  build.add_dense();
}

struct Row {
  EncoderFamily metadata;
  void (*build)(EncoderBuild&);
};

constexpr Row kRows[] = {
    {{.name = "bert", .has_layer_norms = true}, build_bert},
    {{.name = "nomic-bert", .has_layer_norms = true, .has_rope = true}, build_nomic_bert},
    {{.name = "gemma-embedding", .has_rope = true, .has_windows = true, .has_dense = true},
     build_gemma_embedding},
    {{.name = "qwen3", .has_rope = true, .is_causal = true}, build_qwen3},
};

const Row& find_row(const std::string& name) {
  for (const Row& family : kRows)
    if (name == family.metadata.name) return family;
  throw UnsupportedModel("the architecture '" + name.substr(0, 60) + "' is not supported for embeddings");
}

}  // namespace

std::vector<std::string> encoder_architectures() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.metadata.name);
  return names;
}

std::unique_ptr<Encoder> load_encoder(const gguf::Model& file, ThreadPool& pool) {
  const auto architecture = file.text("general.architecture");
  if (!architecture) throw CorruptFile("the file does not name its architecture");
  const Row& family = find_row(*architecture);
  auto model = std::make_unique<Encoder>();
  read_metadata(file, family.metadata, *model);
  const Dimensions& d = model->dimensions;
  Weights weights(file, model->arena, pool);
  model->embedding = weights.rows("token_embd.weight", d.vocabulary, d.embedding);
  model->layers.resize(static_cast<size_t>(d.num_layers));
  EncoderBuild build{file, weights, *model};
  family.build(build);
  // A head for predicting words, which files made of generating models keep.
  if (weights.has("output.weight")) weights.rows("output.weight", d.vocabulary, d.embedding);
  weights.expect_all_used();
  return model;
}

}  // namespace myna
