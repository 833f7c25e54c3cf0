# Keys: who gets in and what each may do; a cluster over hosts with everything encrypted.
set(scripts security)
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/test_hosts.py)
    list(APPEND scripts hosts)
endif()
foreach(script ${scripts})
    add_test(NAME system_${script} COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/test_${script}.py)
    set_tests_properties(system_${script} PROPERTIES
        LABELS system TIMEOUT 600 ENVIRONMENT "LEAT_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endforeach()
