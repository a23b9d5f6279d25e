#pragma once
#include <arm_neon.h>

namespace myna::MYNA_ISA {

struct Lanes {
  float32x4_t part[4];
};
constexpr int kTileRows = 3, kTileVectors = 2;  // 24 of 32 registers hold sums

template <typename Function>
inline Lanes each(Function&& function) {
  return {{function(0), function(1), function(2), function(3)}};
}

inline Lanes load(const float* p) {
  return each([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, Lanes v) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.part[i]);
}
inline Lanes load(const uint16_t* p) {
  return each([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void store(uint16_t* p, Lanes v) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.part[i])));
}
inline Lanes load(const int8_t* p) {
  const int8x16_t all = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(all)), high = vmovl_s8(vget_high_s8(all));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}
inline Lanes broadcast(float x) {
  return each([&](int) { return vdupq_n_f32(x); });
}
inline Lanes add(Lanes a, Lanes b) {
  return each([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
}
inline Lanes sub(Lanes a, Lanes b) {
  return each([&](int i) { return vsubq_f32(a.part[i], b.part[i]); });
}
inline Lanes mul(Lanes a, Lanes b) {
  return each([&](int i) { return vmulq_f32(a.part[i], b.part[i]); });
}
inline Lanes div(Lanes a, Lanes b) {
  return each([&](int i) { return vdivq_f32(a.part[i], b.part[i]); });
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return each([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
}
inline Lanes max(Lanes a, Lanes b) {
  return each([&](int i) { return vmaxq_f32(a.part[i], b.part[i]); });
}
inline Lanes min(Lanes a, Lanes b) {
  return each([&](int i) { return vminq_f32(a.part[i], b.part[i]); });
}
inline Lanes round(Lanes a) {
  return each([&](int i) { return vrndnq_f32(a.part[i]); });
}
inline Lanes power_of_two(Lanes n) {
  return each([&](int i) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.part[i]), vdupq_n_s32(127)), 23));
  });
}
inline Lanes zero_below(Lanes v, Lanes x, Lanes limit) {
  return each([&](int i) {
    const uint32x4_t below = vcltq_f32(x.part[i], limit.part[i]);
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v.part[i]), below));
  });
}
// Lanes outside [first, end) become `fill`.
inline Lanes keep_range(Lanes v, int first, int end, float fill) {
  const int32_t ramp[4] = {0, 1, 2, 3};
  const int32x4_t lane = vld1q_s32(ramp);
  return each([&](int i) {
    const uint32x4_t kept =
        vandq_u32(vcgeq_s32(lane, vdupq_n_s32(first - 4 * i)), vcltq_s32(lane, vdupq_n_s32(end - 4 * i)));
    return vbslq_f32(kept, v.part[i], vdupq_n_f32(fill));
  });
}
inline float reduce_max(Lanes v) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(v.part[0], v.part[1]), vmaxq_f32(v.part[2], v.part[3])));
}
inline float reduce_sum(Lanes v) {
  const float32x4_t four = vaddq_f32(vaddq_f32(v.part[0], v.part[2]), vaddq_f32(v.part[1], v.part[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

}  // namespace myna::MYNA_ISA
