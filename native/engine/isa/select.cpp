#include <cstring>

#include "ops/vector_table.h"

namespace myna {

#if defined(__x86_64__)
extern const VectorTable kVectors_avx512, kVectors_avx2;
#elif defined(__aarch64__)
extern const VectorTable kVectors_neon;
#endif
extern const VectorTable kVectors_portable;

const VectorTable& vectors_for(const char* kernel_name) {
#if defined(__x86_64__)
  if (std::strncmp(kernel_name, "avx512", 6) == 0 || std::strcmp(kernel_name, "amx") == 0)
    return kVectors_avx512;
  if (std::strncmp(kernel_name, "avx2", 4) == 0) return kVectors_avx2;
#elif defined(__aarch64__)
  if (std::strcmp(kernel_name, "neon") == 0) return kVectors_neon;
#endif
  return kVectors_portable;
}

}  // namespace myna
