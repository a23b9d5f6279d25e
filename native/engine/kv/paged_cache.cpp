#include "kv/paged_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <stdexcept>
#include <string>

#include "errors.h"

namespace myna {
namespace {

constexpr int64_t kReadyBytes = 64ll << 20;  // of free blocks: a long prompt of a small model
constexpr int64_t kPageBytes = 4096;

int64_t blocks_for(int64_t tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

}  // namespace

void PagedCache::Unmap::operator()(uint16_t* memory) const { ::munmap(memory, bytes); }

PagedCache::PagedCache(const CacheShape& shape) : shape_(shape) {
  if (shape.num_blocks < 1 || shape.num_blocks > std::numeric_limits<int32_t>::max())
    throw std::invalid_argument("the KV cache must hold at least 16 tokens");
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(shape.num_blocks), static_cast<size_t>(shape.block_bytes()),
                             &bytes))
    throw std::bad_alloc();
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  ::madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  memory_ = {static_cast<uint16_t*>(memory), Unmap{bytes}};
  sequences_.resize(static_cast<size_t>(shape.max_sequences));
  int64_t begin = 0;
  for (const CacheShape::Layer& layer : shape.layers) {
    layer_begin_.push_back(begin);
    begin += shape.block_halves(layer) * shape.num_blocks;
  }
}

const PagedCache::Sequence& PagedCache::at(int sequence) const {
  if (sequence < 0 || sequence >= shape_.max_sequences)
    throw std::invalid_argument("unknown sequence " + std::to_string(sequence));
  return sequences_[static_cast<size_t>(sequence)];
}

PagedCache::Sequence& PagedCache::at(int sequence) {
  return const_cast<Sequence&>(static_cast<const PagedCache*>(this)->at(sequence));
}

PagedHead PagedCache::head(int layer, int head) const {
  const CacheShape::Layer& shape = shape_.layers[static_cast<size_t>(layer)];
  const int64_t head_halves = head_block_halves(shape_.type, shape.head_dim);
  uint16_t* keys = memory_.get() + layer_begin_[static_cast<size_t>(layer)] + head * head_halves;
  return {keys, keys + shape.num_heads * head_halves, shape_.block_halves(shape)};
}

// A shared block is copied by each of its writers except the last.
PagedCache::Plan PagedCache::plan(std::span<const Extension> extensions) const {
  Plan plan;
  std::map<int32_t, int32_t> given_up;
  std::vector<bool> seen(sequences_.size());
  for (size_t i = 0; i < extensions.size(); ++i) {
    const Extension& extension = extensions[i];
    const Sequence& sequence = at(extension.sequence);
    if (seen[static_cast<size_t>(extension.sequence)])
      throw std::invalid_argument("sequence " + std::to_string(extension.sequence) +
                                  " is in the batch twice");
    seen[static_cast<size_t>(extension.sequence)] = true;
    if (extension.start != sequence.length || extension.count < 1)
      throw std::invalid_argument("sequence " + std::to_string(extension.sequence) + " has " +
                                  std::to_string(sequence.length) + " tokens; the batch starts at " +
                                  std::to_string(extension.start));
    plan.new_blocks +=
        blocks_for(extension.start + extension.count) - static_cast<int64_t>(sequence.blocks.size());
    if (extension.start % kBlockTokens == 0) continue;
    const int32_t block = sequence.blocks.back();
    if (references_[static_cast<size_t>(block)] - given_up[block] <= 1) continue;
    ++given_up[block];
    ++plan.new_blocks;
    plan.copied.push_back(static_cast<int>(i));
  }
  return plan;
}

void PagedCache::extend(std::span<const Extension> extensions) {
  const Plan plan = this->plan(extensions);
  if (plan.new_blocks > free_blocks())
    throw OutOfRoom("the batch needs " + std::to_string(plan.new_blocks) + " KV blocks, " +
                    std::to_string(free_blocks()) + " are free");
  for (const int i : plan.copied) {
    Sequence& sequence = at(extensions[static_cast<size_t>(i)].sequence);
    const int32_t shared = sequence.blocks.back(), own = take_block();
    copy_block(shared, own);
    release_block(shared);
    sequence.blocks.back() = own;
  }
  for (const Extension& extension : extensions) {
    Sequence& sequence = at(extension.sequence);
    sequence.length = extension.start + extension.count;
    while (static_cast<int64_t>(sequence.blocks.size()) < blocks_for(sequence.length))
      sequence.blocks.push_back(take_block());
  }
}

