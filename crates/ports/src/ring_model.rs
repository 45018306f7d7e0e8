//! Every interleaving of a writer and a reader, as loom tries them (the C11 memory model).

use std::boxed::Box;

use super::*;

#[test]
fn values_cross_once_and_in_order() {
    loom::model(|| {
        let (mut sender, mut receiver) = channel(2);
        let writer = loom::thread::spawn(move || {
            for value in 0..3 {
                let mut value = Box::new(value);
                while let Err(back) = sender.push(value) {
                    value = back;
                    loom::thread::yield_now();
                }
            }
        });
        for expected in 0..3 {
            let value = loop {
                match receiver.pop() {
                    Some(value) => break value,
                    None => loom::thread::yield_now(),
                }
            };
            assert_eq!(*value, expected);
        }
        writer.join().unwrap();
        assert!(receiver.pop().is_none() && receiver.is_closed());
    });
}

#[test]
fn a_reader_that_sleeps_is_always_woken() {
    let mut builder = loom::model::Builder::new();
    // With three preemptions this takes seconds; without a bound it had not ended after a minute and a half.
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (mut sender, mut receiver) = channel_with_wake(2).unwrap();
        let writer = loom::thread::spawn(move || {
            for value in 0..2 {
                sender.push(value).unwrap();
            }
            // Kept, since a writer that goes wakes the reader in any case.
            sender
        });
        // A wake-up that got lost leaves the reader waiting for ever, which loom reports as a deadlock.
        let mut received = 0;
        while received < 2 {
            match receiver.pop() {
                Some(value) => {
                    assert_eq!(value, received);
                    received += 1;
                }
                None => {
                    receiver.prepare_sleep();
                    // A spurious wake-up may have to be slept through again until the writer moves on.
                    loom::thread::yield_now();
                    receiver.shared.wake.as_ref().unwrap().sleep();
                }
            }
        }
        drop(writer.join().unwrap());
        assert!(receiver.pop().is_none() && receiver.is_closed());
    });
}
