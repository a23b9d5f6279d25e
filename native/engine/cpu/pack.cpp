// Packs GGUF rows into panels (layout.h); integers and scales keep their exact values.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu/blocks.h"
#include "cpu/coded_formats.h"
#include "cpu/formats.h"
#include "cpu/four_rows.h"
#include "cpu/half.h"
#include "cpu/layout.h"
#include "cpu/panel.h"
#include "cpu/scales.h"
#include "gguf/tensor_types.h"
#include "pool/pool.h"

namespace myna {
namespace {

using namespace layout;

// Bits 0, 4, 8 ... of a word, made contiguous.
inline std::uint32_t every_fourth_bit(std::uint32_t x) {
  x &= 0x11111111u;
  x = (x | x >> 3) & 0x03030303u;
  x = (x | x >> 6) & 0x000f000fu;
  return (x | x >> 12) & 0xffu;
}

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

template <class R>
void pack_four_simple(const std::uint8_t* src, std::size_t stride, std::int64_t num_blocks, int lane,
                      std::uint8_t* panel, Peak* peaks) {
  constexpr int kHeader = R::kHasMin ? 4 : 2;
  constexpr int kHigh = R::kBits == 5 ? 4 : 0;
  constexpr std::int64_t kSource = kHeader + kHigh + (R::kBits == 8 ? 32 : 16);
  for (std::int64_t b = 0; b < num_blocks; ++b, src += kSource) {
    four_rows::prefetch(src, stride, kSource);
    std::uint8_t* record = panel + b / 2 * static_cast<std::int64_t>(R::kBytes);
    const int sub = static_cast<int>(b % 2);
    [[maybe_unused]] four_rows::Words high{};
    for (int row = 0; row < 4; ++row) {
      const std::uint8_t* block = src + static_cast<std::size_t>(row) * stride;
      const int to = sub * 32 + (lane + row) * 2;
      write(record + R::kHeadScales + to, read<std::uint16_t>(block));
      peaks[row].add(half_to_float(read<std::uint16_t>(block)) * (1 << R::kBits));
      if constexpr (R::kHasMin) {
        write(record + R::kHeadMins + to, read<std::uint16_t>(block + 2));
        peaks[row].add(half_to_float(read<std::uint16_t>(block + 2)));
      }
      if constexpr (R::kBits == 5) {
        const auto bits = read<std::uint32_t>(block + kHeader);
        for (int i = 0; i < 4; ++i) high[row] |= every_fourth_bit(bits >> i) << (8 * i);
      }
    }
    std::uint8_t* low = record + R::kLow + sub * R::kLowBytes;
    const std::uint8_t* bytes = src + kHeader + kHigh;
    const four_rows::Columns begin = four_rows::load(bytes, stride);
    for (int j = 0; j < 4; ++j)
      four_rows::put(low, j, lane, R::kBits == 8 ? begin.of[j] ^ 0x80808080u : begin.of[j]);
    if constexpr (R::kBits == 8) {
      const four_rows::Columns end = four_rows::load(bytes + 16, stride);
      for (int j = 0; j < 4; ++j) four_rows::put(low, 4 + j, lane, end.of[j] ^ 0x80808080u);
    }
    if constexpr (R::kBits == 5) four_rows::put(record + R::kHigh + sub * R::kHighBytes, 0, lane, high);
  }
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
    int most_scale = 0, most_minimum = 0;
    for (int s = 0; s < 8; ++s) {
      const auto [scale, minimum] = unpack_k_scale(src + 4, s);
      most_scale = std::max<int>(most_scale, scale);
      most_minimum = std::max<int>(most_minimum, minimum);
      panel[R::kScales + s * 16 + lane] = scale;
      panel[R::kMins + s * 16 + lane] = minimum;
      put_nibbles(panel + R::kLow + s * R::kLowBytes, lane, src + kLowAt + s / 2 * 32, s % 2 * 4);
      if constexpr (R::kBits == 5) {
        std::uint32_t high = 0;
        for (int g = 0; g < 8; ++g) high |= (read<std::uint32_t>(src + 16 + 4 * g) >> s & 0x01010101u) << g;
        put(panel + R::kHigh + s * R::kHighBytes, 0, lane, high);
      }
    }
    peak.add(half_to_float(read<std::uint16_t>(src)) * static_cast<float>(most_scale << R::kBits));
    peak.add(half_to_float(read<std::uint16_t>(src + 2)) * static_cast<float>(most_minimum));
  }
  return peak;
}

template <class R>
void pack_four_q45_k(const std::uint8_t* src, std::size_t stride, std::int64_t num_blocks, int lane,
                     std::uint8_t* panel, Peak* peaks) {
  constexpr std::int64_t kLowAt = R::kBits == 5 ? 48 : 16;
  using four_rows::Words;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += kLowAt + 128, panel += R::kBytes) {
    four_rows::prefetch(src, stride, kLowAt + 128);
    const auto [heads, first, second, third] = four_rows::load(src, stride).of;  // see unpack_k_scale
    const Words scales[] = {first & 0x3f3f3f3fu, (third & 0x0f0f0f0fu) | (first >> 6 & 0x03030303u) << 4};
    const Words minimums[] = {second & 0x3f3f3f3fu, (third >> 4 & 0x0f0f0f0fu) | (second >> 6 & 0x03030303u)
                                                                                     << 4};
    for (int half = 0; half < 2; ++half) {
      four_rows::put_scales(panel + R::kScales + half * 64, lane, scales[half]);
      four_rows::put_scales(panel + R::kMins + half * 64, lane, minimums[half]);
    }
    const Words most_scale = four_rows::largest_byte(four_rows::larger_bytes(scales[0], scales[1]));
    const Words most_minimum = four_rows::largest_byte(four_rows::larger_bytes(minimums[0], minimums[1]));
    for (int row = 0; row < 4; ++row) {
      const auto scale = static_cast<std::uint16_t>(heads[row]);
      const auto minimum = static_cast<std::uint16_t>(heads[row] >> 16);
      write(panel + R::kHeadScales + (lane + row) * 2, scale);
      write(panel + R::kHeadMins + (lane + row) * 2, minimum);
      peaks[row].add(half_to_float(scale) * static_cast<float>(most_scale[row] << R::kBits));
      peaks[row].add(half_to_float(minimum) * static_cast<float>(most_minimum[row]));
    }
    for (int s = 0; s < 8; s += 2) {
      const std::uint8_t* bytes = src + kLowAt + s * 16;
      const auto begin = four_rows::load(bytes, stride), end = four_rows::load(bytes + 16, stride);
      four_rows::put_nibbles(panel + R::kLow + s * R::kLowBytes, lane, begin, end, 0);
      four_rows::put_nibbles(panel + R::kLow + (s + 1) * R::kLowBytes, lane, begin, end, 4);
    }
    if constexpr (R::kBits == 5) {
      const four_rows::Columns bits[] = {four_rows::load(src + 16, stride),
                                         four_rows::load(src + 32, stride)};
      for (int s = 0; s < 8; ++s) {
        Words high{};
        for (int g = 0; g < 8; ++g) high |= (bits[g / 4].of[g % 4] >> s & 0x01010101u) << g;
        four_rows::put(panel + R::kHigh + s * R::kHighBytes, 0, lane, high);
      }
    }
  }
}

