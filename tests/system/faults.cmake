# Faults: of disks, handlers, processes, networks.
foreach(script disk damage isolation chaos network)
    add_test(NAME system_${script} COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_${script}.py)
    set_tests_properties(system_${script} PROPERTIES
        LABELS system TIMEOUT 600 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endforeach()

# A disk that fails, put before the C library's calls (LD_PRELOAD); a plug-in that misbehaves in every way.
foreach(library failing_disk bad_handlers)
    add_library(${library} MODULE ${library}.c)
    set_target_properties(${library} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(${library} PRIVATE ${CMAKE_SOURCE_DIR}/include)
    target_compile_definitions(${library} PRIVATE _GNU_SOURCE)
    target_link_libraries(${library} PRIVATE ${CMAKE_DL_LIBS})
endforeach()
