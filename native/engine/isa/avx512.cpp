#define MYNA_ISA vectors_avx512
#include "ops/vector_table.h"
//
#include "attention/tile.h"
#include "isa/table.h"
#include "ops/elementwise.h"

namespace myna {

extern const VectorTable kVectors_avx512;
const VectorTable kVectors_avx512 = MYNA_VECTOR_TABLE(vectors_avx512);

}  // namespace myna
