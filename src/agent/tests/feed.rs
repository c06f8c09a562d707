//! The main thread of `run` with manifests: events reach the other thread, and a signal ends it. A program of its own: it
//! sends itself a signal.

#![allow(clippy::unwrap_used, reason = "test code as a whole")]

mod support;

use std::os::fd::AsFd;

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
};
use portolan::{
    feed::{FeedError, feed},
    mailbox::{Closed, mailbox},
    manifest::{Event, Follower},
    signals::Shutdown,
    sync_loop::Message,
};

#[tokio::test]
async fn events_arrive_until_a_signal_comes() {
    let folder = tempfile::tempdir().unwrap();
    support::write(folder.path(), "a.yaml", &support::service("a", "172.30.0.1"));
    let manifests = Follower::open(folder.path()).unwrap();
    let mut shutdown = Shutdown::listen().unwrap();
    let (mailbox, inbox) = mailbox().unwrap();

    let path = folder.path().to_owned();
    let receiver = std::thread::spawn(move || {
        let mut told = Vec::new();
        let mut scans = 0;
        while scans < 2 {
            poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
            for message in inbox.take().messages {
                let Message::Manifest(event) = message else { panic!("{message:?}") };
                told.extend(support::line(&event));
                if matches!(event, Event::Scanned { .. }) {
                    scans += 1;
                    if scans == 1 {
                        support::write(&path, "next", &support::service("b", "172.30.0.2"));
                        std::fs::rename(path.join("next"), path.join("b.yaml")).unwrap();
                    }
                }
            }
            // Creating `next` is worth a scan, and may be seen before the renaming or with it.
            if scans == 2 && told.len() == 1 {
                scans = 1;
            }
        }
        // Delivered to this thread; the runtime's handler is the process's and wakes the main thread.
        raise(Signal::SIGTERM).unwrap();
        (told, inbox)
    });
    let signal = tokio::select! {
        signal = shutdown.requested() => signal,
        ended = feed(manifests, &mailbox) => panic!("{ended:?}"),
    };
    assert_eq!(signal, "SIGTERM");
    let (told, inbox) = receiver.join().unwrap();
    assert_eq!(told, ["+Service default/a", "+Service default/b"]);

    drop(inbox);
    support::write(folder.path(), "c.yaml", &support::service("c", "172.30.0.3"));
    let gone = feed(Follower::open(folder.path()).unwrap(), &mailbox).await;
    assert!(matches!(gone, Err(FeedError::Closed(Closed))));
}
