#define MYNA_ISA vectors_portable
#include "ops/vector_table.h"
//
#include "attention/tile.h"
#include "isa/table.h"
#include "ops/elementwise.h"

namespace myna {

extern const VectorTable kVectors_portable;
const VectorTable kVectors_portable = MYNA_VECTOR_TABLE(vectors_portable);

}  // namespace myna
