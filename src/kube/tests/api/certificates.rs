//! Servers with certificates of all kinds, and what Go's client, which is kube-proxy's, says of them.
//!
//! e2e/certificates made them (testdata/certificates), and tells what Go does where there is Go.

use std::{collections::BTreeSet, env, fs, io::ErrorKind, path::PathBuf, process::Command, time::Duration};

use portolan_kube::Client;
use portolan_scripted::{Authority, Identity, Server};

use super::world::*;

/// Each kind, and whether such a server is believed.
const KINDS_OF_CERTIFICATES: [(&str, bool); 55] = [
    ("bundle-of-nonsense", false),
    ("bundle-of-two", true),
    ("bundle-with-broken", true),
    ("bundle-with-key", true),
    ("bundle-with-nonsense", true),
    ("extension-unknown", true),
    ("extension-unknown-critical", false),
    ("intermediate", true),
    ("intermediate-is-no-authority", false),
    ("intermediate-is-trusted", true),
    ("intermediate-missing", false),
    ("intermediate-with-root", true),
    ("keys-ed25519", true),
    ("keys-p256", true),
    ("keys-p384", true),
    ("keys-p384-sha256", true),
    ("keys-p521", true),
    ("keys-p521-sha256", true),
    ("keys-rsa-1024", true),
    ("keys-rsa-1024-root", true),
    ("keys-rsa-2048", true),
    ("keys-rsa-3072-p256", true),
    ("keys-rsa-4096", true),
    ("keys-rsa-pss", true),
    ("leaf-for-anything", true),
    ("leaf-for-both", true),
    ("leaf-for-clients", false),
    ("leaf-is-authority", true),
    ("leaf-is-not-yet", false),
    ("leaf-is-over", false),
    ("leaf-is-trusted", true),
    ("name-as-text", false),
    ("name-common-only", false),
    ("name-of-another", false),
    ("names-dns-excluded", false),
    ("names-dns-not-permitted", false),
    ("names-dns-permitted", true),
    ("names-excluded", false),
    ("names-not-permitted", false),
    ("names-permitted", true),
    ("other-authority", false),
    ("path-long-enough", true),
    ("path-too-long", false),
    ("root-does-not-say", false),
    ("root-for-clients", false),
    ("root-is-no-authority", false),
    ("root-is-over", false),
    ("root-may-not-sign", false),
    ("root-of-version-1", true),
    ("self-signed", true),
    ("self-signed-authority", true),
    ("self-signed-is-over", false),
    ("self-signed-of-version-1", false),
    ("signature-forged", false),
    ("signature-sha1", false),
];

/// Believed by Go and not by us: the crypto library has no such keys (docs/specification.md, section 15).
const STRICTER: [&str; 2] = ["keys-rsa-1024", "keys-rsa-1024-root"];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/certificates"))
}

fn read(kind: &str, file: &str) -> String {
    fs::read_to_string(folder().join(kind).join(file)).unwrap()
}

#[test]
fn every_kind_is_in_the_table() {
    let kinds = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let table = KINDS_OF_CERTIFICATES.into_iter().map(|(kind, _)| kind.to_owned());
    assert_eq!(kinds.collect::<BTreeSet<_>>(), table.collect());
}

#[tokio::test]
async fn servers_are_believed_as_by_kube_proxy() {
    let authority = Authority::new().unwrap();
    let mut wrong = Vec::new();
    for (kind, go) in KINDS_OF_CERTIFICATES {
        // The server of this test cannot have such a key either.
        if kind == "keys-rsa-1024" {
            continue;
        }
        let identity = Identity::from_pem(&read(kind, "chain.pem"), &read(kind, "key.pem")).unwrap();
        let server = with_empty_lists(Server::start_tls(&authority, &identity).unwrap());
        let temporary = tempfile::tempdir().unwrap();
        let ca = format!(", certificate-authority: '{}'", folder().join(kind).join("ca.pem").display());
        let options = kubeconfig(temporary.path(), &server.url(), &ca, "token: secret");
        let (lines, _guard) = log();
        let believed = match Client::connect(options, None).await {
            Err(_) => false,
            Ok(client) => {
                let refused = async {
                    while !String::from_utf8_lossy(&lines.lock().unwrap()).contains("certificate") {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    _ = listen(&client, all_listed) => true,
                    () = refused => false,
                }
            }
        };
        if believed != (go && !STRICTER.contains(&kind)) {
            wrong.push(format!("{kind}: {believed} {}", String::from_utf8_lossy(&lines.lock().unwrap())));
        }
        assert_eq!(server.requests().is_empty(), !believed, "{kind}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// PKCS#1, SEC1 and PKCS#8, and certificates before version 3: all are good for a client.
#[tokio::test]
async fn keys_of_all_kinds_are_good_for_a_client() {
    let authority = Authority::new().unwrap();
    let server = Server::start_tls(&authority, &authority.server().unwrap()).unwrap();
    for (kind, _) in KINDS_OF_CERTIFICATES {
        if STRICTER.contains(&kind) {
            continue;
        }
        let temporary = tempfile::tempdir().unwrap();
        let files = folder().join(kind);
        let user = format!(
            "client-certificate: '{}', client-key: '{}'",
            files.join("chain.pem").display(),
            files.join("key.pem").display()
        );
        let options = kubeconfig(temporary.path(), &server.url(), "", &user);
        let client = Client::connect(options, None).await;
        assert!(client.is_ok(), "{kind}: {}", client.unwrap_err());
    }
}

/// The table is what Go's own client does.
#[test]
fn go_says_the_same() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/certificates");
    let said = Command::new("go").args(["run", ".", "check"]).arg(folder()).current_dir(program).output();
    let said = match said {
        Ok(said) => said,
        Err(error) if error.kind() == ErrorKind::NotFound && env::var_os("CI").is_none_or(|ci| ci != "true") => {
            println!("NOT RUN, for there is no Go: go_says_the_same");
            return;
        }
        Err(error) => panic!("go: {error}"),
    };
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    for (kind, connects) in KINDS_OF_CERTIFICATES {
        let line = said.lines().find(|line| line.split(' ').next() == Some(kind)).unwrap();
        assert_eq!(line.ends_with(" connects"), connects, "{line}");
    }
    assert_eq!(said.lines().count(), KINDS_OF_CERTIFICATES.len());
}
