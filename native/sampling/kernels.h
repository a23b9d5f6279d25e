// The vector loops of sampling, one table per instruction set. All tables give the same bits: sums use
// sixteen lanes whatever the width of registers, and nothing is contracted.
#pragma once

#include <cstdint>
#include <limits>

namespace myna::sampling {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Weights below exp(kFloor) are zero, so that no lane ever holds a denormal.
constexpr float kFloor = -87.0f;

struct Scan {
  float max;
  bool is_bad;  // NaN or +inf among the values
};

struct Kernels {
  const char* name;
  // The largest of n values, kNever for none. NaN counts only for `is_bad`.
  Scan (*scan)(const float* values, int64_t n);
  // Sum of exp((value - peak) * scale); no value is above the peak.
  float (*exp_sum)(const float* values, int64_t n, float peak, float scale);
  // weights[i] = exp((values[i] - peak) * scale), the same bits as in the sum.
  void (*exp_into)(const float* values, int64_t n, float peak, float scale, float* weights);
  // target[i] = values[i] where bit i of the words is set, else kNever.
  void (*copy_allowed)(const float* values, int64_t n, const uint32_t* words, float* target);
};

extern const Kernels kPortable;
#ifdef MYNA_X86
extern const Kernels kAvx2;
extern const Kernels kAvx512;
#endif

}  // namespace myna::sampling
