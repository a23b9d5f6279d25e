// Packs GGUF rows into panels (layout.h); integers and scales keep their exact values.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/layout.h"
#include "cpu/scales.h"
#include "pool/pool.h"

namespace myna {
namespace {

using namespace layout;

// Writes the four-input groups of one output (`lane`) of a block.
inline void put(std::uint8_t* lines, int line, int lane, std::uint32_t four) {
  write(lines + line * kLine + lane * 4, four);
}

// Bits 0, 4, 8 ... of a word, made contiguous.
inline std::uint32_t every_fourth_bit(std::uint32_t x) {
  x &= 0x11111111u;
  x = (x | x >> 3) & 0x03030303u;
  x = (x | x >> 6) & 0x000f000fu;
  return (x | x >> 12) & 0xffu;
}

// Magnitudes compare as integers like floats; NaNs are larger than all numbers.
class Peak {
 public:
  void add(float x) { bits_ = std::max(bits_, std::bit_cast<std::uint32_t>(x) & 0x7fffffffu); }
  float unit() const {
    if (bits_ >= 0x7f800000u) return std::numeric_limits<float>::quiet_NaN();
    return bits_ == 0 ? 1.0f : std::bit_cast<float>((254u - (bits_ >> 23)) << 23);
  }

 private:
  std::uint32_t bits_ = 0;
};

// The types with 32 values per block; `R` defines which fields the block has.
template <class R>
Peak pack_simple(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  constexpr int kHeader = R::kHasMin ? 4 : 2;
  constexpr int kHigh = R::kBits == 5 ? 4 : 0;
  constexpr std::int64_t kSource = kHeader + kHigh + (R::kBits == 8 ? 32 : 16);
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; ++b, src += kSource) {
    std::uint8_t* record = panel + b / 2 * static_cast<std::int64_t>(R::kBytes);
    const int sub = static_cast<int>(b % 2);
    write(record + R::kHeadScales + sub * 32 + lane * 2, read<std::uint16_t>(src));
    peak.add(half_to_float(read<std::uint16_t>(src)) * (1 << R::kBits));
    if constexpr (R::kHasMin) {
      write(record + R::kHeadMins + sub * 32 + lane * 2, read<std::uint16_t>(src + 2));
      peak.add(half_to_float(read<std::uint16_t>(src + 2)));
    }
    std::uint8_t* low = record + R::kLow + sub * R::kLowBytes;
    const std::uint8_t* bytes = src + kHeader + kHigh;
    if constexpr (R::kBits == 8) {
      for (int g = 0; g < 8; ++g) put(low, g, lane, read<std::uint32_t>(bytes + 4 * g) ^ 0x80808080u);
    } else {
      for (int j = 0; j < 4; ++j) put(low, j, lane, read<std::uint32_t>(bytes + 4 * j));
    }
    if constexpr (R::kBits == 5) {
      const auto bits = read<std::uint32_t>(src + kHeader);
      std::uint32_t high = 0;
      for (int i = 0; i < 4; ++i) high |= every_fourth_bit(bits >> i) << (8 * i);
      put(record + R::kHigh + sub * R::kHighBytes, 0, lane, high);
    }
  }
  return peak;
}

// Nibbles of inputs 0 to 15 of a block in the low half of each byte, 16 to 31 in the high half.
inline void put_nibbles(std::uint8_t* low, int lane, const std::uint8_t* bytes, int shift) {
  for (int j = 0; j < 4; ++j) {
    const std::uint32_t first = read<std::uint32_t>(bytes + 4 * j) >> shift & 0x0f0f0f0fu;
    const std::uint32_t second = read<std::uint32_t>(bytes + 16 + 4 * j) >> shift & 0x0f0f0f0fu;
    put(low, j, lane, first | second << 4);
  }
}

template <class R>
Peak pack_q45_k(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  constexpr std::int64_t kLowAt = R::kBits == 5 ? 48 : 16;
  constexpr std::int64_t kSource = kLowAt + 128;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += kSource, panel += R::kBytes) {
    write(panel + R::kHeadScales + lane * 2, read<std::uint16_t>(src));
    write(panel + R::kHeadMins + lane * 2, read<std::uint16_t>(src + 2));
    for (int s = 0; s < 8; ++s) {
      const auto [scale, minimum] = unpack_k_scale(src + 4, s);
      peak.add(half_to_float(read<std::uint16_t>(src)) * static_cast<float>(scale << R::kBits));
      peak.add(half_to_float(read<std::uint16_t>(src + 2)) * minimum);
      panel[R::kScales + s * 16 + lane] = scale;
      panel[R::kMins + s * 16 + lane] = minimum;
      put_nibbles(panel + R::kLow + s * R::kLowBytes, lane, src + kLowAt + s / 2 * 32, s % 2 * 4);
      if constexpr (R::kBits == 5) {
        std::uint32_t high = 0;
        for (int g = 0; g < 8; ++g) high |= (read<std::uint32_t>(src + 16 + 4 * g) >> s & 0x01010101u) << g;
        put(panel + R::kHigh + s * R::kHighBytes, 0, lane, high);
      }
    }
  }
  return peak;
}

