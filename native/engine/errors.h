#pragma once
// The two ways in which a model file can be turned down. Messages name the fault and may be shown to users.
#include <stdexcept>
#include <string>

namespace myna {

// The file breaks its own format: truncated, inconsistent, hostile.
struct CorruptFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The file may be fine, but this engine can't run it.
struct UnsupportedModel : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// No KV block is left for a batch; nothing was changed.
struct OutOfRoom : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace myna
