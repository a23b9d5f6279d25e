#include "sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "philox.h"

namespace myna::sampling {
namespace {

// Values are read in blocks that fit into the first-level cache; a block is skipped if its maximum shows that
// nothing in it matters.
constexpr int64_t kBlock = 1024;
// Candidates for top-k and top-p are searched this far below the peak, in natural-log units; beyond the last,
// all weights are zero.
constexpr float kDepths[] = {3.0f, 6.0f, 10.0f, 13.0f, 16.0f, 24.0f, 40.0f, -kFloor};
// Bins for top-p: an eighth of a unit wide, down to the smallest weight.
constexpr float kBinsPerUnit = 8.0f, kNumBins = 704.0f;
constexpr float kColdest = 1e-30f;

bool is_likelier(const Candidate& a, const Candidate& b) { return a.rank > b.rank; }

uint64_t rank_of(float score, int64_t token) {
  // Floats in the order of their bits: flip all bits of negative ones, the sign of the others. -0 is +0.
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(token));
}

}  // namespace

Sampler::Sampler(const Kernels& kernels, int64_t vocab_size, Buffers& buffers)
    : kernels_(kernels),
      vocab_size_(vocab_size),
      changes_(buffers.changes),
      maxima_(buffers.maxima),
      sums_(buffers.sums),
      block_(buffers.block),
      weights_(buffers.weights),
      order_(buffers.order),
      found_(buffers.found),
      candidates_(buffers.candidates),
      ordered_(buffers.ordered) {
  changes_.clear();
  maxima_.resize(static_cast<size_t>((vocab_size + kBlock - 1) / kBlock));
  sums_.resize(maxima_.size());
  for (auto* vector : {&block_, &weights_}) vector->resize(kBlock);
  found_.resize(kBlock);
}

float Candidate::score() const {
  const uint32_t ordered = static_cast<uint32_t>(rank >> 32);
  return std::bit_cast<float>(ordered & 0x80000000u ? ordered ^ 0x80000000u : ~ordered);
}

Outcome Sampler::draw(const float* values, const uint32_t* mask, const Parameters& parameters,
                      const Report* wanted) {
  const auto comes_first = [](const Change& a, const Change& b) {
    return (uint64_t{a.token} << 32 | a.order) < (uint64_t{b.token} << 32 | b.order);
  };
  if (!std::is_sorted(changes_.begin(), changes_.end(), comes_first))
    std::sort(changes_.begin(), changes_.end(), comes_first);
  const Row row{values, mask, changes_};
  const Scan seen = scan(row);
  if (seen.is_bad) return {Status::kBadLogits, -1};
  if (seen.max == kNever) return {Status::kNothingAllowed, -1};
  int32_t token;
  if (parameters.temperature == 0.0f) {
    token = find(row, seen.max);
  } else {
    const float scale = 1.0f / std::max(parameters.temperature, kColdest);
    const bool is_filtered = (parameters.top_k > 0 && parameters.top_k < vocab_size_) ||
                             parameters.top_p < 1.0f || parameters.min_p > 0.0f;
    token = is_filtered ? draw_kept(row, seen.max, scale, parameters)
                        : draw_any(row, seen.max, scale,
                                   uniform(parameters.seed, parameters.choice, parameters.position));
  }
  if (wanted != nullptr) {
    const Row raw{values, nullptr, {}};
    report(raw, row.is_raw() ? seen.max : scan(raw).max, token, *wanted);
  }
  return {Status::kOk, token};
}

Status Sampler::score(const float* values, int32_t target, const Report& wanted) {
  const Row raw{values, nullptr, {}};
  const Scan seen = scan(raw);
  if (seen.is_bad || seen.max == kNever) return Status::kBadLogits;
  report(raw, seen.max, target, wanted);
  return Status::kOk;
}

int64_t Sampler::block_size(int64_t block) const { return std::min(kBlock, vocab_size_ - block * kBlock); }

std::span<const Change> Sampler::changes_in(const Row& row, int64_t block) const {
  if (row.changes.empty()) return {};
  const auto is_before = [](const Change& change, int64_t token) { return change.token < token; };
  const auto first = std::lower_bound(row.changes.begin(), row.changes.end(), block * kBlock, is_before);
  const auto last = std::lower_bound(first, row.changes.end(), (block + 1) * kBlock, is_before);
  return {first, last};
}

// Applies sorted changes to block_, whose first token is `first`.
void Sampler::apply(std::span<const Change> changes, int64_t first) {
  int64_t penalised = -1;
  for (const Change& change : changes) {
    float& score = block_[static_cast<size_t>(change.token - first)];
    if (change.order != Change::kRepetition) {
      score += change.value;
    } else if (change.token != penalised) {
      score = score > 0.0f ? score / change.value : score * change.value;
      penalised = change.token;
    }
  }
}

