// Types whose weights are codes of a few integers: the codes of their blocks, and what these mean. Reading
// and packing share it.
#pragma once

#include <array>
#include <cstdint>

#include "cpu/half.h"
#include "cpu/kernels.h"

namespace myna {

constexpr Codes make_codes(const std::array<std::int8_t, 16>& integers, int exponent) {
  Codes codes{{}, {}, exponent, 1};
  for (std::size_t i = 0; i < 16; ++i) {
    codes.integers[i] = integers[i];
    codes.with_offset[i] = static_cast<std::uint8_t>(integers[i] + 128);
  }
  for (int i = 0; i < -exponent; ++i) codes.factor /= 2;
  return codes;
}

// Steps that grow outwards, and floats of 4 bits times two.
inline constexpr Codes kCurvedSteps =
    make_codes({-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}, 0);
inline constexpr Codes kFourBitFloats =
    make_codes({0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}, 0);
// A magnitude of three bits, or two, and a sign. Scales are odd numbers of halves, quarters or eighths.
inline constexpr Codes kOddIntegers =
    make_codes({1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15}, 0);
inline constexpr Codes kEightMagnitudes =
    make_codes({4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62}, -2);
inline constexpr Codes kThreeMagnitudes = make_codes({8, 25, 43, 0, -8, -25, -43, 0}, -3);
// -1, 0 or 1, plus or minus an eighth.
inline constexpr Codes kShiftedSigns = make_codes({-7, 1, 9, 0, -9, -1, 7, 0}, -3);

inline constexpr Codes kTernary = make_codes({-1, 0, 1, 2}, 0);

// A block of 256 codes: weight = scale * half_scales[i / 16] * 2^exponent * integer of codes[i].
struct CodedBlock {
  std::uint16_t scale;  // a half
  std::int8_t half_scales[16];
  std::uint8_t codes[256];
};
using DecodeFn = void (*)(const std::uint8_t* bytes, CodedBlock& block);

void decode_iq4_xs(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq3_s(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq3_xxs(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq2_s(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq2_xs(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq2_xxs(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq1_s(const std::uint8_t* bytes, CodedBlock& block);
void decode_iq1_m(const std::uint8_t* bytes, CodedBlock& block);

// NVFP4: a scale of 16 inputs in 8 bits, halved since the integers are doubled, as a half.
std::uint16_t nvfp4_scale(std::uint8_t byte);

// Codes of 16 bytes: inputs 0 to 15 in the low halves, 16 to 31 in the high ones.
inline void split_nibbles(const std::uint8_t* bytes, std::uint8_t* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = bytes[j] & 15;
    codes[j + 16] = bytes[j] >> 4;
  }
}

// Block `sub` of NVFP4's 64 inputs: 16 inputs a scale, whose codes are in 8 bytes.
inline void split_nvfp4(const std::uint8_t* bytes, int sub, std::uint8_t* codes) {
  for (int half = 0; half < 2; ++half)
    for (int j = 0; j < 8; ++j) {
      const std::uint8_t byte = bytes[4 + 16 * sub + 8 * half + j];
      codes[16 * half + j] = byte & 15;
      codes[16 * half + 8 + j] = byte >> 4;
    }
}

}  // namespace myna
