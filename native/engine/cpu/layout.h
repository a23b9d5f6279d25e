// The memory layout of packed weights, the same for all instruction sets. Private to the kernels.
//
// A panel holds 16 outputs. Its blocks of 32 inputs are grouped into records (two blocks, or the eight of a
// K-quant's super-block), whose sizes are whole cache lines. Four consecutive inputs of one output are
// neighbouring bytes, 16 outputs make a 64-byte line: line g of a block holds its inputs 4g to 4g + 3.
//   2 bits: 2 lines; the 2-bit field g % 4 of a byte of line g / 4 belongs to group g
//   3 bits: as 2 bits, and a line whose bit g of a byte is the third bit of group g
//   4 bits: 4 lines; line j has group j in the low nibbles and group j + 4 in the high ones
//   5 bits: as 4 bits, and a line whose bit g of a byte is the fifth bit of group g
//   6 bits: as 4 bits, and two lines whose 2-bit field g % 4 of a byte is the top of group g, in line g / 4
//   8 bits: 8 lines, as unsigned with an offset of 128
// These are the integers, without minimums with an offset of half their range, or codes of them (Codes).
// Float types have no records: 16 outputs of one input are contiguous.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/kernels.h"

namespace myna::layout {

inline constexpr std::size_t kLine = 64;
// At the end of a panel of a quantised type: a power of two per output; multiplied by it, its scales (times
// two to the number of bits) and minimums stay below 2. NaN if one of them is not finite.
inline constexpr std::size_t kUnitBytes = 64;

// Offsets within a record, derived from the number of bits and the kinds of scales.
template <int Bits, bool HasMin, bool IsSuper, bool HasHalves, bool HasCodes = false>
struct Record {
  static constexpr int kBits = Bits;
  static constexpr bool kHasCodes = HasCodes;
  static constexpr int kIntegerBits = HasCodes ? 8 : Bits;  // of what is multiplied
  static constexpr int kLowBits = Bits >= 8 ? 8 : Bits >= 4 ? 4 : 2;
  static constexpr bool kHasMin = HasMin;        // weight = scale * integer + minimum
  static constexpr bool kIsSuper = IsSuper;      // scales are integers times a super-block's f16
  static constexpr bool kHasHalves = HasHalves;  // each half of a block has its own scale and minimum
  static constexpr int kBlocks = IsSuper ? 8 : 2;
  static constexpr int kScalesPerBlock = HasHalves ? 2 : 1;

  static constexpr bool kHasSignedScales = !HasMin && (HasHalves || HasCodes);
  static constexpr std::size_t kLowBytes = kLine * kLowBits;
  static constexpr std::size_t kHighBytes = kLine * (Bits - kLowBits);

  // f16 per output: the super-block's scale and minimum, or those of each block.
  static constexpr std::size_t kHeadScales = 0;
  static constexpr std::size_t kHeadMins = IsSuper ? 32 : 64 * kScalesPerBlock;
  static constexpr std::size_t kHeadBytes = IsSuper ? 64 : kHeadMins * (HasMin ? 2 : 1);
  // Super-blocks only: an 8-bit integer per output and scale.
  static constexpr std::size_t kScales = kHeadBytes;
  static constexpr std::size_t kMins = kScales + (IsSuper ? 16 * kScalesPerBlock * kBlocks : 0);
  static constexpr std::size_t kLow = kMins + (IsSuper && HasMin ? 16 * kScalesPerBlock * kBlocks : 0);
  static constexpr std::size_t kHigh = kLow + kLowBytes * kBlocks;
  static constexpr std::size_t kBytes = kHigh + kHighBytes * kBlocks;
  static_assert(kBytes % kLine == 0 && kLow % kLine == 0);
};

using RecordQ4_0 = Record<4, false, false, false>;
using RecordQ4_1 = Record<4, true, false, false>;
using RecordQ5_0 = Record<5, false, false, false>;
using RecordQ5_1 = Record<5, true, false, false>;
using RecordQ8_0 = Record<8, false, false, false>;
using RecordQ4_K = Record<4, true, true, false>;
using RecordQ5_K = Record<5, true, true, false>;
using RecordQ6_K = Record<6, false, true, true>;
using RecordQ2_K = Record<2, true, true, true>;
using RecordQ3_K = Record<3, false, true, true>;
using RecordTQ2_0 = Record<2, false, true, false, true>;
using RecordIQ4_NL = Record<4, false, false, false, true>;
using RecordNVFP4 = Record<4, false, false, true, true>;
using RecordIQ4_XS = Record<4, false, true, false, true>;
using RecordIQ2_XS = Record<3, false, true, true, true>;

}  // namespace myna::layout
