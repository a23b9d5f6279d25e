#pragma once
// Aligned memory that can grow, but loses its contents when it does.
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace myna {

template <typename T>
class Buffer {
 public:
  // At least `count` elements; the contents are lost if it grows.
  T* reserve(size_t count) {
    if (count > capacity_) {
      const size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
      memory_.reset();
      capacity_ = 0;
      void* memory = std::aligned_alloc(64, bytes);
      if (memory == nullptr) throw std::bad_alloc();
      memory_.reset(static_cast<T*>(memory));
      capacity_ = count;
    }
    return memory_.get();
  }
  T* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  size_t capacity_ = 0;
};

}  // namespace myna
