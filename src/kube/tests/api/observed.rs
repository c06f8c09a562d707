//! What metrics are told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan_kube::{Client, ClientOptions, PluginCall, Request, RequestObserver};
use portolan_scripted::{Answer, Verb, list, service};

use super::world::*;

#[derive(Default)]
struct Counts(Mutex<Vec<String>>);

impl RequestObserver for Counts {
    fn limited(&self, request: Request<'_>, waited: Duration) {
        self.0.lock().unwrap().push(format!("limited {} {}", request.method, waited.is_zero()));
    }
    fn answered(&self, request: Request<'_>, code: Option<u16>) {
        assert!(request.host.starts_with("127.0.0.1:"), "{}", request.host);
        self.0.lock().unwrap().push(format!("answered {} {code:?}", request.method));
    }
    fn plugin_called(&self, call: PluginCall) {
        self.0.lock().unwrap().push(format!("plug-in {call:?}"));
    }
    fn finished(&self, request: Request<'_>, _: Duration, sent: usize, received: usize) {
        self.0.lock().unwrap().push(format!("finished {} {sent} {received}", request.method));
    }
}

#[tokio::test]
async fn each_request_is_told_with_its_code_and_size() {
    let server = server();
    let answer = list(7, &[service(0)]);
    server.on(SERVICES, Verb::List, [Answer::status(500), Answer::json(&answer)]);
    let counts = Arc::new(Counts::default());
    let options = ClientOptions { master: Some(server.url()), qps: -1.0, ..ClientOptions::default() };
    let client = Client::connect(options, Some(counts.clone())).await.unwrap();
    listen(&client, all_listed).await;
    let told = counts.0.lock().unwrap().clone();
    let count = |line: &str| told.iter().filter(|told| *told == line).count();
    assert_eq!(count("answered GET Some(500)"), 1);
    assert_eq!(count(&format!("finished GET 0 {}", answer.to_string().len())), 1);
    assert!(count("answered GET Some(200)") >= 4);
    assert!(count("limited GET true") >= 5);
}

/// No answer at all is `<error>` to client-go.
#[tokio::test]
async fn a_request_without_an_answer_has_no_code() {
    let counts = Arc::new(Counts::default());
    // Nobody listens at port 1.
    let master = Some("http://127.0.0.1:1".to_owned());
    let options = ClientOptions { master, qps: -1.0, ..ClientOptions::default() };
    let client = Client::connect(options, Some(counts.clone()));
    let client = client.await.unwrap();
    let options = portolan_kube::WatchOptions { node: "node-a".to_owned(), streaming: false, pace: PACE };
    let told = async {
        let is_told = || counts.0.lock().unwrap().iter().any(|told| told == "answered GET None");
        while !is_told() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = told => {}
        () = portolan_kube::watch(&client, &options, async |_| std::ops::ControlFlow::Continue(())) => {}
    }
}
