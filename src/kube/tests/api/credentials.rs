//! Who we are and whom we trust: files that are missing, wrong, or replaced while we run.

use std::{fs, path::Path};

use portolan_core::ingest::Kind;
use portolan_kube::{Client, ClientOptions};
use portolan_scripted::{Answer, Authority, Server, Verb, event, list, service};

use super::world::*;

async fn refusal(options: ClientOptions) -> String {
    Client::connect(options, None).await.unwrap_err().to_string()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    // As the kubelet does it: readers see the old file or the new one.
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), &path).unwrap();
    path.display().to_string()
}

fn tls(authority: &Authority) -> Server {
    with_empty_lists(Server::start_tls(authority, &authority.server().unwrap()).unwrap())
}

/// What is wrong is said with its file and field, and without the secret itself.
#[tokio::test]
async fn unusable_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let options = ClientOptions { kubeconfig: Some(missing.clone().into()), ..ClientOptions::default() };
    let said = refusal(options).await;
    assert!(said.contains(&missing) && said.contains("No such file"), "{said}");

    let authority = Authority::new().unwrap();
    let [first, second] = ["first", "second"].map(|name| authority.client(name).unwrap());
    let good = write(folder.path(), "client.crt", &first.certificate);
    let key = write(folder.path(), "client.key", &first.key);
    let other_key = write(folder.path(), "other.key", &second.key);
    let nonsense = write(folder.path(), "nonsense", "nonsense");
    let empty = write(folder.path(), "empty", " \n");
    let broken = write(folder.path(), "broken", "secret\nsecret");
    for (cluster, user, field, reason) in [
        (format!("certificate-authority: '{missing}'"), String::new(), "certificate-authority", "No such file"),
        (format!("certificate-authority: '{nonsense}'"), String::new(), "certificate-authority", "no certificate"),
        ("certificate-authority-data: secret".to_owned(), String::new(), "certificate-authority-data", "base64"),
        (
            format!("insecure-skip-tls-verify: true, certificate-authority: '{good}'"),
            String::new(),
            "certificate-authority",
            "insecure-skip-tls-verify",
        ),
        ("proxy-url: 'ftp://a:secret@b'".to_owned(), String::new(), "proxy-url", "socks5"),
        ("tls-server-name: 'a b'".to_owned(), String::new(), "tls-server-name", "DNS name"),
        (String::new(), format!("tokenFile: '{missing}'"), "tokenFile", "No such file"),
        (String::new(), format!("tokenFile: '{empty}'"), "tokenFile", "empty"),
        (String::new(), format!("tokenFile: '{broken}'"), "tokenFile", "line break"),
        (String::new(), "token: \"secret\\nsecret\"".to_owned(), "token", "line break"),
        (String::new(), "auth-provider: {name: gcp}".to_owned(), "auth-provider", "exec"),
        (String::new(), format!("client-certificate: '{good}'"), "client-certificate", "client-key"),
        (String::new(), format!("client-key: '{key}'"), "client-key", "client-certificate"),
        (
            String::new(),
            format!("client-certificate: '{nonsense}', client-key: '{key}'"),
            "client-certificate",
            "no certificate",
        ),
        (
            String::new(),
            format!("client-certificate: '{good}', client-key: '{nonsense}'"),
            "client-key",
            "no private key",
        ),
        (
            String::new(),
            format!("client-certificate: '{good}', client-key: '{other_key}'"),
            "client-key",
            "not the key",
        ),
    ] {
        let options = kubeconfig(folder.path(), "https://127.0.0.1:1", &format!(", {cluster}"), &user);
        let file = options.kubeconfig.clone().unwrap().display().to_string();
        let said = refusal(options).await;
        assert!(said.contains(&format!("{field} in the kubeconfig {file}")), "{cluster}{user}: {said}");
        assert!(said.contains(reason) && !said.contains("secret"), "{cluster}{user}: {said}");
    }

    for server in ["ftp://127.0.0.1", "https://user:secret@127.0.0.1", "https://127.0.0.1:65536", ""] {
        let said = refusal(kubeconfig(folder.path(), server, "", "")).await;
        assert!(said.contains("server in the kubeconfig") && !said.contains("secret"), "{server}: {said}");
    }
    for master in ["", "http://", "a b"] {
        let said = refusal(ClientOptions { master: Some(master.to_owned()), ..ClientOptions::default() }).await;
        assert!(said.contains("--master") && said.contains(&format!("`{master}`")), "{said}");
    }
}

