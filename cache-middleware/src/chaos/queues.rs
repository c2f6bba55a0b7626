//! Queues behind faults.

use futures_util::future::BoxFuture;

use super::{ChaosStore, Operation};
use crate::error::StoreError;
use crate::key::Key;
use crate::store::{
    Change, Enqueued, Flusher, NextBatch, Pending, QueueBounds, QueueSize, Queued, Queues, SetAside, Settled,
};

impl ChaosStore {
    /// Does a step of a queue as its fault has it.
    fn queue<'a, T: Send + 'a>(
        &'a self,
        step: impl Fn(&'a dyn Queues) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let none = || StoreError::Failed("the store keeps no queues".to_owned());
        Box::pin(self.faults.befall(Operation::Queue, move || {
            let asked = self.inner.queues().map(&step);
            async move { asked.ok_or_else(none)?.await }
        }))
    }
}

impl Queues for ChaosStore {
    fn begin<'a>(&'a self, queue: &'a str, after: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        self.queue(move |queues| queues.begin(queue, after))
    }

    fn enqueue<'a>(
        &'a self,
        queue: &'a str,
        key: &'a Key,
        change: &'a Change,
        bounds: QueueBounds,
    ) -> BoxFuture<'a, Result<Enqueued, StoreError>> {
        self.queue(move |queues| queues.enqueue(queue, key, change, bounds))
    }

    fn pending<'a>(&'a self, queue: &'a str, key: &'a Key) -> BoxFuture<'a, Result<Pending, StoreError>> {
        self.queue(move |queues| queues.pending(queue, key))
    }

    fn next_batch<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<NextBatch, StoreError>> {
        self.queue(move |queues| queues.next_batch(queue, flusher))
    }

    fn page<'a>(
        &'a self,
        queue: &'a str,
        after: u64,
        upto: u64,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Queued>, StoreError>> {
        self.queue(move |queues| queues.page(queue, after, upto, bytes))
    }

    fn keep_claim<'a>(&'a self, queue: &'a str, flusher: Flusher) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.queue(move |queues| queues.keep_claim(queue, flusher))
    }

    fn give_up_claim<'a>(&'a self, queue: &'a str, token: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        self.queue(move |queues| queues.give_up_claim(queue, token))
    }

    fn settle<'a>(&'a self, queue: &'a str, upto: u64, written: bool) -> BoxFuture<'a, Result<Settled, StoreError>> {
        self.queue(move |queues| queues.settle(queue, upto, written))
    }

    fn narrow<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        from: u64,
        upto: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.queue(move |queues| queues.narrow(queue, token, from, upto))
    }

    fn set_aside<'a>(
        &'a self,
        queue: &'a str,
        token: u64,
        number: u64,
        reason: &'a str,
        most: u64,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.queue(move |queues| queues.set_aside(queue, token, number, reason, most))
    }

    fn close_aside<'a>(&'a self, queue: &'a str, token: u64, number: u64) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.queue(move |queues| queues.close_aside(queue, token, number))
    }

    fn list_aside<'a>(&'a self, queue: &'a str, limit: usize) -> BoxFuture<'a, Result<Vec<SetAside>, StoreError>> {
        self.queue(move |queues| queues.list_aside(queue, limit))
    }

    fn take_aside<'a>(
        &'a self,
        queue: &'a str,
        number: u64,
        back: bool,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        self.queue(move |queues| queues.take_aside(queue, number, back))
    }

    fn size<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<QueueSize, StoreError>> {
        self.queue(move |queues| queues.size(queue))
    }

    fn risk<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move { self.inner.queues()?.risk(queue).await })
    }
}
