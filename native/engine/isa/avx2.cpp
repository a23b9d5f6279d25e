#define MYNA_ISA vectors_avx2
#include "ops/vector_table.h"
//
#include "attention/tile.h"
#include "isa/table.h"
#include "ops/elementwise.h"

namespace myna {

extern const VectorTable kVectors_avx2;
const VectorTable kVectors_avx2 = MYNA_VECTOR_TABLE(vectors_avx2);

}  // namespace myna
