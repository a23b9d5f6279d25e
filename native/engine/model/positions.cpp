// How layers know positions: rotations with their scalings, and windows.
#include <algorithm>
#include <cmath>

#include "errors.h"
#include "model/architectures.h"
#include "model/metadata.h"

namespace myna {
namespace {

constexpr double kGemmaLocalBase = 10000;

// YaRN's growth of scores with the factor by which a context is extended.
double yarn_magnitude(double factor, double multiplier) {
  return factor <= 1 ? 1 : 0.1 * multiplier * std::log(factor) + 1;
}

// The dimension whose pair makes that many turns within the original context.
double yarn_dimension(int dimensions, double context, double turns, double base) {
  return dimensions * std::log(context / (turns * 2 * M_PI)) / (2 * std::log(base));
}

}  // namespace

// Tensors that divide the frequencies. Of "longrope"'s two sets one is for contexts up to the original one.
Vector Build::frequency_factors(int64_t count) const {
  const Vector plain = weights.optional_vector("rope_freqs.weight", count);
  const Vector long_ones = weights.optional_vector("rope_factors_long.weight", count);
  const Vector short_ones = weights.optional_vector("rope_factors_short.weight", count);
  if (!plain.empty()) return plain;
  const int64_t original =
      bounded_or(file, key("rope.scaling.original_context_length"), model.dimensions.context, 1 << 24);
  return context > original ? long_ones : short_ones;
}

double Build::scaling_factor() const {
  const double factor = file.has(key("rope.scaling.factor")) ? number("rope.scaling.factor", 0)
                                                             : number("rope.scale_linear", 0);
  return factor == 0 ? 1 : factor;
}

double Build::yarn_growth(double multiplier) const {
  if (file.text(key("rope.scaling.type")) != "yarn") return 1;
  return yarn_magnitude(scaling_factor(), multiplier);
}

void Build::scale_frequencies(Rope& rope, double base_frequency) const {
  const std::string scaling = file.text(key("rope.scaling.type")).value_or("linear");
  if (scaling != "none" && scaling != "linear" && scaling != "yarn" && scaling != "longrope")
    throw UnsupportedModel("the rope scaling '" + scaling.substr(0, 40) + "' is not supported");
  const double factor = scaling == "none" ? 1 : scaling_factor();
  if (scaling != "yarn") {
    for (double& frequency : rope.frequencies) frequency /= factor;
    return;
  }
  const int dimensions = 2 * static_cast<int>(rope.frequencies.size());
  const auto original = static_cast<double>(
      bounded_or(file, key("rope.scaling.original_context_length"), model.dimensions.context, 1 << 24));
  const double fast = number("rope.scaling.yarn_beta_fast", 32),
               slow = number("rope.scaling.yarn_beta_slow", 1);
  const double low = std::max(0.0, std::floor(yarn_dimension(dimensions, original, fast, base_frequency)));
  const double high =
      std::min(dimensions - 1.0, std::ceil(yarn_dimension(dimensions, original, slow, base_frequency)));
  for (size_t i = 0; i < rope.frequencies.size(); ++i) {
    const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
    const double kept = 1 - std::clamp(ramp, 0.0, 1.0);  // of the original frequency
    rope.frequencies[i] *= (1 - kept) / factor + kept;
  }
  double multiplier = number("rope.scaling.yarn_log_multiplier", 0);
  if (family.has_latent && multiplier != 0) multiplier = 1;  // the scores have it (finish_deepseek2)
  rope.magnitude *= yarn_magnitude(factor, 1) / (multiplier != 0 ? yarn_magnitude(factor, multiplier) : 1);
}

Rope Build::rope(double base_frequency, int dimensions, bool is_scaled) const {
  if (!(base_frequency > 0)) throw CorruptFile("the rope's base frequency is not positive");
  Rope rope;
  rope.rotates_halves = family.rotates_halves || has_image_sections();
  for (int i = 0; i < dimensions / 2; ++i)
    rope.frequencies.push_back(std::pow(base_frequency, -2.0 * i / dimensions));
  if (!is_scaled) return rope;
  scale_frequencies(rope, base_frequency);
  const Vector factors = frequency_factors(std::ssize(rope.frequencies));
  for (size_t i = 0; i < factors.size(); ++i) rope.frequencies[i] /= factors[i];
  return rope;
}

// Ropes of models that see images divide the dimensions among time, height and width; in text all are equal.
bool Build::has_image_sections() const {
  const auto sections =
      family.is_multimodal_rope ? file.integers(key("rope.dimension_sections"), 4) : std::nullopt;
  if (!sections) return false;
  if (sections->size() > 3 && (*sections)[3] != 0)
    throw UnsupportedModel("'" + key("rope.dimension_sections") + "' has a fourth section");
  return sections->size() > 1 && (*sections)[0] > 0 && (*sections)[1] > 0;
}

std::vector<bool> windowed_layers(const gguf::Model& file, const std::string& key, int otherwise,
                                  int num_layers) {
  std::vector<bool> windowed(static_cast<size_t>(num_layers), false);
  const auto values = file.integers(key, 4096).value_or(std::vector{static_cast<uint64_t>(otherwise)});
  if (const auto found = file.metadata().find(key);
      found != file.metadata().end() && std::holds_alternative<gguf::Array>(found->second)) {
    if (values.size() != windowed.size())
      throw CorruptFile("the metadata '" + key + "' doesn't have a value for each layer");
    for (size_t i = 0; i < windowed.size(); ++i) windowed[i] = values[i] != 0;
    return windowed;
  }
  const uint64_t pattern = values.front();
  for (size_t i = 0; i < windowed.size(); ++i) windowed[i] = pattern == 0 || i % pattern < pattern - 1;
  return windowed;
}

int64_t Build::window() const {
  if (!family.has_windows) return 0;
  const std::string name = key("attention.sliding_window");
  if (!file.has(name)) return family.window;
  const auto window = static_cast<int64_t>(file.integer(name).value_or(0));
  if (window < 0 || window > (1 << 24)) throw CorruptFile("the metadata '" + name + "' is out of range");
  return window;
}

void Build::add_positions() {
  const Dimensions& d = model.dimensions;
  if (family.roped == Roped::kNone) {
    model.ropes.emplace_back();
    for (Layer& layer : model.layers) layer.rope = kNoRope;
    return;
  }
  double base = number("rope.freq_base", 10000, -HUGE_VAL);
  if (const double alpha = number("rope.scaling.alpha", 0); alpha > 0)
    base *= std::pow(alpha, d.head_dim / (d.head_dim - 2.0));
  model.ropes.push_back(rope(base, d.rope_dim, true));
  const double local_base = number(
      "rope.freq_base_swa", family.local_rope == LocalRope::kOwnBase ? kGemmaLocalBase : base, -HUGE_VAL);
  const auto local = std::find_if(model.layers.begin(), model.layers.end(),
                                  [](const Layer& layer) { return layer.window > 0; });
  const bool has_local = local != model.layers.end() && (family.local_rope != LocalRope::kSame ||
                                                         local_base != base || family.layers_differ);
  if (has_local) {
    const int dimensions = family.layers_differ ? local_dimensions(local->heads.dim) : d.rope_dim;
    model.ropes.push_back(rope(local_base, dimensions, family.local_rope == LocalRope::kSame));
  }
  for (Rope& each : model.ropes) each.magnitude *= number("rope.scaling.attn_factor", 1);
  const bool has_windows = window() > 0;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    Layer& layer = model.layers[i];
    const bool is_windowed = layer.window > 0;
    layer.rope = is_windowed && has_local ? 1 : 0;
    const bool is_roped = family.roped == Roped::kAll ||
                          (family.roped == Roped::kThreeOfFour && i % 4 != 3) ||
                          (family.roped == Roped::kWindowed && (is_windowed || !has_windows));
    if (!is_roped) layer.rope = kNoRope;
  }
}

// Of the rope in windowed layers, whose heads may have another length.
int Build::local_dimensions(int head_dim) const {
  const int64_t usual = std::min(model.dimensions.rope_dim, head_dim);
  const int64_t found = bounded_or(file, key("rope.dimension_count_swa"), usual, head_dim);
  if (found % 2 != 0) throw CorruptFile("the rope has an odd number of dimensions");
  return static_cast<int>(found);
}

}  // namespace myna
