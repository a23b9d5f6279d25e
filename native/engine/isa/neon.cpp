#define MYNA_ISA vectors_neon
#include "ops/vector_table.h"
//
#include "attention/tile.h"
#include "isa/table.h"
#include "ops/elementwise.h"

namespace myna {

extern const VectorTable kVectors_neon;
const VectorTable kVectors_neon = MYNA_VECTOR_TABLE(vectors_neon);

}  // namespace myna
