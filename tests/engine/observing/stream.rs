//! A subscription as a `futures::Stream`: a task is woken, and never forgotten.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_core::Stream;

use super::*;

/// Wakes a thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next item, as a task gets it.
fn next(subscription: &mut Subscription) -> Option<FeedItem> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut *subscription).poll_next(&mut context) {
            Poll::Ready(item) => return item.map(Result::unwrap),
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_task_is_told_everything_in_order_and_ends_with_the_engine() {
    let world = World::new(1);
    let (engine, observer) = store(&world);
    let mut subscription = subscribe(&engine, observer);
    let (told, hear) = std::sync::mpsc::channel();
    let task = std::thread::spawn(move || {
        let mut indexes = Vec::new();
        while let Some(item) = next(&mut subscription) {
            if let FeedItem::Entry(entry) = item {
                indexes.push(entry.position.index);
                told.send(entry.position.index).unwrap();
            }
        }
        assert_eq!(next(&mut subscription), None, "what has ended stays so");
        indexes
    });
    // Each is waited for, so that the task sleeps before the next one comes.
    for index in 6..60 {
        put(&engine, 1, index, 10);
        engine.flush().unwrap();
        assert_eq!(hear.recv().unwrap(), index);
    }
    engine.close().unwrap();
    assert!(task.join().unwrap().into_iter().eq(6..60));
}
