foreach(module arena backoff bucket check err histogram id job list map policy rng step tables units)
    leat_test(test_core_${module} unit ${CMAKE_CURRENT_SOURCE_DIR}/test_core_${module}.c)
    target_link_libraries(test_core_${module} PRIVATE leat_core)
endforeach()

add_test(NAME test_rings
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/test_rings.sh
        ${CMAKE_COMMAND} ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR}/rings)
set_tests_properties(test_rings PROPERTIES LABELS unit TIMEOUT 120)
