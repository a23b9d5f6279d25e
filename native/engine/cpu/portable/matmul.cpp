// Kernels in plain C++ for any processor, and the reference for the others.
#include <cmath>

#include "cpu/float_tiles.h"
#include "cpu/half.h"
#include "cpu/rows.h"
#include "cpu/tables.h"

namespace myna {
namespace {

struct Portable {
  static constexpr int kPanels = 1;
  static constexpr int kFewRows = 2;
  static constexpr int kTokens = 2;
  static constexpr int kFloatTokens = 2;
  static constexpr int kFloatRowPanels = 1;
  static constexpr bool kSignedBytes = false;

  struct Bytes {
    std::uint8_t v[64];
  };
  struct Int {
    std::int32_t v[16];
  };
  struct Float {
    float v[16];
  };
  using Four = const std::int8_t*;

  template <class Out, int N, class Fn>
  static Out each(Fn fn) {
    Out out;
    for (int i = 0; i < N; ++i) out.v[i] = fn(i);
    return out;
  }

  static Bytes load_line(const std::uint8_t* p) {
    return each<Bytes, 64>([&](int i) { return p[i]; });
  }
  static Bytes load_offset_bytes(const std::uint8_t* p) { return load_line(p); }
  template <int N>
  static Bytes shift_right(const Bytes& b) {
    return each<Bytes, 64>([&](int i) { return static_cast<std::uint8_t>(b.v[i] >> N); });
  }
  template <int N>
  static Bytes shift_left(const Bytes& b) {
    return each<Bytes, 64>([&](int i) { return static_cast<std::uint8_t>(b.v[i] << N); });
  }
  template <int N>
  static Bytes low_bits(const Bytes& b) {
    return each<Bytes, 64>([&](int i) { return static_cast<std::uint8_t>(b.v[i] & ((1 << N) - 1)); });
  }
  template <int LowMask, int HighMask>
  static Bytes join(const Bytes& low, const Bytes& high) {
    return each<Bytes, 64>(
        [&](int i) { return static_cast<std::uint8_t>((low.v[i] & LowMask) | (high.v[i] & HighMask)); });
  }
  static const std::uint8_t* load_table(const std::uint8_t* p) { return p; }
  static Bytes look_up(const std::uint8_t* table, const Bytes& codes) {
    return each<Bytes, 64>([&](int i) { return table[codes.v[i]]; });
  }

  static Int zero_int() { return {}; }
  static Int all_int(const std::int32_t* p) {
    return each<Int, 16>([&](int) { return *p; });
  }
  static Four load_four(const std::int8_t* p) { return p; }
  template <int Bits>
  static Int dot(const Int& sum, const Bytes& w, Four x) {
    return each<Int, 16>([&](int i) {
      const std::uint8_t* b = w.v + 4 * i;
      return sum.v[i] + b[0] * x[0] + b[1] * x[1] + b[2] * x[2] + b[3] * x[3];
    });
  }

  static Float zero() { return {}; }
  static Float all(const float* p) {
    return each<Float, 16>([&](int) { return *p; });
  }
  static Float load(const float* p) {
    return each<Float, 16>([&](int i) { return p[i]; });
  }
  static Float load_half(const std::uint8_t* p) {
    return each<Float, 16>([&](int i) { return half_to_float(read<std::uint16_t>(p + 2 * i)); });
  }
  static Float load_bfloat(const std::uint8_t* p) {
    return each<Float, 16>([&](int i) { return bfloat_to_float(read<std::uint16_t>(p + 2 * i)); });
  }
  static Float load_u8(const std::uint8_t* p) {
    return each<Float, 16>([&](int i) { return static_cast<float>(p[i]); });
  }
  static Float load_s8(const std::uint8_t* p) {
    return each<Float, 16>([&](int i) { return static_cast<float>(static_cast<std::int8_t>(p[i])); });
  }
  static Float to_float(const Int& x) {
    return each<Float, 16>([&](int i) { return static_cast<float>(x.v[i]); });
  }
  static Float negate(const Float& x) {
    return each<Float, 16>([&](int i) { return -x.v[i]; });
  }
  static Float mul(const Float& x, const Float& y) {
    return each<Float, 16>([&](int i) { return x.v[i] * y.v[i]; });
  }
  static Float fma(const Float& x, const Float& y, const Float& z) {
    return each<Float, 16>([&](int i) { return std::fma(x.v[i], y.v[i], z.v[i]); });
  }
  static BlockSums quantize(const float* x, std::int8_t* values) { return quantize_plainly(x, values); }
  static void keep(float* p, const Float& x) { store(p, x, 16); }
  static void store(float* p, const Float& x, int count) {
    for (int i = 0; i < count; ++i) p[i] = x.v[i];
  }
};

}  // namespace

extern const KernelTable kPortable{"portable", Activations::Kind::kInt8, prepare_rows<Portable>,
                                   matmul_with<Portable>};

}  // namespace myna
