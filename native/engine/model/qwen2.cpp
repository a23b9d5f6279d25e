// Qwen 2 and 2.5: biases on query, key and value.
#include "model/architectures.h"

namespace myna {

void build_qwen2(Build& build) {
  build.add_plain_layers();
  build.add_query_key_biases();
  build.model.ropes.push_back(build.rope(true, build.rope_base(), build.rope_linear_factor()));
}

}  // namespace myna
