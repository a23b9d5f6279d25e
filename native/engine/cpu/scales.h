// The 6-bit scales and minimums of Q4_K and Q5_K, packed by GGUF into 12 bytes for eight sub-blocks.
#pragma once

#include <cstdint>

namespace myna {

struct KScale {
  std::uint8_t scale;
  std::uint8_t minimum;
};

inline KScale unpack_k_scale(const std::uint8_t* packed, int sub) {
  if (sub < 4)
    return {static_cast<std::uint8_t>(packed[sub] & 63), static_cast<std::uint8_t>(packed[sub + 4] & 63)};
  const std::uint8_t low = packed[sub + 4];
  return {static_cast<std::uint8_t>((low & 15) | (packed[sub - 4] >> 6 << 4)),
          static_cast<std::uint8_t>((low >> 4) | (packed[sub] >> 6 << 4))};
}

}  // namespace myna
