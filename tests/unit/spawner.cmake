foreach(part ahead bodies config exec frames life plan plugin random ring teller)
    leat_test(test_spawner_${part} unit test_spawner_${part}.c spawner_rig.c)
    target_link_libraries(test_spawner_${part} PRIVATE leat_spawner)
endforeach()

# Plug-ins as somebody outside builds them; some that cannot be used.
foreach(variant GOOD OLD_ABI NO_SYMBOL CRASH_IN_LOAD)
    add_library(spawner_handlers_${variant} MODULE spawner_handlers.c)
    set_target_properties(spawner_handlers_${variant} PROPERTIES
        PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_include_directories(spawner_handlers_${variant} PRIVATE ${CMAKE_SOURCE_DIR}/include)
    target_compile_definitions(spawner_handlers_${variant} PRIVATE _GNU_SOURCE
        LEAT_TEST_${variant})
    add_dependencies(test_spawner_plugin spawner_handlers_${variant})
    target_compile_definitions(test_spawner_plugin PRIVATE
        LEAT_TEST_PLUGIN_${variant}="$<TARGET_FILE:spawner_handlers_${variant}>")
endforeach()
add_dependencies(test_spawner_plugin example_handlers)
add_dependencies(test_spawner_bodies spawner_handlers_GOOD)
target_compile_definitions(test_spawner_bodies PRIVATE
    LEAT_TEST_PLUGIN="$<TARGET_FILE:spawner_handlers_GOOD>")
target_compile_definitions(test_spawner_plugin PRIVATE
    LEAT_TEST_PLUGIN=LEAT_TEST_PLUGIN_GOOD
    LEAT_EXAMPLE_PLUGIN="$<TARGET_FILE:example_handlers>")
