#define MYNA_ISA vectors_neon
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/recurrence.h"
#include "cpu/vector_functions.h"
#include "cpu/vector_table.h"

namespace myna {

const VectorTable kVectors_neon[] = MYNA_VECTOR_TABLES(vectors_neon);

}  // namespace myna
