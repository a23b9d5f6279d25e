#include "model/weights.h"

#include "errors.h"

namespace myna {

const gguf::Tensor& Weights::use(const std::string& name, int64_t rows, int64_t columns, int64_t count) {
  const gguf::Tensor* tensor = file_.find(name);
  if (tensor == nullptr) throw UnsupportedModel("the tensor '" + name + "' is missing");
  const auto& shape = tensor->shape;
  if (shape[0] != static_cast<uint64_t>(columns) || shape[1] != static_cast<uint64_t>(rows) ||
      shape[2] != static_cast<uint64_t>(count) || shape[3] != 1)
    throw UnsupportedModel("the tensor '" + name + "' has the shape " + std::to_string(shape[0]) + " x " +
                           std::to_string(shape[1]) +
                           (shape[2] == 1 ? "" : " x " + std::to_string(shape[2])) + " instead of " +
                           std::to_string(columns) + " x " + std::to_string(rows) +
                           (count == 1 ? "" : " x " + std::to_string(count)));
  if (!is_supported(tensor->type))
    throw UnsupportedModel("the tensor '" + name + "' is of type " + gguf::type_name(tensor->type));
  used_.insert(name);
  return *tensor;
}

Matrix Weights::matrix(const std::string& name, int64_t rows, int64_t columns) {
  return part(name, 0, rows, rows, columns);
}

Matrix Weights::part(const std::string& name, int64_t first, int64_t rows, int64_t of_rows, int64_t columns) {
  const gguf::Tensor& tensor = use(name, of_rows, columns);
  return pack(arena_, static_cast<TensorType>(tensor.type), rows, columns,
              reinterpret_cast<const uint8_t*>(tensor.data.data()) +
                  static_cast<uint64_t>(first) * tensor.row_bytes(),
              &pool_);
}

Matrix Weights::alternate(const std::string& name, int which, int64_t group, int64_t rows, int64_t columns) {
  const gguf::Tensor& tensor = use(name, 2 * rows, columns);
  const auto* data = reinterpret_cast<const uint8_t*>(tensor.data.data());
  const size_t bytes = tensor.row_bytes();
  std::vector<uint8_t> own;
  own.reserve(bytes * static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; row += group) {
    const uint8_t* from = data + static_cast<size_t>(2 * row + which * group) * bytes;
    own.insert(own.end(), from, from + bytes * static_cast<size_t>(group));
  }
  return pack(arena_, static_cast<TensorType>(tensor.type), rows, columns, own.data(), &pool_);
}

std::vector<Matrix> Weights::stack(const std::string& name, int64_t count, Rows rows, int64_t columns) {
  const gguf::Tensor& tensor = use(name, rows.of, columns, count);
  const auto* data = reinterpret_cast<const uint8_t*>(tensor.data.data());
  std::vector<Matrix> matrices;
  for (int64_t i = 0; i < count; ++i)
    matrices.push_back(pack(arena_, static_cast<TensorType>(tensor.type), rows.count, columns,
                            data + static_cast<uint64_t>(i * rows.of + rows.first) * tensor.row_bytes(),
                            &pool_));
  return matrices;
}

Vector Weights::vector(const std::string& name, int64_t size) { return table(name, 1, size); }

Vector Weights::table(const std::string& name, int64_t rows, int64_t columns) {
  use(name, rows, columns);
  return optional_table(name, rows, columns);
}

Vector Weights::optional_table(const std::string& name, int64_t rows, int64_t columns) {
  if (!has(name)) return Vector();
  const gguf::Tensor& tensor = use(name, rows, columns);
  Vector values(static_cast<size_t>(rows * columns));
  for (int64_t row = 0; row < rows; ++row)
    dequantize_row(static_cast<TensorType>(tensor.type),
                   reinterpret_cast<const uint8_t*>(tensor.data.data()) +
                       static_cast<uint64_t>(row) * tensor.row_bytes(),
                   values.data() + row * columns, columns);
  return values;
}

int64_t Weights::height(const std::string& name) const {
  const gguf::Tensor* tensor = file_.find(name);
  if (tensor == nullptr) return 0;
  if (tensor->shape[1] > (1u << 20)) throw CorruptFile("the tensor '" + name + "' has too many rows");
  return static_cast<int64_t>(tensor->shape[1]);
}

void Weights::ignore(const std::string& prefix) {
  for (const auto& [name, tensor] : file_.tensors())
    if (name.starts_with(prefix)) used_.insert(name);
}

Vector Weights::optional_vector(const std::string& name, int64_t size) {
  return optional_table(name, 1, size);
}

const gguf::Tensor* Weights::rows(const std::string& name, int64_t rows, int64_t columns) {
  return &use(name, rows, columns);
}

void Weights::expect_all_used() const {
  for (const auto& [name, tensor] : file_.tensors())
    if (!used_.contains(name))
      throw UnsupportedModel("the tensor '" + name + "' has no place in this architecture");
}

}  // namespace myna
