// Kernels for AVX-512 with VNNI.
#include "cpu/avx512/matmul.h"

#include "cpu/tables.h"

namespace myna {

extern const KernelTable kAvx512Vnni{"avx512vnni", Activations::Kind::kInt8, prepare_rows<Avx512Vnni>,
                                     matmul_with<Avx512Vnni>};

}  // namespace myna
