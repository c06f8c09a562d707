//! One kind: list, watch, and again, whatever happens.

use std::{collections::BTreeSet, marker::PhantomData, ops::ControlFlow, time::Duration};

use http::Response;
use kube::{client::Body, core::request};
use portolan_core::ingest::{Kind, Object, ObjectRef};
use tokio::time::{Instant, sleep};

use super::{
    Event, WatchOptions,
    reach::Reach,
    resource::Resource,
    wire::{Change, Page, Watched},
};
use crate::{
    client::{Client, Turn, read_more},
    failure::Failure,
    pace::{Backoff, Pace, jittered, part_of},
};

/// How long we ask a watch to last at least, in seconds, and how much longer at most: not all watches of all nodes should
/// end together. Each new one looks at the files with the credentials, at least every five minutes.
const WATCH: (u64, u64) = (240, 50);
/// The API server sends a bookmark about once a minute: with none for so long it is not there.
const SILENCE: Duration = Duration::from_secs(150);
/// The same while a list is streamed. API servers that do not know how send objects and then wait for changes.
const LIST_SILENCE: Duration = Duration::from_secs(30);
/// How much longer than asked for a watch may last.
const GRACE: Duration = Duration::from_secs(10);
/// A watch that ends sooner, and without having told anything, did not work.
const SHORT: Duration = Duration::from_secs(1);
/// What `Retry-After` may ask of us.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// After so many watches in a row that were refused there is a new list.
const DEAF: u32 = 3;
/// A buffer that has grown larger than this, by a burst, is given back.
const BUFFER: usize = 256 << 10;

/// Why following stops, for a while or for good.
enum End {
    /// The receiver wants no more.
    Stopped,
    /// What we knew is out of date: a new list is needed.
    Expired,
    /// A request failed, and has to be tried again.
    Failed(Failure),
    /// A watch ended that should have gone on. Whether the API server is lost the next request tells.
    Broken(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        if failure.is_expired() { Self::Expired } else { Self::Failed(failure) }
    }
}

impl From<request::Error> for End {
    fn from(error: request::Error) -> Self {
        Self::Failed(Failure::Unreadable(error.to_string()))
    }
}

/// Where events of one kind go.
pub(crate) struct Sink<'a, S> {
    kind: Kind,
    tell: &'a S,
    /// Whether an object was told ever.
    used: bool,
    /// The names of a list on its way, where the receiver may know others.
    names: Option<BTreeSet<ObjectRef>>,
}

impl<'a, S: AsyncFn(Event) -> ControlFlow<()>> Sink<'a, S> {
    pub(crate) const fn new(kind: Kind, tell: &'a S) -> Self {
        Self { kind, tell, used: false, names: None }
    }

    /// A list begins. The one before may have come half, and what it told may be gone by now.
    fn begin_list(&mut self) {
        self.names = self.used.then(BTreeSet::new);
    }

    async fn end_list(&mut self) -> Result<(), End> {
        let names = self.names.take();
        self.tell(Event::Listed { kind: self.kind, names }).await
    }

    async fn applied(&mut self, object: Box<Object>) -> Result<(), End> {
        self.used = true;
        if let Some(names) = &mut self.names {
            names.insert(object.reference());
        }
        self.tell(Event::Applied(object)).await
    }

    async fn tell(&self, event: Event) -> Result<(), End> {
        match (self.tell)(event).await {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(End::Stopped),
        }
    }
}

/// Follows one kind.
pub(crate) struct Follower<'a, T, S> {
    client: &'a Client,
    options: &'a WatchOptions,
    resource: Resource,
    sink: Sink<'a, S>,
    reach: &'a Reach<'a>,
    backoff: Backoff,
    /// The same for a kind that is not there.
    absent: Backoff,
    /// How many watches in a row were refused.
    deaf: u32,
    /// Whether what we knew was out of date, and no watch has told anything since.
    expired: bool,
    /// Up to where we know everything: where the next watch begins.
    version: Option<String>,
    /// Whether lists are streamed, until the API server says that it cannot.
    streaming: bool,
    /// Whether the next list is one by pages for once, after a streamed one that did not end.
    paged_once: bool,
    /// Whether the next list is one without pages, after the API server had forgotten the rest of one.
    whole_once: bool,
    objects: PhantomData<T>,
}

