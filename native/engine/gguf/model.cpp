// A model's files and typed access to their metadata.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <regex>

#include "errors.h"
#include "gguf/gguf.h"

namespace myna::gguf {
namespace {

constexpr uint64_t kMaxShards = 4096;

struct ShardName {
  std::string stem;
  uint64_t number, count;
};

std::optional<ShardName> shard_name(const std::string& path) {
  static const std::regex pattern("-([0-9]{5})-of-([0-9]{5})\\.gguf");
  constexpr size_t kSuffixBytes = 20;  // -00001-of-00002.gguf
  if (path.size() < kSuffixBytes) return std::nullopt;
  const std::string suffix = path.substr(path.size() - kSuffixBytes);
  std::smatch match;
  if (!std::regex_match(suffix, match, pattern)) return std::nullopt;
  return ShardName{path.substr(0, path.size() - kSuffixBytes), std::stoull(match[1]), std::stoull(match[2])};
}

std::string shard_path(const ShardName& name, uint64_t number) {
  char suffix[64];
  std::snprintf(suffix, sizeof suffix, "-%05u-of-%05u.gguf", static_cast<unsigned>(number),
                static_cast<unsigned>(name.count));
  return name.stem + suffix;
}

template <typename T>
uint64_t widen(std::span<const std::byte> bytes, uint64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  if constexpr (std::is_signed_v<T>)
    if (value < 0) throw CorruptFile("a metadata array has a negative count");
  return static_cast<uint64_t>(value);
}

uint64_t integer_at(const Array& array, uint64_t index) {
  switch (array.element_type) {
    case 0:
    case 7:
      return widen<uint8_t>(array.bytes, index);
    case 1:
      return widen<int8_t>(array.bytes, index);
    case 2:
      return widen<uint16_t>(array.bytes, index);
    case 3:
      return widen<int16_t>(array.bytes, index);
    case 4:
      return widen<uint32_t>(array.bytes, index);
    case 5:
      return widen<int32_t>(array.bytes, index);
    case 10:
      return widen<uint64_t>(array.bytes, index);
    case 11:
      return widen<int64_t>(array.bytes, index);
    default:
      throw CorruptFile("a metadata array does not contain integers");
  }
}

double float_at(const Array& array, uint64_t index) {
  const auto read = [&](auto value) -> double {
    std::memcpy(&value, array.bytes.data() + index * sizeof value, sizeof value);
    return value;
  };
  if (array.element_type == 6) return read(float{});
  if (array.element_type == 12) return read(double{});
  throw CorruptFile("a metadata array does not contain floats");
}

}  // namespace

Model::Model(const std::string& path) {
  files_.emplace_back(path);
  header_ = parse(files_.front().bytes());
  const uint64_t count = integer("split.count").value_or(1);
  if (count <= 1) return;
  const auto name = shard_name(path);
  if (!name || name->count != count || name->number != 1 || count > kMaxShards)
    throw CorruptFile("the file is one of " + std::to_string(count) +
                      " shards; open the first, named like name-00001-of-0000N.gguf");
  const uint64_t expected = integer("split.tensors.count").value_or(0);
  for (uint64_t number = 2; number <= count; ++number) {
    files_.emplace_back(shard_path(*name, number));
    Header shard = parse(files_.back().bytes());
    for (auto& [tensor_name, tensor] : shard.tensors)
      if (!header_.tensors.emplace(tensor_name, tensor).second)
        throw CorruptFile("tensor '" + tensor_name + "' is in two shards");
  }
  if (expected != 0 && header_.tensors.size() != expected)
    throw CorruptFile("the shards hold " + std::to_string(header_.tensors.size()) + " tensors instead of " +
                      std::to_string(expected));
}

const Tensor* Model::find(std::string_view name) const {
  const auto found = header_.tensors.find(name);
  return found == header_.tensors.end() ? nullptr : &found->second;
}

const Value* Model::value(std::string_view key) const {
  const auto found = header_.metadata.find(key);
  return found == header_.metadata.end() ? nullptr : &found->second;
}

std::optional<uint64_t> Model::integer(std::string_view key) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<uint64_t>(found)) return *number;
  if (const auto* number = std::get_if<int64_t>(found); number != nullptr && *number >= 0)
    return static_cast<uint64_t>(*number);
  throw CorruptFile("the metadata '" + std::string(key) + "' is not a count");
}

std::optional<double> Model::number(std::string_view key) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<double>(found); number != nullptr && std::isfinite(*number))
    return *number;
  if (const auto* number = std::get_if<uint64_t>(found)) return static_cast<double>(*number);
  throw CorruptFile("the metadata '" + std::string(key) + "' is not a finite number");
}

std::optional<std::string> Model::text(std::string_view key) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string_view>(found)) return std::string(*text);
  throw CorruptFile("the metadata '" + std::string(key) + "' is not a string");
}

std::optional<bool> Model::flag(std::string_view key) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(found)) return *flag;
  throw CorruptFile("the metadata '" + std::string(key) + "' is not a boolean");
}

std::optional<uint64_t> Model::array_length(std::string_view key) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  if (const auto* array = std::get_if<Array>(found)) return array->count;
  throw CorruptFile("the metadata '" + std::string(key) + "' is not an array");
}

std::optional<std::vector<uint64_t>> Model::integers(std::string_view key, size_t max_count) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  const auto* array = std::get_if<Array>(found);
  if (array == nullptr) return std::vector<uint64_t>{*integer(key)};
  if (array->count > max_count) throw CorruptFile("the metadata '" + std::string(key) + "' is too long");
  std::vector<uint64_t> values(array->count);
  for (uint64_t i = 0; i < array->count; ++i) values[i] = integer_at(*array, i);
  return values;
}

std::optional<std::vector<double>> Model::numbers(std::string_view key, size_t max_count) const {
  const Value* found = value(key);
  if (found == nullptr) return std::nullopt;
  const auto* array = std::get_if<Array>(found);
  if (array == nullptr || array->count > max_count)
    throw CorruptFile("the metadata '" + std::string(key) + "' is not an array, or too long");
  std::vector<double> values(array->count);
  for (uint64_t i = 0; i < array->count; ++i) {
    values[i] = float_at(*array, i);
    if (std::isnan(values[i])) throw CorruptFile("the metadata '" + std::string(key) + "' is not a number");
  }
  return values;
}

uint64_t Model::num_bytes() const {
  uint64_t total = 0;
  for (const MappedFile& file : files_) total += file.bytes().size();
  return total;
}

void Model::will_need() const {
  for (const MappedFile& file : files_) file.will_need();
}

void Model::let_go() const {
  for (const MappedFile& file : files_) file.let_go();
}

}  // namespace myna::gguf
