#pragma once
// Texts through an encoder: whole texts, of any lengths, share the rows of a slice, without padding. Every
// step is a function of one row and, in attention and pooling, of that row's text, so a vector's bits don't
// depend on the other texts.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/vector_table.h"
#include "encoder/encoder.h"
#include "graph/buffer.h"
#include "graph/row_steps.h"
#include "graph/tile_memory.h"
#include "pool/pool.h"

namespace myna {

using Text = std::span<const int32_t>;

class EncoderGraph : private RowSteps {
 public:
  EncoderGraph(const Encoder& model, ThreadPool& pool);

  // Writes a vector of unit length for each text to vectors[text * model.width()]. No text may be empty.
  void embed(std::span<const Text> texts, float* vectors);
  using RowSteps::work;

 private:
  struct Row {
    int text;  // of the slice
    int64_t position;
  };
  // What the output of attention or feed-forward goes through on its way to the residual.
  struct Finished {
    const Vector& bias;
    const BlockNorms& norms;
  };

  // Row operations and products, in encoder_graph.cpp.
  void run_slice(std::span<const Text> texts, float* pooled);
  void place_rows(std::span<const Text> texts);
  void add_embeddings(std::span<const Text> texts);
  void run_layer(size_t index);
  void normalize(const Norm& norm, const float* x, float* out) const;
  void enter_attention(const Finished* before, const EncoderLayer& layer);
  void enter_block(const Finished* before, const Norm& input, std::span<const Matrix* const> consumers);
  void activate(const EncoderLayer& layer);
  void pool_texts(float* pooled);
  void finish_vectors(int64_t num_texts, float* vectors);

  // Attention, in encoder_attention.cpp.
  struct Item {  // some queries of one text against one key/value head
    int text, head;
    int64_t first, count;  // rows of the text
  };
  void plan_attention();
  void attend(const EncoderLayer& layer);
  void prepare_row(const EncoderLayer& layer, int64_t row);
  void run_item(const EncoderLayer& layer, const Item& item, int thread);
  PagedHead head(int index) const;

  const Encoder& model_;

  // The current slice.
  std::vector<Row> rows_;
  std::vector<int64_t> text_row_;    // first row of each text, and the number of rows
  std::vector<int32_t> blocks_;      // blocks of keys and values, counted from 0
  std::vector<int64_t> text_block_;  // first block of each text
  std::vector<Item> items_;
  const float* hidden_ = nullptr;  // the residual, or its norm where the next step reads that

  Buffer<float> residual_, normed_, delta_, query_, key_, value_, attended_, gate_, up_;
  Buffer<float> pooled_, dense_[2];
  TileMemory tiles_;
  Buffer<uint16_t> cells_;  // keys and values
  std::vector<Buffer<float>> cosines_, sines_;
};

}  // namespace myna
