#define MYNA_ISA vectors_avx2
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/recurrence.h"
#include "cpu/vector_functions.h"
#include "cpu/vector_table.h"

namespace myna {

const VectorTable kVectors_avx2[] = MYNA_VECTOR_TABLES(vectors_avx2);

}  // namespace myna
