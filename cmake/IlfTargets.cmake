# Each folder is one target that names its dependencies.
#
#   ilf_library(NAME SRCS a.cc ... DEPS public_target ... PRIVATE_DEPS target ...)
#   ilf_executable(NAME SRCS ... DEPS ...)
#   ilf_test(NAME SRCS ... DEPS ... [TIMEOUT s])      one gtest executable, one ctest entry a test case,
#                                                     labelled with its folder's name
#   ilf_install(NAME)                                 belongs to the image (docker/), into bin/ beside lib/
include(GoogleTest)

function(ilf_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${name} STATIC ${ARG_SRCS})
    target_link_libraries(${name} PUBLIC ${ARG_DEPS} PRIVATE ilf_flags ${ARG_PRIVATE_DEPS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

function(ilf_executable name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  target_link_libraries(${name} PRIVATE ilf_flags ${ARG_DEPS})
endfunction()

function(ilf_install name)
  set_target_properties(${name} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/torch/lib")
  install(TARGETS ${name} RUNTIME DESTINATION bin COMPONENT image)
endfunction()

function(ilf_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SRCS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ilf_flags ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    ILF_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ILF_BINARY_DIR="${CMAKE_BINARY_DIR}")
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    # Math threads that wait must not spin: tests run side by side.
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS ${folder} ENVIRONMENT OMP_WAIT_POLICY=PASSIVE)
endfunction()
