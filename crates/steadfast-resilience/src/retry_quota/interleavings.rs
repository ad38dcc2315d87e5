//! The quota's count, in every order in which threads can go on.
//!
//! They stand here since `loom` stands in for the atomics of this crate's own tests only.

use loom::thread;

use super::RetryQuota;
use crate::sync::model;

#[test]
fn threads_take_all_or_nothing() {
    model(|| {
        let quota = RetryQuota::new(5);
        let threads = [(); 2].map(|()| {
            let quota = quota.clone();
            thread::spawn(move || quota.take(2))
        });

        let mine = quota.take(2);

        let others = threads.map(|thread| thread.join().unwrap());
        let taken = others.iter().filter(|took| **took).count() + usize::from(mine);
        assert_eq!((taken, quota.left()), (2, 1));
    });
}

#[test]
fn what_is_given_back_is_there_once_and_never_above_the_capacity() {
    model(|| {
        let quota = RetryQuota::new(4);
        let threads = [(); 2].map(|()| {
            let quota = quota.clone();
            thread::spawn(move || {
                if quota.take(3) {
                    quota.give_back(3);
                }
            })
        });

        // A success that had drawn nothing.
        quota.give_back(1);

        for thread in threads {
            thread.join().unwrap();
        }
        // It may have come while three were drawn, and then it stays.
        assert_eq!(quota.left(), 4);
    });
}
