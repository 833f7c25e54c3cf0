foreach(module codec cursor dump record writer)
    leat_test(test_wire_${module} unit test_wire_${module}.c wire_messages.c)
    target_link_libraries(test_wire_${module} PRIVATE leat_wire PkgConfig::MSGPACK) # the oracle
endforeach()

# Also brings the tables of the document up to date: test_wire_protocol --write
leat_test(test_wire_protocol unit test_wire_protocol.c)
target_link_libraries(test_wire_protocol PRIVATE leat_wire)
target_compile_definitions(test_wire_protocol PRIVATE
    LEAT_PROTOCOL_FILE="${CMAKE_SOURCE_DIR}/docs/PROTOCOL.md")
