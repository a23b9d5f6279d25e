#pragma once
// The two reasons to reject a model file. Messages may be shown to users.
#include <stdexcept>
#include <string>

namespace myna {

// The file is invalid: truncated, inconsistent or malicious.
struct CorruptFile : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The file may be valid, but this engine can't run it.
struct UnsupportedModel : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// There are not enough free KV blocks for a batch; nothing was changed.
struct OutOfRoom : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace myna
