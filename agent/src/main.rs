//! weir, the user half. One direction only: probes, reader, engine, exporters.

mod probe;
mod reader;

fn main() -> anyhow::Result<()> {
    let limits = probe::load::Limits::default();
    let t = std::time::Instant::now();
    let probes = probe::load::Probes::start(limits)?;
    for s in &probes.states { eprintln!("{} {:?}", s.name, s.missing); }
    eprintln!("started in {:?}", t.elapsed());
    let mut reader = reader::Reader::new(probes, limits)?;
    let mut engine = weir_engine::Engine::new(weir_engine::Window::Whole);
    reader.begin(&mut |i| engine.take(i));
    std::thread::sleep(std::time::Duration::from_secs(std::env::args().nth(1).unwrap().parse()?));
    reader.read(true, &mut |i| engine.take(i))?;
    let s = engine.snapshot();
    println!("{:#?} {:?}", s.losses, s.coverage);
    for e in &s.edges {
        println!("{:?} -> {:?}", e.client, e.server);
        for v in [&e.client_view, &e.server_view] { if let Ok(v) = v {
        println!("  conn {:?} open {} rounds {} inflight {} ab {} br {} tx {} rx {} rtx {} lat {:?} p50 {:?} wait {:?} full {:?} ll {:?}", v.connects, v.open_connections, v.rounds, v.in_flight, v.abandoned, v.broken, v.bytes_sent, v.bytes_received, v.retransmitted_segments, v.latency.mean_s(), v.latency.quantile_s(0.5), v.receive_queue_wait.mean_s(), v.full_latency.mean_s(), v.littles_law(s.window_ns));
        }}
    }
    Ok(())
}
