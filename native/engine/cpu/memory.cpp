// Memory of packed weights and activations.
#include <algorithm>
#include <cstdlib>
#include <new>

#include "cpu/kernels.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

namespace myna {

namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kSlab = std::size_t{64} << 20;

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }
}  // namespace

// A mapping aligned to huge pages; new pages from the kernel are zeroed. A file of packed weights could be
// mapped at once, but its small pages are read a third slower (10 instead of 15 GB/s, on a virtual machine).
struct WeightArena::Slab {
  std::uint8_t* map = nullptr;
  std::size_t map_bytes = 0;
  std::uint8_t* next = nullptr;
  std::size_t left = 0;
};

WeightArena::WeightArena() = default;
WeightArena::WeightArena(WeightArena&&) noexcept = default;

WeightArena& WeightArena::operator=(WeightArena&& other) noexcept {
  std::swap(slabs_, other.slabs_);
  std::swap(allocated_, other.allocated_);
  return *this;
}

WeightArena::~WeightArena() {
  for (const Slab& slab : slabs_) munmap(slab.map, slab.map_bytes);
}

std::uint8_t* WeightArena::allocate(std::size_t bytes) {
  bytes = round_up(std::max<std::size_t>(bytes, 1), 64);
  if (slabs_.empty() || slabs_.back().left < bytes) {
    Slab slab;
    const std::size_t usable = round_up(std::max(bytes, kSlab), kHugePage);
    slab.map_bytes = usable + kHugePage;
    slabs_.reserve(slabs_.size() + 1);
    void* map = mmap(nullptr, slab.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) throw std::bad_alloc();
    slab.map = static_cast<std::uint8_t*>(map);
    slab.next = reinterpret_cast<std::uint8_t*>(round_up(reinterpret_cast<std::size_t>(map), kHugePage));
    slab.left = usable;
#if defined(MADV_HUGEPAGE)
    madvise(slab.next, slab.left, MADV_HUGEPAGE);  // optional: if it fails, only speed is lost
#endif
    slabs_.push_back(slab);
  }
  Slab& slab = slabs_.back();
  std::uint8_t* out = slab.next;
  slab.next += bytes;
  slab.left -= bytes;
  allocated_ += bytes;
  return out;
}

void Activations::Free::operator()(void* p) const { std::free(p); }

template <class T>
T* Activations::Buffer<T>::reserve(std::size_t count) {
  if (count > capacity) {
    memory.reset();
    capacity = 0;
    memory.reset(static_cast<T*>(std::aligned_alloc(64, round_up(count * sizeof(T), 64))));
    if (memory == nullptr) throw std::bad_alloc();
    capacity = count;
  }
  return memory.get();
}

void Activations::resize(Kind kind, std::int64_t rows, std::int64_t cols) {
  kind_ = kind;
  rows_ = rows;
  cols_ = cols;
  // Padding: kernels may read, but don't use, rows after the last.
  constexpr std::int64_t kSpareRows = 32;
  const std::int64_t padded = round_up(static_cast<std::size_t>(num_blocks() * rows), 16) + kSpareRows;
  const auto count = static_cast<std::size_t>(padded * kBlock);
  if (kind == Kind::kFloat) {
    floats_ = floats_memory_.reserve(count);
  } else if (kind == Kind::kBfloat) {
    bfloats_ = bfloats_memory_.reserve(count);
  } else {
    field_stride_ = padded;
    values_ = values_memory_.reserve(count);
    fields_ = fields_memory_.reserve(static_cast<std::size_t>(padded) * kNumFields);
  }
}

Activations Activations::group(std::int64_t begin, std::int64_t end) const {
  Activations out;
  out.kind_ = kind_;
  out.rows_ = end - begin;
  out.cols_ = cols_;
  const std::int64_t blocks = begin * num_blocks();
  if (kind_ == Kind::kFloat) {
    out.floats_ = floats_ + blocks * kBlock;
  } else if (kind_ == Kind::kBfloat) {
    out.bfloats_ = bfloats_ + blocks * kBlock;
  } else {
    out.field_stride_ = field_stride_;
    out.values_ = values_ + blocks * kBlock;
    out.fields_ = fields_ + blocks;
  }
  return out;
}

}  // namespace myna
