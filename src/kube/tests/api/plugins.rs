//! Credential plug-ins, good ones and bad ones: shell scripts, as a kubeconfig names them.

use std::{fs, mem, path::Path, time::Duration};

use portolan_kube::{Client, ClientOptions, WatchOptions, watch};
use portolan_scripted::{Answer, Authority, Server, Verb, event, service};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::world::*;

/// In the environment of every plug-in, and in no message.
const SECRET: &str = "correct-horse-battery-staple";
const API: &str = "client.authentication.k8s.io/v1";

/// A server with TLS, and the folder of a kubeconfig whose plug-in is a script.
struct Place {
    folder: TempDir,
    authority: Authority,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let server = with_empty_lists(Server::start_tls(&authority, &authority.server().unwrap()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        Self { folder, authority, server }
    }

    fn options(&self, exec: &str) -> ClientOptions {
        let ca = format!(", certificate-authority: '{}'", self.path("ca.crt"));
        kubeconfig(self.folder.path(), &self.server.url(), &ca, &format!("exec: {{{exec}}}"))
    }

    /// `$1` is a file, in which the script counts how often it was run.
    async fn client(&self, script: &str) -> Client {
        fs::write(self.folder.path().join("plugin"), format!("echo run >>$1\n{script}\n")).unwrap();
        let options = self.options(&format!(
            "apiVersion: {API}, command: sh, args: ['{}', '{}'], interactiveMode: Never, \
             env: [{{name: SECRET, value: {SECRET}}}]",
            self.path("plugin"),
            self.path("runs"),
        ));
        Client::connect(options, None).await.unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.folder.path().join("runs")).map_or(0, |text| text.lines().count())
    }

    /// Follows the API server until the log has a line, and gives it; `wait` goes by again and again meanwhile.
    async fn complaint(&self, script: &str, wait: impl AsyncFn()) -> String {
        let (lines, _guard) = log();
        let lines = || String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let client = self.client(script).await;
        let options = WatchOptions { node: "node-a".to_owned(), streaming: false, pace: PACE };
        tokio::select! {
            () = watch(&client, &options, async |_| unreachable!("somebody was told something")) => {}
            () = async {
                while lines().is_empty() {
                    wait().await;
                }
            } => {}
        }
        assert_eq!(self.server.requests(), [], "nobody is asked without credentials");
        lines()
    }
}

async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A script that prints an `ExecCredential` with this status.
fn saying(status: &serde_json::Value) -> String {
    format!("cat <<'END'\n{}\nEND", json!({"apiVersion": API, "kind": "ExecCredential", "status": status}))
}

/// A token is used for all requests until it is over, or until the API server refuses it.
#[tokio::test]
async fn a_token_is_used_until_it_is_over_or_refused() {
    let place = Place::new();
    place.server.allow_token("first");
    let client = place.client(&saying(&json!({"token": "first", "expirationTimestamp": "2999-01-01T00:00:00Z"}))).await;
    assert_eq!(place.runs(), 0, "nothing is run before it is needed");
    // Watches of Services end at once and are asked for again: one of them comes after the change, whenever that is.
    place.server.on(SERVICES, Verb::Watch, [Answer::short_watch(&[])]);
    let mut is_changed = false;
    listen(&client, |told| {
        if all_listed(told) && !mem::replace(&mut is_changed, true) {
            place.server.allow_token("second");
            fs::write(place.path("plugin"), format!("echo run >>$1\n{}", saying(&json!({"token": "second"})))).unwrap();
            place.server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("ADDED", &service(0))])]);
        }
        told.count("applied") == 1
    })
    .await;
    assert_eq!(place.runs(), 2);

    // One that is over already is asked for before each request: five, for four lists and a watch.
    let place = Place::new();
    let client = place.client(&saying(&json!({"token": "a", "expirationTimestamp": "2000-01-01T00:00:00Z"}))).await;
    place.server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("ADDED", &service(0))])]);
    listen(&client, |told| told.count("applied") == 1 && all_listed(told)).await;
    assert!(place.runs() >= 5, "{}", place.runs());
}

/// A certificate is presented, and YAML is as good as JSON.
#[tokio::test]
async fn a_certificate_is_presented() {
    let place = Place::new();
    let identity = place.authority.client("plug-in").unwrap();
    let indent = |pem: &str| pem.replace('\n', "\n    ");
    let client = place
        .client(&format!(
            "cat <<'END'\napiVersion: {API}\nkind: ExecCredential\nstatus:\n  clientCertificateData: |\n    {}\n  \
             clientKeyData: |\n    {}\nEND",
            indent(&identity.certificate),
            indent(&identity.key)
        ))
        .await;
    listen(&client, all_listed).await;
    let requests = place.server.requests();
    assert!(requests.iter().all(|request| request.client_certificate.is_some() && request.token.is_none()));
    assert_eq!(place.runs(), 1);
}

/// As with client-go: who has a certificate runs no plug-in, which may not even be installed.
#[tokio::test]
async fn a_client_certificate_goes_before_a_plug_in() {
    let place = Place::new();
    let identity = place.authority.client("node").unwrap();
    fs::write(place.path("client.crt"), &identity.certificate).unwrap();
    fs::write(place.path("client.key"), &identity.key).unwrap();
    let ca = format!(", certificate-authority: '{}'", place.path("ca.crt"));
    let user = format!(
        "client-certificate: '{}', client-key: '{}', exec: {{apiVersion: {API}, command: not-installed}}",
        place.path("client.crt"),
        place.path("client.key")
    );
    let options = kubeconfig(place.folder.path(), &place.server.url(), &ca, &user);
    listen(&Client::connect(options, None).await.unwrap(), all_listed).await;
    assert!(place.server.requests().iter().all(|request| request.client_certificate.is_some()));
}

