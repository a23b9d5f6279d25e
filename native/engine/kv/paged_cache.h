#pragma once
// The block tables of the sequences in the cache. Blocks are reference-counted: `fork` shares them, and a
// shared block is copied before it is written. Knows sizes, not the meaning of the numbers.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attention/attention.h"

namespace myna {

// The layers that store keys and values, which may differ in their heads.
struct CacheShape {
  struct Layer {
    int num_heads, head_dim;
  };

  std::vector<Layer> layers;
  int64_t num_blocks;
  int max_sequences;
  CacheType type = CacheType::kFloat16;

  // Number of halves in the keys and values of one block.
  int64_t block_halves(const Layer& layer) const {
    return 2ll * layer.num_heads * head_block_halves(type, layer.head_dim);
  }
  int64_t block_bytes() const {
    int64_t halves = 0;
    for (const Layer& layer : layers) halves += block_halves(layer);
    return 2 * halves;
  }
};

struct Extension {
  int sequence;
  int64_t start, count;
};

class PagedCache {
 public:
  explicit PagedCache(const CacheShape& shape);

  // Allocates blocks for every extension, copies shared blocks that will be written, and extends the
  // sequences. Throws OutOfRoom, or std::invalid_argument if a start isn't the sequence's length, and then
  // changes nothing.
  void extend(std::span<const Extension> extensions);
  void fork(int source, int target, int64_t num_tokens);
  void trim(int sequence, int64_t num_tokens);
  void free(int sequence);

  // Copies the numbers of full blocks [first, first + count) of a sequence to `target`.
  void read_blocks(int sequence, int64_t first, int64_t count, uint8_t* target) const;
  // Appends blocks that `read_blocks` has copied, to a sequence of whole blocks. Throws OutOfRoom and
  // std::invalid_argument as `extend` does.
  void append_blocks(int sequence, int64_t count, const uint8_t* source);
  // Touches the memory of one block that was never used, which takes the system much longer than using it
  // again. False if enough free blocks are ready.
  bool prepare_block();

  int64_t length(int sequence) const { return at(sequence).length; }
  const int32_t* blocks(int sequence) const { return at(sequence).blocks.data(); }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()) + (shape_.num_blocks - num_used_); }
  const CacheShape& shape() const { return shape_; }
  PagedHead head(int layer, int head) const;

 private:
  struct Sequence {
    int64_t length = 0;
    std::vector<int32_t> blocks;
  };
  struct Unmap {
    size_t bytes;
    void operator()(uint16_t* memory) const;
  };
  struct Plan {
    int64_t new_blocks = 0;
    std::vector<int> copied;  // extensions whose first block is shared
  };

  const Sequence& at(int sequence) const;
  Sequence& at(int sequence);
  Plan plan(std::span<const Extension> extensions) const;
  uint16_t* block(size_t layer, int32_t block) const;
  size_t layer_block_bytes(size_t layer) const;
  int32_t take_block();
  void release_block(int32_t block);
  void copy_block(int32_t from, int32_t to);

  CacheShape shape_;
  std::vector<int64_t> layer_begin_;  // in halves
  std::unique_ptr<uint16_t, Unmap> memory_;
  std::vector<Sequence> sequences_;
  std::vector<int32_t> references_;
  std::vector<int32_t> free_;
  int64_t num_used_ = 0;   // blocks [0, num_used_) have been used before
  int64_t num_ready_ = 0;  // the memory of blocks [0, num_ready_) has been touched
};

}  // namespace myna
