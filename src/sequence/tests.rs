use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

fn leased(up_to: u64) -> Sequencer {
    let sequencer = Sequencer::new(Sequence::ZERO);
    sequencer.raise_ceiling(Sequence::new(up_to));
    sequencer
}

#[test]
fn visible_stops_below_the_oldest_running_write() {
    let sequencer = leased(10);
    let [one, two, three] = [(); 3].map(|()| sequencer.begin().unwrap());
    assert_eq!(sequencer.visible(), Sequence::ZERO);
    two.finish();
    assert_eq!(sequencer.visible(), Sequence::ZERO, "1 is still running");
    one.finish();
    assert_eq!(sequencer.visible(), Sequence::new(2));
    assert_eq!(three.sequence(), Sequence::new(3));
    drop(three);
    assert_eq!(
        (sequencer.visible(), sequencer.last_begun()),
        (Sequence::new(3), Sequence::new(3))
    );
}

#[test]
fn nothing_above_the_ceiling_is_handed_out() {
    let sequencer = leased(2);
    assert_eq!(sequencer.remaining(), 2);
    sequencer.begin().unwrap().finish();
    sequencer.begin().unwrap().finish();
    let ceiling = Sequence::new(2);
    assert_eq!(sequencer.begin().unwrap_err(), LeaseNeeded { ceiling });
    sequencer.raise_ceiling(Sequence::new(1));
    assert_eq!(
        sequencer.begin().unwrap_err(),
        LeaseNeeded { ceiling },
        "never lowered"
    );
    sequencer.raise_ceiling(Sequence::new(3));
    assert_eq!(sequencer.begin().unwrap().sequence(), Sequence::new(3));
    let last = Sequencer::new(Sequence::MAX);
    assert_eq!(
        last.begin().unwrap_err(),
        LeaseNeeded {
            ceiling: Sequence::MAX
        }
    );
}

#[test]
fn after_a_restart_no_sequence_comes_twice() {
    let restarted = Sequencer::new(Sequence::new(100));
    assert_eq!(restarted.visible(), Sequence::new(100));
    assert_eq!(
        restarted.begin().unwrap_err(),
        LeaseNeeded {
            ceiling: Sequence::new(100)
        }
    );
    restarted.raise_ceiling(Sequence::new(200));
    assert_eq!(restarted.begin().unwrap().sequence(), Sequence::new(101));
}

#[test]
fn waiting_ends_when_the_writes_below_end_and_not_before() {
    let sequencer = leased(10);
    let (first, second, third) = (
        sequencer.begin().unwrap(),
        sequencer.begin().unwrap(),
        sequencer.begin().unwrap(),
    );
    let (tell, told) = mpsc::channel();
    let waiter = sequencer.clone();
    let thread = std::thread::spawn(move || tell.send(waiter.wait_visible(Sequence::new(2))));
    drop(first);
    assert!(
        told.recv_timeout(Duration::from_millis(30)).is_err(),
        "2 is still running"
    );
    drop(second);
    assert_eq!(told.recv().unwrap(), Sequence::new(2));
    thread.join().unwrap().unwrap();
    drop(third);
}

#[test]
fn on_many_threads_sequences_are_unique_and_visible_ones_are_complete() {
    let sequencer = leased(4000);
    let complete = Mutex::new(BTreeSet::new());
    let begun = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut begun = Vec::new();
                    while let Ok(guard) = sequencer.begin() {
                        begun.push(guard.sequence());
                        if begun.len() % 16 == 0 {
                            std::thread::yield_now();
                        }
                        complete.lock().insert(guard.sequence());
                        guard.finish();
                    }
                    begun
                })
            })
            .collect();
        scope.spawn(|| {
            let mut before = Sequence::ZERO;
            while before < Sequence::new(4000) {
                let visible = sequencer.visible();
                assert!(visible >= before, "{visible} after {before}");
                let below = complete.lock().range(..=visible).count() as u64;
                assert_eq!(below, visible.get());
                before = visible;
            }
        });
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(begun.len(), 4000);
    assert_eq!(begun.into_iter().collect::<BTreeSet<_>>().len(), 4000);
}
