//! Watches: where they go on, and what they may tell.

use std::{cell::Cell, ops::ControlFlow, rc::Rc, time::Duration};

use portolan_core::ingest::Kind;
use portolan_kube::{WatchOptions, watch};
use portolan_scripted::{Answer, Server, Step, Verb, endpoint_slice, event, list, service};
use serde_json::{Value, json};

use super::world::*;

fn bookmark(version: &str) -> Value {
    event("BOOKMARK", &json!({"kind": "Service", "metadata": {"resourceVersion": version}}))
}

/// The versions that watches of Services began at.
fn versions(server: &Server) -> Vec<String> {
    let watches = server.requests_for(SERVICES, Verb::Watch);
    watches.iter().map(|request| request.parameter("resourceVersion").to_owned()).collect()
}

/// Whether it ended in order or was cut, a watch goes on where the last event or bookmark was, and nothing is listed again.
#[tokio::test]
async fn a_watch_goes_on_where_it_was() {
    let server = server();
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[service(0)]))]);
    server.on(
        SERVICES,
        Verb::Watch,
        [
            Answer::cut_watch(&[event("MODIFIED", &at(12, service(0)))]),
            Answer::short_watch(&[bookmark("20")]),
            Answer::cut_watch(&[event("DELETED", &at(22, service(0)))]),
            Answer::status(503),
            Answer::watch(&[event("ADDED", &at(30, service(1)))]),
        ],
    );
    let client = client(&server).await;
    let mut told = listen(&client, |told| told.lines.iter().any(|line| line.ends_with("web-1"))).await;
    assert_eq!(versions(&server), ["7", "12", "20", "22", "22"]);
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 1);
    let expected = [
        "applied Service ns-0/web-0",
        "listed Service all",
        "applied Service ns-0/web-0",
        "deleted Service ns-0/web-0",
        "applied Service ns-0/web-1",
    ];
    assert_eq!(told.of(Kind::Service), expected);
    assert_eq!(told.served(), ["ns-0/web-1:http 0".to_owned()].into());
}

/// 410 in the middle: a new list, and what it lacks is gone.
#[tokio::test]
async fn expired_versions_lead_to_a_new_list() {
    let server = server();
    let lists = [list(7, &[service(0), service(1)]), list(40, &[service(1), service(2)])];
    server.on(SERVICES, Verb::List, lists.iter().map(Answer::json));
    let gone = event("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));
    server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("ADDED", &at(9, service(3))), gone]), Answer::watch(&[])]);
    let client = client(&server).await;
    let mut told = listen(&client, |told| told.count("listed Service ") == 2).await;
    let lines = told.of(Kind::Service);
    assert_eq!(
        lines[3..],
        ["applied Service ns-0/web-3", "applied Service ns-0/web-1", "applied Service ns-0/web-2", "listed Service 2"]
    );
    assert_eq!(told.served(), ["ns-0/web-1:http 0".to_owned(), "ns-0/web-2:http 0".to_owned()].into());
}

/// Whatever the order between objects, and however often something is told, the end is the same.
#[tokio::test]
async fn duplicates_and_disorder_come_to_the_same_end() {
    let server = server();
    let slice = |i| endpoint_slice(i, 2);
    let events = [
        event("MODIFIED", &at(30, slice(0))),
        event("ADDED", &at(20, slice(0))),
        event("DELETED", &at(31, slice(9))),
        event("ADDED", &at(19, slice(1))),
        event("ADDED", &at(19, slice(1))),
        event("DELETED", &at(32, slice(1))),
        event("ADDED", &at(33, slice(1))),
        event("MODIFIED", &at(34, slice(2))),
    ];
    server.on(SLICES, Verb::Watch, [Answer::watch(&events)]);
    // The Services come only after their slices.
    server.on(
        SERVICES,
        Verb::List,
        [Answer::status(503), Answer::json(&list(50, &[service(2), service(1), service(0)]))],
    );
    server.on(
        SERVICES,
        Verb::Watch,
        [Answer::watch(&[event("ADDED", &at(45, service(1))), event("ADDED", &at(51, service(3)))])],
    );
    let client = client(&server).await;
    let mut told = listen(&client, |told| {
        told.of(Kind::EndpointSlice).len() == events.len() + 1 && told.of(Kind::Service).len() == 6
    })
    .await;
    let expected = ["ns-0/web-0:http 2", "ns-0/web-1:http 2", "ns-0/web-2:http 2", "ns-0/web-3:http 0"];
    assert_eq!(told.served(), expected.map(str::to_owned).into());
}

