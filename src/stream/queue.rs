//! The bounded queue between the thread that reads a source and the one that computes.
//!
//! Two [`rtrb`] rings: one carries items forward, one carries spent buffers back, so that nothing is allocated for an
//! item once both threads have run for a while. The forward ring's reading end stands behind a mutex held for
//! a pop at a time, because dropping the oldest item is the producer's act. A thread that waits sleeps on a
//! condition variable; nothing spins.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rtrb::RingBuffer;

/// How long a thread sleeps at most before it looks at the stop flag again.
const NAP: Duration = Duration::from_millis(50);

/// What the producer does when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// Wait: for recordings, which lose nothing by being read later.
    #[default]
    Block,
    /// Stop with an error: for measurements in which every frame counts.
    Fail,
    /// Give up the oldest item, so that the newest is computed: for watching a live instrument.
    DropOldest,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The consumer is gone, or the stop flag was raised: nothing more is wanted.
    Stopped,
    /// The queue is full and [`OnFull::Fail`] was asked for.
    Overflow,
}

/// What the consumer finds.
#[derive(Debug)]
pub enum Pop<T> {
    /// The oldest item.
    Item(T),
    /// Nothing arrived in the time given, or the waker was called.
    Empty,
    /// The producer is gone and everything it pushed was taken.
    Closed,
}

/// A bell that is heard later by who was not listening when it rang.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn ring(&self) {
        *locked(&self.rung) = true;
        self.heard.notify_one();
    }

    fn wait(&self, at_most: Duration) {
        let mut rung = locked(&self.rung);
        if !*rung {
            rung = self.heard.wait_timeout(rung, at_most).unwrap_or_else(PoisonError::into_inner).0;
        }
        *rung = false;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves a ring or a flag whole: both change in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Shared<T> {
    items: Mutex<rtrb::Consumer<T>>,
    capacity: usize,
    arrived: Bell,
    taken: Bell,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    woken: AtomicBool,
    stop: Arc<AtomicBool>,
    pushed: AtomicU64,
    dropped: AtomicU64,
}

/// A queue of at most `capacity` (at least 1) items. Raising `stop` ends a producer that waits.
#[must_use]
pub fn bounded<T: Send>(capacity: usize, on_full: OnFull, stop: Arc<AtomicBool>) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1);
    let (forward, items) = RingBuffer::new(capacity);
    // The consumer may hold a window of items besides: what finds no room here is freed.
    let (back, spent) = RingBuffer::new(capacity + 8);
    let shared = Arc::new(Shared {
        items: Mutex::new(items),
        capacity,
        arrived: Bell::default(),
        taken: Bell::default(),
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        woken: AtomicBool::new(false),
        stop,
        pushed: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    (Producer { shared: Arc::clone(&shared), forward, spent, on_full, spare: None }, Consumer { shared, back })
}

/// The end that the capture thread holds.
#[derive(Debug)]
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    forward: rtrb::Producer<T>,
    spent: rtrb::Consumer<T>,
    on_full: OnFull,
    spare: Option<T>,
}

impl<T: Send> Producer<T> {
    /// A spent item whose buffers may be used again, if one came back.
    pub fn recycled(&mut self) -> Option<T> {
        self.spare.take().or_else(|| self.spent.pop().ok())
    }

    /// Whether nothing more is wanted.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.shared.consumer_gone.load(Ordering::Acquire) || self.shared.stop.load(Ordering::Acquire)
    }

    /// Under [`OnFull::Block`] wait until the next item fits or nothing more is wanted: an item that would have to wait
    /// need not be in memory yet.
    pub fn wait_for_room(&self) {
        while self.on_full == OnFull::Block && self.forward.is_full() && !self.stopped() {
            self.shared.taken.wait(NAP);
        }
    }

    /// Hand over one item.
    ///
    /// # Errors
    /// [`PushError::Stopped`], or [`PushError::Overflow`] under [`OnFull::Fail`]; the item is gone with it.
    pub fn push(&mut self, mut item: T) -> Result<(), PushError> {
        loop {
            if self.stopped() {
                return Err(PushError::Stopped);
            }
            match self.forward.push(item) {
                Ok(()) => {
                    self.shared.pushed.fetch_add(1, Ordering::AcqRel);
                    self.shared.arrived.ring();
                    return Ok(());
                }
                Err(rtrb::PushError::Full(back)) => item = back,
            }
            match self.on_full {
                OnFull::Block => self.shared.taken.wait(NAP),
                OnFull::Fail => return Err(PushError::Overflow),
                OnFull::DropOldest => {
                    if let Ok(oldest) = locked(&self.shared.items).pop() {
                        self.shared.pushed.fetch_sub(1, Ordering::AcqRel);
                        self.shared.dropped.fetch_add(1, Ordering::AcqRel);
                        self.spare = Some(oldest);
                    }
                }
            }
        }
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.shared.producer_gone.store(true, Ordering::Release);
        self.shared.arrived.ring();
    }
}

/// The end that the computing thread holds.
#[derive(Debug)]
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    back: rtrb::Producer<T>,
}

