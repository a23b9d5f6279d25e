// Writes integers into records (layout.h). Private to packing.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/half.h"
#include "cpu/layout.h"

namespace myna::layout {

// Writes the four-input groups of one output (`lane`) of a block.
inline void put(std::uint8_t* lines, int line, int lane, std::uint32_t four) {
  write(lines + line * kLine + lane * 4, four);
}

// Unsigned integers of a block of 32 inputs in order, as the record has them.
template <class R>
void put_block(std::uint8_t* record, int sub, int lane, const std::uint8_t (&integers)[32]) {
  std::uint8_t* low = record + R::kLow + sub * R::kLowBytes;
  [[maybe_unused]] std::uint8_t* high = record + R::kHigh + sub * R::kHighBytes;
  std::uint32_t group[8];
  std::memcpy(group, integers, sizeof group);
  if constexpr (R::kLowBits == 4)
    for (int j = 0; j < 4; ++j)
      put(low, j, lane, (group[j] & 0x0f0f0f0fu) | (group[j + 4] & 0x0f0f0f0fu) << 4);
  else
    for (int j = 0; j < 2; ++j) {
      std::uint32_t line = 0;
      for (int i = 0; i < 4; ++i) line |= (group[4 * j + i] & 0x03030303u) << (2 * i);
      put(low, j, lane, line);
    }
  if constexpr (R::kBits == 3) {
    std::uint32_t top = 0;
    for (int g = 0; g < 8; ++g) top |= (group[g] >> 2 & 0x01010101u) << g;
    put(high, 0, lane, top);
  }
}

}  // namespace myna::layout
