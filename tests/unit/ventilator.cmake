foreach(part stories submit fleet line keys bounds damage examine property)
    leat_test(test_ventilator_${part} unit test_ventilator_${part}.c ventilator_rig.c)
    target_link_libraries(test_ventilator_${part} PRIVATE leat_ventilator_core)
endforeach()

leat_test(test_ventilator_recent unit test_ventilator_recent.c)
target_link_libraries(test_ventilator_recent PRIVATE leat_ventilator_store)
