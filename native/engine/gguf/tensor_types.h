#pragma once
// ggml's tensor types at compile time: used to check the lengths in files, and to instantiate kernels.
#include <cstdint>

namespace myna::gguf {

// `block_bytes` bytes hold `block_values` values of a row.
struct TensorTypeTraits {
  uint32_t type;  // ggml's number
  const char* name;
  uint32_t block_values, block_bytes;
};

inline constexpr TensorTypeTraits kTensorTypes[] = {
#define TENSOR_TYPE(number, name, block_values, block_bytes) {number, #name, block_values, block_bytes},
#include "ggml_types.def"
#undef TENSOR_TYPE
};

// Null for an unknown number.
constexpr const TensorTypeTraits* traits_of(uint32_t type) {
  for (const TensorTypeTraits& traits : kTensorTypes)
    if (traits.type == type) return &traits;
  return nullptr;
}

}  // namespace myna::gguf