/// Without a scheme it is https where there is something to check a certificate with, else http.
#[tokio::test]
async fn an_address_needs_no_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    for (server, ca) in [(tls(&authority), ca.as_str()), (server(), "")] {
        let url = server.url();
        let (_, address) = url.split_once("://").unwrap();
        let client = Client::connect(kubeconfig(folder.path(), address, ca, ""), None).await.unwrap();
        assert_eq!(client.server(), url);
        listen(&client, all_listed).await;
    }
}

/// A server that is reached without TLS is shown no secret, and it is said once that there are some.
#[tokio::test]
async fn secrets_are_sent_by_tls_only() {
    let (lines, _guard) = log();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let identity = authority.client("somebody").unwrap();
    let token = write(folder.path(), "token", "secret");
    let (certificate, key) =
        (write(folder.path(), "client.crt", &identity.certificate), write(folder.path(), "client.key", &identity.key));
    let ran = folder.path().join("ran");
    let exec = format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: ['{}'], interactiveMode: Never}}",
        ran.display()
    );
    for (field, user) in [
        ("token", "token: secret".to_owned()),
        ("tokenFile", format!("tokenFile: '{token}'")),
        ("username", "username: somebody, password: secret".to_owned()),
        ("client-certificate", format!("client-certificate: '{certificate}', client-key: '{key}'")),
        ("exec", exec),
    ] {
        let server = server();
        let client = Client::connect(kubeconfig(folder.path(), &server.url(), "", &user), None).await.unwrap();
        listen(&client, all_listed).await;
        assert!(server.requests().iter().all(|request| request.authorization.is_none()), "{user}");
        let said = String::from_utf8(std::mem::take(&mut *lines.lock().unwrap())).unwrap();
        assert_eq!(said.matches(&format!("shown to it: {field}.")).count(), 1, "{said}");
        assert_eq!(said.matches("without TLS").count(), 1, "{said}");
    }
    assert!(!ran.exists(), "a plug-in that nobody needs was run");
}

/// Names and passwords are still used where all is encrypted.
#[tokio::test]
async fn a_password_is_sent_by_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = tls(&authority);
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    let user = "username: somebody, password: secret";
    let client = Client::connect(kubeconfig(folder.path(), &server.url(), &ca, user), None).await.unwrap();
    listen(&client, all_listed).await;
    assert_eq!(server.requests()[0].authorization.as_deref(), Some("Basic c29tZWJvZHk6c2VjcmV0"));
}

/// `--master` goes before the kubeconfig's address, with or without a scheme, and the rest of the kubeconfig holds.
#[tokio::test]
async fn master_goes_before_the_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    let options = kubeconfig(folder.path(), "https://192.0.2.1:6443", &ca, "token: secret");
    for (master, server) in [
        ("https://192.0.2.2:6443", "https://192.0.2.2:6443"),
        ("192.0.2.2:6443", "https://192.0.2.2:6443"),
        ("http://localhost:8080", "http://localhost:8080"),
    ] {
        let options = ClientOptions { master: Some(master.to_owned()), ..options.clone() };
        assert_eq!(Client::connect(options, None).await.unwrap().server(), server);
    }
    let plain = ClientOptions { master: Some("127.0.0.1:8080".to_owned()), ..ClientOptions::default() };
    assert_eq!(Client::connect(plain, None).await.unwrap().server(), "http://127.0.0.1:8080");
}

/// A token that has expired is refused; the new one in the same file is used for the next request.
#[tokio::test]
async fn a_new_token_is_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = tls(&authority);
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    let token = write(folder.path(), "token", "old\n");
    let options = kubeconfig(folder.path(), &server.url(), &ca, &format!("tokenFile: '{token}'"));
    let client = Client::connect(options, None).await.unwrap();
    server.allow_token("old");
    listen(&client, |told| {
        if all_listed(told) {
            server.allow_token("new");
            // No earlier than somebody was refused.
            if told.lines.len() == 4 {
                for path in KINDS {
                    server.cut(path);
                }
                write(folder.path(), "token", "new\n");
                server.on(SERVICES, Verb::Watch, [Answer::watch(&[event("ADDED", &service(0))])]);
            }
        }
        told.count("applied") == 1
    })
    .await;
    let last = server.requests_for(SERVICES, Verb::Watch).pop().unwrap();
    assert_eq!(last.token.as_deref(), Some("new"));
}

