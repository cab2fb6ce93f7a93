# Finds LibTorch without its own TorchConfig.cmake, which stops for a CUDA build where no CUDA toolkit is
# installed. Looks in LIBTORCH_ROOT, CMAKE_PREFIX_PATH (an unpacked LibTorch) and the virtual environment
# that scripts/install.sh makes. Defines LibTorch::LibTorch.
set(_hints ${LIBTORCH_ROOT} $ENV{LIBTORCH_ROOT} ${CMAKE_PREFIX_PATH})
file(GLOB _venv ${CMAKE_SOURCE_DIR}/.deps/venv/lib/python3*/site-packages/torch)
list(APPEND _hints ${_venv})

find_path(LIBTORCH_INCLUDE_DIR ATen/ATen.h HINTS ${_hints} PATH_SUFFIXES include)
foreach(lib IN ITEMS c10 torch_cpu torch)
  find_library(LIBTORCH_${lib}_LIBRARY ${lib} HINTS ${_hints} PATH_SUFFIXES lib)
endforeach()
foreach(lib IN ITEMS c10_cuda torch_cuda)
  find_library(LIBTORCH_${lib}_LIBRARY ${lib} HINTS ${_hints} PATH_SUFFIXES lib)
  mark_as_advanced(LIBTORCH_${lib}_LIBRARY)
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS
  LIBTORCH_INCLUDE_DIR LIBTORCH_c10_LIBRARY LIBTORCH_torch_cpu_LIBRARY LIBTORCH_torch_LIBRARY)

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
    ${LIBTORCH_INCLUDE_DIR} ${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include)
  # torch_cuda registers its kernels from static initialisers: nothing names its symbols, so keep it.
  set(_libs ${LIBTORCH_torch_LIBRARY} ${LIBTORCH_torch_cpu_LIBRARY} ${LIBTORCH_c10_LIBRARY})
  if(LIBTORCH_torch_cuda_LIBRARY)
    list(APPEND _libs -Wl,--push-state,--no-as-needed ${LIBTORCH_torch_cuda_LIBRARY}
         ${LIBTORCH_c10_cuda_LIBRARY} -Wl,--pop-state)
  endif()
  target_link_libraries(LibTorch::LibTorch INTERFACE ${_libs})
endif()