impl<'a, T: Watched, S: AsyncFn(Event) -> ControlFlow<()>> Follower<'a, T, S> {
    pub(crate) fn new(
        client: &'a Client,
        options: &'a WatchOptions,
        resource: Resource,
        sink: Sink<'a, S>,
        reach: &'a Reach<'a>,
    ) -> Self {
        Self {
            client,
            resource,
            sink,
            reach,
            backoff: Backoff::new(options.pace),
            absent: Backoff::new(Pace { longest: options.pace.absent, ..options.pace }),
            expired: false,
            deaf: 0,
            version: None,
            streaming: options.streaming,
            paged_once: false,
            whole_once: false,
            objects: PhantomData,
            options,
        }
    }

    /// Goes on until the receiver wants no more.
    pub(crate) async fn run(mut self) {
        loop {
            let end = match self.version.take() {
                Some(version) => self.watch(version).await,
                None if self.streaming && !self.paged_once => self.stream().await,
                None => self.list().await,
            };
            let (wait, least) = match end {
                Ok(()) => continue,
                Err(End::Stopped) => return,
                Err(End::Expired) => {
                    self.version = None;
                    // Once after an outage that is how it should be, however long we had come to wait by then.
                    let again = std::mem::replace(&mut self.expired, true);
                    let wait = if again { self.backoff.failed() } else { jittered(self.options.pace.first) };
                    tracing::debug!("{}s: 410, listed again in {:.1} s", self.resource.kind, wait.as_secs_f32());
                    (wait, wait)
                }
                Err(End::Broken(failure)) => {
                    let wait = self.backoff.failed();
                    tracing::debug!("{}s: {failure}; watched again in {:.1} s", self.resource.kind, wait.as_secs_f32());
                    (wait, wait.min(self.options.pace.first))
                }
                Err(End::Failed(failure)) => self.failed(&failure),
            };
            sleep(least).await;
            tokio::select! {
                () = sleep(wait.saturating_sub(least)) => {}
                () = self.reach.back() => {
                    self.backoff.renew();
                    sleep(part_of(self.options.pace.first)).await;
                }
            }
        }
    }

    /// How long to wait after a failure, and how long at least, whatever is heard meanwhile.
    fn failed(&mut self, failure: &Failure) -> (Duration, Duration) {
        if self.resource.optional && failure.is_absent() {
            self.reach.absent(self.resource.kind, failure);
            // Not at once for long: an API server that starts refuses everything until it has read its roles.
            let wait = self.absent.failed();
            return (wait, wait);
        }
        let asked = match failure {
            Failure::Refused { retry_after: Some(time), .. } => jittered(LONGEST_RETRY_AFTER.min(*time)),
            _ => Duration::ZERO,
        };
        let wait = self.backoff.failed().max(asked);
        self.reach.failed(self.resource.kind, failure, wait);
        (wait, asked)
    }

    /// A complete list, page by page.
    async fn list(&mut self) -> Result<(), End> {
        self.sink.begin_list();
        let whole = std::mem::take(&mut self.whole_once);
        let (mut rest, mut turn) = (None, Turn::Own);
        let mut text = Vec::new();
        loop {
            let more = rest.is_some();
            let request = self.resource.list(rest, whole)?;
            self.client.fetch(request, turn, &mut text).await.inspect_err(|failure| {
                self.whole_once = more && failure.is_expired();
            })?;
            let page = Page::<T>::read(&text)?;
            for item in page.items.into_iter().flatten() {
                self.sink.applied(item.object).await?;
            }
            if page.metadata.rest.is_empty() {
                if page.metadata.resource_version.is_empty() {
                    return Err(Failure::Unreadable("a list without a resourceVersion".to_owned()).into());
                }
                self.version = Some(page.metadata.resource_version);
                self.paged_once = false;
                self.reach.answered(self.resource.kind);
                return self.sink.end_list().await;
            }
            (rest, turn) = (Some(page.metadata.rest), Turn::Same);
        }
    }

    /// A complete list as the beginning of a watch, and that watch.
    async fn stream(&mut self) -> Result<(), End> {
        self.sink.begin_list();
        let (seconds, begin) = (seconds(), Instant::now());
        let answer = match self.client.open(self.resource.watch(None, seconds)?, Turn::Own).await {
            Err(failure) if failure.is_not_understood() => {
                tracing::info!(
                    "the API server cannot stream {}s, they are listed in pages: {failure}",
                    self.resource.kind
                );
                self.streaming = false;
                return Ok(());
            }
            answer => answer?,
        };
        self.paged_once = true;
        self.read(answer, begin, seconds, true).await
    }

