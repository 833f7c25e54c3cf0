leat_test(test_store_sorted unit test_store_sorted.c store_model.c)
target_link_libraries(test_store_sorted PRIVATE leat_store_memory)

leat_test(test_store_memory unit test_store_memory.c store_model.c)
target_link_libraries(test_store_memory PRIVATE leat_store_memory)

leat_test(test_store unit test_store.c store_model.c store_directory.c)
target_link_libraries(test_store PRIVATE leat_store)

leat_test(test_store_lmdb_open unit test_store_lmdb_open.c store_directory.c)
target_link_libraries(test_store_lmdb_open PRIVATE leat_store PkgConfig::LMDB)

leat_test(test_store_kill unit test_store_kill.c store_model.c store_directory.c)
target_link_libraries(test_store_kill PRIVATE leat_store)

leat_test(test_store_power_cut unit
    test_store_power_cut.c store_model.c store_directory.c store_recorder.c)
target_link_libraries(test_store_power_cut PRIVATE leat_store Threads::Threads)

leat_test(test_store_pages unit
    test_store_pages.c store_pages_rig.c store_model.c store_directory.c)
target_link_libraries(test_store_pages PRIVATE leat_store PkgConfig::LMDB)

leat_test(test_store_damage unit test_store_damage.c store_pages_rig.c store_directory.c)
target_link_libraries(test_store_damage PRIVATE leat_store PkgConfig::LMDB)

foreach(name test_store_copy test_store_full test_store_here test_store_journal
    test_store_journal_full test_store_lmdb test_store_reader)
    leat_test(${name} unit
        ${name}.c store_journal_rig.c store_model.c store_directory.c store_faults.c)
    target_link_libraries(${name} PRIVATE leat_store PkgConfig::LMDB Threads::Threads)
endforeach()
