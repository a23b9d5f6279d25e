#define MYNA_ISA vectors_avx2
#include "cpu/vector_table.h"
//
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/vector_table_entries.h"

namespace myna {

extern const VectorTable kVectors_avx2;
const VectorTable kVectors_avx2 = MYNA_VECTOR_TABLE(vectors_avx2);

}  // namespace myna