/// A file that is not there for a moment, or has nonsense in it, leaves the old credentials in use.
#[tokio::test]
async fn files_that_vanish_or_break_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = tls(&authority);
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    let token = write(folder.path(), "token", "old");
    let options = kubeconfig(folder.path(), &server.url(), &ca, &format!("tokenFile: '{token}'"));
    let client = Client::connect(options, None).await.unwrap();
    server.allow_token("old");
    fs::remove_file(&token).unwrap();
    listen(&client, all_listed).await;
    for nonsense in ["", "new\nnew", "\0"] {
        write(folder.path(), "token", nonsense);
        listen(&client, all_listed).await;
    }
    write(folder.path(), "token", "old");
    write(folder.path(), "ca.crt", "nonsense");
    listen(&client, all_listed).await;
}

/// A server of another authority, or with a certificate that is over, is not talked to; when it is right, it is.
#[tokio::test]
async fn a_server_with_a_wrong_certificate_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (Authority::new().unwrap(), Authority::new().unwrap());
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", right.pem()));
    for bad in [right.expired_server().unwrap(), wrong.server().unwrap()] {
        let server = tls(&right);
        server.present(&bad).unwrap();
        let client = Client::connect(kubeconfig(folder.path(), &server.url(), &ca, ""), None).await.unwrap();
        let until = tokio::time::timeout(std::time::Duration::from_millis(200), listen(&client, |_| true)).await;
        assert!(until.is_err(), "somebody was told something");
        assert_eq!(server.requests(), []);
        server.present(&right.server().unwrap()).unwrap();
        listen(&client, all_listed).await;
    }
}

/// The authority is replaced while we run, as when a cluster's CA is rotated.
#[tokio::test]
async fn a_new_authority_is_trusted_from_the_next_request_on() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = tls(&old);
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", old.pem()));
    let client = Client::connect(kubeconfig(folder.path(), &server.url(), &ca, ""), None).await.unwrap();
    let first = list(1, &[]);
    server.on(SLICES, Verb::List, [Answer::status(503), Answer::json(&first)]);
    listen(&client, |told| {
        // One connection is closed by the answer that it broke, another one is needed.
        if is_listed(told, Kind::Service) && told.lines.len() == 1 {
            server.present(&new.server().unwrap()).unwrap();
            write(folder.path(), "ca.crt", new.pem());
        }
        all_listed(told)
    })
    .await;
    // The same client, and nothing of the old authority is left.
    listen(&client, all_listed).await;
}

/// A new client certificate needs a new connection, and the watch that is open is cut over at its end.
#[tokio::test]
async fn a_new_client_certificate_is_presented() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = tls(&authority);
    let identities = [authority.client("first").unwrap(), authority.client("second").unwrap()];
    let ca = format!(", certificate-authority: '{}'", write(folder.path(), "ca.crt", authority.pem()));
    let certificate = write(folder.path(), "client.crt", &identities[0].certificate);
    let key = write(folder.path(), "client.key", &identities[0].key);
    let user = format!("client-certificate: '{certificate}', client-key: '{key}'");
    let client = Client::connect(kubeconfig(folder.path(), &server.url(), &ca, &user), None).await.unwrap();
    server.on(
        SERVICES,
        Verb::Watch,
        [Answer::short_watch(&[event("ADDED", &service(0))]), Answer::watch(&[event("ADDED", &service(1))])],
    );
    listen(&client, |told| {
        if told.count("applied") == 1 {
            // A certificate without its key is not used yet; the key comes a moment later.
            write(folder.path(), "client.crt", &identities[1].certificate);
            write(folder.path(), "client.key", &identities[1].key);
        }
        told.count("applied") == 2
    })
    .await;
    let watches = server.requests_for(SERVICES, Verb::Watch);
    assert_ne!(watches[0].client_certificate, watches[1].client_certificate);
    assert_ne!(watches[0].connection, watches[1].connection);
}
