# Finds the static SentencePiece that scripts/install.sh builds, or one on CMAKE_PREFIX_PATH. Debian's own
# package must not be used: it embeds another protobuf, and the process ends at start (docs/dependencies.md).
# So the system's folders are not searched. Defines SentencePiece::SentencePiece.
set(_hints ${CMAKE_PREFIX_PATH} $ENV{CMAKE_PREFIX_PATH} ${CMAKE_SOURCE_DIR}/.deps/sentencepiece)
string(REPLACE ":" ";" _hints "${_hints}")
find_path(SENTENCEPIECE_INCLUDE_DIR sentencepiece_processor.h
  PATHS ${_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(SENTENCEPIECE_LIBRARY libsentencepiece.a
  PATHS ${_hints} PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
mark_as_advanced(SENTENCEPIECE_INCLUDE_DIR SENTENCEPIECE_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(SentencePiece
  REASON_FAILURE_MESSAGE "run scripts/install.sh, which builds it"
  REQUIRED_VARS SENTENCEPIECE_LIBRARY SENTENCEPIECE_INCLUDE_DIR)

if(SentencePiece_FOUND AND NOT TARGET SentencePiece::SentencePiece)
  find_package(Protobuf CONFIG QUIET)
  if(NOT Protobuf_FOUND)
    find_package(Protobuf REQUIRED)
  endif()
  add_library(SentencePiece::SentencePiece STATIC IMPORTED)
  set_target_properties(SentencePiece::SentencePiece PROPERTIES
    IMPORTED_LOCATION ${SENTENCEPIECE_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${SENTENCEPIECE_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES "protobuf::libprotobuf;Threads::Threads")
endif()
