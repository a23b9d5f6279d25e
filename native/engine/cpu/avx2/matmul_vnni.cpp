// Kernels for AVX2 with VNNI.
#include "cpu/avx2/matmul.h"
#include "cpu/tables.h"

namespace myna {

extern const KernelTable kAvx2Vnni{"avx2vnni", Activations::Kind::kInt8, prepare_rows<Avx2<true>>,
                                   matmul_with<Avx2<true>>};

}  // namespace myna
