#pragma once
// Typed access to a file's tensors: checks shape and type, packs, and tracks which were used. Knows names and
// shapes, not architectures.
#include <set>
#include <string>

#include "gguf/gguf.h"
#include "model/model.h"
#include "pool/pool.h"

namespace myna {

class Weights {
 public:
  Weights(const gguf::Model& file, WeightArena& arena, ThreadPool& pool)
      : file_(file), arena_(arena), pool_(pool) {}

  // Each throws UnsupportedModel for a missing tensor, a wrong shape or an unsupported type.
  Matrix matrix(const std::string& name, int64_t rows, int64_t columns);
  // Rows [first, first + rows) of a tensor that joins several matrices; all of it must be used.
  Matrix part(const std::string& name, int64_t first, int64_t rows, int64_t of_rows, int64_t columns);
  // One of two matrices of `rows` rows that take turns, `group` rows at a time; both must be used.
  Matrix alternate(const std::string& name, int which, int64_t group, int64_t rows, int64_t columns);
  // One matrix for each expert, or those rows of each.
  struct Rows {
    int64_t first, count, of;
  };
  std::vector<Matrix> stack(const std::string& name, int64_t count, Rows rows, int64_t columns);
  Vector vector(const std::string& name, int64_t size);
  Vector table(const std::string& name, int64_t rows, int64_t columns);  // row by row
  Vector optional_table(const std::string& name, int64_t rows, int64_t columns);
  Vector optional_vector(const std::string& name, int64_t size);  // empty if the file has none
  const gguf::Tensor* rows(const std::string& name, int64_t rows, int64_t columns);
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  // The number of rows of a tensor's matrices, or 0 if the file hasn't got it.
  int64_t height(const std::string& name) const;
  // Tensors whose names start so belong to layers that are for guessing tokens only.
  void ignore(const std::string& prefix);

  // Throws UnsupportedModel for an unused tensor: the model has a step that this engine doesn't implement.
  void expect_all_used() const;

 private:
  const gguf::Tensor& use(const std::string& name, int64_t rows, int64_t columns, int64_t count = 1);

  const gguf::Model& file_;
  WeightArena& arena_;
  ThreadPool& pool_;
  std::set<std::string> used_;
};

}  // namespace myna
