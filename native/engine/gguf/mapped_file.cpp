#include "gguf/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "errors.h"

namespace myna {
namespace {

[[noreturn]] void fail(const std::string& path, const char* what) {
  throw CorruptFile("can't " + std::string(what) + " " + path + ": " + std::strerror(errno));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(path, "open");
  struct stat status{};
  if (::fstat(fd, &status) != 0) {
    ::close(fd);
    fail(path, "stat");
  }
  if (!S_ISREG(status.st_mode) || status.st_size == 0) {
    ::close(fd);
    throw CorruptFile(path + (status.st_size == 0 ? " is empty" : " is not a regular file"));
  }
  size_ = static_cast<size_t>(status.st_size);
  void* memory = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) fail(path, "map");
  data_ = static_cast<const std::byte*>(memory);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::will_need() const { ::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED); }

void MappedFile::let_go() const { ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED); }

}  // namespace myna
