//! What is between us and the API server takes every byte and forwards none, as some balancers do with a server that is
//! gone: TCP tells nothing of it.

use std::{cell::Cell, collections::BTreeSet, ops::ControlFlow, time::Duration};

use portolan_kube::{Client, WatchOptions, watch};
use portolan_scripted::{Answer, Authority, Relay, Server, Verb, event};
use serde_json::json;

use super::world::{KINDS, PACE, SERVICES, kubeconfig, log, with_empty_lists};

/// A server with TLS behind a relay, and a client that was told everything through it. `then` sees how much was told; it
/// goes on with the client until it ends.
async fn through_a_relay(then: impl AsyncFnOnce(&Server, &Relay, &Cell<usize>)) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = with_empty_lists(Server::start_tls(&authority, &authority.server().unwrap()).unwrap());
    for path in KINDS {
        server.on(path, Verb::Watch, [Answer::watch(&[event("ADDED", &json!({"metadata": {"name": "x"}}))])]);
    }
    let relay = Relay::start(server.address()).unwrap();
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let ca = format!(", certificate-authority: '{}'", folder.path().join("ca.crt").display());
    let options = kubeconfig(folder.path(), &format!("https://{}", relay.address()), &ca, "");
    let client = Client::connect(options, None).await.unwrap();
    let told = Cell::new(0);
    let sink = async |_| {
        told.set(told.get() + 1);
        ControlFlow::Continue(())
    };
    let options = WatchOptions { node: "node-a".to_owned(), streaming: false, pace: PACE };
    tokio::select! {
        () = watch(&client, &options, sink) => {}
        () = async {
            until(|| told.get() == 8).await;
            then(&server, &relay, &told).await;
        } => {}
    }
}

async fn until(mut is: impl FnMut() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets so much time go by for us, and none for the server; what has come is read then.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// It is noticed within 45 seconds, as Go's client notices it, and said once; the watches go on where they were.
#[tokio::test]
async fn a_balancer_that_forwards_nothing_is_noticed_within_45_seconds() {
    let (lines, _guard) = log();
    let lines = || String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    through_a_relay(async |server, relay, told| {
        relay.hold(true);
        for _ in 0..45 {
            pass(1).await;
        }
        assert!(lines().contains("is lost: "), "{}", lines());
        // Those that connect again find the balancer as it was, and give up after ten seconds each.
        for _ in 0..30 {
            pass(1).await;
        }
        relay.hold(false);
        pass(11).await;
        until(|| told.get() == 12).await;
        for path in KINDS {
            assert_eq!(server.requests_for(path, Verb::List).len(), 1, "nothing is listed again");
        }
    })
    .await;
    let lines = lines();
    assert_eq!(lines.matches("is lost: ").count(), 1, "{lines}");
    assert!(lines.contains("a ping got no answer"), "{lines}");
    assert_eq!(lines.matches("is back after ").count(), 1, "{lines}");
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// A server that has nothing to tell is asked by a ping every 25 seconds, a few bytes, and by nothing else.
#[tokio::test]
async fn a_quiet_api_server_is_not_troubled() {
    let (lines, _guard) = log();
    through_a_relay(async |server, relay, _| {
        let begin = relay.carried();
        for _ in 0..5 {
            let before = relay.carried();
            pass(26).await;
            // The ping, and its answer.
            until(|| relay.carried().iter().zip(before).all(|(now, before)| *now > before)).await;
            pass(1).await;
        }
        let bytes: u64 = relay.carried().iter().zip(begin).map(|(now, begin)| now - begin).sum();
        assert!(bytes < 1000, "{bytes} bytes in 135 s");
        assert_eq!(server.requests_for(SERVICES, Verb::Watch).len(), 1);
        let connections: BTreeSet<_> = server.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections.len(), 1, "all requests share a connection");
    })
    .await;
    assert!(lines.lock().unwrap().is_empty());
}
