// The table of architectures.
#include <cmath>

#include "errors.h"
#include "model/architectures.h"
#include "model/family.h"

namespace myna {
namespace {

using Norms = Family::HeadNorms;

constexpr const char* kGemmaKeys[] = {"attn_logit_softcapping", "final_logit_softcapping"};
constexpr const char* kCapKeys[] = {"final_logit_softcapping"};
constexpr const char* kGraniteKeys[] = {"attention.scale", "embedding_scale", "logit_scale", "residual_scale",
                                        "rope.scaling.finetuned"};
constexpr const char* kGraniteMoeKeys[] = {"attention.scale", "embedding_scale", "logit_scale",
                                           "residual_scale"};
constexpr const char* kMistralKeys[] = {"attention.temperature_scale"};
constexpr const char* kCohereKeys[] = {"logit_scale"};
constexpr const char* kHunyuanKeys[] = {"rope.scaling.alpha"};
constexpr const char* kVisionKeys[] = {"n_deepstack_layers"};  // of images

// Scores of the largest Gemmas are scaled by the width of the model instead of the heads'.
void finish_gemma(Build& build, int layers_of_27b, double score_cap, double logit_cap) {
  Model& model = build.model;
  const Dimensions& d = model.dimensions;
  model.embedding_scale = std::sqrt(static_cast<float>(d.embedding));
  if (d.num_layers == layers_of_27b)
    model.query_scale = 1.0f / std::sqrt(static_cast<float>(d.embedding / d.num_heads));
  model.score_cap = static_cast<float>(build.number("attn_logit_softcapping", score_cap));
  model.logit_cap = static_cast<float>(build.number("final_logit_softcapping", logit_cap));
}

void finish_gemma2(Build& build) { finish_gemma(build, 46, 50, 30); }
void finish_gemma3(Build& build) { finish_gemma(build, 62, 0, 0); }

// Of Gemma 4 and Gemma 3n.
void finish_gemma4(Build& build) {
  finish_gemma(build, 0, 0, 30);
  build.model.query_scale = 1;
}

// YaRN's growth also scales the scores, with a multiplier that is stored as a tenth.
void finish_deepseek2(Build& build) {
  Model& model = build.model;
  model.query_scale = 1.0f / std::sqrt(static_cast<float>(model.latent.query()));
  const double multiplier = build.number("rope.scaling.yarn_log_multiplier", 0) * 10;
  const double growth =
      build.yarn_growth(multiplier != 0 ? multiplier : 1) * build.number("rope.scaling.attn_factor", 1);
  model.query_scale *= static_cast<float>(growth * growth);
  // GLM-4.7-Flash's first files don't say how their routers score.
  const Dimensions& d = model.dimensions;
  if (!build.file.has(build.key("expert_gating_func")) && d.vocabulary == 154880 &&
      (d.num_layers == 47 || d.num_layers == 48))
    model.routing.scores = Routing::Scores::kSigmoid;
}

void finish_granite(Build& build) {
  Model& model = build.model;
  const double logits = build.number("logit_scale", 0);
  if (!(logits > 0)) throw CorruptFile("the metadata '" + build.key("logit_scale") + "' is not positive");
  model.logit_scale = static_cast<float>(1 / logits);
  const auto scale = [&](const char* name, float otherwise) {
    const auto value = static_cast<float>(build.number(name, 0));
    return value != 0 ? value : otherwise;
  };
  model.residual_scale = scale("residual_scale", 1);
  model.embedding_scale = scale("embedding_scale", 1);
  model.query_scale = scale("attention.scale", model.query_scale);
  if (build.file.flag(build.key("rope.scaling.finetuned")).value_or(true)) return;
  for (Layer& layer : model.layers) layer.rope = kNoRope;
}

void finish_mistral3(Build& build) {
  Temperature& temperature = build.model.temperature;
  temperature.scale = build.number("attention.temperature_scale", 0);
  temperature.length = build.number("rope.scaling.original_context_length",
                                    static_cast<double>(build.model.dimensions.context), 1);
}

void finish_cohere2(Build& build) {
  const double scale = build.number("logit_scale", 0);
  build.model.logit_scale = scale != 0 ? static_cast<float>(scale) : 1.0f;
}

constexpr Family kFamilies[] = {
    {.name = "llama", .rotates_halves = false, .is_mixture = true},
    {.name = "qwen2"},
    {.name = "qwen2vl", .is_multimodal_rope = true},
    {.name = "qwen3", .head_norms = Norms::kPerHead},
    {.name = "qwen3vl", .is_multimodal_rope = true, .head_norms = Norms::kPerHead, .keys = kVisionKeys},
    {.name = "seed_oss", .ffn_norm = "post_attention_norm"},
    {.name = "internlm2", .rotates_halves = false},
    {.name = "ernie4_5", .rotates_halves = false, .is_multimodal_rope = true},
    {.name = "smollm3", .rotates_halves = false, .roped = Roped::kThreeOfFour},
    {.name = "mistral3",
     .rotates_halves = false,
     .is_mixture = true,
     .keys = kMistralKeys,
     .finish = finish_mistral3},
    {.name = "granite",
     .rotates_halves = false,
     .is_mixture = true,
     .keys = kGraniteKeys,
     .finish = finish_granite},
    {.name = "hunyuan-dense", .head_norms = Norms::kAfterRope, .keys = kHunyuanKeys},
    {.name = "phi3", .has_joined_gate = true, .has_windows = true, .pattern = 0},
    {.name = "glm4",
     .rotates_halves = false,
     .is_multimodal_rope = true,
     .has_post_norms = true,
     .has_joined_gate = true,
     .has_guessing_layers = true},
    {.name = "gemma2",
     .has_post_norms = true,
     .activation = Activation::kGelu,
     .has_windows = true,
     .window = 4096,
     .pattern = 2,
     .keys = kGemmaKeys,
     .finish = finish_gemma2},
    {.name = "gemma3",
     .local_rope = LocalRope::kOwnBase,
     .has_post_norms = true,
     .head_norms = Norms::kPerHead,
     .activation = Activation::kGelu,
     .has_windows = true,
     .pattern = 6,
     .keys = kGemmaKeys,
     .finish = finish_gemma3},
    {.name = "gemma3n",
     .local_rope = LocalRope::kOwnBase,
     .has_post_norms = true,
     .head_norms = Norms::kPerHead,
     .activation = Activation::kGelu,
     .has_value_norms = true,
     .layers_differ = true,
     .has_layer_inputs = true,
     .has_altup = true,
     .has_windows = true,
     .pattern = 5,
     .keys = kCapKeys,
     .finish = finish_gemma4},
    {.name = "gemma4",
     .local_rope = LocalRope::kOwnBase,
     .has_post_norms = true,
     .head_norms = Norms::kPerHead,
     .activation = Activation::kGelu,
     .has_value_norms = true,
     .layers_differ = true,
     .has_layer_inputs = true,
     .is_mixture = true,
     .has_dense_beside_experts = true,
     .has_windows = true,
     .pattern = 6,
     .keys = kCapKeys,
     .finish = finish_gemma4},
    {.name = "olmo2",
     .local_rope = LocalRope::kUnscaled,
     .attention_norm = nullptr,
     .ffn_norm = nullptr,
     .has_post_norms = true,
     .head_norms = Norms::kWhole,
     .has_windows = true,
     .pattern = 4},
    {.name = "exaone4",
     .roped = Roped::kWindowed,
     .attention_norm = nullptr,
     .ffn_norm = nullptr,
     .has_post_norms = true,
     .head_norms = Norms::kPerHead,
     .has_guessing_layers = true,
     .has_windows = true,
     .pattern = 4},
    {.name = "cohere2",
     .rotates_halves = false,
     .roped = Roped::kWindowed,
     .norm = NormKind::kLayer,
     .ffn_norm = nullptr,
     .is_parallel = true,
     .has_windows = true,
     .pattern = 4,
     .keys = kCohereKeys,
     .finish = finish_cohere2},
    {.name = "qwen2moe", .is_mixture = true, .renormalizes = false},
    {.name = "qwen3moe", .head_norms = Norms::kPerHead, .is_mixture = true},
    {.name = "qwen3vlmoe",
     .is_multimodal_rope = true,
     .head_norms = Norms::kPerHead,
     .is_mixture = true,
     .keys = kVisionKeys},
    {.name = "olmoe", .head_norms = Norms::kWhole, .is_mixture = true, .renormalizes = false},
    {.name = "granitemoe",
     .rotates_halves = false,
     .is_mixture = true,
     .keys = kGraniteMoeKeys,
     .finish = finish_granite},
    {.name = "hunyuan-moe", .head_norms = Norms::kAfterRope, .is_mixture = true},
    {.name = "ernie4_5-moe", .rotates_halves = false, .is_multimodal_rope = true, .is_mixture = true},
    {.name = "glm4moe",
     .is_multimodal_rope = true,
     .ffn_norm = "post_attention_norm",
     .head_norms = Norms::kPerHeadIfAny,
     .is_mixture = true,
     .scores = Routing::Scores::kSigmoid,
     .renormalizes = false,
     .has_guessing_layers = true},
    {.name = "deepseek2",
     .rotates_halves = false,
     .has_latent = true,
     .is_mixture = true,
     .renormalizes = false,
     .has_guessing_layers = true,
     .finish = finish_deepseek2},
    {.name = "qwen3next",
     .ffn_norm = "post_attention_norm",
     .head_norms = Norms::kPerHead,
     .recurrence = Recurrence::kDeltaRule,
     .has_query_gate = true,
     .is_mixture = true,
     .has_guessing_layers = true},
    {.name = "qwen35",
     .is_multimodal_rope = true,
     .ffn_norm = "post_attention_norm",
     .head_norms = Norms::kPerHead,
     .recurrence = Recurrence::kDeltaRule,
     .shares_keys_at_distance = true,
     .has_query_gate = true,
     .has_guessing_layers = true},
    {.name = "qwen35moe",
     .is_multimodal_rope = true,
     .ffn_norm = "post_attention_norm",
     .head_norms = Norms::kPerHead,
     .recurrence = Recurrence::kDeltaRule,
     .shares_keys_at_distance = true,
     .has_query_gate = true,
     .is_mixture = true,
     .has_guessing_layers = true},
    {.name = "granitehybrid",
     .rotates_halves = false,
     .recurrence = Recurrence::kScan,
     .is_mixture = true,
     .keys = kGraniteKeys,
     .finish = finish_granite},
    {.name = "nemotron_h",
     .roped = Roped::kNone,
     .ffn_norm = "attn_norm",
     .activation = Activation::kSquaredRelu,
     .has_lone_blocks = true,
     .recurrence = Recurrence::kScan},
    {.name = "nemotron_h_moe",
     .roped = Roped::kNone,
     .ffn_norm = "attn_norm",
     .activation = Activation::kSquaredRelu,
     .has_lone_blocks = true,
     .recurrence = Recurrence::kScan,
     .is_mixture = true,
     .scores = Routing::Scores::kSigmoid,
     .renormalizes = false,
     .has_guessing_layers = true},
    {.name = "lfm2",
     .head_norms = Norms::kPerHead,
     .recurrence = Recurrence::kShortConvolution,
     .output_norm = "token_embd_norm"},
    {.name = "lfm2moe",
     .head_norms = Norms::kPerHead,
     .recurrence = Recurrence::kShortConvolution,
     .output_norm = "token_embd_norm",
     .is_mixture = true,
     .scores = Routing::Scores::kSigmoid},
    {.name = "gpt-oss",
     .ffn_norm = "post_attention_norm",
     .activation = Activation::kClippedSilu,
     .has_sinks = true,
     .is_mixture = true,
     .scores = Routing::Scores::kSoftmaxOfChosen,
     .renormalizes = false,
     .has_windows = true,
     .pattern = 2},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

const Family& find_family(const std::string& name) {
  for (const Family& family : kFamilies)
    if (name == family.name) return family;
  throw UnsupportedModel("the architecture '" + name.substr(0, 60) + "' is not supported");
}

}  // namespace myna
