#define MYNA_ISA vectors_neon
#include "cpu/vector_table.h"
//
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/vector_table_entries.h"

namespace myna {

extern const VectorTable kVectors_neon;
const VectorTable kVectors_neon = MYNA_VECTOR_TABLE(vectors_neon);

}  // namespace myna
