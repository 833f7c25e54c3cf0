foreach(part results stream answers property)
    leat_test(test_sink_${part} unit test_sink_${part}.c)
    target_link_libraries(test_sink_${part} PRIVATE leat_sink_core)
endforeach()
