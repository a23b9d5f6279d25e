#pragma once
// A file mapped as read-only memory. Knows nothing about its contents.
#include <cstddef>
#include <span>
#include <string>

namespace myna {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // throws CorruptFile with the system's reason
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  void will_need() const;  // start reading ahead
  void let_go() const;     // release the memory; it is read again when accessed

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace myna