    /// All changes since a version.
    async fn watch(&mut self, version: String) -> Result<(), End> {
        let (seconds, begin) = (seconds(), Instant::now());
        let request = self.resource.watch(Some(&version), seconds)?;
        self.version = Some(version);
        let answer = self.client.open(request, Turn::Own).await.inspect_err(|failure| {
            self.deaf += u32::from(matches!(failure, Failure::Refused { code: 400 | 500, .. }));
            if self.deaf >= DEAF {
                // It may be this version that the API server cannot begin at.
                (self.version, self.deaf) = (None, 0);
            }
        })?;
        self.read(answer, begin, seconds, false).await
    }

    /// Reads a watch until it ends, as it should after so many seconds.
    async fn read(
        &mut self,
        answer: Response<Body>,
        begin: Instant,
        seconds: u32,
        mut listing: bool,
    ) -> Result<(), End> {
        self.reach.answered(self.resource.kind);
        let mut body = answer.into_body();
        let mut buffer = Vec::new();
        let mut silent = true;
        let last = Duration::from_secs(seconds.into()) + GRACE;
        loop {
            let fresh = buffer.len();
            let silence = if listing { LIST_SILENCE } else { SILENCE };
            let left = last.saturating_sub(begin.elapsed());
            let more = read_more(&mut body, silence.min(left), &mut buffer).await;
            if begin.elapsed() >= last {
                return Ok(());
            }
            if more.is_err() && silent && begin.elapsed() >= silence {
                // Not even a bookmark: etcd may have been put back to an earlier state, from which nobody tells us anything.
                self.version = None;
            }
            let more = more.map_err(|failure| match failure {
                // An API server that cannot stream lists is silent too.
                Failure::Mute(_) if !listing => End::Failed(failure),
                _ => End::Broken(failure),
            });
            if !more? {
                let short = silent && begin.elapsed() < SHORT;
                let reason = match (listing, short) {
                    (true, _) => "the streamed list ended before it was complete",
                    (false, true) => "the watch ended at once",
                    (false, false) => return Ok(()),
                };
                return Err(End::Broken(Failure::Silent(reason.to_owned())));
            }
            // Lines that came whole; what lies before `fresh` has no end of a line.
            let Some(end) = buffer.get(fresh..).and_then(|new| new.iter().rposition(|&byte| byte == b'\n')) else {
                continue;
            };
            let end = fresh + end + 1;
            for line in buffer.get(..end).unwrap_or_default().split(|&byte| byte == b'\n') {
                if !line.is_empty() {
                    listing = self.take(Change::read::<T>(line)?, listing).await?;
                    (silent, self.expired, self.deaf) = (false, false, 0);
                }
            }
            buffer.drain(..end);
            if buffer.capacity() > BUFFER {
                buffer.shrink_to(BUFFER);
            }
        }
    }

    /// Takes in a line of a watch. Gives whether a streamed list is still on its way.
    async fn take(&mut self, change: Change, listing: bool) -> Result<bool, End> {
        let version = match change {
            Change::Applied(object) => {
                let version = object.version().resource_version.map(str::to_owned);
                self.sink.applied(Box::new(object)).await?;
                version
            }
            Change::Deleted(object) => {
                self.sink.tell(Event::Deleted(object.reference())).await?;
                object.version().resource_version.map(str::to_owned)
            }
            Change::Bookmark { version, ends_list } if listing && ends_list => {
                self.version = Some(version);
                self.paged_once = false;
                return self.sink.end_list().await.map(|()| false);
            }
            Change::Bookmark { version, .. } => Some(version),
            Change::Failed(failure) => return Err(failure.into()),
        };
        // The objects of a streamed list come in no order of versions: half of it is nothing to go on from.
        if let Some(version) = version.filter(|_| !listing) {
            self.version = Some(version);
        }
        Ok(listing)
    }
}

/// How long to ask a watch to last.
fn seconds() -> u32 {
    let (least, more) = WATCH;
    let seconds = least + part_of(Duration::from_secs(more)).as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
