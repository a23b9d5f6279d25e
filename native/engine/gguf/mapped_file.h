#pragma once
// A file as read-only memory. Knows nothing of what the bytes mean.
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
  void let_go() const;     // give the memory back; touched again, it is read again

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace myna
