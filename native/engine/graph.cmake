# The parts of the engine that don't depend on the processor: files, models, cache, attention, and the Python module.
target_sources(myna_engine PRIVATE
  encoder/embedder.cpp
  encoder/encoder_attention.cpp
  encoder/encoder_graph.cpp
  encoder/load.cpp
  encoder/metadata.cpp
  engine.cpp
  graph/altup_step.cpp
  graph/attention_step.cpp
  graph/experts_step.cpp
  graph/graph.cpp
  graph/inputs_step.cpp
  graph/latent_step.cpp
  graph/recurrent_step.cpp
  graph/row_steps.cpp
  graph/shared_step.cpp
  graph/state_step.cpp
  gguf/mapped_file.cpp
  gguf/model.cpp
  gguf/parse.cpp
  kv/paged_cache.cpp
  kv/state_store.cpp
  model/altup.cpp
  model/architectures.cpp
  model/families.cpp
  model/metadata.cpp
  model/positions.cpp
  model/recurrent.cpp
  model/weights.cpp
  probe/probe.cpp)

set_source_files_properties(probe/probe.cpp PROPERTIES COMPILE_OPTIONS "-O3")

if(TARGET nanobind::module OR COMMAND nanobind_add_module)
  if(MYNA_IN_PLACE)
    set(keep_symbols NOSTRIP)  # for profiles
  endif()
  nanobind_add_module(_native NB_STATIC ${keep_symbols} bindings/native.cpp bindings/strings.cpp)
  target_link_libraries(_native PRIVATE myna_engine)
  if(MYNA_IN_PLACE)
    set_target_properties(_native PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${PROJECT_SOURCE_DIR}/src/myna")
  endif()
  install(TARGETS _native LIBRARY DESTINATION myna)
endif()
