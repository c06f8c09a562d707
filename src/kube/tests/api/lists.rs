//! Lists: in pages, slow, cut, forgotten half-way; and what they say is gone.

use std::time::Duration;

use portolan_core::ingest::Kind;
use portolan_scripted::{Answer, Step, Verb, endpoint_slice, event, list, pages, service};
use serde_json::json;

use super::world::*;

/// The same selectors as kube-proxy's, and lists in pages.
#[tokio::test]
async fn the_api_server_is_asked_for_what_concerns_a_proxy() {
    let server = server();
    // That a watch is open is seen by what comes over it.
    for path in KINDS {
        server.on(path, Verb::Watch, [Answer::watch(&[event("ADDED", &json!({"metadata": {"name": "x"}}))])]);
    }
    let client = client(&server).await;
    listen(&client, |told| told.count("applied") == 4).await;
    let selectors = |path: &str| {
        let lists = server.requests_for(path, Verb::List);
        let watches = server.requests_for(path, Verb::Watch);
        let (first, watch) = (&lists[0], &watches[0]);
        assert_eq!(first.parameter("limit"), "500");
        assert_eq!(watch.parameter("resourceVersion"), "1");
        assert_eq!(watch.parameter("allowWatchBookmarks"), "true");
        let seconds: u32 = watch.parameter("timeoutSeconds").parse().unwrap();
        assert!((240..=290).contains(&seconds), "{seconds}");
        assert!(first.user_agent.as_ref().unwrap().starts_with("portolan/"));
        for parameter in ["labelSelector", "fieldSelector"] {
            assert_eq!(first.parameter(parameter), watch.parameter(parameter));
        }
        (first.parameter("labelSelector").to_owned(), first.parameter("fieldSelector").to_owned())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(selectors(SERVICES), pair("!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"));
    assert_eq!(selectors(SLICES), pair("!service.kubernetes.io/headless", ""));
    assert_eq!(selectors(NODES), pair("", "metadata.name=node-a"));
    assert_eq!(selectors(CIDRS), pair("", ""));
}

#[tokio::test]
async fn pages_are_applied_as_they_come_and_told_complete_after_the_last() {
    let server = server();
    server.on(SERVICES, Verb::List, [pages(7, &[service(0), service(1), service(2)], 2)]);
    let client = client(&server).await;
    let mut told = listen(&client, all_listed).await;
    let expected = ["applied Service ns-0/web-0", "applied Service ns-0/web-1", "applied Service ns-0/web-2"];
    assert_eq!(told.of(Kind::Service), [&expected[..], &["listed Service all"]].concat());
    assert_eq!(told.served().len(), 3);
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 2);
}

/// A list that breaks off tells nothing about what is gone; the next one tells also what is gone since the broken one.
#[tokio::test]
async fn nothing_is_gone_before_a_list_is_complete() {
    let server = server();
    let Answer::Pages(broken) = pages(7, &[service(0), service(1), service(2)], 2) else { unreachable!() };
    let half = broken[1].slice(..broken[1].len() / 2);
    server.on(
        SERVICES,
        Verb::List,
        [
            Answer::Whole(broken[0].clone()),
            Answer::Steps(vec![Step::Bytes(half), Step::Cut]),
            Answer::Whole(broken[0].clone()),
            Answer::status(500),
            Answer::json(&list(9, &[service(1), service(2)])),
        ],
    );
    let client = client(&server).await;
    let mut told = listen(&client, |told| is_listed(told, Kind::Service)).await;
    let applied = |i: u32| format!("applied {}", web(i));
    let expected = [applied(0), applied(1), applied(0), applied(1), applied(1), applied(2), "listed Service 2".into()];
    assert_eq!(told.of(Kind::Service), expected);
    assert_eq!(told.served(), ["ns-0/web-1:http 0".to_owned(), "ns-0/web-2:http 0".to_owned()].into());
}

#[tokio::test]
async fn a_slow_list_comes_to_its_end() {
    let server = server();
    let slow = Answer::slow(&list(7, &[service(0), service(1)]), 40, Duration::from_millis(5));
    server.on(SERVICES, Verb::List, [slow]);
    let client = client(&server).await;
    let told = listen(&client, |told| is_listed(told, Kind::Service)).await;
    assert_eq!(told.of(Kind::Service).len(), 3);
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 1);
}

