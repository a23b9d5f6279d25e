#pragma once
// How the steps of recurrent layers walk over a slice: spans in parallel, the segments of a span in order.
#include <algorithm>

#include "graph/graph.h"

namespace myna {

template <typename Function>
void Graph::for_span_parts(int64_t num_parts, int64_t row_cost, Function&& function) {
  const auto run = [&](int64_t index) { function(static_cast<int>(index / num_parts), index % num_parts); };
  const int64_t count = std::ssize(spans_) * num_parts;
  if (num_rows_ * row_cost > kSerialCost) {
    pool_.parallel_for(count, [&](int64_t index, int) { run(index); });
    return;
  }
  for (int64_t index = 0; index < count; ++index) run(index);
}

// A segment may have begun in an earlier slice.
template <typename Function>
void Graph::for_segments(int span_index, Function&& function) const {
  const Span& span = spans_[static_cast<size_t>(span_index)];
  const int64_t row = span_row_[static_cast<size_t>(span_index)] - span.start;
  for (const StateStore::Segment& segment : states_->segments(span.sequence)) {
    const int64_t begin = std::max(segment.begin, span.start);
    const int64_t end = std::min(segment.end, span.start + span.count);
    if (begin < end)
      function(row + begin, row + end, begin == segment.begin ? segment.from : segment.to, segment.to);
  }
}

}  // namespace myna