Peak pack_q6_k(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  using R = RecordQ6_K;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += 210, panel += R::kBytes) {
    write(panel + R::kHeadScales + lane * 2, read<std::uint16_t>(src + 208));
    int most_scale = 0;
    for (int s = 0; s < 8; ++s) {
      for (int h = 0; h < 2; ++h) {
        const std::uint8_t scale = src[192 + s * 2 + h];
        panel[R::kScales + (s * 2 + h) * 16 + lane] = scale;
        most_scale = std::max(most_scale, std::abs(static_cast<std::int8_t>(scale)));
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
    peak.add(half_to_float(read<std::uint16_t>(src + 208)) * static_cast<float>(most_scale * 64));
  }
  return peak;
}

void pack_four_q6_k(const std::uint8_t* src, std::size_t stride, std::int64_t num_blocks, int lane,
                    std::uint8_t* panel, Peak* peaks) {
  using R = RecordQ6_K;
  using four_rows::Words;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += 210, panel += R::kBytes) {
    four_rows::prefetch(src, stride, 210);
    Words most{};
    const four_rows::Columns scales = four_rows::load(src + 192, stride);
    for (int i = 0; i < 4; ++i) {
      four_rows::put_scales(panel + R::kScales + i * 64, lane, scales.of[i]);
      most = four_rows::larger_bytes(most, four_rows::magnitudes(scales.of[i]));
    }
    most = four_rows::largest_byte(most);
    for (int row = 0; row < 4; ++row) {
      const auto scale = read<std::uint16_t>(src + static_cast<std::size_t>(row) * stride + 208);
      write(panel + R::kHeadScales + (lane + row) * 2, scale);
      peaks[row].add(half_to_float(scale) * static_cast<float>(most[row] * 64));
    }
    for (int half = 0; half < 2; ++half) {
      const std::uint8_t* bytes = src + half * 64;
      const four_rows::Columns low[] = {four_rows::load(bytes, stride), four_rows::load(bytes + 16, stride),
                                        four_rows::load(bytes + 32, stride),
                                        four_rows::load(bytes + 48, stride)};
      const std::uint8_t* top = src + 128 + half * 32;
      const four_rows::Columns bits[] = {four_rows::load(top, stride), four_rows::load(top + 16, stride)};
      for (int s = half * 4; s < half * 4 + 4; ++s) {
        const int pair = s % 2 * 2;
        four_rows::put_nibbles(panel + R::kLow + s * R::kLowBytes, lane, low[pair], low[pair + 1],
                               static_cast<unsigned>(s % 4 / 2 * 4));
        for (int h = 0; h < 2; ++h) {
          Words high{};
          for (int g = 0; g < 4; ++g) high |= (bits[h].of[g] >> (s % 4 * 2) & 0x03030303u) << (2 * g);
          four_rows::put(panel + R::kHigh + s * R::kHighBytes, h, lane, high);
        }
      }
    }
  }
}

