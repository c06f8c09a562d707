//! Events: written once for all nodes, never waited for.

use std::time::Duration;

use portolan_core::ingest::{Kind, ObjectRef};
use portolan_kube::{EventSink, Identity, Notice, NoticeType, Regarding};
use portolan_scripted::{Answer, Server, Verb};
use serde_json::Value;

use super::world::*;

fn path(namespace: &str) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
}

fn start() -> Notice {
    Notice {
        regarding: Regarding::node("node-a"),
        type_: NoticeType::Normal,
        reason: "Starting",
        action: "StartKubeProxy",
        note: String::new(),
    }
}

fn rejected() -> Notice {
    let reference = ObjectRef { kind: Kind::Service, namespace: "team-a".into(), name: "web".into() };
    let identity = Identity { uid: "1-2-3".into(), version: "7".into() };
    Notice {
        regarding: Regarding::object(&reference, &identity),
        type_: NoticeType::Warning,
        reason: "Rejected",
        action: "Read",
        note: "spec.ports[0].port".to_owned(),
    }
}

/// Writes these notices, as a node of this name, until `done`. Gives how many were dropped.
async fn write(server: &Server, node: &str, notices: impl IntoIterator<Item = Notice>, done: impl Fn() -> bool) -> u64 {
    let (sink, written) = EventSink::new(client(server).await, node, PACE);
    notices.into_iter().for_each(|notice| sink.send(notice));
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = written => {}
        () = waiting => {}
    }
    sink.dropped()
}

fn bodies(server: &Server, namespace: &str) -> Vec<Value> {
    let requests = server.requests_for(&path(namespace), Verb::Create);
    requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

/// All nodes write the same name about an object; who comes second hears 409 and is content.
#[tokio::test]
async fn about_an_object_all_nodes_write_one_event() {
    let server = server();
    server.on(&path("team-a"), Verb::Create, [Answer::json(&Value::Null), Answer::status(409)]);
    // Notices are written one after another: when the second of a node comes, the answer to its first was dealt with.
    for (node, count) in [("a", 2), ("b", 4)] {
        let dropped = write(&server, node, [rejected(), rejected()], || bodies(&server, "team-a").len() == count).await;
        assert_eq!(dropped, 0);
    }
    let bodies = bodies(&server, "team-a");
    assert_eq!(bodies[0]["metadata"]["name"], bodies[2]["metadata"]["name"]);
    assert_eq!(bodies[0]["reportingInstance"], "kube-proxy-a");
    assert_eq!(bodies[2]["reportingInstance"], "kube-proxy-b");
    assert_eq!(bodies[0]["regarding"]["uid"], "1-2-3");
}

/// An API server in trouble is tried again; one that says no is not, and the next notice has its turn.
#[tokio::test]
async fn an_event_is_tried_again_unless_it_is_refused() {
    let server = server();
    let answers = [503, 503, 201, 403, 201].map(Answer::status);
    server.on(&path("default"), Verb::Create, answers);
    let dropped = write(&server, "a", [start(), start(), start()], || bodies(&server, "default").len() == 5).await;
    assert_eq!(dropped, 1);
    let names: Vec<_> = bodies(&server, "default").iter().map(|event| event["metadata"]["name"].to_string()).collect();
    assert_eq!(names[0], names[1]);
    assert_eq!(names[1], names[2]);
    assert_ne!(names[2], names[3]);
    assert_ne!(names[3], names[4]);
}

/// Nobody waits for Events, whatever the API server does.
#[tokio::test]
async fn too_many_are_dropped_and_counted() {
    let server = server();
    server.on(&path("default"), Verb::Create, [Answer::status(503)]);
    let dropped = write(&server, "a", (0..300).map(|_| start()), || true).await;
    assert_eq!(dropped, 300 - 256);
}
