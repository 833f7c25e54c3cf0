# The three rings as target kinds, so that the build enforces what may depend on what.
#
#   leat_core_library(NAME SOURCES...)    pure policy: no zmq, czmq, lmdb, clock, files, threads
#   leat_library(NAME SOURCES...)         bytes and shells
#   leat_executable(NAME SOURCES...)      a program in build/<preset>/bin
#   leat_program(NAME SOURCES...)         the same, optimised as a whole in the release preset
#   leat_test(NAME LABEL SOURCES... )     a cmocka executable, registered with ctest
#
# A core is kept pure in two ways: headers that it must not include are shadowed by ones that stop
# the compiler (cmake/not-in-core), and every symbol that its objects leave undefined is checked
# against a list after each build (cmake/check_core_symbols.sh).

set(LEAT_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wvla -Wundef -Wformat=2
    -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wswitch-enum)

# gcc copies a struct sixteen bytes at a time. One whose fields have just been written, which is how most messages and records
# are made, then waits in each copy until those writes have left the processor: a tenth of what the cores of worker and sink and
# the codec cost. Eight bytes at a time it need not, if nothing else makes sixteen of two fields. Structs of a hundred bytes are
# copied and cleared in loops rather than by string instructions, which take long to begin. Only gcc for x86 knows the options.
include(CheckCCompilerFlag)
set(LEAT_COPY_WORDS
    -mtune-ctrl=^sse_unaligned_load_optimal,^sse_unaligned_store_optimal
    -fno-tree-slp-vectorize
    -mmemcpy-strategy=unrolled_loop:256:noalign,libcall:-1:noalign
    -mmemset-strategy=vector_loop:512:noalign,libcall:-1:noalign)
check_c_compiler_flag("${LEAT_COPY_WORDS}" LEAT_HAS_COPY_WORDS)

function(leat_common_settings target)
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/common>)
    target_compile_options(${target} PRIVATE ${LEAT_WARNINGS})
    # Assertions stay on in every build; a broken invariant stops the process before it harms data.
    target_compile_options(${target} PRIVATE -UNDEBUG -fno-omit-frame-pointer)
    # Nothing is exported but what a public header marks.
    set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET hidden)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE LEAT_VERSION="${PROJECT_VERSION}")
    if(LEAT_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
    if(LEAT_FUZZER)
        # A bound that few bytes can reach, and that costs little to set up again and again.
        target_compile_definitions(${target} PRIVATE LEAT_LANES_MAX=64)
    endif()
    if(LEAT_SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=${LEAT_SANITIZE} -fno-sanitize-recover=all)
        target_link_options(${target} PUBLIC -fsanitize=${LEAT_SANITIZE})
        if(LEAT_SANITIZE MATCHES address AND CMAKE_C_COMPILER_ID STREQUAL "Clang")
            # gcc says so by itself; core/arena.c and worker/job.c ask.
            target_compile_definitions(${target} PRIVATE __SANITIZE_ADDRESS__=1)
        endif()
    elseif(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
        target_compile_options(${target} PRIVATE -fstack-protector-strong -D_FORTIFY_SOURCE=2)
        target_link_options(${target} PRIVATE -Wl,-z,relro,-z,now)
        if(LEAT_HAS_COPY_WORDS)
            target_compile_options(${target} PRIVATE ${LEAT_COPY_WORDS})
            target_link_options(${target} PRIVATE ${LEAT_COPY_WORDS}) # for what LEAT_LTO compiles only then
        endif()
    endif()
    if(LEAT_LTO)
        target_link_options(${target} PRIVATE $<IF:$<BOOL:$<TARGET_PROPERTY:LEAT_WHOLE>>,-flto=auto,-fno-lto>)
    endif()
endfunction()

# For what programs are made of. Both kinds of code in each object: what is no program (tests, libleat) is linked
# quickly, as without.
function(leat_part_settings target)
    leat_common_settings(${target})
    # Behind -O2, so it is what counts. Jobs pass many small functions in loops; it saves a twentieth.
    if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND NOT LEAT_SANITIZE)
        target_compile_options(${target} PRIVATE -O3)
        target_link_options(${target} PRIVATE -O3)
    endif()
    if(LEAT_LTO)
        target_compile_options(${target} PRIVATE -flto -ffat-lto-objects)
    endif()
endfunction()

function(leat_core_library name)
    add_library(${name} STATIC ${ARGN})
    leat_part_settings(${name})
    target_include_directories(${name} BEFORE PRIVATE ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/not-in-core)
    add_custom_command(TARGET ${name} POST_BUILD
        COMMAND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check_core_symbols.sh $<TARGET_FILE:${name}>
        VERBATIM)
endfunction()

function(leat_library name)
    add_library(${name} STATIC ${ARGN})
    leat_part_settings(${name})
endfunction()

function(leat_executable name)
    add_executable(${name} ${ARGN})
    leat_common_settings(${name})
endfunction()

# A program that is optimised as a whole: calls between its libraries are inlined (LEAT_LTO).
function(leat_program name)
    add_executable(${name} ${ARGN})
    leat_part_settings(${name})
    set_target_properties(${name} PROPERTIES LEAT_WHOLE ON)
endfunction()

function(leat_test name label)
    add_executable(${name} ${ARGN})
    leat_common_settings(${name})
    target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA)
    # Tests put their own functions in the place of a library's, which they must export for that.
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests C_VISIBILITY_PRESET default)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 300)
endfunction()
