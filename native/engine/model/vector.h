#pragma once
#include <vector>

namespace myna {

using Vector = std::vector<float>;  // empty: a step that the architecture doesn't have

}  // namespace myna
