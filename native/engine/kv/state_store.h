#pragma once
// The states of recurrent layers: one slot holds those of all layers after a position of a sequence. A
// sequence keeps the state after its last token, and those after multiples of the grid as long as there is
// room, so that prefixes can be shared, and one from before tokens that may be undone. Slots are
// reference-counted; what is shared or kept is never written. Knows sizes, not the meaning of the numbers.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/paged_cache.h"

namespace myna {

struct StateShape {
  int64_t floats;  // of one state
  int num_slots;   // at least two for each sequence
  int max_sequences;
  int64_t grid;  // positions after multiples of it are kept
};

class StateStore {
 public:
  // A part of what `extend` added: rows at positions [begin, end) start from the state `from`, null for an
  // empty one, and leave theirs in `to`, which may be the same.
  struct Segment {
    int64_t begin, end;
    const float* from;
    float* to;
  };

  explicit StateStore(const StateShape& shape);

  // Plans the segments of every extension, whose start is the sequence's length. States from before
  // extensions that `can_be_undone` are kept until the sequence is extended again.
  void extend(std::span<const Extension> extensions, const std::vector<bool>& can_be_undone);
  std::span<const Segment> segments(int sequence) const { return at(sequence).segments; }

  // The longest part of the first `num_tokens` whose state is kept: where `fork` and `trim` are possible.
  int64_t reusable(int sequence, int64_t num_tokens) const;
  void fork(int source, int target, int64_t num_tokens);
  void trim(int sequence, int64_t num_tokens);

 private:
  struct Kept {
    int64_t position;
    int slot;
  };
  struct Sequence {
    std::vector<Kept> kept;  // by position; the last is the state after the sequence's last token
    std::vector<Segment> segments;
  };
  struct Unmap {
    size_t bytes;
    void operator()(float* memory) const;
  };

  const Sequence& at(int sequence) const { return sequences_[static_cast<size_t>(sequence)]; }
  Sequence& at(int sequence) { return sequences_[static_cast<size_t>(sequence)]; }
  float* memory_of(int slot) const { return memory_.get() + slot * stride_; }
  void forget_undo(Sequence& sequence);
  void keep_on_grid(Sequence& sequence, int64_t start);
  int take();
  int least_recently_used() const;
  void release(int slot);

  StateShape shape_;
  int64_t stride_;  // in floats
  std::unique_ptr<float, Unmap> memory_;
  std::vector<Sequence> sequences_;
  std::vector<int> references_;
  std::vector<uint64_t> last_use_;
  std::vector<int> free_;
  int num_touched_ = 0;  // slots [0, num_touched_) have been used before
  uint64_t clock_ = 0;   // counts calls of extend
};

}  // namespace myna
