// GGUF's tensor types: their geometry, and plain dequantisation.
#include <stdexcept>
#include <string>

#include "cpu/half.h"
#include "cpu/kernels.h"
#include "cpu/scales.h"
#include "gguf/tensor_types.h"

namespace myna {
namespace {

void q4_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((b[2 + j] & 15) - 8);
    y[j + 16] = d * static_cast<float>((b[2 + j] >> 4) - 8);
  }
}

void q4_1(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b)), m = half_to_float(read<std::uint16_t>(b + 2));
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(b[4 + j] & 15) + m;
    y[j + 16] = d * static_cast<float>(b[4 + j] >> 4) + m;
  }
}

void q5_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  const auto high = read<std::uint32_t>(b + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(static_cast<int>((b[6 + j] & 15) | ((high >> j & 1) << 4)) - 16);
    y[j + 16] =
        d * static_cast<float>(static_cast<int>((b[6 + j] >> 4) | ((high >> (j + 16) & 1) << 4)) - 16);
  }
}

void q5_1(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b)), m = half_to_float(read<std::uint16_t>(b + 2));
  const auto high = read<std::uint32_t>(b + 4);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((b[8 + j] & 15) | ((high >> j & 1) << 4)) + m;
    y[j + 16] = d * static_cast<float>((b[8 + j] >> 4) | ((high >> (j + 16) & 1) << 4)) + m;
  }
}

void q8_0(const std::uint8_t* b, float* y) {
  const float d = half_to_float(read<std::uint16_t>(b));
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(static_cast<std::int8_t>(b[2 + j]));
}

template <bool HasHigh>
void q45_k(const std::uint8_t* b, float* y) {
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

void q6_k(const std::uint8_t* b, float* y) {
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

using BlockFn = void (*)(const std::uint8_t*, float*);

// Null for a type that the kernels don't support.
BlockFn block_fn(TensorType type) {
  switch (type) {
    case TensorType::F32:
      return [](const std::uint8_t* b, float* y) { *y = read<float>(b); };
    case TensorType::F16:
      return [](const std::uint8_t* b, float* y) { *y = half_to_float(read<std::uint16_t>(b)); };
    case TensorType::BF16:
      return [](const std::uint8_t* b, float* y) { *y = bfloat_to_float(read<std::uint16_t>(b)); };
    case TensorType::Q4_0:
      return q4_0;
    case TensorType::Q4_1:
      return q4_1;
    case TensorType::Q5_0:
      return q5_0;
    case TensorType::Q5_1:
      return q5_1;
    case TensorType::Q8_0:
      return q8_0;
    case TensorType::Q4_K:
      return q45_k<false>;
    case TensorType::Q5_K:
      return q45_k<true>;
    case TensorType::Q6_K:
      return q6_k;
  }
  return nullptr;
}

}  // namespace

BlockGeometry geometry(TensorType type) {
  const gguf::TensorTypeTraits* traits = gguf::traits_of(static_cast<std::uint32_t>(type));
  if (traits == nullptr) throw std::invalid_argument("unsupported tensor type");
  return {traits->name, traits->block_values, traits->block_bytes};
}

bool is_supported(std::uint32_t ggml_type) { return block_fn(static_cast<TensorType>(ggml_type)) != nullptr; }

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
  const BlockFn block = block_fn(type);
  if (block == nullptr) throw std::invalid_argument("unsupported tensor type");
  for (std::int64_t b = 0; b < num_blocks; ++b) block(src + b * g.block_bytes, dst + b * g.block_values);
}

}  // namespace myna
