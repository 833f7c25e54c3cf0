# Says "ok - name" or "not ok - name" for each of its tests.
add_test(NAME test_docs COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_docs.py)
set_tests_properties(test_docs PROPERTIES
    LABELS unit TIMEOUT 120 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
