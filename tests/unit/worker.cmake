foreach(worker_test session jobs credit outbox drain random body)
    leat_test(test_worker_${worker_test} unit test_worker_${worker_test}.c worker_rig.c)
    target_link_libraries(test_worker_${worker_test} PRIVATE leat_worker_core)
endforeach()
