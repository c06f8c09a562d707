//! Lists as the beginning of a watch.

use portolan_core::ingest::Kind;
use portolan_scripted::{Answer, Server, Verb, event, list, service};
use serde_json::{Value, json};

use super::world::*;

fn end_of_list(version: &str) -> Value {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    event("BOOKMARK", &json!({"metadata": {"resourceVersion": version, "annotations": annotations}}))
}

fn streaming() -> Server {
    let server = server();
    for path in KINDS {
        server.on(path, Verb::Stream, [Answer::watch(&[end_of_list("5")])]);
    }
    server
}

#[tokio::test]
async fn a_streamed_list_is_complete_at_its_mark_and_goes_on_as_a_watch() {
    let server = streaming();
    let events = [event("ADDED", &service(0)), event("ADDED", &service(1)), end_of_list("50")];
    let more = [&events[..], &[event("DELETED", &at(60, service(0)))]].concat();
    server.on(SERVICES, Verb::Stream, [Answer::cut_watch(&more)]);
    server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("ADDED", &at(61, service(2)))])]);
    let client = client(&server).await;
    let told = listen_with(&client, true, |told| told.of(Kind::Service).len() == 5).await;
    let expected = [
        "applied Service ns-0/web-0",
        "applied Service ns-0/web-1",
        "listed Service all",
        "deleted Service ns-0/web-0",
        "applied Service ns-0/web-2",
    ];
    assert_eq!(told.of(Kind::Service), expected);
    assert_eq!(server.requests_for(SERVICES, Verb::Watch)[0].parameter("resourceVersion"), "60");
    let request = &server.requests_for(SERVICES, Verb::Stream)[0];
    assert_eq!(request.parameter("resourceVersionMatch"), "NotOlderThan");
    assert_eq!(server.requests_for(SERVICES, Verb::List), []);
}

/// The API server says so, as without the gate WatchList: from then on lists come in pages.
#[tokio::test]
async fn without_watch_list_there_are_pages() {
    let server = streaming();
    server.on(SERVICES, Verb::Stream, [Answer::status(422)]);
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[service(0)]))]);
    server.on(SERVICES, Verb::Watch, [Answer::status(410), Answer::watch(&[])]);
    let client = client(&server).await;
    listen_with(&client, true, |told| told.count("listed Service ") == 2).await;
    assert_eq!(server.requests_for(SERVICES, Verb::Stream).len(), 1);
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 2);
}

/// It does not say so, and just ends: the list comes in pages for once.
#[tokio::test]
async fn a_streamed_list_without_its_mark_is_none() {
    let server = streaming();
    server.on(SERVICES, Verb::Stream, [Answer::short_watch(&[event("ADDED", &service(0))])]);
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[service(1)]))]);
    let client = client(&server).await;
    let mut told = listen_with(&client, true, |told| is_listed(told, Kind::Service)).await;
    assert_eq!(told.of(Kind::Service).last(), Some(&"listed Service 1"));
    assert_eq!(told.served(), ["ns-0/web-1:http 0".to_owned()].into());
}
