foreach(part exec life)
    leat_test(test_spawner_${part} unit test_spawner_${part}.c spawner_rig.c)
    target_link_libraries(test_spawner_${part} PRIVATE leat_spawner)
endforeach()
