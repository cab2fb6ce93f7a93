# Makes the thread sanitizer understand the locks of a prebuilt Abseil: cmake/tsan_abseil.cc tells how.
# The list of wrapped symbols is read from that file.
set(_source ${CMAKE_SOURCE_DIR}/cmake/tsan_abseil.cc)
set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${_source})
file(STRINGS ${_source} _lines REGEX "_ZNK?4absl")
foreach(line IN LISTS _lines)
  if(line MATCHES "[^_](_ZNK?4absl[0-9A-Za-z_]+)")
    add_link_options(-Wl,--wrap=${CMAKE_MATCH_1})
  endif()
endforeach()
add_library(ilf_tsan_abseil STATIC ${_source})
target_link_libraries(ilf_tsan_abseil PUBLIC absl::synchronization absl::time)
# Whole: Abseil's shared libraries may be the only ones to name the wrapped symbols.
target_link_libraries(ilf_flags INTERFACE "$<LINK_LIBRARY:WHOLE_ARCHIVE,ilf_tsan_abseil>")
