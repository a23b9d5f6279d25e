// myna._native: the engine for Python. Only converts arguments and releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>

#include "bindings/strings.h"
#include "cpu/formats.h"
#include "encoder/embedder.h"
#include "engine.h"
#include "errors.h"
#include "model/metadata.h"

namespace nb = nanobind;

namespace myna {
namespace {

class Handle {
 public:
  Handle(const std::string& path, int64_t context_tokens, int64_t memory_bytes, int threads,
         int max_sequences, bool has_q8_cache) {
    const CacheType type = has_q8_cache ? CacheType::kQ8 : CacheType::kFloat16;
    nb::gil_scoped_release release;
    engine_ = std::make_unique<Engine>(
        path, EngineOptions{context_tokens, memory_bytes, threads, max_sequences, type});
  }

  // `rows` holds (sequence, number of tokens, start, logits_from) of each row, `tokens` all their tokens in
  // order.
  nb::object forward(const std::vector<int64_t>& rows, const std::vector<int32_t>& tokens) {
    Engine& engine = get();
    std::vector<Span> batch;
    int64_t used = 0;
    const auto num_tokens = static_cast<int64_t>(tokens.size());
    if (rows.size() % 4 != 0) throw std::invalid_argument("rows must be groups of four numbers");
    for (size_t i = 0; i < rows.size(); i += 4) {
      const int64_t count = rows[i + 1];
      if (rows[i] < 0 || rows[i] >= engine.cache().shape().max_sequences)
        throw std::invalid_argument("unknown sequence " + std::to_string(rows[i]));
      if (count < 1 || count > num_tokens - used) throw std::invalid_argument("a row has no tokens");
      if (rows[i + 2] < 0 || rows[i + 2] > engine.context_tokens())
        throw std::invalid_argument("a row has an invalid start");
      batch.push_back({static_cast<int>(rows[i]), tokens.data() + used, count, rows[i + 2], rows[i + 3]});
      used += count;
    }
    if (used != num_tokens) throw std::invalid_argument("there are more tokens than rows need");
    int64_t num_rows;
    {
      nb::gil_scoped_release release;
      num_rows = engine.forward(batch);
    }
    auto* held = new std::shared_ptr<Buffer<float>>(engine.logits());
    nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::shared_ptr<Buffer<float>>*>(p); });
    const size_t shape[] = {static_cast<size_t>(num_rows),
                            static_cast<size_t>(engine.model().dimensions.vocabulary)};
    return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>((*held)->get(), 2, shape, owner));
  }

  void fork(int source, int target, int64_t num_tokens) { get().fork(source, target, num_tokens); }
  void trim(int sequence, int64_t num_tokens) { get().trim(sequence, num_tokens); }
  void free(int sequence) { get().free(sequence); }
  int64_t reusable(int sequence, int64_t num_tokens) { return get().reusable(sequence, num_tokens); }
  int max_sequences() { return get().max_sequences(); }
  int64_t prefix_grid() { return get().prefix_grid(); }
  // The numbers of whole blocks, as bytes of `target` and `source`.
  void read_blocks(int sequence, int64_t first, nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig> target) {
    get().cache().read_blocks(sequence, first, num_blocks(target.size()), target.data());
  }
  void append_blocks(int sequence, nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig> source) {
    get().append_blocks(sequence, num_blocks(source.size()), source.data());
  }
  int64_t block_bytes() { return get().cache().shape().block_bytes(); }
  bool prepare_memory() {
    nb::gil_scoped_release release;
    return get().prepare_block();
  }
  int64_t length(int sequence) { return get().cache().length(sequence); }
  int64_t free_tokens() { return get().cache().free_blocks() * kBlockTokens; }
  int64_t kv_tokens() { return get().cache().shape().num_blocks * kBlockTokens; }
  int64_t context_tokens() { return get().context_tokens(); }
  int64_t vocab_size() { return get().model().dimensions.vocabulary; }
  std::string architecture() { return get().model().architecture; }
  int num_threads() { return get().num_threads(); }
  std::tuple<int64_t, int64_t, int64_t, int64_t> work() {
    const Work& work = get().work();
    return {work.products, work.weight_bytes, work.multiply_adds, work.cache_bytes};
  }
  std::pair<double, double> limits(double seconds) {
    nb::gil_scoped_release release;
    const Limits limits = get().limits(seconds);
    return {limits.bytes_per_s, limits.ops_per_s};
  }
  void close() { engine_.reset(); }

  // -1 if the file names none.
  int64_t token(const std::string& name) {
    const auto id = get().file().integer("tokenizer.ggml." + name + "_token_id");
    return id && *id < static_cast<uint64_t>(vocab_size()) ? static_cast<int64_t>(*id) : -1;
  }

 private:
  int64_t num_blocks(size_t num_bytes) {
    const auto size = static_cast<size_t>(block_bytes());
    if (num_bytes == 0 || num_bytes % size != 0) throw std::invalid_argument("these are not whole blocks");
    return static_cast<int64_t>(num_bytes / size);
  }
  Engine& get() {
    if (engine_ == nullptr) throw std::invalid_argument("the engine is closed");
    return *engine_;
  }

  std::unique_ptr<Engine> engine_;
};

class EmbedderHandle {
 public:
  EmbedderHandle(const std::string& path, int64_t context_tokens, int threads) {
    nb::gil_scoped_release release;
    embedder_ = std::make_unique<Embedder>(path, context_tokens, threads);
  }

