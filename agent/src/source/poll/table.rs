//! Parsers of procfs tables: pairs of lines with names and values, names with values, hexadecimal columns.
//!
//! No bytes make them panic: what cannot be parsed is absent.

use weir_engine::{NetCounters, Pressure, Throttle};

/// Adds the counters of `/proc/net/netstat` or `/proc/net/snmp`: lines in pairs, `TcpExt: NAME...` and `TcpExt: VALUE...`.
pub(super) fn counters(text: &str, counters: &mut NetCounters) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((table, names)), Some((same, values))) = (names.split_once(": "), values.split_once(": ")) else {
            continue;
        };
        if table != same {
            return;
        }
        for (name, value) in names.split(' ').zip(values.split(' ')) {
            // UDP-Lite's counters have the same names.
            let ours = table == "TcpExt" || (table == "Udp" && name == "RcvbufErrors");
            if let (true, Some(counter), Ok(value)) = (ours, counters.by_name(name), value.parse()) {
                *counter = value;
            }
        }
    }
}

/// TCP sockets in use and in TIME_WAIT, by `/proc/net/sockstat`: `TCP: inuse 1 orphan 0 tw 0`. The other file has IPv6 sockets in
/// use (`TCP6: inuse 0`); those in TIME_WAIT are in the first.
pub(super) fn sockets(v4: &str, v6: &str) -> (u64, u64) {
    let of = |text: &str, table: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(table));
        let mut words = line.unwrap_or_default().split_ascii_whitespace();
        words.find(|word| *word == name).and_then(|_| words.next()?.parse().ok()).unwrap_or(0)
    };
    let in_use: u64 = of(v4, "TCP:", "inuse");
    (in_use.saturating_add(of(v6, "TCP6:", "inuse")), of(v4, "TCP:", "tw"))
}

/// `/proc/sys/net/ipv4/ip_local_port_range`.
pub(super) fn range(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    match (words.next()?, words.next()?) {
        (Ok(low), Ok(high)) if low <= high => Some((low, high)),
        _ => None,
    }
}

/// How many ports of the range `ip_local_reserved_ports` (`8080,9000-9100`) excludes.
pub(super) fn reserved(text: &str, (low, high): (u16, u16)) -> u32 {
    let of = |item: &str| {
        let (first, last) = item.trim().split_once('-').unwrap_or((item.trim(), item.trim()));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        Some((u32::from(last.min(high)) + 1).saturating_sub(first.max(low).into()))
    };
    text.trim().split(',').filter_map(of).fold(0, u32::saturating_add)
}

/// Sums of columns of `/proc/net/stat/nf_conntrack`: a line of names, a line of hexadecimal values for each processor.
pub(super) fn columns<const N: usize>(text: &str, names: [&str; N]) -> [u64; N] {
    let mut sums = [0u64; N];
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    for line in lines {
        for (value, name) in line.split_ascii_whitespace().zip(&header) {
            if let Some(i) = names.iter().position(|wanted| wanted == name) {
                sums[i] = sums[i].saturating_add(u64::from_str_radix(value, 16).unwrap_or(0));
            }
        }
    }
    sums
}

/// `cpu.stat` of version 1 (`throttled_time`, nanoseconds) or 2 (`throttled_usec`); none where there is no limit.
pub(super) fn throttle(text: &str) -> Option<Throttle> {
    let mut throttle = Throttle::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let Ok(value) = value.trim().parse::<u64>() else { continue };
        match name {
            "nr_periods" => throttle.periods = value,
            "nr_throttled" => throttle.throttled = value,
            "throttled_time" => throttle.throttled_ns = value,
            "throttled_usec" => throttle.throttled_ns = value.saturating_mul(1000),
            _ => {}
        }
    }
    (throttle.periods > 0).then_some(throttle)
}

/// The totals of `some` and `full` in a pressure file, microseconds.
pub(super) fn pressure(text: &str) -> (u64, u64) {
    let of = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
    };
    (of("some ").unwrap_or(0), of("full ").unwrap_or(0))
}

/// The same of all three files.
pub(super) fn pressures(cpu: &str, memory: &str, io: &str) -> Pressure {
    let ((cpu_some_us, _), (memory_some_us, memory_full_us), (io_some_us, io_full_us)) =
        (pressure(cpu), pressure(memory), pressure(io));
    Pressure { cpu_some_us, memory_some_us, memory_full_us, io_some_us, io_full_us }
}

/// The soft limit of `Max open files` in `/proc/PID/limits`; none where it is unlimited.
pub(super) fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// `/proc/PID/schedstat`: nanoseconds running, and runnable but waiting for a processor.
pub(super) fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    Some((words.next()?.ok()?, words.next()?.ok()?))
}

/// `/proc/PID/stat`: the name, and ticks that all threads ran, in the kernel and in user space. A name may contain anything.
pub(super) fn ran(text: &str) -> Option<(&str, u64)> {
    let (begin, end) = (text.find('(')?, text.rfind(')')?);
    let comm = text.get(begin + 1..end)?;
    let mut fields = text.get(end + 1..)?.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    Some((comm, fields.next()?.ok()?.saturating_add(fields.next()?.ok()?)))
}