template <class T>
Peak pack_float(const std::uint8_t* src, std::int64_t cols, int lane, std::uint8_t* panel) {
  for (std::int64_t k = 0; k < cols; ++k)
    write(panel + (k * kPanelRows + lane) * sizeof(T), read<T>(src + k * sizeof(T)));
  return {};
}

Peak pack_q2_k(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  using R = RecordQ2_K;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += 84, panel += R::kBytes) {
    write(panel + R::kHeadScales + lane * 2, read<std::uint16_t>(src + 80));
    write(panel + R::kHeadMins + lane * 2, read<std::uint16_t>(src + 82));
    for (int half = 0; half < 16; ++half) {
      const int scale = src[half] & 15, minimum = src[half] >> 4;
      panel[R::kScales + half * 16 + lane] = static_cast<std::uint8_t>(scale);
      panel[R::kMins + half * 16 + lane] = static_cast<std::uint8_t>(minimum);
      peak.add(half_to_float(read<std::uint16_t>(src + 80)) * static_cast<float>(scale << R::kBits));
      peak.add(half_to_float(read<std::uint16_t>(src + 82)) * static_cast<float>(minimum));
    }
    for (int s = 0; s < 8; ++s) {
      std::uint8_t integers[32];
      for (int i = 0; i < 32; ++i) integers[i] = static_cast<std::uint8_t>(two_bits(src + 16, s, i));
      put_block<R>(panel, s, lane, integers);
    }
  }
  return peak;
}

Peak pack_q3_k(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  using R = RecordQ3_K;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += 110, panel += R::kBytes) {
    const BlockQ3K block{src};
    write(panel + R::kHeadScales + lane * 2, read<std::uint16_t>(src + 108));
    for (int half = 0; half < 16; ++half) {
      const int scale = block.half_scale(half);
      panel[R::kScales + half * 16 + lane] = static_cast<std::uint8_t>(scale);
      peak.add(block.scale() * static_cast<float>(scale * 8));
    }
    for (int s = 0; s < 8; ++s) {
      std::uint8_t integers[32];
      for (int i = 0; i < 32; ++i) integers[i] = static_cast<std::uint8_t>(block.integer(s, i) + 4);
      put_block<R>(panel, s, lane, integers);
    }
  }
  return peak;
}

