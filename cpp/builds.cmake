# The builds of the core: cpp/src/isa.cpp once for each instruction set, everything else for the plain processor.
# One set of flags for all of them, because equal bits depend on it: no contraction of a * b + c (the programs name every fused
# multiply-add), no -ffast-math; only errno and the floating-point exception flags, which nobody reads, are given up.
include(CheckCXXCompilerFlag)
option(TEORELL_WERROR "Warnings are errors" OFF)

set(TEORELL_SANITIZE "" CACHE STRING "Sanitizers, comma-separated: address,undefined or thread")
set(TEORELL_SANITIZER_FLAGS "")
if(TEORELL_SANITIZE)
  set(TEORELL_SANITIZER_FLAGS -fsanitize=${TEORELL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  if(TEORELL_SANITIZE MATCHES undefined)  # these three repeat what the address sanitizer sees, and take six times as long to compile
    list(APPEND TEORELL_SANITIZER_FLAGS -fno-sanitize=null,object-size,vptr)
  endif()
  if(TEORELL_SANITIZE MATCHES address AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND TEORELL_SANITIZER_FLAGS --param=asan-instrumentation-with-call-threshold=0)
  endif()
  set(TEORELL_EXTRA_FLAGS -O1 ${TEORELL_SANITIZER_FLAGS})  # of the instruction-set builds: optimised less, to compile in time
  add_link_options(${TEORELL_SANITIZER_FLAGS})  # what the link of a sanitizer needs, everywhere
endif()

set(TEORELL_MATH_FLAGS -fno-math-errno -fno-trapping-math -ffp-contract=off)
set(TEORELL_WARNINGS -Wall -Wextra -Wpedantic -Wno-psabi)  # psabi: nothing with a vector in its signature leaves its object
if(TEORELL_WERROR)
  list(APPEND TEORELL_WARNINGS -Werror)
endif()

if(CMAKE_OSX_ARCHITECTURES)
  set(TEORELL_PROCESSOR "${CMAKE_OSX_ARCHITECTURES}")
else()
  set(TEORELL_PROCESSOR "${CMAKE_SYSTEM_PROCESSOR}")
endif()

if(TEORELL_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(TEORELL_ISAS v2 v3 v4)
  check_cxx_compiler_flag(-march=x86-64-v4 TEORELL_HAS_X86_LEVELS)
  if(TEORELL_HAS_X86_LEVELS)
    set(TEORELL_FLAGS_v2 -march=x86-64-v2)
    set(TEORELL_FLAGS_v3 -march=x86-64-v3)
    set(TEORELL_FLAGS_v4 -march=x86-64-v4)
  else()  # GCC before 11, Clang before 12: the same levels, spelled out
    set(TEORELL_FLAGS_v2 -mcx16 -mpopcnt -msse4.2)
    set(TEORELL_FLAGS_v3 ${TEORELL_FLAGS_v2} -mavx2 -mfma -mbmi -mbmi2 -mf16c -mlzcnt -mmovbe)
    set(TEORELL_FLAGS_v4 ${TEORELL_FLAGS_v3} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl)
  endif()
  list(APPEND TEORELL_FLAGS_v4 -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # its AVX-512 intrinsics start from an undefined register (GCC bug 105593)
    list(APPEND TEORELL_FLAGS_v4 -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
elseif(TEORELL_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(TEORELL_ISAS baseline)
  set(TEORELL_FLAGS_baseline "")
else()
  message(FATAL_ERROR "teorell has no build for the processor '${TEORELL_PROCESSOR}' (x86-64 and arm64 are supported). "
                      "For macOS, build one architecture at a time: CMAKE_OSX_ARCHITECTURES=arm64 or x86_64.")
endif()

set(TEORELL_CPP_DIR "${CMAKE_CURRENT_LIST_DIR}")

function(teorell_common target)
  set_target_properties(${target} PROPERTIES
    CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(${target} PRIVATE "${TEORELL_CPP_DIR}/include")
  target_compile_options(${target} PRIVATE ${TEORELL_MATH_FLAGS} ${TEORELL_WARNINGS})
endfunction()

# Adds the object libraries teorell_isa_<name>, always at -O3 (plain -O2 made the lane code 2.5 times slower), and links them in.
function(teorell_link_isa_builds target)
  foreach(isa IN LISTS TEORELL_ISAS)
    if(NOT TARGET teorell_isa_${isa})
      add_library(teorell_isa_${isa} OBJECT "${TEORELL_CPP_DIR}/src/isa.cpp")
      teorell_common(teorell_isa_${isa})
      target_compile_definitions(teorell_isa_${isa} PRIVATE TEORELL_ISA=${isa})
      target_compile_options(teorell_isa_${isa} PRIVATE -O3 ${TEORELL_FLAGS_${isa}} ${TEORELL_EXTRA_FLAGS})
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:teorell_isa_${isa}>)
  endforeach()
endfunction()