Peak pack_q6_k(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  using R = RecordQ6_K;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += 210, panel += R::kBytes) {
    write(panel + R::kHeadScales + lane * 2, read<std::uint16_t>(src + 208));
    for (int s = 0; s < 8; ++s) {
      for (int h = 0; h < 2; ++h) {
        const std::uint8_t scale = src[192 + s * 2 + h];
        panel[R::kScales + (s * 2 + h) * 16 + lane] = scale;
        peak.add(half_to_float(read<std::uint16_t>(src + 208)) * (static_cast<std::int8_t>(scale) * 64));
      }
      put_nibbles(panel + R::kLow + s * R::kLowBytes, lane, src + s / 4 * 64 + s % 2 * 32, s % 4 / 2 * 4);
      const std::uint8_t* top = src + 128 + s / 4 * 32;
      for (int h = 0; h < 2; ++h) {
        std::uint32_t high = 0;
        for (int g = 0; g < 4; ++g)
          high |= (read<std::uint32_t>(top + 16 * h + 4 * g) >> (s % 4 * 2) & 0x03030303u) << (2 * g);
        put(panel + R::kHigh + s * R::kHighBytes, h, lane, high);
      }
    }
  }
  return peak;
}

template <class T>
Peak pack_float(const std::uint8_t* src, std::int64_t cols, int lane, std::uint8_t* panel) {
  for (std::int64_t k = 0; k < cols; ++k)
    write(panel + (k * kPanelRows + lane) * sizeof(T), read<T>(src + k * sizeof(T)));
  return {};
}

// `count` is blocks of 32 for quantised types, inputs for float ones.
using PackFn = Peak (*)(const std::uint8_t* src, std::int64_t count, int lane, std::uint8_t* panel);

struct Packing {
  PackFn fn;
  std::int64_t record_blocks;
  std::size_t record_bytes;
};

template <class R>
constexpr Packing packing_as(PackFn fn) {
  return {fn, R::kBlocks, R::kBytes};
}

Packing packing(TensorType type) {
  switch (type) {
    case TensorType::F32:
      return {pack_float<std::uint32_t>, 1, kBlock * kPanelRows * 4};
    case TensorType::F16:
    case TensorType::BF16:
      return {pack_float<std::uint16_t>, 1, kBlock * kPanelRows * 2};
    case TensorType::Q4_0:
      return packing_as<RecordQ4_0>(pack_simple<RecordQ4_0>);
    case TensorType::Q4_1:
      return packing_as<RecordQ4_1>(pack_simple<RecordQ4_1>);
    case TensorType::Q5_0:
      return packing_as<RecordQ5_0>(pack_simple<RecordQ5_0>);
    case TensorType::Q5_1:
      return packing_as<RecordQ5_1>(pack_simple<RecordQ5_1>);
    case TensorType::Q8_0:
      return packing_as<RecordQ8_0>(pack_simple<RecordQ8_0>);
    case TensorType::Q4_K:
      return packing_as<RecordQ4_K>(pack_q45_k<RecordQ4_K>);
    case TensorType::Q5_K:
      return packing_as<RecordQ5_K>(pack_q45_k<RecordQ5_K>);
    case TensorType::Q6_K:
      return packing_as<RecordQ6_K>(pack_q6_k);
  }
  return {};
}

}  // namespace

Matrix pack(WeightArena& arena, TensorType type, std::int64_t rows, std::int64_t cols,
            const std::uint8_t* src, ThreadPool* pool) {
  const std::size_t source_row = row_bytes(type, cols);
  const Packing how = packing(type);
  Matrix matrix{type, rows, cols, 0, nullptr};
  const std::int64_t records = (matrix.num_blocks() + how.record_blocks - 1) / how.record_blocks;
  const std::size_t unit_bytes = is_float(type) ? 0 : kUnitBytes;
  matrix.panel_bytes = static_cast<std::size_t>(records) * how.record_bytes + unit_bytes;
  std::uint8_t* data = arena.allocate(matrix.packed_bytes());
  matrix.data = data;

  const auto pack_panel = [&](std::int64_t p, int) {
    const std::int64_t lanes = std::min(kPanelRows, rows - p * kPanelRows);
    std::uint8_t* panel = data + static_cast<std::size_t>(p) * matrix.panel_bytes;
    std::uint8_t* units = panel + matrix.panel_bytes - unit_bytes;
    for (int lane = 0; lane < lanes; ++lane) {
      const Peak peak = how.fn(src + static_cast<std::size_t>(p * kPanelRows + lane) * source_row,
                               is_float(type) ? cols : matrix.num_blocks(), lane, panel);
      if (unit_bytes > 0) write(units + lane * sizeof(float), peak.unit());
    }
  };
  if (pool != nullptr) {
    pool->parallel_for(matrix.num_panels(), pack_panel);
  } else {
    for (std::int64_t p = 0; p < matrix.num_panels(); ++p) pack_panel(p, 0);
  }
  return matrix;
}

}  // namespace myna
