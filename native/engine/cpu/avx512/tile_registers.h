#pragma once
// The tile registers of AMX.
#include <immintrin.h>

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace myna {
namespace {

// The shapes of the eight registers: up to 16 rows of up to 64 bytes.
struct alignas(64) TileConfig {
  explicit TileConfig(int num_rows = 16) {
    for (int i = 0; i < 8; ++i) {
      row_bytes[i] = 64;
      rows[i] = static_cast<std::uint8_t>(num_rows);
    }
  }

  std::uint8_t palette = 1;
  std::uint8_t unused[15] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Configures tile registers for the calling thread. Once released, they don't slow down context switches.
class TileSession {
 public:
  explicit TileSession(const TileConfig& config) { configure(config); }
  ~TileSession() { _tile_release(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;

  // Also zeroes all tiles. The compiler's own function lets GCC 12 leave out stores to the configuration.
  static void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" ::"m"(config)); }
};

// AddressSanitizer doesn't see what tile instructions access, so each of their rows is checked here.
template <int Tile>
inline void check_access([[maybe_unused]] const void* memory, [[maybe_unused]] std::int64_t stride) {
#if defined(__SANITIZE_ADDRESS__)
  TileConfig shapes;
  asm volatile("sttilecfg %0" : "=m"(shapes));
  const auto* row = static_cast<const char*>(memory);
  for (int i = 0; i < shapes.rows[Tile]; ++i, row += stride) {
    // This function doesn't change what it is given.
    void* bad = __asan_region_is_poisoned(const_cast<char*>(row), shapes.row_bytes[Tile]);
    if (bad != nullptr) static_cast<void>(*static_cast<const volatile char*>(bad));  // it reports this read
  }
#endif
}

// The compiler's own functions take register numbers as literals, which templates can't pass on.
template <int Tile>
inline void load_tile(const void* from, std::int64_t stride) {
  check_access<Tile>(from, stride);
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(Tile) : "memory");
}
// Leaves what else is in the first-level cache there.
template <int Tile>
inline void stream_tile(const void* from, std::int64_t stride) {
  check_access<Tile>(from, stride);
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void store_tile(void* to, std::int64_t stride) {
  check_access<Tile>(to, stride);
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
inline void zero_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
// Sums += First * Second, of bfloat16.
template <int Sums, int First, int Second>
inline void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(First), "i"(Second));
}
// Prefetches a line into the first-level cache, at this place between others' instructions: compilers move
// calls of their own function together, which would fill the buffers that loads need.
inline void prefetch_here(const void* line) {
  asm volatile("prefetcht0 %0" ::"m"(*static_cast<const std::uint8_t*>(line)));
}

}  // namespace
}  // namespace myna
