# Says "ok - name" or "not ok - name" for each of its tests.
add_test(NAME test_docs COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_docs.py)
set_tests_properties(test_docs PROPERTIES
    LABELS unit TIMEOUT 120 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")

add_test(NAME test_manuals COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_manuals.py)
set(manuals "")
if(NOT LEAT_SANITIZE)
    set(manuals ";LEAT_MANUALS=${CMAKE_BINARY_DIR}/man")
endif()
set_tests_properties(test_manuals PROPERTIES
    LABELS unit TIMEOUT 120 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}${manuals}")
