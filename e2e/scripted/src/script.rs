//! What the server answers next, and what it was asked: shared by the test and the server's thread.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::{Answer, Recorded, Verb};

type Watcher = mpsc::UnboundedSender<Option<Bytes>>;

#[derive(Default)]
pub(crate) struct Script {
    answers: BTreeMap<(String, Verb), VecDeque<Answer>>,
    watchers: BTreeMap<String, Vec<Watcher>>,
    /// The tokens that are let in; all, and none at all, where there are none.
    pub(crate) tokens: BTreeSet<String>,
    pub(crate) requests: Vec<Recorded>,
}

/// The script, for two threads.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Script>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Script> {
        // What a test panics about is not here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    pub(crate) fn set(&mut self, path: &str, verb: Verb, answers: impl IntoIterator<Item = Answer>) {
        self.answers.insert((path.to_owned(), verb), answers.into_iter().collect());
    }

    /// Keeps the request and gives the answer to it. Where nothing is scripted, nothing is there: 404.
    pub(crate) fn answer(&mut self, request: Recorded) -> Answer {
        let allowed = self.tokens.is_empty() || request.token.as_ref().is_some_and(|token| self.tokens.contains(token));
        let key = (request.path.clone(), request.verb);
        self.requests.push(request);
        if !allowed {
            return Answer::status(401);
        }
        let Some(answers) = self.answers.get_mut(&key) else { return Answer::status(404) };
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.unwrap_or_else(|| Answer::status(404))
    }

    /// From now on what is sent to this path goes to this watcher too.
    pub(crate) fn listen(&mut self, path: &str, watcher: Watcher) {
        self.watchers.entry(path.to_owned()).or_default().push(watcher);
    }

    /// Sends to all who still listen. Gives how many they are.
    pub(crate) fn send(&mut self, path: &str, piece: Option<&Bytes>) -> usize {
        let watchers = self.watchers.entry(path.to_owned()).or_default();
        watchers.retain(|watcher| watcher.send(piece.cloned()).is_ok());
        if piece.is_none() {
            return std::mem::take(watchers).len();
        }
        watchers.len()
    }
}
