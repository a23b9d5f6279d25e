#pragma once
// One forward pass of a batch: the order of its steps and what runs in parallel. Every step is a function of
// one row (and, in attention, of that row's sequence), so a row's bits don't depend on the rest of the batch.
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/vector_table.h"
#include "graph/buffer.h"
#include "graph/row_steps.h"
#include "graph/tile_memory.h"
#include "kv/paged_cache.h"
#include "kv/state_store.h"
#include "model/model.h"
#include "pool/pool.h"

namespace myna {

// Tokens of one sequence, for which the cache is already extended. Rows [logits_from, count) need logits.
struct Span {
  int sequence;
  const int32_t* tokens;
  int64_t count, start, logits_from;
};

class Graph : private RowSteps {
 public:
  // `states` is null for a model without recurrent layers.
  Graph(const Model& model, const PagedCache& cache, const StateStore* states, ThreadPool& pool);

  // Writes the requested rows, in batch order, to logits[row * vocabulary].
  void forward(std::span<const Span> batch, float* logits);
  using RowSteps::work;

 private:
  // What a block's output goes through before it is added to the residual.
  struct Pending {
    const Vector *bias, *norm;
    float output_scale = 1.0f;     // of the residual, afterwards
    const float* extra = nullptr;  // rows that are added, too
  };

  // Row operations and products, in graph.cpp.
  void run_slice(std::span<const Span> slice, float*& logits);
  void place_rows(std::span<const Span> slice);
  void embed();
  void run_layer(int index);
  void run_attention(const Layer& layer, const Pending* pending);
  void project_heads(const Layer& layer, const Pending* pending);
  static Pending pending_of(const Layer& layer);
  void compact_to_wanted();
  void add_pending(float* delta, int64_t row, const Pending& pending);
  void normalize(const Pending* pending, const Vector& norm, std::span<const Matrix* const> consumers);
  void add_parallel(const Pending& pending, std::span<const Matrix* const> consumers);
  void normalize_heads(const Layer& layer);
  static bool has_whole_norm(const Layer& layer) { return std::ssize(layer.query_norm) > layer.heads.dim; }
  void finish_logits(float* logits);
  void quantize(const float* source, int64_t columns, std::span<const Matrix* const> consumers) {
    prepare(source, num_rows_, columns, consumers);
  }
  void (*activation() const)(float*, const float*, int64_t);
  void activate(const Layer& layer);
  void project_mixed(const Layer& layer);
  void feed_forward(const Layer& layer, const Pending* pending);
  bool is_gated_at_once(const Layer& layer) const;
  void multiply_gated(const Layer& layer);
  // Inputs of each layer, in inputs_step.cpp.
  void project_inputs();
  void add_input(int index);
  void project_input(int index);
  int32_t token_of(int64_t row) const {
    const auto s = static_cast<size_t>(row_span_[static_cast<size_t>(row)]);
    return spans_[s].tokens[row - span_row_[s]];
  }
  float* input_of(int64_t row, int layer) {
    return inputs_.get() + (row * model_.dimensions.num_layers + layer) * model_.layer_inputs.width;
  }

  // Several inputs of each layer of which the residual is the first, in altup_step.cpp.
  void split_streams();
  void route_streams(const Layer& layer, const Pending* pending);
  void predict_streams(const Layer& layer);
  void correct_streams(int index);
  void merge_streams();
  void finish_laurel(const Layer& layer, const float* low);
  float* stream(const Buffer<float>& streams, int64_t index, int64_t row) const {
    return streams.get() + (index * stream_rows_ + row) * model_.dimensions.embedding;
  }

  // Latent attention, in latent_step.cpp.
  void project_latent(const Layer& layer, const Pending* pending);
  void project_back(const Layer& layer);
  using RowOf = std::function<const float*(int64_t row, int64_t matrix)>;
  void multiply_each(const std::vector<Matrix>& matrices, const RowOf& row_of, float* out);

  // Mixtures of experts, in experts_step.cpp.
  static constexpr int64_t kQuantizedRows = 16;  // together, so that no two threads write to one cache line
  struct Choice {
    int expert;
    float weight;
  };
  struct SlotGroup {  // of one expert
    int64_t begin, end;
  };
  struct ExpertProduct {
    const std::vector<Matrix>* matrices;
    float* out;
  };
  void run_experts(const Layer& layer);
  void choose_experts(const Layer& layer);
  void choose_for_row(const Experts& experts, float* scores, Choice* chosen);
  void group_by_expert();
  // function(expert, first, end) for the slots [begin, end), one expert after the other.
  template <typename Function>
  void for_groups(int64_t begin, int64_t end, Function&& function) const;
  void gather_rows(const Experts& experts);
  void multiply_experts(std::span<const ExpertProduct> stacks);
  void activate_experts(const Layer& layer);
  void add_experts(const Layer& layer);

