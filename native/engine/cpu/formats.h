#pragma once
// The table of tensor types that the kernels can run: how a row of GGUF bytes is read, and how it is packed.
// Private to the kernels; adding a type is a row, a reader and a packing function.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "cpu/kernels.h"

namespace myna {

// The largest magnitude that a panel's output has seen: magnitudes compare as integers like floats, and NaNs
// are larger than all numbers.
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

// One block to floats.
using ReadFn = void (*)(const std::uint8_t* block, float* values);
// One row into lane `lane` of a panel; `count` is blocks of 32 for quantised types, inputs for float ones.
using PackFn = Peak (*)(const std::uint8_t* src, std::int64_t count, int lane, std::uint8_t* panel);

// Four rows, `stride` bytes apart, into lanes `lane` to `lane` + 3 of a panel, with the same result.
using PackFourFn = void (*)(const std::uint8_t* src, std::size_t stride, std::int64_t count, int lane,
                            std::uint8_t* panel, Peak* peaks);

struct Format {
  TensorType type;
  TensorType packed_as;  // the type whose kernels run it
  ReadFn read;
  PackFn pack;
  std::int64_t record_blocks;
  std::size_t record_bytes;
  bool (*fits)(const std::uint8_t* block) = nullptr;  // null: every block does
  const Codes* codes = nullptr;
  PackFourFn pack_four = nullptr;  // null: row by row
};

std::span<const Format> formats();
const Format* format_of(TensorType type);  // null if the kernels can't run it

// In types.cpp.
void read_f32(const std::uint8_t* b, float* y);
void read_f16(const std::uint8_t* b, float* y);
void read_bf16(const std::uint8_t* b, float* y);
void read_q4_0(const std::uint8_t* b, float* y);
void read_q4_1(const std::uint8_t* b, float* y);
void read_q5_0(const std::uint8_t* b, float* y);
void read_q5_1(const std::uint8_t* b, float* y);
void read_q8_0(const std::uint8_t* b, float* y);
void read_q2_k(const std::uint8_t* b, float* y);
void read_q3_k(const std::uint8_t* b, float* y);
void read_q4_k(const std::uint8_t* b, float* y);
void read_q5_k(const std::uint8_t* b, float* y);
void read_q6_k(const std::uint8_t* b, float* y);
void read_iq4_nl(const std::uint8_t* b, float* y);
void read_nvfp4(const std::uint8_t* b, float* y);
void read_tq1_0(const std::uint8_t* b, float* y);
void read_tq2_0(const std::uint8_t* b, float* y);
void read_mxfp4(const std::uint8_t* b, float* y);

}  // namespace myna
