#include "probe/probe.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "cpu/kernels.h"
#include "graph/buffer.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace myna {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kReadBytes = 512 << 20;
constexpr int64_t kPieceBytes = 1 << 20;
constexpr int64_t kPassPieces = 32;
constexpr int kSteps = 4096;

std::atomic<int64_t> sink;  // prevents the compiler from removing the work

// The best of several passes of the pool over that many pieces, since other processes only make a pass
// slower.
template <class Work>
double best_pass_s(ThreadPool& pool, double seconds, int64_t pieces, Work work) {
  double best = 1e9;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  int64_t first = 0;
  do {
    const auto start = Clock::now();
    pool.parallel_for(pieces, [&](int64_t piece, int) { work(first + piece); });
    first += pieces;
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() < end);
  return best;
}

int64_t read_piece(const uint64_t* from) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < kPieceBytes / static_cast<int64_t>(sizeof(uint64_t)); i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] ^= from[i + lane];
  return static_cast<int64_t>(sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7]);
}

// Each runs kSteps rounds of independent dot products and returns the number of operations.
#if defined(__x86_64__)
#define MYNA_TIMES_12(X, r) \
  X(r, 4) X(r, 5) X(r, 6) X(r, 7) X(r, 8) X(r, 9) X(r, 10) X(r, 11) X(r, 12) X(r, 13) X(r, 14) X(r, 15)
#define MYNA_DOT(r, n) "vpdpbusd %%" r "0, %%" r "1, %%" r #n "\n"
#define MYNA_VEX_DOT(r, n) "%{vex%} vpdpbusd %%" r "0, %%" r "1, %%" r #n "\n"
#define MYNA_MADD(r, n)                                                                           \
  "vpmaddubsw %%" r "0, %%" r "1, %%" r "2\n vpmaddwd %%" r "3, %%" r "2, %%" r "2\n vpaddd %%" r \
  "2, %%" r #n ", %%" r #n "\n"
#define MYNA_CLOBBERED                                                                                       \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"

int64_t dots_avx512vnni() {
  for (int i = 0; i < kSteps; ++i) asm volatile(MYNA_TIMES_12(MYNA_DOT, "zmm")::: MYNA_CLOBBERED);
  return int64_t{kSteps} * 12 * 64 * 2;
}

int64_t dots_avx2vnni() {
  for (int i = 0; i < kSteps; ++i) asm volatile(MYNA_TIMES_12(MYNA_VEX_DOT, "ymm")::: MYNA_CLOBBERED);
  return int64_t{kSteps} * 12 * 32 * 2;
}

int64_t dots_avx2() {
  for (int i = 0; i < kSteps; ++i) asm volatile(MYNA_TIMES_12(MYNA_MADD, "ymm")::: MYNA_CLOBBERED);
  return int64_t{kSteps} * 12 * 32 * 2;
}

// Four tiles of sums from two tiles of rows and two of columns, as in matrix products.
int64_t dots_amx() {
  struct alignas(64) {
    uint8_t palette = 1, unused[15] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" ::"m"(config));
  for (int i = 0; i < kSteps; ++i)
    asm volatile(
        "tdpbf16ps %tmm6, %tmm4, %tmm0\n tdpbf16ps %tmm7, %tmm4, %tmm1\n"
        "tdpbf16ps %tmm6, %tmm5, %tmm2\n tdpbf16ps %tmm7, %tmm5, %tmm3\n");
  asm volatile("tilerelease");
  return int64_t{kSteps} * 4 * 16 * 16 * 32 * 2;
}
#elif defined(__aarch64__)
int64_t dots_neon() {
  for (int i = 0; i < kSteps; ++i)
    asm volatile(
        ".arch armv8.2-a+dotprod\n"
        "sdot v4.4s, v0.16b, v1.16b\n sdot v5.4s, v0.16b, v1.16b\n sdot v6.4s, v0.16b, v1.16b\n"
        "sdot v7.4s, v0.16b, v1.16b\n sdot v16.4s, v0.16b, v1.16b\n sdot v17.4s, v0.16b, v1.16b\n"
        "sdot v18.4s, v0.16b, v1.16b\n sdot v19.4s, v0.16b, v1.16b\n sdot v20.4s, v0.16b, v1.16b\n"
        "sdot v21.4s, v0.16b, v1.16b\n sdot v22.4s, v0.16b, v1.16b\n sdot v23.4s, v0.16b, v1.16b\n" ::
            : "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23");
  return int64_t{kSteps} * 12 * 16 * 2;
}
#endif

using Dots = int64_t (*)();

// By the name of the selected kernels.
Dots dots_for(std::string_view kernels) {
#if defined(__x86_64__)
  if (kernels == "amx") return dots_amx;
  if (kernels == "avx512vnni") return dots_avx512vnni;
  if (kernels == "avx2vnni") return dots_avx2vnni;
  if (kernels == "avx2") return dots_avx2;
#elif defined(__aarch64__)
  if (kernels == "neon") return dots_neon;
#endif
  return nullptr;
}

}  // namespace

Limits probe(ThreadPool& pool, double seconds) {
  Limits limits{0, 0};
  {
    Buffer<uint8_t> memory;
    memory.reserve(kReadBytes);
    std::memset(memory.get(), 1, kReadBytes);
    const double read_s = best_pass_s(pool, seconds, kPassPieces, [&](int64_t piece) {
      sink += read_piece(reinterpret_cast<const uint64_t*>(memory.get() + piece * kPieceBytes % kReadBytes));
    });
    limits.bytes_per_s = static_cast<double>(kPassPieces * kPieceBytes) / read_s;
  }
  if (const Dots dots = dots_for(kernels().name)) {
    const int64_t pieces = 16ll * pool.num_threads();
    const double dots_s = best_pass_s(pool, seconds, pieces, [&](int64_t) { sink += dots(); });
    limits.ops_per_s = static_cast<double>(pieces * dots()) / dots_s;
  }
  return limits;
}

}  // namespace myna
