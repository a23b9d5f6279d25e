#pragma once
// GGUF versions 2 and 3, read in place: every count, length, offset, type and alignment is checked before it
// is used. Knows the container format, not models.
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gguf/mapped_file.h"

namespace myna::gguf {

struct Array {
  uint32_t element_type = 0;
  uint64_t count = 0;
  std::span<const std::byte> bytes;  // the elements as stored in the file; strings with their lengths
};

// Unsigned and signed integers, floats, booleans and strings, without their original widths.
using Value = std::variant<uint64_t, int64_t, double, bool, std::string_view, Array>;

struct Tensor {
  uint32_t type = 0;  // ggml's number
  int num_dimensions = 0;
  std::array<uint64_t, 4> shape{1, 1, 1, 1};  // shape[0] varies fastest
  std::span<const std::byte> data;

  uint64_t row_bytes() const;
};

// One file's header. Views point into the bytes it was parsed from.
struct Header {
  std::map<std::string, Value, std::less<>> metadata;
  std::map<std::string, Tensor, std::less<>> tensors;
};

// Throws CorruptFile, or UnsupportedModel for a tensor type that is not in `tensor_types.h`.
Header parse(std::span<const std::byte> file);

// ggml's name of a tensor type, or "type <number>".
std::string type_name(uint32_t type);

// A model: one file or all shards of `name-00001-of-0000N.gguf`.
class Model {
 public:
  explicit Model(const std::string& path);

  const Tensor* find(std::string_view name) const;
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return header_.tensors; }
  const std::map<std::string, Value, std::less<>>& metadata() const { return header_.metadata; }
  bool has(std::string_view key) const { return header_.metadata.contains(key); }
  // Typed metadata; nullopt if absent, CorruptFile if it has another type or is out of range.
  std::optional<uint64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<uint64_t> array_length(std::string_view key) const;
  // An array of integers or booleans, or one integer as an array of one.
  std::optional<std::vector<uint64_t>> integers(std::string_view key, size_t max_count) const;
  // An array of floats, which may be infinite.
  std::optional<std::vector<double>> numbers(std::string_view key, size_t max_count) const;
  uint64_t num_bytes() const;
  void will_need() const;
  void let_go() const;

 private:
  const Value* value(std::string_view key) const;

  std::vector<MappedFile> files_;
  Header header_;
};

}  // namespace myna::gguf