/// Events in one piece, and one event in many.
#[tokio::test]
async fn lines_may_come_in_any_pieces() {
    let server = server();
    let text = format!("{}\n{}\n\n{}\n", event("ADDED", &service(0)), bookmark("9"), event("ADDED", &service(1)));
    let pieces = text.as_bytes().chunks(7).map(|piece| Step::Bytes(piece.to_vec().into()));
    server.on(SERVICES, Verb::Watch, [Answer::Steps(pieces.chain([Step::Live]).collect())]);
    let client = client(&server).await;
    let told = listen(&client, |told| told.count("applied") == 2).await;
    assert_eq!(told.of(Kind::Service).len(), 3);
}

/// A line that is no event, and a type of the future: the watch begins again, nothing is lost.
#[tokio::test]
async fn what_cannot_be_read_is_asked_for_again() {
    let server = server();
    server.on(
        SERVICES,
        Verb::Watch,
        [
            Answer::Steps(vec![Step::Bytes("<html>\n".into()), Step::Live]),
            Answer::watch(&[event("RENAMED", &service(0))]),
            Answer::watch(&[event("ADDED", &service(0))]),
        ],
    );
    server.on(SLICES, Verb::List, [Answer::Whole("{\"items\": 5}".into()), Answer::json(&list(1, &[]))]);
    let client = client(&server).await;
    listen(&client, |told| told.count("applied") == 1 && is_listed(told, Kind::EndpointSlice)).await;
    assert_eq!(versions(&server), ["1", "1", "1"]);
}

/// Listens while `clock` goes on, and until it is over; it can see how much was told so far.
async fn listen_while<F: Future<Output = ()>>(server: &Server, clock: impl FnOnce(Rc<Cell<usize>>) -> F) {
    let client = client(server).await;
    let told = Rc::new(Cell::new(0));
    let options = WatchOptions { node: "node-a".to_owned(), streaming: false, pace: PACE };
    let count = told.clone();
    let sink = async move |_| {
        count.set(count.get() + 1);
        ControlFlow::Continue(())
    };
    tokio::select! {
        () = clock(told) => {}
        () = watch(&client, &options, sink) => {}
    }
    for path in KINDS {
        assert_eq!(server.requests_for(path, Verb::List).len(), 1, "nothing is listed again");
        assert_eq!(server.requests_for(path, Verb::Watch).len(), 2);
    }
}

/// Waits until so much was told.
async fn told(count: &Cell<usize>, enough: usize) {
    while count.get() < enough {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets so much time go by for us, and none for the server.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// All lists are empty, and every watch begins with an event: that it is read can be seen.
fn telling_server() -> Server {
    let server = server();
    for path in KINDS {
        server.on(path, Verb::Watch, [Answer::watch(&[event("ADDED", &json!({"metadata": {"name": "x"}}))])]);
    }
    server
}

/// A watch on which nothing comes, not even bookmarks, is not believed for longer than 150 seconds. That is said once.
#[tokio::test]
async fn a_silent_watch_is_opened_anew() {
    let (lines, _guard) = log();
    let server = telling_server();
    listen_while(&server, async |count| {
        told(&count, 8).await;
        for seconds in [149, 2] {
            assert_eq!(server.requests_for(SERVICES, Verb::Watch).len(), 1);
            pass(seconds).await;
        }
        told(&count, 12).await;
    })
    .await;
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.matches("is lost: nothing came for 150 s").count(), 1, "{lines}");
    assert_eq!(lines.matches("is back after ").count(), 1, "{lines}");
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// However much comes, after five minutes a watch is opened anew, so that new credentials come into use.
#[tokio::test]
async fn no_watch_lasts_longer_than_five_minutes() {
    let server = telling_server();
    listen_while(&server, async |count| {
        told(&count, 8).await;
        for enough in [12, 16] {
            pass(115).await;
            for path in KINDS {
                server.send(path, &event("MODIFIED", &json!({"metadata": {"name": "x"}})));
            }
            told(&count, enough).await;
            assert_eq!(server.requests_for(SERVICES, Verb::Watch).len(), 1);
        }
        pass(71).await;
        told(&count, 20).await;
    })
    .await;
}