  // Text i is tokens [offsets[i], offsets[i + 1]).
  nb::object embed(const std::vector<int32_t>& tokens, const std::vector<int64_t>& offsets) {
    Embedder& embedder = get();
    const size_t count = offsets.empty() ? 0 : offsets.size() - 1;
    const auto width = static_cast<size_t>(embedder.width());
    auto* vectors = new float[count * width];
    nb::capsule owner(vectors, [](void* p) noexcept { delete[] static_cast<float*>(p); });
    {
      nb::gil_scoped_release release;
      embedder.embed(tokens, offsets, vectors);
    }
    const size_t shape[] = {count, width};
    return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(vectors, 2, shape, owner));
  }

  int64_t width() { return get().width(); }
  int64_t context_tokens() { return get().context_tokens(); }
  int64_t vocab_size() { return get().model().dimensions.vocabulary; }
  std::string architecture() { return get().model().architecture; }
  std::string pooling() {
    switch (get().model().pooling) {
      case Pooling::kFirst:
        return "cls";
      case Pooling::kLast:
        return "last";
      default:
        return "mean";
    }
  }
  int num_threads() { return get().num_threads(); }
  std::tuple<int64_t, int64_t, int64_t> work() {
    const Work& work = get().work();
    return {work.products, work.weight_bytes, work.multiply_adds};
  }
  void close() { embedder_.reset(); }

 private:
  Embedder& get() {
    if (embedder_ == nullptr) throw std::invalid_argument("the engine is closed");
    return *embedder_;
  }

  std::unique_ptr<Embedder> embedder_;
};

}  // namespace
}  // namespace myna

NB_MODULE(_native, module) {
  using myna::Handle;
  using namespace nb::literals;
  nb::exception<myna::CorruptFile>(module, "CorruptFile", PyExc_ValueError);
  nb::exception<myna::UnsupportedModel>(module, "UnsupportedModel", PyExc_ValueError);
  nb::exception<myna::OutOfRoom>(module, "OutOfRoom", PyExc_RuntimeError);
  module.def("kernel_name", [] { return std::string(myna::kernels().name); });
  module.def("activations", [] {
    return std::string(myna::kernels().quantised == myna::Activations::Kind::kBfloat ? "bfloat16" : "int8");
  });
  // Names of architectures, each with the metadata (without that name) that changes what it computes.
  module.def("architectures", [] {
    std::map<std::string, std::vector<std::string>> found;
    for (const myna::Family& family : myna::families()) found[family.name] = myna::honoured_keys(family);
    return found;
  });
  // Names of the tensor types that can be weights, with the bytes that a packed weight takes.
  module.def("tensor_types", [] {
    std::map<std::string, double> found;
    for (const myna::Format& format : myna::formats())
      found[myna::geometry(format.type).name] =
          static_cast<double>(format.record_bytes) /
          static_cast<double>(format.record_blocks * myna::kBlock * myna::kPanelRows);
    return found;
  });
  module.def("read_strings", &myna::read_strings, "data"_a, "start"_a, "count"_a);
  module.def("merge_pairs", &myna::merge_pairs, "merges"_a);
  module.def("byte_level_pieces", &myna::byte_level_pieces, "texts"_a, "kinds"_a);
  module.def("usable_threads", &myna::usable_threads);
  nb::class_<Handle>(module, "Engine")
      .def(nb::init<const std::string&, int64_t, int64_t, int, int, bool>(), "path"_a, nb::kw_only(),
           "context_tokens"_a, "memory_bytes"_a, "threads"_a, "max_sequences"_a, "has_q8_cache"_a = false)
      .def("forward", &Handle::forward, "rows"_a, "tokens"_a)
      .def("fork", &Handle::fork, "source"_a, "target"_a, "num_tokens"_a)
      .def("trim", &Handle::trim, "sequence"_a, "num_tokens"_a)
      .def("free", &Handle::free, "sequence"_a)
      .def("read_blocks", &Handle::read_blocks, "sequence"_a, "first"_a, "target"_a)
      .def("append_blocks", &Handle::append_blocks, "sequence"_a, "source"_a)
      .def("prepare_memory", &Handle::prepare_memory)
      .def("reusable", &Handle::reusable, "sequence"_a, "num_tokens"_a)
      .def("length", &Handle::length, "sequence"_a)
      .def("token", &Handle::token, "name"_a)
      .def("limits", &Handle::limits, "seconds"_a)
      .def("close", &Handle::close)
      .def_prop_ro("max_sequences", &Handle::max_sequences)
      .def_prop_ro("prefix_grid", &Handle::prefix_grid)
      .def_prop_ro("work", &Handle::work)
      .def_prop_ro("block_bytes", &Handle::block_bytes)
      .def_prop_ro("free_tokens", &Handle::free_tokens)
      .def_prop_ro("kv_tokens", &Handle::kv_tokens)
      .def_prop_ro("context_tokens", &Handle::context_tokens)
      .def_prop_ro("vocab_size", &Handle::vocab_size)
      .def_prop_ro("architecture", &Handle::architecture)
      .def_prop_ro("num_threads", &Handle::num_threads);
  module.def("embedding_architectures", &myna::encoder_architectures);
  using myna::EmbedderHandle;
  nb::class_<EmbedderHandle>(module, "Embedder")
      .def(nb::init<const std::string&, int64_t, int>(), "path"_a, nb::kw_only(), "context_tokens"_a,
           "threads"_a)
      .def("embed", &EmbedderHandle::embed, "tokens"_a, "offsets"_a)
      .def("close", &EmbedderHandle::close)
      .def_prop_ro("width", &EmbedderHandle::width)
      .def_prop_ro("context_tokens", &EmbedderHandle::context_tokens)
      .def_prop_ro("vocab_size", &EmbedderHandle::vocab_size)
      .def_prop_ro("architecture", &EmbedderHandle::architecture)
      .def_prop_ro("pooling", &EmbedderHandle::pooling)
      .def_prop_ro("num_threads", &EmbedderHandle::num_threads)
      .def_prop_ro("work", &EmbedderHandle::work);
}
