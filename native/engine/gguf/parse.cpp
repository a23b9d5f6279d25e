// Parses the header in one pass. All arithmetic on values from the file is checked here.
#include <bit>
#include <cstring>

#include "errors.h"
#include "gguf/gguf.h"
#include "gguf/tensor_types.h"

namespace myna::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place on little-endian machines");

enum ValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kNumValueTypes
};

constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 255;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMinMetadataBytes = 8 + 4 + 1;        // an empty key, a type, a one-byte value
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // an empty name, one dimension, type, offset

uint64_t scalar_bytes(uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    default:
      return 0;
  }
}

class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t remaining() const { return bytes_.size() - at_; }
  uint64_t position() const { return at_; }

  std::span<const std::byte> take(uint64_t count, const char* what) {
    if (count > remaining())
      throw CorruptFile("the file ends inside " + std::string(what) + " at byte " + std::to_string(at_));
    const auto part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }

  template <typename T>
  T read(const char* what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string_view read_string(const char* what, uint64_t max_bytes) {
    const auto length = read<uint64_t>(what);
    if (length > max_bytes)
      throw CorruptFile(std::string(what) + " claims a length of " + std::to_string(length) + " bytes");
    const auto text = take(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t at_ = 0;
};

std::string quoted(std::string_view name) {
  std::string out = "'";
  for (const char c : name.substr(0, 80)) out += (c >= 32 && c < 127) ? c : '?';
  return out + "'";
}

Array read_array(Cursor& cursor, std::string_view key) {
  Array array;
  array.element_type = cursor.read<uint32_t>("an array's type");
  array.count = cursor.read<uint64_t>("an array's length");
  const uint64_t start = cursor.position();
  if (const uint64_t size = scalar_bytes(array.element_type); size != 0) {
    if (array.count > cursor.remaining() / size)
      throw CorruptFile("the array " + quoted(key) + " claims " + std::to_string(array.count) +
                        " elements, more than the file holds");
    array.bytes = cursor.take(array.count * size, "an array");
    return array;
  }
  if (array.element_type != kString)
    throw CorruptFile("the array " + quoted(key) + " has elements of type " +
                      std::to_string(array.element_type) + ", which no array may have");
  if (array.count > cursor.remaining() / 8)
    throw CorruptFile("the array " + quoted(key) + " claims " + std::to_string(array.count) +
                      " strings, more than the file holds");
  Cursor strings = cursor;
  for (uint64_t i = 0; i < array.count; ++i) strings.read_string("an array's string", strings.remaining());
  array.bytes = cursor.take(strings.position() - start, "an array");
  return array;
}

Value read_value(Cursor& cursor, uint32_t type, std::string_view key) {
  constexpr const char* what = "a metadata value";
  switch (type) {
    case kUint8:
      return uint64_t{cursor.read<uint8_t>(what)};
    case kInt8:
      return int64_t{cursor.read<int8_t>(what)};
    case kUint16:
      return uint64_t{cursor.read<uint16_t>(what)};
    case kInt16:
      return int64_t{cursor.read<int16_t>(what)};
    case kUint32:
      return uint64_t{cursor.read<uint32_t>(what)};
    case kInt32:
      return int64_t{cursor.read<int32_t>(what)};
    case kUint64:
      return cursor.read<uint64_t>(what);
    case kInt64:
      return cursor.read<int64_t>(what);
    case kFloat32:
      return double{cursor.read<float>(what)};
    case kFloat64:
      return cursor.read<double>(what);
    case kBool:
      return cursor.read<uint8_t>(what) != 0;
    case kString:
      return cursor.read_string("a metadata string", cursor.remaining());
    case kArray:
      return read_array(cursor, key);
    default:
      throw CorruptFile("the metadata " + quoted(key) + " has the unknown type " + std::to_string(type));
  }
}

struct TensorInfo {
  std::string name;
  Tensor tensor;
  uint64_t offset, num_bytes;
};

uint64_t checked_bytes(const TensorInfo& info) {
  const TensorTypeTraits* layout = traits_of(info.tensor.type);
  if (layout == nullptr)  // from a newer ggml: the file may be valid
    throw UnsupportedModel("tensor " + quoted(info.name) + " has the unknown type " +
                           std::to_string(info.tensor.type));
  if (info.tensor.shape[0] % layout->block_values != 0)
    throw CorruptFile("tensor " + quoted(info.name) + " has rows of " + std::to_string(info.tensor.shape[0]) +
                      " values, not whole blocks of " + layout->name);
  uint64_t bytes = 0;
  bool overflows = __builtin_mul_overflow(info.tensor.shape[0] / layout->block_values,
                                          uint64_t{layout->block_bytes}, &bytes);
  for (int i = 1; i < 4; ++i) overflows |= __builtin_mul_overflow(bytes, info.tensor.shape[i], &bytes);
  if (overflows) throw CorruptFile("tensor " + quoted(info.name) + " has impossible dimensions");
  return bytes;
}

TensorInfo read_tensor(Cursor& cursor) {
  TensorInfo info;
  info.name = cursor.read_string("a tensor's name", kMaxTensorNameBytes);
  const auto num_dimensions = cursor.read<uint32_t>("a tensor's dimensions");
  if (num_dimensions < 1 || num_dimensions > 4)
    throw CorruptFile("tensor " + quoted(info.name) + " claims " + std::to_string(num_dimensions) +
                      " dimensions");
  info.tensor.num_dimensions = static_cast<int>(num_dimensions);
  for (uint32_t i = 0; i < num_dimensions; ++i) {
    info.tensor.shape[i] = cursor.read<uint64_t>("a tensor's dimensions");
    if (info.tensor.shape[i] == 0) throw CorruptFile("tensor " + quoted(info.name) + " has a dimension of 0");
  }
  info.tensor.type = cursor.read<uint32_t>("a tensor's type");
  info.offset = cursor.read<uint64_t>("a tensor's offset");
  info.num_bytes = checked_bytes(info);
  return info;
}

uint64_t read_alignment(const Header& header) {
  const auto found = header.metadata.find("general.alignment");
  if (found == header.metadata.end()) return 32;
  const auto* alignment = std::get_if<uint64_t>(&found->second);
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > kMaxAlignment)
    throw CorruptFile("general.alignment is not a power of two up to 1 MiB");
  return *alignment;
}

void place_tensors(std::span<const std::byte> file, uint64_t header_end, std::vector<TensorInfo>& infos,
                   Header& header) {
  const uint64_t alignment = read_alignment(header);
  const uint64_t data_start = (header_end + alignment - 1) / alignment * alignment;
  const uint64_t data_bytes = file.size() >= data_start ? file.size() - data_start : 0;
  for (TensorInfo& info : infos) {
    if (info.offset % alignment != 0)
      throw CorruptFile("tensor " + quoted(info.name) + " stands at a misaligned offset");
    if (info.offset > data_bytes || info.num_bytes > data_bytes - info.offset)
      throw CorruptFile("tensor " + quoted(info.name) + " reaches beyond the end of the file");
    info.tensor.data = file.subspan(data_start + info.offset, info.num_bytes);
    if (!header.tensors.emplace(info.name, info.tensor).second)
      throw CorruptFile("tensor " + quoted(info.name) + " is there twice");
  }
}

}  // namespace