// The block's scores: the row itself if nothing changes it, otherwise a copy with changes and mask applied.
const float* Sampler::block(const Row& row, int64_t block) {
  const float* values = row.values + block * kBlock;
  const auto changes = changes_in(row, block);
  if (row.mask == nullptr && changes.empty()) return values;
  const int64_t size = block_size(block);
  std::copy_n(values, size, block_.data());
  apply(changes, block * kBlock);
  if (row.mask != nullptr)
    kernels_.copy_allowed(block_.data(), size, row.mask + block * (kBlock / 32), block_.data());
  return block_.data();
}

// Fills maxima_. Whether the row is bad depends on all its values, masked or not.
Scan Sampler::scan(const Row& row) {
  Scan all{kNever, false};
  for (int64_t b = 0; b < num_blocks(); ++b) {
    Scan part = kernels_.scan(row.values + b * kBlock, block_size(b));
    all.is_bad |= part.is_bad;
    if (row.mask != nullptr || !changes_in(row, b).empty())
      part = kernels_.scan(block(row, b), block_size(b));
    maxima_[b] = part.max;
    all.max = std::max(all.max, part.max);
  }
  all.is_bad |= all.max == std::numeric_limits<float>::infinity();  // a bias made a score overflow
  return all;
}

// Fills sums_; skips blocks in which all weights are zero.
double Sampler::sum_blocks(const Row& row, float peak, float scale) {
  double total = 0.0;
  for (int64_t b = 0; b < num_blocks(); ++b) {
    const bool is_zero = (maxima_[b] - peak) * scale < kFloor;
    sums_[b] = is_zero ? 0.0f : kernels_.exp_sum(block(row, b), block_size(b), peak, scale);
    total += sums_[b];
  }
  return total;
}

// The first token whose score is the peak.
int32_t Sampler::find(const Row& row, float peak) {
  const auto b = std::find(maxima_.begin(), maxima_.end(), peak) - maxima_.begin();
  const float* scores = block(row, b);
  return static_cast<int32_t>(b * kBlock + (std::find(scores, scores + block_size(b), peak) - scores));
}

// A draw without filters: finds the block that contains the point, then the token.
int32_t Sampler::draw_any(const Row& row, float peak, float scale, double u) {
  double point = u * sum_blocks(row, peak, scale);
  int64_t chosen = -1;
  for (int64_t b = 0; b < num_blocks(); ++b) {
    if (sums_[b] == 0.0f) continue;
    chosen = b;
    if (point < sums_[b]) break;
    point -= sums_[b];
  }
  const int64_t size = block_size(chosen);
  kernels_.exp_into(block(row, chosen), size, peak, scale, weights_.data());
  int64_t token = 0;
  for (int64_t i = 0; i < size; ++i) {
    if (weights_[i] == 0.0f) continue;
    token = i;
    if (point < weights_[i]) break;
    point -= weights_[i];
  }
  return static_cast<int32_t>(chosen * kBlock + token);
}

int32_t Sampler::draw_kept(const Row& row, float peak, float scale, const Parameters& parameters) {
  const bool has_top_k = parameters.top_k > 0 && parameters.top_k < vocab_size_;
  const bool has_top_p = parameters.top_p < 1.0f;
  const float min_p =
      std::min(parameters.min_p, 1.0f);  // the most likely token has weight 1 and is always kept
  const size_t least = has_top_k ? static_cast<size_t>(parameters.top_k) : 0;
  const double total = has_top_p && !has_top_k ? sum_blocks(row, peak, scale) : 0.0;
  const float bound = threshold_of_top(least);
  double mass = 0.0;
  for (const float depth : kDepths) {
    collect(row, bound != kNever ? bound : peak - depth / scale);
    mass = weigh(peak, scale);
    if (!has_top_k && !has_top_p && min_p > std::exp(1.0f - depth)) break;
    if (has_top_k && candidates_.size() >= least) break;
    if (has_top_p && !has_top_k && mass >= parameters.top_p * total) break;
  }
  if (has_top_k && candidates_.size() > least) {
    keep_likeliest(least);
    mass = weigh(peak, scale);
  }
  if (has_top_p) keep_mass(parameters.top_p * (has_top_k ? mass : total), peak, scale);
  if (min_p > 0.0f) std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < min_p; });
  double kept = 0.0;
  for (const Candidate& candidate : candidates_) kept += candidate.weight;
  double point = uniform(parameters.seed, parameters.choice, parameters.position) * kept;
  int32_t token = -1;
  for (const Candidate& candidate : candidates_) {
    if (candidate.weight == 0.0f) continue;
    token = candidate.token();
    if (point < candidate.weight) break;
    point -= candidate.weight;
  }
  return token;
}

