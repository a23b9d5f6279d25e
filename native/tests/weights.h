// Random GGUF bytes of any type: all integers, and scales that are finite f16.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "cpu/half.h"
#include "cpu/kernels.h"

namespace myna::test {

inline std::vector<TensorType> all_types() {
  std::vector<TensorType> types;
  for (std::uint32_t id = 0; id < 64; ++id)
    if (is_supported(id)) types.push_back(static_cast<TensorType>(id));
  return types;
}

// Where a block's f16 scales are, which must be finite.
struct ScaleBytes {
  std::size_t from, count;
};

inline ScaleBytes scale_bytes(TensorType type) {
  switch (type) {
    case TensorType::Q4_1:
    case TensorType::Q5_1:
    case TensorType::Q4_K:
    case TensorType::Q5_K:
      return {0, 4};
    case TensorType::Q2_K:
      return {80, 4};
    case TensorType::Q3_K:
      return {108, 2};
    case TensorType::Q6_K:
      return {208, 2};
    case TensorType::TQ1_0:
      return {52, 2};
    case TensorType::TQ2_0:
      return {64, 2};
    case TensorType::IQ1_M:
      return {48, 8};  // in the highest four bits of four words
    case TensorType::MXFP4:
      return {0, 1};  // an exponent
    case TensorType::NVFP4:
      return {0, 0};  // all are finite
    default:
      return {0, 2};
  }
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t bits() { return engine_(); }
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }
  float normal() { return normal_(engine_); }
  // An f16 of magnitude 2^-14 to 2^-6, either sign.
  std::uint16_t half() {
    return static_cast<std::uint16_t>((bits() & 0x83ff) | static_cast<std::uint64_t>(1 + below(8)) << 10);
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_{0.0f, 1.0f};
};

inline void random_block(TensorType type, Random& random, std::uint8_t* block) {
  const auto size = geometry(type).block_bytes;
  for (std::int64_t i = 0; i < size; ++i) block[i] = static_cast<std::uint8_t>(random.bits() >> 32);
  switch (type) {
    case TensorType::F32:
      return write(block, random.normal());
    case TensorType::F16:
      return write(block, random.half());
    case TensorType::BF16:
      return write(block, static_cast<std::uint16_t>((random.bits() & 0x80ff) | 0x3e00));
    case TensorType::MXFP4:
      block[0] = static_cast<std::uint8_t>(108 + random.below(20));
      return;
    case TensorType::IQ1_M: {
      const std::uint16_t scale = random.half();
      for (int i = 0; i < 4; ++i) {
        const auto part = static_cast<std::uint8_t>(scale >> (4 * i) & 15);
        block[49 + 2 * i] = static_cast<std::uint8_t>((block[49 + 2 * i] & 15) | part << 4);
      }
      return;
    }
    default:
      const auto [from, count] = scale_bytes(type);
      for (std::size_t at = 0; at < count; at += 2) write(block + from + at, random.half());
  }
}

inline std::vector<std::uint8_t> random_weights(TensorType type, std::int64_t rows, std::int64_t cols,
                                                Random& random) {
  std::vector<std::uint8_t> out(row_bytes(type, cols) * static_cast<std::size_t>(rows));
  const auto size = static_cast<std::size_t>(geometry(type).block_bytes);
  for (std::size_t at = 0; at < out.size(); at += size) random_block(type, random, out.data() + at);
  return out;
}

inline std::vector<float> random_rows(std::int64_t rows, std::int64_t cols, Random& random) {
  std::vector<float> out(static_cast<std::size_t>(rows * cols));
  for (float& x : out) x = random.normal();
  return out;
}

}  // namespace myna::test
