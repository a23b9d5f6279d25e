#define MYNA_ISA vectors_avx512
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/recurrence.h"
#include "cpu/vector_functions.h"
#include "cpu/vector_table.h"

namespace myna {

namespace attention_amx {
template <bool kIsSplit, CacheType kType>
void store_kv(const float* key, const float* value, int head_dim, int slot, uint16_t* block_keys,
              uint16_t* block_values);
template <bool kIsSplit, CacheType kType>
void attend(const QueryRows& rows, int64_t part_begin, Partial part, float* scratch);
}  // namespace attention_amx

namespace {

template <bool kIsSplit, CacheType kType>
constexpr VectorTable with_tiles() {
  VectorTable table = MYNA_VECTOR_TABLE(vectors_avx512, kType);
  table.store_kv = attention_amx::store_kv<kIsSplit, kType>;
  table.attend = attention_amx::attend<kIsSplit, kType>;
  return table;
}

}  // namespace

// Constants: code that runs when the library is loaded must not use this file's instructions.
constinit const VectorTable kVectors_avx512[] = MYNA_VECTOR_TABLES(vectors_avx512);
constinit const VectorTable kVectors_amx[] = {with_tiles<false, CacheType::kFloat16>(),
                                              with_tiles<false, CacheType::kQ8>()};
constinit const VectorTable kVectors_amx_split[] = {with_tiles<true, CacheType::kFloat16>(),
                                                    with_tiles<true, CacheType::kQ8>()};

}  // namespace myna