/// etcd forgets old versions after five minutes: a list that takes longer cannot be finished in pages.
#[tokio::test]
async fn a_list_whose_rest_is_forgotten_is_asked_for_as_a_whole() {
    let server = server();
    let Answer::Pages(halves) = pages(7, &[service(0), service(1)], 1) else { unreachable!() };
    let whole = Answer::json(&list(8, &[service(0), service(1)]));
    server.on(SERVICES, Verb::List, [Answer::Whole(halves[0].clone()), Answer::status(410), whole]);
    let client = client(&server).await;
    let told = listen(&client, |told| is_listed(told, Kind::Service)).await;
    assert_eq!(told.of(Kind::Service).last(), Some(&"listed Service 2"));
    let limits: Vec<_> = server.requests_for(SERVICES, Verb::List);
    let limits: Vec<_> = limits.iter().map(|request| request.parameter("limit")).collect();
    assert_eq!(limits, ["500", "500", ""]);
}

/// An empty list is an answer like any other: everything is gone.
#[tokio::test]
async fn an_empty_list_after_410_empties_the_cluster() {
    let server = server();
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[service(0), service(1)])), Answer::json(&list(9, &[]))]);
    server.on(SERVICES, Verb::Watch, [Answer::status(410), Answer::watch(&[])]);
    let client = client(&server).await;
    let mut told = listen(&client, |told| told.count("listed Service ") == 2).await;
    assert_eq!(told.of(Kind::Service).last(), Some(&"listed Service 0"));
    assert_eq!(told.served(), [].into());
}

/// Go's encoder writes a list that nobody made as null.
#[tokio::test]
async fn a_list_of_null_is_empty() {
    let server = server();
    let null = json!({"kind": "ServiceList", "metadata": {"resourceVersion": "5"}, "items": null});
    server.on(SERVICES, Verb::List, [Answer::json(&null)]);
    let client = client(&server).await;
    let told = listen(&client, all_listed).await;
    assert_eq!(told.of(Kind::Service), ["listed Service all"]);
}

/// etcd's limit for an object is 1.5 MiB.
#[tokio::test]
async fn huge_objects_are_objects() {
    let server = server();
    let mut huge = service(0);
    huge["metadata"]["annotations"]["huge"] = "\\\"x".repeat(400_000).into();
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[huge.clone()]))]);
    server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("MODIFIED", &at(8, huge)), event("ADDED", &service(1))])]);
    let client = client(&server).await;
    let mut told = listen(&client, |told| told.lines.iter().any(|line| line.ends_with("web-1"))).await;
    assert_eq!(told.served().len(), 2);
}

/// What is wrong in an object is found later, by core: nothing here fails by it.
#[tokio::test]
async fn objects_of_wrong_types_are_told_too() {
    let server = server();
    let bad = json!({"metadata": {"namespace": "a", "name": "bad", "resourceVersion": 5}, "spec": [1, {"x": null}]});
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[bad.clone(), service(1)]))]);
    server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("MODIFIED", &bad), event("ADDED", &service(2))])]);
    let client = client(&server).await;
    let told = listen(&client, |told| told.lines.iter().any(|line| line.ends_with("web-2"))).await;
    assert_eq!(told.count("applied Service a/bad"), 2);
    assert_eq!(told.cluster.findings().len(), 1);
}

/// Many pages of real size, and slices beside them.
#[tokio::test]
async fn large_lists_come_in_many_pages() {
    let server = server();
    let services: Vec<_> = (0..3000).map(service).collect();
    let slices: Vec<_> = (0..3000).map(|i| endpoint_slice(i, 2)).collect();
    server.on(SERVICES, Verb::List, [pages(40_000, &services, 500)]);
    server.on(SLICES, Verb::List, [pages(40_000, &slices, 500)]);
    let client = client(&server).await;
    let mut told = listen(&client, all_listed).await;
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 6);
    let served = told.served();
    assert_eq!(served.len(), 3000);
    assert!(served.iter().all(|port| port.ends_with(" 2")));
}