// Fills candidates_ with the possible tokens that score at least the threshold, in order of their ids.
void Sampler::collect(const Row& row, float threshold) {
  threshold = std::max(threshold, std::numeric_limits<float>::lowest());
  candidates_.clear();
  for (int64_t b = 0; b < num_blocks(); ++b) {
    if (maxima_[b] < threshold) continue;
    const float* scores = block(row, b);
    size_t count = 0;
    for (int64_t i = 0, size = block_size(b); i < size; ++i) {
      found_[count] = static_cast<uint32_t>(i);
      count += scores[i] >= threshold;
    }
    const size_t before = candidates_.size();
    candidates_.resize(before + count);
    for (size_t i = 0; i < count; ++i)
      candidates_[before + i].rank = rank_of(scores[found_[i]], b * kBlock + found_[i]);
  }
}

// Computes the candidates' weights, block by block; returns their sum.
double Sampler::weigh(float peak, float scale) {
  double mass = 0.0;
  for (size_t begin = 0; begin < candidates_.size(); begin += kBlock) {
    const size_t size = std::min(static_cast<size_t>(kBlock), candidates_.size() - begin);
    for (size_t i = 0; i < size; ++i) weights_[i] = candidates_[begin + i].score();
    kernels_.exp_into(weights_.data(), static_cast<int64_t>(size), peak, scale, weights_.data());
    for (size_t i = 0; i < size; ++i) mass += candidates_[begin + i].weight = weights_[i];
  }
  return mass;
}

void Sampler::keep_likeliest(size_t count) {
  ordered_ = candidates_;
  const auto last = ordered_.begin() + static_cast<ptrdiff_t>(count) - 1;
  std::nth_element(ordered_.begin(), last, ordered_.end(), is_likelier);
  drop_below(last->rank);
}

// Keeps the fewest most likely candidates with a total weight of at least `mass`. A flat distribution has
// tens of thousands of candidates, so bins by depth below the peak find the few among which the sum reaches
// it; those are then bisected.
void Sampler::keep_mass(double mass, float peak, float scale) {
  const auto bin_of = [&](const Candidate& candidate) {
    return static_cast<size_t>(std::min((peak - candidate.score()) * scale * kBinsPerUnit, kNumBins - 1.0f));
  };
  std::array<double, static_cast<size_t>(kNumBins)> bins{};
  for (const Candidate& candidate : candidates_) bins[bin_of(candidate)] += candidate.weight;
  double before = 0.0;
  size_t bin = 0;
  while (bin + 1 < bins.size() && before + bins[bin] < mass) before += bins[bin++];
  ordered_.clear();
  for (const Candidate& candidate : candidates_)
    if (bin_of(candidate) == bin) ordered_.push_back(candidate);
  if (ordered_.empty()) return;  // rounding: the total is slightly smaller than `mass`

  auto first = ordered_.begin(), last = ordered_.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, is_likelier);
    double half = 0.0;
    for (auto candidate = first; candidate != middle; ++candidate) half += candidate->weight;
    if (before + half >= mass) {
      last = middle;
    } else {
      before += half;
      first = middle;
    }
  }
  drop_below(first->rank);
}

void Sampler::drop_below(uint64_t rank) {
  // Branchless: in order of ids, the processor can't predict which are kept.
  size_t kept = 0;
  for (const Candidate& candidate : candidates_) {
    candidates_[kept] = candidate;
    kept += candidate.rank >= rank;
  }
  candidates_.resize(kept);
}

// maxima_ holds the raw row's maxima. A score reached by n blocks is reached by at least n tokens.
float Sampler::threshold_of_top(size_t count) {
  if (count == 0 || count > maxima_.size()) return kNever;
  order_ = maxima_;
  const auto place = order_.begin() + static_cast<ptrdiff_t>(count) - 1;
  std::nth_element(order_.begin(), place, order_.end(), std::greater<>());
  return *place;
}

void Sampler::report(const Row& raw, float peak, int32_t token, const Report& wanted) {
  const double log_total = std::log(sum_blocks(raw, peak, 1.0f));
  const auto logprob = [&](float value) {
    return static_cast<float>(static_cast<double>(value) - peak - log_total);
  };
  *wanted.logprob = logprob(raw.values[token]);
  const size_t num_top = std::min(wanted.top_tokens.size(), static_cast<size_t>(vocab_size_));
  if (num_top == 0) return;
  collect(raw, threshold_of_top(num_top));
  const auto last = candidates_.begin() + static_cast<ptrdiff_t>(std::min(num_top, candidates_.size()));
  std::partial_sort(candidates_.begin(), last, candidates_.end(), is_likelier);
  for (size_t i = 0; i < static_cast<size_t>(last - candidates_.begin()); ++i) {
    wanted.top_tokens[i] = candidates_[i].token();
    wanted.top_logprobs[i] = logprob(candidates_[i].score());
  }
}

}  // namespace myna::sampling
