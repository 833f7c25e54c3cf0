foreach(part results stream retention answers examine property)
    leat_test(test_sink_${part} unit test_sink_${part}.c)
    target_link_libraries(test_sink_${part} PRIVATE leat_sink_core)
endforeach()

leat_test(test_metrics unit test_metrics.c)
target_link_libraries(test_metrics PRIVATE leat_metrics_core)

leat_test(test_metrics_stats unit test_metrics_stats.c)
target_link_libraries(test_metrics_stats PRIVATE leat_sink_core leat_metrics)

leat_test(test_metrics_actor unit test_metrics_actor.c)
target_link_libraries(test_metrics_actor PRIVATE leat_metrics)

leat_test(test_sink_events unit test_sink_events.c)
target_link_libraries(test_sink_events PRIVATE leat_io)
