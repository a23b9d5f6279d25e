// GGUF's tensor types: their geometry, and plain dequantisation.
#include <cmath>
#include <stdexcept>
#include <string>

#include "cpu/blocks.h"
#include "cpu/codes.h"
#include "cpu/formats.h"
#include "cpu/half.h"
#include "cpu/scales.h"
#include "gguf/tensor_types.h"

namespace myna {
void read_q4_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((b[2 + j] & 15) - 8);
    y[j + 16] = d * static_cast<float>((b[2 + j] >> 4) - 8);
  }
}

void read_q4_1(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b)), m = half_to_float(read<std::uint16_t>(b + 2));
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(b[4 + j] & 15) + m;
    y[j + 16] = d * static_cast<float>(b[4 + j] >> 4) + m;
  }
}

void read_q5_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  const auto high = read<std::uint32_t>(b + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(static_cast<int>((b[6 + j] & 15) | ((high >> j & 1) << 4)) - 16);
    y[j + 16] =
        d * static_cast<float>(static_cast<int>((b[6 + j] >> 4) | ((high >> (j + 16) & 1) << 4)) - 16);
  }
}

void read_q5_1(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b)), m = half_to_float(read<std::uint16_t>(b + 2));
  const auto high = read<std::uint32_t>(b + 4);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((b[8 + j] & 15) | ((high >> j & 1) << 4)) + m;
    y[j + 16] = d * static_cast<float>((b[8 + j] >> 4) | ((high >> (j + 16) & 1) << 4)) + m;
  }
}

void read_q8_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(static_cast<std::int8_t>(b[2 + j]));
}

template <bool HasHigh>
static void read_q45_k(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b)), dmin = half_to_float(read<std::uint16_t>(b + 2));
  const std::uint8_t* high = b + 16;
  const std::uint8_t* low = b + 16 + (HasHigh ? 32 : 0);
  for (int s = 0; s < 8; ++s) {
    const auto [scale, minimum] = unpack_k_scale(b + 4, s);
    const float ds = d * static_cast<float>(scale), ms = dmin * static_cast<float>(minimum);
    for (int k = 0; k < 32; ++k) {
      int q = low[s / 2 * 32 + k] >> (s % 2 * 4) & 15;
      if constexpr (HasHigh) q |= (high[k] >> s & 1) << 4;
      y[s * 32 + k] = ds * static_cast<float>(q) - ms;
    }
  }
}

void read_q6_k(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b + 208));
  for (int s = 0; s < 8; ++s) {
    const std::uint8_t* low = b + s / 4 * 64 + s % 2 * 32;
    const std::uint8_t* high = b + 128 + s / 4 * 32;
    for (int k = 0; k < 32; ++k) {
      const int q = (low[k] >> (s % 4 / 2 * 4) & 15) | ((high[k] >> (s % 4 * 2) & 3) << 4);
      const auto scale = static_cast<std::int8_t>(b[192 + s * 2 + k / 16]);
      y[s * 32 + k] = d * static_cast<float>(scale) * static_cast<float>(q - 32);
    }
  }
}

void read_q4_k(const std::uint8_t* b, float* y) { read_q45_k<false>(b, y); }
void read_q5_k(const std::uint8_t* b, float* y) { read_q45_k<true>(b, y); }

void read_f32(const std::uint8_t* b, float* y) { *y = read<float>(b); }
void read_f16(const std::uint8_t* b, float* y) { *y = half_to_float(read<std::uint16_t>(b)); }
void read_bf16(const std::uint8_t* b, float* y) { *y = bfloat_to_float(read<std::uint16_t>(b)); }

void read_q2_k(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b + 80)),
              dmin = half_to_float(read<std::uint16_t>(b + 82));
  for (int i = 0; i < 256; ++i) {
    const std::uint8_t scale = b[i / 16];
    y[i] = d * static_cast<float>(scale & 15) * static_cast<float>(two_bits(b + 16, i / 32, i % 32)) -
           dmin * static_cast<float>(scale >> 4);
  }
}

void read_q3_k(const std::uint8_t* b, float* y) {
  const BlockQ3K block{b};
  for (int i = 0; i < 256; ++i)
    y[i] = block.scale() * static_cast<float>(block.half_scale(i / 16)) *
           static_cast<float>(block.integer(i / 32, i % 32));
}

void read_iq4_nl(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  std::uint8_t codes[32];
  split_nibbles(b + 2, codes);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(kCurvedSteps.integers[codes[i]]);
}

void read_nvfp4(const std::uint8_t* b, float* y) {
  std::uint8_t codes[32];
  for (int i = 0; i < 64; ++i) {
    if (i % 32 == 0) split_nvfp4(b, i / 32, codes);
    y[i] = half_to_float(nvfp4_scale(b[i / 16])) * static_cast<float>(kFourBitFloats.integers[codes[i % 32]]);
  }
}

void read_tq1_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b + 52));
  for (int i = 0; i < 256; ++i) y[i] = d * static_cast<float>(ternary_tq1(b, i / 32, i % 32) - 1);
}

void read_tq2_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b + 64));
  for (int i = 0; i < 256; ++i) y[i] = d * static_cast<float>(two_bits(b, i / 32, i % 32) - 1);
}

void read_mxfp4(const std::uint8_t* b, float* y) {
  std::uint8_t codes[32];
  split_nibbles(b + 1, codes);
  for (int i = 0; i < 32; ++i)
    y[i] = std::ldexp(static_cast<float>(kFourBitFloats.integers[codes[i]]), mxfp4_exponent(b));
}

BlockGeometry geometry(TensorType type) {
  const gguf::TensorTypeTraits* traits = gguf::traits_of(static_cast<std::uint32_t>(type));
  if (traits == nullptr) throw std::invalid_argument("unsupported tensor type");
  return {traits->name, traits->block_values, traits->block_bytes};
}

bool is_supported(std::uint32_t ggml_type) {
  return format_of(static_cast<TensorType>(ggml_type)) != nullptr;
}

bool is_float(TensorType type) {
  return type == TensorType::F32 || type == TensorType::F16 || type == TensorType::BF16;
}

std::size_t row_bytes(TensorType type, std::int64_t cols) {
  const BlockGeometry g = geometry(type);
  if (cols < 0 || cols % g.block_values != 0)
    throw std::invalid_argument(std::string("a row of ") + std::to_string(cols) +
                                " values isn't whole blocks of " + g.name);
  return static_cast<std::size_t>(cols / g.block_values) * static_cast<std::size_t>(g.block_bytes);
}

void dequantize_row(TensorType type, const std::uint8_t* src, float* dst, std::int64_t cols) {
  const BlockGeometry g = geometry(type);
  const std::int64_t num_blocks = static_cast<std::int64_t>(row_bytes(type, cols)) / g.block_bytes;
  const Format* format = format_of(type);
  if (format == nullptr) throw std::invalid_argument("unsupported tensor type");
  for (std::int64_t b = 0; b < num_blocks; ++b)
    format->read(src + b * g.block_bytes, dst + b * g.block_values);
}

}  // namespace myna
