#define MYNA_ISA vectors_portable
#include "cpu/vector_table.h"
//
#include "attention/tile.h"
#include "cpu/elementwise.h"
#include "cpu/vector_table_entries.h"

namespace myna {

extern const VectorTable kVectors_portable;
const VectorTable kVectors_portable = MYNA_VECTOR_TABLE(vectors_portable);

}  // namespace myna