std::string type_name(uint32_t type) {
  const TensorTypeTraits* layout = traits_of(type);
  return layout != nullptr ? layout->name : "type " + std::to_string(type);
}

uint64_t Tensor::row_bytes() const {
  const TensorTypeTraits* layout = traits_of(type);
  return shape[0] / layout->block_values * layout->block_bytes;
}

Header parse(std::span<const std::byte> file) {
  Cursor cursor(file);
  const auto magic = cursor.take(4, "the magic number");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) throw CorruptFile("this is not a GGUF file");
  const auto version = cursor.read<uint32_t>("the version");
  if (version != 2 && version != 3)
    throw CorruptFile((version & 0xffff) == 0
                          ? "the file is big-endian"
                          : "GGUF version " + std::to_string(version) + " is none that is known (2 and 3)");
  const auto num_tensors = cursor.read<uint64_t>("the tensor count");
  const auto num_values = cursor.read<uint64_t>("the metadata count");
  if (num_values > cursor.remaining() / kMinMetadataBytes)
    throw CorruptFile("the header declares " + std::to_string(num_values) +
                      " metadata values, more than fit");
  if (num_tensors > cursor.remaining() / kMinTensorBytes)
    throw CorruptFile("the header declares " + std::to_string(num_tensors) + " tensors, more than fit");
  Header header;
  for (uint64_t i = 0; i < num_values; ++i) {
    const auto key = cursor.read_string("a metadata key", kMaxKeyBytes);
    const auto type = cursor.read<uint32_t>("a metadata type");
    Value value = read_value(cursor, type, key);
    if (!header.metadata.emplace(std::string(key), value).second)
      throw CorruptFile("the metadata " + quoted(key) + " is there twice");
  }
  std::vector<TensorInfo> infos;
  infos.reserve(num_tensors);
  for (uint64_t i = 0; i < num_tensors; ++i) infos.push_back(read_tensor(cursor));
  place_tensors(file, cursor.position(), infos, header);
  return header;
}

}  // namespace myna::gguf
