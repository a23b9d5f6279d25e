// One draw from one row of logits, and the log-probabilities of a row. Knows no Python.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels.h"

namespace myna::sampling {

enum class Status : uint8_t { kOk = 0, kNothingAllowed = 1, kBadLogits = 2 };

// `min_p` above 1 counts as 1: only the most likely token and its ties are kept.
struct Parameters {
  float temperature, top_p, min_p;
  int32_t top_k;
  uint64_t seed;
  uint32_t choice, position;
};

// A change of one token's logit: `value` is added to it. Those of a token are applied by `order`, first the
// repetition penalty, which has `kRepetition` and divides a positive logit and multiplies a negative one;
// only the first of several counts.
struct Change {
  static constexpr uint32_t kRepetition = 0;
  uint32_t token, order;
  float value;
};

struct Outcome {
  Status status;
  int32_t token;  // -1 unless the status is kOk
};

// Log-probabilities to write: `top_tokens` and `top_logprobs` have one length.
struct Report {
  float* logprob;
  std::span<int32_t> top_tokens;
  std::span<float> top_logprobs;
};

// A token's rank in the order "most likely first, ties to the lower id"; larger is earlier.
struct Candidate {
  uint64_t rank;
  float weight;
  int32_t token() const { return static_cast<int32_t>(~static_cast<uint32_t>(rank)); }
  float score() const;
};

// Scratch memory, kept between calls: a flat distribution's candidates are megabytes, which cost more to
// allocate than to fill.
struct Buffers {
  std::vector<Change> changes;
  std::vector<float> maxima, sums, block, weights, order;
  std::vector<uint32_t> found;
  std::vector<Candidate> candidates, ordered;
};

// Samples from rows of one vocabulary size. Not thread-safe.
class Sampler {
 public:
  Sampler(const Kernels& kernels, int64_t vocab_size, Buffers& buffers);

  // The changes of the next row's draw; filled by the caller, sorted by `draw`.
  std::vector<Change>& changes() { return changes_; }

  // `mask` is null or has one bit per token. A report only costs time if it is requested.
  Outcome draw(const float* row, const uint32_t* mask, const Parameters& parameters, const Report* report);

  // The log-probabilities of the target and the most likely tokens, in the unmodified row.
  Status score(const float* row, int32_t target, const Report& report);

 private:
  struct Row {
    const float* values;
    const uint32_t* mask;
    std::span<const Change> changes;
    bool is_raw() const { return mask == nullptr && changes.empty(); }
  };

  int64_t num_blocks() const { return static_cast<int64_t>(maxima_.size()); }
  int64_t block_size(int64_t block) const;
  std::span<const Change> changes_in(const Row& row, int64_t block) const;
  void apply(std::span<const Change> changes, int64_t first);
  const float* block(const Row& row, int64_t block);
  Scan scan(const Row& row);
  double sum_blocks(const Row& row, float peak, float scale);
  int32_t find(const Row& row, float peak);
  int32_t draw_any(const Row& row, float peak, float scale, double u);
  int32_t draw_kept(const Row& row, float peak, float scale, const Parameters& parameters);
  void collect(const Row& row, float threshold);
  double weigh(float peak, float scale);
  void keep_likeliest(size_t count);
  void keep_mass(double mass, float peak, float scale);
  void drop_below(uint64_t rank);
  void report(const Row& raw, float peak, int32_t token, const Report& report);
  float threshold_of_top(size_t count);

  const Kernels& kernels_;
  int64_t vocab_size_;
  std::vector<Change>& changes_;
  std::vector<float>&maxima_, &sums_, &block_, &weights_, &order_;
  std::vector<uint32_t>& found_;
  std::vector<Candidate>&candidates_, &ordered_;
};

}  // namespace myna::sampling
