// Selects the kernels and vector operations for this processor.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu/tables.h"
#include "cpu/vector_table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace myna {
namespace {

struct Candidate {
  const KernelTable* table;
  bool can_run;
};

#if defined(__x86_64__)

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Leaf cpuid(unsigned leaf, unsigned sub) {
  Leaf out;
  __get_cpuid_count(leaf, sub, &out.a, &out.b, &out.c, &out.d);
  return out;
}

constexpr bool has(unsigned reg, int bit) { return (reg >> bit & 1) != 0; }

// Register states that the operating system must save: bits 2 and 1 for AVX, also 7 to 5 for AVX-512.
unsigned saved_states() {
  if (!has(cpuid(1, 0).c, 27)) return 0;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// On Linux (5.16 and later) a process must request the tile registers, which may be refused.
bool may_use_tiles(unsigned saved) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return (saved >> 17 & 3) == 3 && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return saved != saved;
#endif
}

std::vector<Candidate> candidates() {
  const Leaf basic = cpuid(1, 0), more = cpuid(7, 0), extra = cpuid(7, 1);
  const unsigned saved = saved_states();
  const bool fma = has(basic.c, 12), f16c = has(basic.c, 29), avx2 = has(more.b, 5);
  const bool runs_avx2 = avx2 && fma && f16c && (saved & 0x6) == 0x6;
  const bool avx512 = has(more.b, 16) && has(more.b, 17) && has(more.b, 30) && has(more.b, 31);
  const bool runs_avx512 = runs_avx2 && avx512 && has(more.c, 11) && (saved & 0xe6) == 0xe6;
  const bool amx = has(more.c, 1) && has(more.d, 22) && has(more.d, 24) && has(more.d, 23) && has(extra.a, 5);
  return {{&kAmx, runs_avx512 && amx && may_use_tiles(saved)},
          {&kAvx512Vnni, runs_avx512},
          {&kAvx2Vnni, runs_avx2 && has(extra.a, 4)},
          {&kAvx2, runs_avx2},
          {&kPortable, true}};
}

#elif defined(__aarch64__)

bool has_dot_products() {
#if defined(__APPLE__)
  return true;  // every Apple processor with this architecture
#else
  return (getauxval(AT_HWCAP) & (1ul << 20)) != 0;  // HWCAP_ASIMDDP
#endif
}

std::vector<Candidate> candidates() { return {{&kNeon, has_dot_products()}, {&kPortable, true}}; }

#else

std::vector<Candidate> candidates() { return {{&kPortable, true}}; }

#endif

const KernelTable& choose() {
  const char* name = std::getenv("MYNA_CPU");
  return name != nullptr && *name != '\0' ? kernels_named(name) : *runnable_kernels().front();
}

}  // namespace

std::vector<const KernelTable*> runnable_kernels() {
  std::vector<const KernelTable*> out;
  for (const Candidate& c : candidates())
    if (c.can_run) out.push_back(c.table);
  return out;
}

const KernelTable& kernels_named(std::string_view name) {
  std::string known;
  for (const Candidate& c : candidates()) {
    if (name == "int8" && c.can_run && c.table->quantised == Activations::Kind::kInt8) return *c.table;
    if (name == c.table->name) {
      if (c.can_run) return *c.table;
      throw std::runtime_error("MYNA_CPU=" + std::string(name) + ": this processor can't run these kernels");
    }
    known += (known.empty() ? "" : ", ") + std::string(c.table->name);
  }
  throw std::runtime_error("MYNA_CPU=" + std::string(name) + ": no such kernels; this build has int8, " +
                           known);
}

const KernelTable& kernels() {
  static const KernelTable& chosen = choose();
  return chosen;
}

const VectorTable& vectors_for(const char* kernel_name, [[maybe_unused]] Precision precision,
                               CacheType type) {
  const auto index = static_cast<size_t>(type);
#if defined(__x86_64__)
  const bool is_amx = std::strcmp(kernel_name, "amx") == 0;
  if (is_amx && precision == Precision::kBfloat) return kVectors_amx[index];
  if (is_amx && precision == Precision::kSplitBfloat) return kVectors_amx_split[index];
  if (is_amx || std::strncmp(kernel_name, "avx512", 6) == 0) return kVectors_avx512[index];
  if (std::strncmp(kernel_name, "avx2", 4) == 0) return kVectors_avx2[index];
#elif defined(__aarch64__)
  if (std::strcmp(kernel_name, "neon") == 0) return kVectors_neon[index];
#endif
  return kVectors_portable[index];
}

}  // namespace myna
