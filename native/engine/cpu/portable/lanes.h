#pragma once
#include <cmath>

#include "cpu/portable/half.h"

namespace myna::MYNA_ISA {

struct Lanes {
  float lane[16];
};
constexpr int kTileRows = 2, kTileVectors = 2;

template <typename Function>
inline Lanes each(Function&& function) {
  Lanes v;
  for (int i = 0; i < 16; ++i) v.lane[i] = function(i);
  return v;
}

inline Lanes load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline void store(float* p, const Lanes& v) { std::memcpy(p, v.lane, sizeof v.lane); }
inline Lanes load(const uint16_t* p) {
  return each([&](int i) { return half_to_float(p[i]); });
}
inline void store(uint16_t* p, const Lanes& v) {
  for (int i = 0; i < 16; ++i) p[i] = float_to_half(v.lane[i]);
}
inline Lanes load(const int8_t* p) {
  return each([&](int i) { return static_cast<float>(p[i]); });
}
inline Lanes broadcast(float x) {
  return each([&](int) { return x; });
}
inline Lanes add(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline Lanes sub(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline Lanes mul(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline Lanes div(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  return each([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
inline Lanes max(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Lanes min(const Lanes& a, const Lanes& b) {
  return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline Lanes round(const Lanes& a) {
  return each([&](int i) { return __builtin_nearbyintf(a.lane[i]); });
}
inline Lanes power_of_two(const Lanes& n) {
  return each([&](int i) {
    const int32_t bits = (static_cast<int32_t>(n.lane[i]) + 127) * (1 << 23);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  });
}
inline Lanes zero_below(const Lanes& v, const Lanes& x, const Lanes& limit) {
  return each([&](int i) { return x.lane[i] < limit.lane[i] ? 0.0f : v.lane[i]; });
}
// Lanes outside [first, end) become `fill`.
inline Lanes keep_range(const Lanes& v, int first, int end, float fill) {
  return each([&](int i) { return i >= first && i < end ? v.lane[i] : fill; });
}
inline float reduce_max(const Lanes& v) {
  float largest = v.lane[0];
  for (int i = 1; i < 16; ++i) largest = v.lane[i] > largest ? v.lane[i] : largest;
  return largest;
}
inline float reduce_sum(const Lanes& v) {
  float sums[8];
  for (int i = 0; i < 8; ++i) sums[i] = v.lane[i] + v.lane[i + 8];
  for (int width = 4; width >= 1; width /= 2)
    for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
  return sums[0];
}

}  // namespace myna::MYNA_ISA
