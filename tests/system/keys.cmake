# Keys: who gets in and what each may do; a cluster over hosts with everything encrypted.
foreach(script security hosts)
    add_test(NAME system_${script} COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_${script}.py)
    set_tests_properties(system_${script} PROPERTIES
        LABELS system TIMEOUT 600 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endforeach()
