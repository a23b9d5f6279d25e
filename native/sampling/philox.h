// Counter-based random numbers: the same (seed, choice, position) gives the same number anywhere.
#pragma once

#include <cstdint>

namespace myna::sampling {

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), keyed by the seed;
// 53 of its bits as a number in [0, 1).
inline double uniform(uint64_t seed, uint32_t choice, uint32_t position) {
  uint32_t c[4] = {position, 0, choice, 0};
  uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * c[0], second = uint64_t{0xCD9E8D57} * c[2];
    const uint32_t c0 = static_cast<uint32_t>(second >> 32) ^ c[1] ^ k[0];
    const uint32_t c2 = static_cast<uint32_t>(first >> 32) ^ c[3] ^ k[1];
    c[0] = c0, c[1] = static_cast<uint32_t>(second), c[2] = c2, c[3] = static_cast<uint32_t>(first);
    k[0] += 0x9E3779B9, k[1] += 0xBB67AE85;
  }
  return static_cast<double>((uint64_t{c[1]} << 32 | c[0]) >> 11) * 0x1p-53;
}

}  // namespace myna::sampling