void PagedCache::fork(int source, int target, int64_t num_tokens) {
  const Sequence& from = at(source);
  Sequence& to = at(target);
  if (to.length != 0 || source == target)
    throw std::invalid_argument("sequence " + std::to_string(target) + " is not empty");
  if (num_tokens < 0 || num_tokens > from.length)
    throw std::invalid_argument("sequence " + std::to_string(source) + " has " + std::to_string(from.length) +
                                " tokens, not " + std::to_string(num_tokens));
  to.blocks.assign(from.blocks.begin(), from.blocks.begin() + blocks_for(num_tokens));
  to.length = num_tokens;
  for (const int32_t block : to.blocks) ++references_[static_cast<size_t>(block)];
}

void PagedCache::trim(int sequence, int64_t num_tokens) {
  Sequence& kept = at(sequence);
  if (num_tokens < 0) throw std::invalid_argument("a sequence can't have fewer than 0 tokens");
  if (num_tokens >= kept.length) return;
  while (static_cast<int64_t>(kept.blocks.size()) > blocks_for(num_tokens)) {
    release_block(kept.blocks.back());
    kept.blocks.pop_back();
  }
  kept.length = num_tokens;
}

void PagedCache::free(int sequence) {
  if (sequence >= 0 && sequence < shape_.max_sequences) trim(sequence, 0);
}

void PagedCache::read_blocks(int sequence, int64_t first, int64_t count, uint8_t* target) const {
  const Sequence& read = at(sequence);
  if (first < 0 || count < 1 || first > read.length / kBlockTokens - count)
    throw std::invalid_argument("sequence " + std::to_string(sequence) + " doesn't have these blocks");
  for (int64_t i = first; i < first + count; ++i)
    for (size_t layer = 0; layer < shape_.layers.size(); target += layer_block_bytes(layer), ++layer)
      std::memcpy(target, block(layer, read.blocks[static_cast<size_t>(i)]), layer_block_bytes(layer));
}

void PagedCache::append_blocks(int sequence, int64_t count, const uint8_t* source) {
  const int64_t start = at(sequence).length, first = start / kBlockTokens;
  if (start % kBlockTokens != 0)
    throw std::invalid_argument("sequence " + std::to_string(sequence) + " doesn't end with a whole block");
  const Extension extension{sequence, start, count * kBlockTokens};
  extend({&extension, 1});
  const Sequence& written = at(sequence);
  for (int64_t i = first; i < first + count; ++i)
    for (size_t layer = 0; layer < shape_.layers.size(); source += layer_block_bytes(layer), ++layer)
      std::memcpy(block(layer, written.blocks[static_cast<size_t>(i)]), source, layer_block_bytes(layer));
}

uint16_t* PagedCache::block(size_t layer, int32_t block) const {
  return memory_.get() + layer_begin_[layer] + block * shape_.block_halves(shape_.layers[layer]);
}

size_t PagedCache::layer_block_bytes(size_t layer) const {
  return static_cast<size_t>(shape_.block_halves(shape_.layers[layer])) * 2;
}

bool PagedCache::prepare_block() {
  const int64_t enough = kReadyBytes / shape_.block_bytes();
  const int64_t ready = static_cast<int64_t>(free_.size()) + num_ready_ - num_used_;
  if (ready >= enough || num_ready_ == shape_.num_blocks) return false;
  for (size_t layer = 0; layer < shape_.layers.size(); ++layer) {
    const int64_t halves = shape_.block_halves(shape_.layers[layer]);
    volatile uint16_t* block = memory_.get() + layer_begin_[layer] + num_ready_ * halves;
    for (int64_t i = 0; i < halves; i += kPageBytes / 2) block[i] = 0;
  }
  ++num_ready_;
  return true;
}

int32_t PagedCache::take_block() {
  int32_t block;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else {
    block = static_cast<int32_t>(num_used_++);
    num_ready_ = std::max(num_ready_, num_used_);
    references_.push_back(0);
  }
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void PagedCache::release_block(int32_t block) {
  if (--references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

void PagedCache::copy_block(int32_t from, int32_t to) {
  for (size_t layer = 0; layer < shape_.layers.size(); ++layer)
    std::memcpy(block(layer, to), block(layer, from), layer_block_bytes(layer));
}

}  // namespace myna
