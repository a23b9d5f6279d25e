# Everything of the engine but the matrix products: files, models, cache, attention, and the Python module.
target_sources(myna_engine PRIVATE
  engine.cpp
  graph/attention_step.cpp
  graph/graph.cpp
  gguf/mapped_file.cpp
  gguf/model.cpp
  gguf/parse.cpp
  cpu/portable/vectors.cpp
  kv/paged_cache.cpp
  model/architectures.cpp
  model/gemma3.cpp
  model/llama.cpp
  model/qwen2.cpp
  model/qwen3.cpp
  model/weights.cpp
  probe/probe.cpp)

set_source_files_properties(probe/probe.cpp PROPERTIES COMPILE_OPTIONS "-O3")
set(vector_flags -O3 -fno-math-errno -fno-trapping-math)
set_source_files_properties(cpu/portable/vectors.cpp PROPERTIES COMPILE_OPTIONS "${vector_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_sources(myna_engine PRIVATE cpu/avx2/vectors.cpp cpu/avx512/vectors.cpp)
  set_source_files_properties(cpu/avx2/vectors.cpp PROPERTIES COMPILE_OPTIONS "${vector_flags};-mavx2;-mfma;-mf16c")
  # GCC's own AVX-512 header starts vectors from themselves, which it then warns about.
  set_source_files_properties(cpu/avx512/vectors.cpp PROPERTIES COMPILE_OPTIONS
    "${vector_flags};-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mprefer-vector-width=512;-Wno-uninitialized;-Wno-maybe-uninitialized")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_sources(myna_engine PRIVATE cpu/neon/vectors.cpp)
  set_source_files_properties(cpu/neon/vectors.cpp PROPERTIES COMPILE_OPTIONS "${vector_flags}")
endif()

if(TARGET nanobind::module OR COMMAND nanobind_add_module)
  if(MYNA_IN_PLACE)
    set(keep_symbols NOSTRIP)  # for profiles
  endif()
  nanobind_add_module(_native NB_STATIC ${keep_symbols} bindings/native.cpp)
  target_link_libraries(_native PRIVATE myna_engine)
  if(MYNA_IN_PLACE)
    set_target_properties(_native PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_SOURCE_DIR}/src/myna")
  endif()
  install(TARGETS _native LIBRARY DESTINATION myna)
endif()