/// Nobody is at a terminal, which the plug-in is told, and its standard input is empty.
#[tokio::test]
async fn a_plug_in_is_asked_as_client_go_asks_without_a_terminal() {
    let place = Place::new();
    let client = place
        .client(&format!(
            "read line && exit 1\nprintf %s \"$KUBERNETES_EXEC_INFO\" >'{}'\n[ $SECRET = {SECRET} ] || exit 2\n{}",
            place.path("question"),
            saying(&json!({"token": "a"}))
        ))
        .await;
    listen(&client, all_listed).await;
    let question: serde_json::Value = serde_json::from_slice(&fs::read(place.path("question")).unwrap()).unwrap();
    let expected = json!({"apiVersion": API, "kind": "ExecCredential", "spec": {"interactive": false}});
    assert_eq!(question, expected);
}

/// One that hangs delays nobody but the requests, which wait for one run together; it and its children are killed.
#[tokio::test]
async fn one_that_hangs_is_killed_after_a_minute() {
    let place = Place::new();
    let begin = Instant::now();
    let pids = place.path("pids");
    let said = place
        .complaint(&format!("sleep 1000 & echo $$ $! >'{pids}'; wait"), async || {
            a_moment().await;
            if Path::new(&pids).exists() {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(1)).await;
                tokio::time::resume();
            }
        })
        .await;
    assert!(begin.elapsed() >= Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(said.contains("the credential plug-in `sh`: it did not end within 60 s"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for pid in fs::read_to_string(pids).unwrap().split_whitespace() {
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        // Whoever has to may not have buried it yet.
        while state().is_some_and(|state| !state.contains(") Z ")) {
            a_moment().await;
        }
    }
    assert_eq!(place.runs(), 1);
}

/// What is wrong is said, and never what was printed or given.
#[tokio::test]
async fn bad_ones_are_named_without_their_secrets() {
    for (script, reason) in [
        ("echo $SECRET >&2; echo $SECRET; exit 3".to_owned(), "it failed (exit status: 3)"),
        ("kill -9 $$".to_owned(), "it failed (signal: 9 (SIGKILL))"),
        ("echo $SECRET".to_owned(), "what it printed is no ExecCredential"),
        ("echo \"{'$SECRET': [\"".to_owned(), "what it printed is no ExecCredential"),
        (String::new(), "what it printed is no ExecCredential"),
        ("while :; do echo $SECRET$SECRET$SECRET; done".to_owned(), "what it printed is more than a megabyte"),
        (saying(&json!(null)), "an ExecCredential without a status"),
        (saying(&json!({})), "an ExecCredential without a token or a certificate"),
        (saying(&json!({"token": format!("{SECRET}\n{SECRET}")})), "no token that a header can have"),
        (saying(&json!({"token": "a", "expirationTimestamp": SECRET})), "an expirationTimestamp that is no time"),
        (saying(&json!({"clientCertificateData": SECRET})), "a certificate without its key, or a key alone"),
        (
            saying(&json!({"clientCertificateData": SECRET, "clientKeyData": SECRET})),
            "a certificate and a key that cannot be used together",
        ),
        (saying(&json!({"token": "a"})).replace("io/v1", "io/v1beta1"), "of another apiVersion than the kubeconfig's"),
    ] {
        let said = Place::new().complaint(&script, a_moment).await;
        assert!(said.contains("the credential plug-in `sh`: ") && said.contains(reason), "{script}: {said}");
        assert!(!said.contains(SECRET), "{said}");
        assert_eq!(said.matches("is lost: ").count(), 1, "{said}");
    }
}

/// What can never be asked is a mistake of the kubeconfig.
#[tokio::test]
async fn what_cannot_be_asked_ends_the_start() {
    let place = Place::new();
    for (exec, reason) in [
        (format!("apiVersion: {API}, interactiveMode: Never"), "command is not given"),
        ("command: sh, interactiveMode: Never".to_owned(), "apiVersion is not one of"),
        ("apiVersion: client.authentication.k8s.io/v1alpha1, command: sh".to_owned(), "apiVersion is not one of"),
        (format!("apiVersion: {API}, command: sh, interactiveMode: Always"), "interactiveMode is Always"),
        (format!("apiVersion: {API}, command: sh, env: [{{value: {SECRET}}}]"), "an entry of env has no name"),
    ] {
        let said = Client::connect(place.options(&exec), None).await.unwrap_err().to_string();
        assert!(said.contains("exec in the kubeconfig") && said.contains(reason), "{exec}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    // One that is not there may come.
    let client = Client::connect(place.options(&format!("apiVersion: {API}, command: /nobody")), None).await.unwrap();
    let (lines, _guard) = log();
    let until = tokio::time::timeout(Duration::from_millis(100), listen(&client, |_| true)).await;
    assert!(until.is_err());
    let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert!(said.contains("the credential plug-in `/nobody`: it cannot be started: No such file"), "{said}");
}
