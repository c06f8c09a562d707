//! The API server away, overloaded, or without what we ask for.

use std::time::{Duration, Instant};

use portolan_core::ingest::Kind;
use portolan_scripted::{Answer, Verb, event, list, service};

use super::world::*;

/// All kinds lose it, and the log has one line; nothing is deleted meanwhile.
#[tokio::test]
async fn an_outage_is_one_line_and_its_end_another() {
    let (lines, _guard) = log();
    let server = server();
    let outage = [Answer::cut_watch(&[]), Answer::status(503), Answer::status(500), Answer::status(503)];
    server.on(SERVICES, Verb::List, [Answer::json(&list(7, &[service(0)]))]);
    let last = Answer::watch(&[event("ADDED", &service(1))]);
    for path in KINDS {
        server.on(path, Verb::Watch, outage.iter().cloned().chain([last.clone()]));
    }
    let client = client(&server).await;
    let told = listen(&client, |told| told.count("applied") == 5).await;
    assert_eq!(told.count("deleted"), 0);
    assert_eq!(told.count("listed"), 4, "nothing is listed again");
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.matches("is lost: ").count(), 1, "{lines}");
    assert_eq!(lines.matches("is back after ").count(), 1, "{lines}");
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// 403 is no outage: it is said which kind, once, and the others go on.
#[tokio::test]
async fn a_kind_that_is_forbidden_is_named_once() {
    let (lines, _guard) = log();
    let server = server();
    let forbidden = (0..5).map(|_| Answer::status(403));
    server.on(SLICES, Verb::List, forbidden.chain([Answer::json(&list(1, &[]))]));
    let client = client(&server).await;
    listen(&client, all_listed).await;
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.matches("EndpointSlices cannot be read").count(), 1, "{lines}");
    assert_eq!(lines.matches("EndpointSlices can be read").count(), 1, "{lines}");
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// Clusters before 1.33 have no ServiceCIDRs, old roles do not allow them: nothing waits for them, and they are found when
/// they come.
#[tokio::test]
async fn service_cidrs_may_be_missing_or_forbidden() {
    for code in [403, 404] {
        let (lines, _guard) = log();
        let server = server();
        server.on(CIDRS, Verb::List, [Answer::status(code)]);
        let client = client(&server).await;
        let mut asked = 0;
        listen(&client, |told| {
            if told.lines.len() == 3 {
                assert!(!is_listed(told, Kind::ServiceCidr));
                assert!(server.wait_for(CIDRS, Verb::List, 1));
                asked = server.requests_for(CIDRS, Verb::List).len();
                let later = [Answer::status(code), Answer::json(&list(1, &[]))];
                server.on(CIDRS, Verb::List, later);
            }
            is_listed(told, Kind::ServiceCidr)
        })
        .await;
        assert_eq!(asked, 1, "asked for again, but not soon");
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        assert_eq!(lines.matches("we do without").count(), 1, "{lines}");
    }
}

/// 429 with `Retry-After`: not asked again before that time.
#[tokio::test]
async fn the_api_server_says_when_to_come_again() {
    let server = server();
    server.on(SERVICES, Verb::List, [Answer::Status { code: 429, retry_after: Some(1) }, Answer::json(&list(1, &[]))]);
    let client = client(&server).await;
    let begin = Instant::now();
    listen(&client, all_listed).await;
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(server.requests_for(SERVICES, Verb::List).len(), 2);
}
