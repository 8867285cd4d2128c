//! What looks like a request that hangs, and is none.

use super::*;

/// Ten requests of 25 s each: how long they take is how long they always took.
#[test]
fn long_polls_never_hang() {
    let mut lab = lab(pair());
    lab.run(600, |second, records| {
        for (_, record) in records.iter_mut() {
            if second == 1 {
                connect(record, ConnectOutcome::Ok, 50);
            }
            if second % 25 == 0 && second > 25 {
                answer_after(record, 50, 25 * S);
                end(record, second - 25, 50);
            }
            if second % 25 == 0 && second < 500 {
                ask(record, second, 50);
            }
        }
    });
    assert_eq!(lab.happened(), []);
}

/// Consumers that wait for their next item: long at times, and then not at all.
#[test]
fn waits_that_were_long_before_are_usual() {
    let mut lab = lab(pair());
    // Half a minute without an item, while it is learned what is normal.
    lab.run(5, healthy).run(30, |second, records| {
        for (_, record) in records.iter_mut() {
            match second {
                6 => ask(record, second, 10),
                34 => {
                    end(record, 6, 10);
                    answer_after(record, 10, 28 * S);
                }
                _ => {}
            }
        }
    });
    lab.run(100, healthy).run(45, hang(136, 10));
    assert_eq!(lab.happened(), [], "less than twice as long");
}

/// A queue whose items always came at once, and its ten consumers, which ask anew after 20 s without one.
#[test]
fn a_queue_that_runs_out_of_items_is_no_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(600, |second, records| {
        for (_, record) in records.iter_mut() {
            if second % 20 == 1 {
                if second > 61 {
                    end(record, second - 20, 10);
                    answer_after(record, 10, 20 * S);
                }
                ask(record, second, 10);
            }
        }
    });
    assert_eq!(lab.happened(), []);
}

/// A log shipper beside requests, and a connection that says good-bye and stays open.
#[test]
fn what_is_never_answered_is_usual() {
    let mut lab = lab(pair());
    lab.run(600, |second, records| {
        if second % 100 == 3 && second < 300 {
            // One more each time.
            records.iter_mut().for_each(|(_, record)| ask(record, second, 1));
        }
        if second == 1 {
            records.iter_mut().for_each(|(_, record)| ask(record, second, 5));
        }
        healthy(second, records);
    });
    assert_eq!(lab.happened(), []);
    // Nothing is ever answered here.
    let mut lab = self::lab(pair());
    lab.run(600, |second, records| {
        records.iter_mut().for_each(|(_, record)| {
            connect(record, ConnectOutcome::Ok, 1);
            ask(record, second, 1);
        });
    });
    assert_eq!(lab.happened(), []);
}

/// One connection that waits is a heartbeat, a report, an item: until it has waited for a minute.
#[test]
fn one_alone_must_be_a_minute_old() {
    let mut lab = lab(pair());
    let one = |second: u64, records: Records<'_>| {
        for (_, record) in records {
            if record.opened == 0 {
                connect(record, ConnectOutcome::Ok, 1);
            }
            if second <= 60 {
                answer(record, 10);
            } else if second == 61 {
                ask(record, second, 1);
            }
        }
    };
    lab.run(150, one);
    assert_eq!(lab.happened(), [(130, Happened::Raised)]);
}

/// The client is stopped: its answers are there, and it does not read them.
#[test]
fn a_client_that_does_not_read_has_no_hung_requests() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        if second == 61 {
            ask(&mut records[0].1, second, 8);
            answer_after(&mut records[1].1, 8, MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn slow_answers_and_short_stalls_are_no_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        for (_, record) in records.iter_mut() {
            // Three seconds for each of ten, a thousandfold of normal.
            if second >= 64 {
                answer_after(record, 3, 3 * S);
                end(record, second - 3, 3);
            }
            ask(record, second, 3);
        }
    });
    assert_eq!(lab.happened(), []);
    let mut lab = self::lab(pair());
    lab.run(60, healthy).run(9, hang(61, 8)).run(60, |second, records| {
        if second == 70 {
            records.iter_mut().for_each(|(_, record)| end(record, 61, 8));
        }
        healthy(second, records);
    });
    assert_eq!(lab.happened(), [], "nine seconds are one window");
}

/// Callers give up after 100 ms, and ask again.
#[test]
fn who_gives_up_does_not_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        let (_, client) = &mut records[0];
        abandon(client, 20, 100 * MS);
        connect(client, ConnectOutcome::Ok, 20);
        client.closed += 20;
        ask(client, second, 2);
        if second > 61 {
            end(client, second - 1, 2);
            abandon(client, 2, 100 * MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn what_cannot_be_told_says_nothing() {
    // Before it is known what is normal.
    let mut lab = lab(pair());
    lab.run(10, healthy).run(60, hang(11, 8));
    assert_eq!(lab.happened(), []);
    // Requests that overlap.
    let mut lab = self::lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        records[0].1.multiplexed_set = 1;
        hang(61, 8)(second, records);
    });
    assert_eq!(lab.happened(), []);
    // A sample of sockets.
    let mut lab = self::lab(pair());
    lab.run(60, healthy);
    lab.engine.take(Input::Degraded(Degraded { cpu_step: 5, ..Degraded::default() }));
    lab.run(60, hang(61, 8));
    assert_eq!(lab.happened(), []);
}

/// weir begins while requests are under way: it has not seen them begin.
#[test]
fn connections_seen_in_mid_life_are_no_hang() {
    let mut lab = lab(pair());
    lab.run(120, |second, records| {
        for (_, record) in records.iter_mut() {
            if second == 1 {
                (record.opened, record.partial) = (30, 30);
            }
            // From half a second to three, as ever.
            answer_after(record, 6, S / 2);
            answer_after(record, 6, 3 * S);
            if second > 3 {
                end(record, second - 3, 6);
            }
            ask(record, second, 6);
        }
    });
    assert_eq!(lab.happened(), []);
}
