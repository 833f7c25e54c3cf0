foreach(module codec cursor dump record)
    leat_test(test_wire_${module} unit test_wire_${module}.c wire_messages.c)
    target_link_libraries(test_wire_${module} PRIVATE leat_wire)
endforeach()
