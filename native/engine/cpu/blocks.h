#pragma once
// The integers and scales of GGUF's blocks whose layout isn't that of a record: what reading and packing
// share. Arrays have the inputs of a sub-block of 32 in order.
#include <cstdint>

#include "cpu/half.h"

namespace myna {

// Two bits of each of 32 bytes; sub-blocks 4 to 7 are in the next 32 bytes.
inline int two_bits(const std::uint8_t* bytes, int sub, int i) {
  return bytes[32 * (sub / 4) + i] >> (2 * (sub % 4)) & 3;
}

struct BlockQ3K {  // 110 bytes
  const std::uint8_t* bytes;
  float scale() const { return half_to_float(read<std::uint16_t>(bytes + 108)); }
  int half_scale(int half) const {  // of sub-block half / 2
    const std::uint8_t* s = bytes + 96;
    const int low = half < 8 ? s[half] & 15 : s[half - 8] >> 4;
    return (low | (s[8 + half % 4] >> (2 * (half / 4)) & 3) << 4) - 32;
  }
  int integer(int sub, int i) const {
    return two_bits(bytes + 32, sub, i) - ((bytes[i] >> sub & 1) != 0 ? 0 : 4);
  }
};

// -1, 0 or 1 as 0, 1 or 2: five to a byte, as fractions of 256.
inline int five_to_a_byte(std::uint8_t byte, int which) {
  constexpr std::uint8_t kPowers[] = {1, 3, 9, 27, 81};
  return static_cast<std::uint8_t>(byte * kPowers[which]) * 3 >> 8;
}

inline int ternary_tq1(const std::uint8_t* bytes, int sub, int i) {
  const int at = 32 * sub + i;
  if (at < 160) return five_to_a_byte(bytes[at % 32], at / 32);
  if (at < 240) return five_to_a_byte(bytes[32 + (at - 160) % 16], (at - 160) / 16);
  return five_to_a_byte(bytes[48 + (at - 240) % 4], (at - 240) / 4);
}

// The exponent of a block of 4-bit floats, whose values are doubled.
inline int mxfp4_exponent(const std::uint8_t* bytes) { return static_cast<int>(bytes[0]) - 128; }

}  // namespace myna
