// Kernels for 64-bit ARM with the dot-product instructions: a vector of 16 outputs is four registers.
#include <arm_neon.h>

#include "cpu/float_tiles.h"
#include "cpu/rows.h"
#include "cpu/tables.h"

namespace myna {
namespace {

struct Neon {
  static constexpr int kPanels = 1;
  static constexpr int kFewRows = 4;
  static constexpr int kTokens = 4;
  static constexpr int kFloatTokens = 4;
  static constexpr int kFloatRowPanels = 2;
  static constexpr bool kSignedBytes = true;  // the dot product takes two signed operands

  struct Bytes {
    uint8x16_t v[4];
  };
  struct Int {
    int32x4_t v[4];
  };
  struct Float {
    float32x4_t v[4];
  };
  using Four = int8x16_t;

  template <class Out, class Fn>
  static inline __attribute__((always_inline)) Out each(Fn fn) {
    return {{fn(0), fn(1), fn(2), fn(3)}};
  }

  static Bytes load_line(const std::uint8_t* p) {
    return each<Bytes>([&](int i) { return vld1q_u8(p + 16 * i); });
  }
  static Bytes load_offset_bytes(const std::uint8_t* p) {
    return each<Bytes>([&](int i) { return veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(0x80)); });
  }
  template <int N>
  static Bytes shift_right(const Bytes& x) {
    return each<Bytes>([&](int i) { return vshrq_n_u8(x.v[i], N); });
  }
  template <int N>
  static Bytes shift_left(const Bytes& x) {
    return each<Bytes>([&](int i) { return vshlq_n_u8(x.v[i], N); });
  }
  template <int N>
  static Bytes low_bits(const Bytes& x) {
    return each<Bytes>([&](int i) { return vandq_u8(x.v[i], vdupq_n_u8((1 << N) - 1)); });
  }
  template <int LowMask, int HighMask>
  static Bytes join(const Bytes& low, const Bytes& high) {
    return each<Bytes>([&](int i) {
      return vorrq_u8(vandq_u8(low.v[i], vdupq_n_u8(LowMask)), vandq_u8(high.v[i], vdupq_n_u8(HighMask)));
    });
  }
  static uint8x16_t load_table(const std::uint8_t* p) { return vld1q_u8(p); }
  static Bytes look_up(uint8x16_t table, const Bytes& codes) {
    return each<Bytes>([&](int i) { return vqtbl1q_u8(table, codes.v[i]); });
  }

  static Int zero_int() {
    return each<Int>([](int) { return vdupq_n_s32(0); });
  }
  static Int all_int(const std::int32_t* p) {
    return each<Int>([&](int) { return vld1q_dup_s32(p); });
  }
  static Four load_four(const std::int8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  template <int Bits>
  static Int dot(const Int& sum, const Bytes& w, Four x) {
    return each<Int>([&](int i) { return vdotq_s32(sum.v[i], vreinterpretq_s8_u8(w.v[i]), x); });
  }

  static Float zero() {
    return each<Float>([](int) { return vdupq_n_f32(0); });
  }
  static Float all(const float* p) {
    return each<Float>([&](int) { return vld1q_dup_f32(p); });
  }
  static Float load(const float* p) {
    return each<Float>([&](int i) { return vld1q_f32(p + 4 * i); });
  }
  static Float load_half(const std::uint8_t* p) {
    return each<Float>([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i))); });
  }
  static Float load_bfloat(const std::uint8_t* p) {
    return each<Float>([&](int i) {
      return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p + 8 * i)), 16));
    });
  }
  static Float load_u8(const std::uint8_t* p) {
    const uint8x16_t x = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(x)), high = vmovl_u8(vget_high_u8(x));
    return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
             vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
  }
  static Float load_s8(const std::uint8_t* p) {
    const int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(p));
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  static Float to_float(const Int& x) {
    return each<Float>([&](int i) { return vcvtq_f32_s32(x.v[i]); });
  }
  static Float negate(const Float& x) {
    return each<Float>([&](int i) { return vnegq_f32(x.v[i]); });
  }
  static Float mul(const Float& x, const Float& y) {
    return each<Float>([&](int i) { return vmulq_f32(x.v[i], y.v[i]); });
  }
  static Float fma(const Float& x, const Float& y, const Float& z) {
    return each<Float>([&](int i) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
  }

  static BlockSums quantize(const float* x, std::int8_t* values) {
    uint32x4_t largest = vdupq_n_u32(0);
    for (int i = 0; i < 8; ++i)
      largest =
          vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + 4 * i)), vdupq_n_u32(0x7fffffff)));
    const BlockScale scale = block_scale(vmaxvq_u32(largest));
    BlockSums out{scale.scale, {0, 0}};
    for (int half = 0; half < 2; ++half) {
      // Conversion turns NaN into zero.
      const auto four = [&](int i) {
        return vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 16 * half + 4 * i), scale.inverse)));
      };
      const int8x16_t all =
          vcombine_s8(vqmovn_s16(vcombine_s16(four(0), four(1))), vqmovn_s16(vcombine_s16(four(2), four(3))));
      vst1q_s8(values + 16 * half, all);
      out.half[half] = vaddlvq_s8(all);
    }
    return out;
  }
  static void keep(float* p, const Float& x) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
  }
  static void store(float* p, const Float& x, int count) {
    float all[16];
    keep(all, x);
    for (int i = 0; i < count; ++i) p[i] = all[i];
  }
};

}  // namespace

extern const KernelTable kNeon{"neon", Activations::Kind::kInt8, prepare_rows<Neon>, matmul_with<Neon>};

}  // namespace myna
