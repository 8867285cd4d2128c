use super::*;

#[test]
fn metrics_have_their_unit_and_counters_end_in_total() {
    let metric = |name| named(EDGE, name).about.metric("edge");
    assert_eq!(metric("latency_s"), "weir_edge_latency_seconds");
    assert_eq!(metric("bytes_sent"), "weir_edge_bytes_sent_total");
    assert_eq!(metric("connects"), "weir_edge_connects_total");
    assert_eq!(metric("open_connections"), "weir_edge_open_connections");
    assert_eq!(named(COST, "agent_rss_bytes").about.metric("agent"), "weir_agent_agent_rss_bytes");
    assert_eq!(named(COST, "agent_cpu_s").about.metric("self"), "weir_self_agent_cpu_seconds_total");
}