template <int Bytes, auto Ternary>
Peak pack_ternary(const std::uint8_t* src, std::int64_t num_blocks, int lane, std::uint8_t* panel) {
  using R = RecordTQ2_0;
  Peak peak;
  for (std::int64_t b = 0; b < num_blocks; b += 8, src += Bytes, panel += R::kBytes) {
    const auto scale = read<std::uint16_t>(src + Bytes - 2);
    write(panel + R::kHeadScales + lane * 2, scale);
    peak.add(half_to_float(scale) * 256);
    for (int s = 0; s < 8; ++s) {
      panel[R::kScales + s * 16 + lane] = 1;
      std::uint8_t integers[32];
      for (int i = 0; i < 32; ++i) integers[i] = static_cast<std::uint8_t>(Ternary(src, s, i));
      put_block<R>(panel, s, lane, integers);
    }
  }
  return peak;
}

template <class R>
constexpr Format quantised(TensorType type, TensorType packed_as, ReadFn read, PackFn pack,
                           const Codes* codes = nullptr, bool (*fits)(const std::uint8_t*) = nullptr) {
  return {type, packed_as, read, pack, R::kBlocks, R::kBytes, fits, codes};
}

template <class R>
constexpr Format quantised(TensorType type, ReadFn read, PackFn pack, PackFourFn pack_four) {
  Format format = quantised<R>(type, type, read, pack);
  format.pack_four = pack_four;
  return format;
}

template <class R, DecodeFn Decode, const Codes& kCodes, TensorType Type>
constexpr Format coded(TensorType packed_as) {
  constexpr auto kBytes = gguf::traits_of(static_cast<std::uint32_t>(Type))->block_bytes;
  return quantised<R>(Type, packed_as, read_coded<Decode, kCodes>, pack_coded<R, Decode, kCodes, kBytes>,
                      &kCodes);
}

using T = TensorType;

constexpr Format kFormats[] = {
    {T::F32, T::F32, read_f32, pack_float<std::uint32_t>, 1, kBlock * kPanelRows * 4},
    {T::F16, T::F16, read_f16, pack_float<std::uint16_t>, 1, kBlock * kPanelRows * 2},
    {T::BF16, T::BF16, read_bf16, pack_float<std::uint16_t>, 1, kBlock * kPanelRows * 2},
    quantised<RecordQ4_0>(T::Q4_0, read_q4_0, pack_simple<RecordQ4_0>, pack_four_simple<RecordQ4_0>),
    quantised<RecordQ4_1>(T::Q4_1, read_q4_1, pack_simple<RecordQ4_1>, pack_four_simple<RecordQ4_1>),
    quantised<RecordQ5_0>(T::Q5_0, read_q5_0, pack_simple<RecordQ5_0>, pack_four_simple<RecordQ5_0>),
    quantised<RecordQ5_1>(T::Q5_1, read_q5_1, pack_simple<RecordQ5_1>, pack_four_simple<RecordQ5_1>),
    quantised<RecordQ8_0>(T::Q8_0, read_q8_0, pack_simple<RecordQ8_0>, pack_four_simple<RecordQ8_0>),
    quantised<RecordQ2_K>(T::Q2_K, T::Q2_K, read_q2_k, pack_q2_k),
    quantised<RecordQ3_K>(T::Q3_K, T::Q3_K, read_q3_k, pack_q3_k),
    quantised<RecordQ4_K>(T::Q4_K, read_q4_k, pack_q45_k<RecordQ4_K>, pack_four_q45_k<RecordQ4_K>),
    quantised<RecordQ5_K>(T::Q5_K, read_q5_k, pack_q45_k<RecordQ5_K>, pack_four_q45_k<RecordQ5_K>),
    quantised<RecordQ6_K>(T::Q6_K, read_q6_k, pack_q6_k, pack_four_q6_k),
    quantised<RecordTQ2_0>(T::TQ1_0, T::TQ2_0, read_tq1_0, pack_ternary<54, ternary_tq1>, &kTernary),
    quantised<RecordTQ2_0>(T::TQ2_0, T::TQ2_0, read_tq2_0, pack_ternary<66, two_bits>, &kTernary),
    quantised<RecordIQ4_NL>(T::IQ4_NL, T::IQ4_NL, read_iq4_nl, pack_iq4_nl, &kCurvedSteps),
    quantised<RecordIQ4_NL>(T::MXFP4, T::IQ4_NL, read_mxfp4, pack_mxfp4, &kFourBitFloats, mxfp4_fits),
    quantised<RecordNVFP4>(T::NVFP4, T::NVFP4, read_nvfp4, pack_nvfp4, &kFourBitFloats),
    coded<RecordIQ4_XS, decode_iq4_xs, kCurvedSteps, T::IQ4_XS>(T::IQ4_XS),
    coded<RecordIQ4_XS, decode_iq3_s, kOddIntegers, T::IQ3_S>(T::IQ4_XS),
    coded<RecordIQ4_XS, decode_iq3_xxs, kEightMagnitudes, T::IQ3_XXS>(T::IQ4_XS),
    coded<RecordIQ2_XS, decode_iq2_s, kThreeMagnitudes, T::IQ2_S>(T::IQ2_XS),
    coded<RecordIQ2_XS, decode_iq2_xs, kThreeMagnitudes, T::IQ2_XS>(T::IQ2_XS),
    coded<RecordIQ2_XS, decode_iq2_xxs, kThreeMagnitudes, T::IQ2_XXS>(T::IQ2_XS),
    coded<RecordIQ2_XS, decode_iq1_s, kShiftedSigns, T::IQ1_S>(T::IQ2_XS),
    coded<RecordIQ2_XS, decode_iq1_m, kShiftedSigns, T::IQ1_M>(T::IQ2_XS),
};