  // Recurrent layers, in recurrent_step.cpp.
  struct Rows {  // of a batch: some channels within wider rows
    float* data;
    int64_t stride;
    float* at(int64_t row) const { return data + row * stride; }
  };
  void run_recurrent(const Layer& layer, const Pending* pending);
  void run_short_convolution(const Layer& layer);
  // function(span, part) for all spans of the slice.
  template <typename Function>
  void for_span_parts(int64_t num_parts, int64_t row_cost, Function&& function);
  // function(first, end, from, to) for the parts of a span between two states, with rows of the slice.
  template <typename Function>
  void for_segments(int span, Function&& function) const;
  void convolve(const Layer& layer, int span, int64_t channel, int64_t count, Rows in, Rows out);

  // Those with a matrix of each head, in state_step.cpp.
  void run_delta_rule(const Layer& layer);
  void run_scan(const Layer& layer);
  void convolve_all(const Layer& layer, Rows in);
  void normalize_keys(float* row, float* decays, float* rates, const Layer& layer);
  // Offsets within a convolved row.
  void update_states(const Layer& layer, int64_t keys, int64_t queries, int64_t values);

  // Attention, in attention_step.cpp.
  struct Item {  // some queries of one span against one key/value head
    int span, head;
    int64_t first, count;  // rows of the span
    int64_t part;          // the only part to process, -1 for all
    int64_t partial = 0;   // offset of a single part's result
  };
  void attend(const Layer& layer);
  void plan_items(const Heads& heads, bool has_window);
  void reserve_partials(int64_t count);
  void count_cache_bytes(const Layer& layer);
  void prepare_row(const Layer& layer, int64_t row, int head);
  void run_item(const Layer& layer, const Item& item, int thread);
  void merge_parts(const Layer& layer);
  void finish_rows(const Layer& layer, const Item& item, Partial merged);
  Partial partial_at(int64_t index) const;
  void pack_query(int64_t row, int head, float* queries, int64_t index) const;

  // Parts that several spans share, in shared_step.cpp.
  struct SharedRow {
    int span;
    int64_t index;        // within the span
    int64_t tile, place;  // where its queries are
  };
  struct SharedTile {
    int64_t first, count;  // rows
    int sequence;          // of one of them, for its blocks
  };
  struct SharedRound {  // consecutive parts that the same spans share
    int64_t first_part, num_parts, num_groups;
    std::vector<SharedRow> rows;  // those of one group after those of another
    std::vector<SharedTile> tiles;
  };
  void plan_shared(bool has_window);
  void keep_shared(int64_t part, std::vector<std::pair<int32_t, int>>& readers) const;
  SharedRound stack_rows(int64_t part, const std::vector<std::pair<int32_t, int>>& readers) const;
  void add_to_rounds(SharedRound next);
  void attend_shared(const Layer& layer);
  void run_shared(const Layer& layer, const SharedRound& round, const SharedTile& tile, int64_t part,
                  int head, Partial out, int thread);
  void merge_shared(const SharedRound& round, const SharedRow& row, int head);
  Partial shared_at(const SharedRow& row, int head) const;
  void take_shared(const Item& item, Partial into) const;

  const Model& model_;
  const PagedCache& cache_;
  const StateStore* states_;

  // The current slice.
  std::vector<Span> spans_;
  std::vector<int64_t> span_row_;  // first row of each span
  std::vector<int64_t> positions_;
  std::vector<int> row_span_;
  std::vector<int64_t> wanted_;
  int64_t num_rows_ = 0;
  std::vector<Item> items_;
  Heads planned_;  // the heads that the items are for
  bool planned_window_ = false;
  bool is_split_ = false;  // all keys must be stored before attention starts
  std::vector<SharedRound> rounds_;
  std::vector<int64_t> shared_parts_,
      shared_slot_;  // of each span: how many it shares; its place in `shared_`

  // Rows of experts, the slots of one expert after those of another: which row each has, and where each row's
  // slots are.
  std::vector<Choice> choices_;
  std::vector<SlotGroup> groups_;
  std::vector<int64_t> slot_row_, slot_of_;
  Activations expert_narrow_, expert_floats_;
  Buffer<float> scores_, expert_gate_, expert_up_, expert_out_;

  Activations gated_;  // becomes `narrow_`
  Buffer<float> residual_, normed_, delta_, query_, key_, value_, attended_, gate_, up_, inputs_, own_inputs_;
  Buffer<float> query_gate_;
  // Of recurrent layers: what the input matrix makes of rows, the same after the convolution, what is read
  // from states, and how each head's state changes.
  Buffer<float> projected_, convolved_, read_, decays_, rates_;
  Vector query_scale_, key_scale_;
  Vector zeros_;                          // the state before a sequence's first position
  Buffer<float> head_queries_, latents_;  // of latent attention
  // Of AltUp: the inputs, and what a layer predicts; what its router says; LAuReL's rows.
  Buffer<float> streams_, predicted_, modalities_, laurel_;
  int64_t stream_rows_ = 0;  // from one input to the next
  Buffer<float> partials_, shared_;
  TileMemory tiles_;
  std::array<Buffer<float>, 2> cosines_, sines_;
  int64_t slice_rows_, gate_width_ = 0, query_width_ = 0, kv_width_ = 0;
  int64_t mixed_width_ = 0, projected_width_ = 0;
};

}  // namespace myna