/// The paths in `/proc/PID/cgroup`: in version 1's hierarchy of the `cpu` controller, and in version 2's.
pub(super) fn cgroups(text: &str) -> (Option<&str>, Option<&str>) {
    let mut found = (None, None);
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if controllers.split(',').any(|controller| controller == "cpu") {
            found.0 = Some(path);
        } else if number == "0" && controllers.is_empty() {
            found.1 = Some(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let mut found = NetCounters::default();
        let netstat = "TcpExt: SyncookiesSent PruneCalled ListenOverflows ListenDrops New\nTcpExt: 1 2 3 4 9\n\
                       IpExt: InNoRoutes ListenDrops\nIpExt: 7 8\n";
        counters(netstat, &mut found);
        counters("Udp: InDatagrams RcvbufErrors\nUdp: 1 5\nUdpLite: RcvbufErrors\nUdpLite: 6\n", &mut found);
        let expected = NetCounters {
            syncookies_sent: 1,
            prune_called: 2,
            listen_overflows: 3,
            listen_drops: 4,
            udp_receive_errors: 5,
            ..NetCounters::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn this_kernels_tables_are_read() {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let netstat = read("/proc/self/net/netstat");
        for name in ["ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPTimeWaitOverflow", "TCPRcvQDrop"] {
            assert!(netstat.contains(name) && NetCounters::default().by_name(name).is_some(), "{name}");
        }
        assert!(range(&read("/proc/sys/net/ipv4/ip_local_port_range")).is_some());
        assert!(schedstat(&read("/proc/self/schedstat")).is_some());
        assert!(read("/proc/self/limits").contains("Max open files"));
    }

    #[test]
    fn sockets_of_both_families() {
        let v4 = "sockets: used 10\nTCP: inuse 3 orphan 0 tw 40 alloc 1 mem 273\nUDP: inuse 9 mem 0\n";
        assert_eq!(sockets(v4, "TCP6: inuse 2\nUDP6: inuse 8\n"), (5, 40));
    }

    #[test]
    fn ranges_and_what_is_reserved_of_them() {
        assert_eq!(range("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!((range("9 1"), range("70000 70001"), range("1")), (None, None, None));
        assert_eq!(reserved("\n", (1000, 1063)), 0);
        assert_eq!(reserved("80,990-1009,1063,1064,2000-3000,x,9-1\n", (1000, 1063)), 11);
        assert_eq!(reserved("0-65535", (0, u16::MAX)), 65536);
    }

    #[test]
    fn columns_are_summed_over_processors() {
        let text = "entries  drop early_drop\n00000010  0000000a 00000001\n00000010  00000002 00000000\n";
        assert_eq!(columns(text, ["drop", "early_drop", "none"]), [12, 1, 0]);
    }

    #[test]
    fn both_versions_of_throttling() {
        let expected = Some(Throttle { periods: 21, throttled: 20, throttled_ns: 5_000_000 });
        assert_eq!(throttle("nr_periods 21\nnr_throttled 20\nthrottled_time 5000000\nnr_bursts 0\n"), expected);
        assert_eq!(throttle("usage_usec 7\nnr_periods 21\nnr_throttled 20\nthrottled_usec 5000\n"), expected);
        assert_eq!(throttle("nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"), None, "no limit");
    }

    #[test]
    fn pressure_limits_and_cgroups() {
        let text = "some avg10=1.00 avg60=0.00 avg300=0.16 total=112\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(pressure(text), (112, 3));
        assert_eq!(open_files("Limit  Soft\nMax open files            20000    30000    files\n"), Some(20000));
        assert_eq!(open_files("Max open files            unlimited    unlimited    files\n"), None);
        assert_eq!(schedstat("5 7 1\n"), Some((5, 7)));
        assert_eq!(cgroups("9:name=systemd:/x\n2:cpu,cpuacct:/a:b\n0::/c\n"), (Some("/a:b"), Some("/c")));
        assert_eq!(cgroups("0::/c\n"), (None, Some("/c")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = String::from_utf8_lossy(&bytes);
            every_reader(&text);
        }

        /// Of words and characters that the tables contain.
        #[test]
        fn no_table_panics(words in prop::collection::vec(
            prop::sample::select(vec![
                "TcpExt", ": ", " ", "\n", "ListenDrops", "TCP:", "inuse", "tw", "18446744073709551616", "7", "-", ",",
                "65535", "0", "ffffffffffffffff", "nr_periods", "throttled_usec", "18446744073709551615", "some ",
                "total=", "Max open files", "cpu", "::", "/",
            ]),
            0..60,
        )) {
            every_reader(&words.concat());
        }
    }

    fn every_reader(text: &str) {
        counters(text, &mut NetCounters::default());
        sockets(text, text);
        let range = range(text).unwrap_or((0, u16::MAX));
        reserved(text, range);
        columns(text, ["entries", "drop"]);
        throttle(text);
        pressures(text, text, text);
        open_files(text);
        schedstat(text);
        cgroups(text);
    }
}
