//! Whether the API server can be reached, told once for all kinds: a line when it is lost and a line when it is back.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portolan_core::ingest::Kind;
use tokio::{sync::Notify, time::Instant};

use crate::{client::Client, failure::Failure};

/// What all kinds that are followed know together.
pub(crate) struct Reach<'a> {
    client: &'a Client,
    state: RefCell<State>,
    back: Notify,
}

#[derive(Default)]
struct State {
    /// Kinds that get no answer.
    lost: BTreeSet<Kind>,
    since: Option<Instant>,
    /// Kinds that get an answer which we cannot use, with the reason told last.
    refused: BTreeMap<Kind, String>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client, state: RefCell::default(), back: Notify::new() }
    }

    /// A request for a kind failed and is tried again in a while.
    pub(crate) fn failed(&self, kind: Kind, failure: &Failure, wait: Duration) {
        let state = &mut *self.state.borrow_mut();
        let (server, wait) = (self.client.server(), wait.as_secs_f32());
        tracing::debug!("{kind}s of {server}: {failure}; again in {wait:.1} s");
        if !failure.is_outage() {
            // A server that says no is there.
            self.found(state, kind);
            let reason = failure.to_string();
            if state.refused.insert(kind, reason.clone()).as_ref() != Some(&reason) {
                tracing::warn!(
                    "{kind}s cannot be read from {server}: {reason}; what is known of them stays as it is, they \
                                are asked for until they come"
                );
            }
            return;
        }
        if state.lost.is_empty() {
            let hint = if self.client.is_in_cluster() {
                "; KUBERNETES_SERVICE_HOST is mostly a Service that only this proxy serves: give the API server's own \
                 address, in a kubeconfig or by --master"
            } else {
                ""
            };
            tracing::warn!(
                "the API server {} is lost: {failure}; everything stays as it is until it is back{hint}",
                self.client.way()
            );
            state.since = Some(Instant::now());
        }
        state.lost.insert(kind);
    }

    /// Resolves when another kind that was lost gets an answer: then the API server is back, and nobody who waits because it
    /// was lost has to wait any longer.
    pub(crate) async fn back(&self) {
        self.back.notified().await;
    }

    /// A kind that we can do without is not there.
    pub(crate) fn absent(&self, kind: Kind, failure: &Failure) {
        self.found(&mut self.state.borrow_mut(), kind);
        if self.state.borrow_mut().refused.insert(kind, String::new()).is_none() {
            tracing::info!("{} has no {kind}s for us, and we do without: {failure}", self.client.server());
        }
    }

    /// A request for a kind was answered as it should be.
    pub(crate) fn answered(&self, kind: Kind) {
        let state = &mut *self.state.borrow_mut();
        let server = self.client.server();
        if state.refused.remove(&kind).is_some() {
            tracing::info!("{kind}s can be read from {server} now");
        }
        self.found(state, kind);
    }

    /// There was an answer of whatever sort.
    fn found(&self, state: &mut State, kind: Kind) {
        if !state.lost.remove(&kind) {
            return;
        }
        self.back.notify_waiters();
        let server = self.client.server();
        tracing::debug!("{kind}s of {server} are answered again");
        if state.lost.is_empty() {
            let away = state.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            tracing::info!("the API server {server} is back after {:.1} s", away.as_secs_f32());
        }
    }
}