impl<T: Send> Consumer<T> {
    /// Take the oldest item, waiting for at most `timeout`.
    pub fn pop(&mut self, timeout: Duration) -> Pop<T> {
        let deadline = Instant::now() + timeout;
        loop {
            // Read before the ring is: an item pushed before the producer went is still found.
            let gone = self.shared.producer_gone.load(Ordering::Acquire);
            if let Ok(item) = locked(&self.shared.items).pop() {
                self.shared.taken.ring();
                return Pop::Item(item);
            }
            if gone {
                return Pop::Closed;
            }
            if self.shared.woken.swap(false, Ordering::AcqRel) {
                return Pop::Empty;
            }
            // The bell may still ring for an item that was found without waiting: look again until time is up.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Pop::Empty;
            }
            self.shared.arrived.wait(left);
        }
    }

    /// Something that ends a [`pop`](Self::pop) that waits, or the next one, for another thread to call.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync>
    where
        T: 'static,
    {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || {
            shared.woken.store(true, Ordering::Release);
            shared.arrived.ring();
        })
    }

    /// Give a spent item's buffers back.
    pub fn recycle(&mut self, item: T) {
        // With the ring full the buffers are freed: more are in use than the queue will ever need.
        let _ = self.back.push(item);
    }

    /// How many items wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        locked(&self.shared.items).slots()
    }

    /// How many items fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// How many items the producer gave up under [`OnFull::DropOldest`].
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Acquire)
    }

    /// How many items the source gave in all, those given up included.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.shared.pushed.load(Ordering::Acquire) + self.dropped()
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.shared.consumer_gone.store(true, Ordering::Release);
        self.shared.taken.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn queue(capacity: usize, on_full: OnFull) -> (Producer<u64>, Consumer<u64>, Arc<AtomicBool>) {
        let stop = Arc::new(AtomicBool::new(false));
        let (producer, consumer) = bounded(capacity, on_full, Arc::clone(&stop));
        (producer, consumer, stop)
    }

    fn drain(mut consumer: Consumer<u64>) -> Vec<u64> {
        let mut got = Vec::new();
        loop {
            match consumer.pop(LONG) {
                Pop::Item(i) => got.push(i),
                Pop::Closed => return got,
                Pop::Empty => panic!("waited in vain"),
            }
        }
    }

    #[test]
    fn block_loses_nothing() {
        let (mut producer, consumer, _) = queue(3, OnFull::Block);
        let thread = thread::spawn(move || (0..10_000).try_for_each(|i| producer.push(i)));
        assert_eq!(drain(consumer), (0..10_000).collect::<Vec<_>>());
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn fail_says_so_and_keeps_what_was_taken_in() {
        let (mut producer, consumer, _) = queue(2, OnFull::Fail);
        assert_eq!([producer.push(0), producer.push(1)], [Ok(()), Ok(())]);
        assert_eq!(producer.push(2), Err(PushError::Overflow));
        drop(producer);
        assert_eq!(drain(consumer), [0, 1]);
    }

    #[test]
    fn drop_oldest_keeps_the_newest_and_counts() {
        let (mut producer, consumer, _) = queue(2, OnFull::DropOldest);
        for i in 0..7 {
            assert_eq!(producer.push(i), Ok(()));
        }
        assert_eq!(producer.recycled(), Some(4), "the buffer of the item given up last");
        drop(producer);
        assert_eq!((consumer.dropped(), consumer.read(), consumer.depth()), (5, 7, 2));
        assert_eq!(drain(consumer), [5, 6]);
    }

    #[test]
    fn drop_oldest_against_a_slow_consumer_keeps_order() {
        let (mut producer, mut consumer, _) = queue(4, OnFull::DropOldest);
        let thread = thread::spawn(move || (0..20_000).try_for_each(|i| producer.push(i)));
        let mut got = Vec::new();
        while let Pop::Item(i) = consumer.pop(LONG) {
            got.push(i);
            if i % 64 == 0 {
                thread::yield_now();
            }
        }
        assert!(got.windows(2).all(|w| w[0] < w[1]) && got.last() == Some(&19_999));
        assert_eq!(got.len() as u64 + consumer.dropped(), 20_000);
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn a_producer_that_waits_ends_with_the_consumer_or_the_flag() {
        let (mut producer, consumer, _) = queue(1, OnFull::Block);
        let thread = thread::spawn(move || (0..9).try_for_each(|i| producer.push(i)));
        thread::sleep(Duration::from_millis(20));
        drop(consumer);
        assert_eq!(thread.join().expect("no panic"), Err(PushError::Stopped));

        let (mut producer, consumer, stop) = queue(1, OnFull::Block);
        let thread = thread::spawn(move || (0..9).try_for_each(|i| producer.push(i)));
        thread::sleep(Duration::from_millis(20));
        stop.store(true, Ordering::Release);
        assert_eq!(thread.join().expect("no panic"), Err(PushError::Stopped));
        drop(consumer);
    }

    #[test]
    fn room_is_waited_for_only_where_the_source_can_wait() {
        let (mut producer, mut consumer, _) = queue(1, OnFull::Block);
        producer.wait_for_room();
        assert_eq!(producer.push(0), Ok(()));
        let thread = thread::spawn(move || {
            producer.wait_for_room();
            producer.forward.is_full()
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!thread.is_finished());
        assert!(matches!(consumer.pop(LONG), Pop::Item(0)));
        assert!(!thread.join().expect("no panic"));

        let (mut producer, consumer, _) = queue(1, OnFull::Fail);
        assert_eq!(producer.push(0), Ok(()));
        producer.wait_for_room();
        drop(consumer);

        let (mut producer, consumer, stop) = queue(1, OnFull::Block);
        assert_eq!(producer.push(0), Ok(()));
        stop.store(true, Ordering::Release);
        producer.wait_for_room();
        drop(consumer);
    }

    #[test]
    fn buffers_come_back() {
        let (mut producer, mut consumer, _) = queue(2, OnFull::Block);
        assert_eq!(producer.recycled(), None);
        consumer.recycle(5);
        assert_eq!(producer.recycled(), Some(5));
        assert!(matches!(consumer.pop(Duration::from_millis(1)), Pop::Empty));
    }
}