// Throws std::invalid_argument if some block can't be packed exactly.
void check_blocks(const Format& format, const std::uint8_t* src, std::size_t bytes) {
  if (format.fits == nullptr) return;
  const BlockGeometry g = geometry(format.type);
  for (std::size_t at = 0; at < bytes; at += static_cast<std::size_t>(g.block_bytes))
    if (!format.fits(src + at))
      throw std::invalid_argument(std::string("a block of ") + g.name +
                                  " has a scale beyond those of halves");
}

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format* format_of(TensorType type) {
  for (const Format& format : kFormats)
    if (format.type == type) return &format;
  return nullptr;
}

Matrix pack(WeightArena& arena, TensorType type, std::int64_t rows, std::int64_t cols,
            const std::uint8_t* src, ThreadPool* pool) {
  const std::size_t source_row = row_bytes(type, cols);
  const Format* format = format_of(type);
  if (format == nullptr) throw std::invalid_argument("unsupported tensor type");
  const Format& how = *format;
  check_blocks(how, src, source_row * static_cast<std::size_t>(rows));
  Matrix matrix{how.packed_as, rows, cols, 0, nullptr, how.codes};
  const std::int64_t records = (matrix.num_blocks() + how.record_blocks - 1) / how.record_blocks;
  const std::size_t unit_bytes = is_float(type) ? 0 : kUnitBytes;
  matrix.panel_bytes = static_cast<std::size_t>(records) * how.record_bytes + unit_bytes;
  std::uint8_t* data = arena.allocate(matrix.packed_bytes());
  matrix.data = data;

  const auto pack_panel = [&](std::int64_t p, int) {
    const std::int64_t lanes = std::min(kPanelRows, rows - p * kPanelRows);
    std::uint8_t* panel = data + static_cast<std::size_t>(p) * matrix.panel_bytes;
    std::uint8_t* units = panel + matrix.panel_bytes - unit_bytes;
    const std::uint8_t* first = src + static_cast<std::size_t>(p * kPanelRows) * source_row;
    int lane = 0;
    if (how.pack_four != nullptr)
      for (; lane + 4 <= lanes; lane += 4) {
        Peak peaks[4];
        how.pack_four(first + static_cast<std::size_t>(lane) * source_row, source_row, matrix.num_blocks(),
                      lane, panel, peaks);
        for (int row = 0; row < 4; ++row) write(units + (lane + row) * sizeof(float), peaks[row].unit());
      }
    for (; lane < lanes; ++lane) {
      const Peak peak = how.pack(first + static_cast<std::size_t>(lane) * source_row,
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
