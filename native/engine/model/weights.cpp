#include "model/weights.h"

#include "errors.h"

namespace myna {

const gguf::Tensor& Weights::use(const std::string& name, int64_t rows, int64_t columns) {
  const gguf::Tensor* tensor = file_.find(name);
  if (tensor == nullptr) throw UnsupportedModel("the tensor '" + name + "' is missing");
  const auto& shape = tensor->shape;
  if (shape[0] != static_cast<uint64_t>(columns) || shape[1] != static_cast<uint64_t>(rows) ||
      shape[2] != 1 || shape[3] != 1)
    throw UnsupportedModel("the tensor '" + name + "' has the shape " + std::to_string(shape[0]) + " x " +
                           std::to_string(shape[1]) + " instead of " + std::to_string(columns) + " x " +
                           std::to_string(rows));
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

Vector Weights::vector(const std::string& name, int64_t size) {
  const gguf::Tensor& tensor = use(name, 1, size);
  Vector values(static_cast<size_t>(size));
  dequantize_row(static_cast<TensorType>(tensor.type), reinterpret_cast<const uint8_t*>(tensor.data.data()),
                 values.data(), size);
  return values;
}

Vector Weights::optional_vector(const std::string& name, int64_t size) {
  return has(name) ? vector(name, size) : Vector();
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
