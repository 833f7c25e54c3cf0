foreach(module options log socket serve heap traps)
    leat_test(test_io_${module} unit test_io_${module}.c io_capture.c)
    target_link_libraries(test_io_${module} PRIVATE leat_io)
endforeach()

foreach(module runner runner_links runner_patience)
    leat_test(test_io_${module} unit test_io_${module}.c io_runner_world.c io_capture.c)
    target_link_libraries(test_io_${module} PRIVATE leat_io)
endforeach()

foreach(module keys guard door)
    leat_test(test_io_${module} unit test_io_${module}.c io_keys_rig.c io_capture.c)
    target_link_libraries(test_io_${module} PRIVATE leat_io)
endforeach()
