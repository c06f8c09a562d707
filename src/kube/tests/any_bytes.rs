//! Whatever bytes are in a file: an error that names it, or a connection, and never the end of the process.
//!
//! The release build ends with the first panic, wherever it is; so does this test.
#![expect(clippy::unwrap_used, reason = "a test that does not find what it expects has failed")]

use std::{cell::Cell, fs, ops::ControlFlow, path::Path, process, sync::Once, time::Duration};

use portolan_kube::{Client, ClientOptions, Pace, WatchOptions, watch};
use portolan_scripted::{Answer, Authority, Server, Verb, list};
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{runtime::Builder, time::timeout};

/// In no message.
const SECRET: &str = "correct-horse-battery-staple";
/// Long enough for a request or two. What comes of them does not matter.
const A_MOMENT: Duration = Duration::from_millis(50);
const FILES: [&str; 5] = ["kubeconfig", "token", "ca.crt", "client.crt", "client.key"];

/// What is done to a file.
#[derive(Debug, Clone)]
enum Edit {
    Put(usize, Vec<u8>),
    Over(usize, Vec<u8>),
    Cut(usize, usize),
    End(usize),
    All(Vec<u8>),
    Utf16(bool),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0..3000_usize;
    let known = select(vec![
        "\n",
        "\r\n",
        "\0",
        " ",
        "\t",
        ":",
        "'",
        "{",
        "-",
        "@",
        "://",
        "é",
        "null",
        "http://",
        "[::1]",
        ":99999",
        "%",
        "-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n",
        "proxy-url: 'socks5://a@b:c', ",
    ]);
    let bytes = prop_oneof![4 => known.prop_map(|text| text.as_bytes().to_vec()), 1 => vec(any::<u8>(), 0..8)];
    prop_oneof![
        8 => (place.clone(), bytes.clone()).prop_map(|(at, bytes)| Edit::Put(at, bytes)),
        8 => (place.clone(), bytes).prop_map(|(at, bytes)| Edit::Over(at, bytes)),
        4 => (place.clone(), 1..40_usize).prop_map(|(at, count)| Edit::Cut(at, count)),
        2 => place.prop_map(Edit::End),
        1 => vec(any::<u8>(), 0..64).prop_map(Edit::All),
        1 => any::<bool>().prop_map(Edit::Utf16),
    ]
}

fn apply(edit: &Edit, file: &mut Vec<u8>) {
    let at = |place: &usize, file: &[u8]| place % (file.len() + 1);
    match edit {
        Edit::Put(place, bytes) => {
            let at = at(place, file);
            file.splice(at..at, bytes.iter().copied());
        }
        Edit::Over(place, bytes) => {
            let at = at(place, file);
            let end = file.len().min(at + bytes.len());
            file.splice(at..end, bytes.iter().copied());
        }
        Edit::Cut(place, count) => {
            let at = at(place, file);
            let end = file.len().min(at + count);
            file.drain(at..end);
        }
        Edit::End(place) => file.truncate(at(place, file)),
        Edit::All(bytes) => file.clone_from(bytes),
        Edit::Utf16(odd) => {
            let text = String::from_utf8_lossy(file).into_owned();
            *file = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
            if *odd {
                file.pop();
            }
        }
    }
}

/// Everything that a kubeconfig can name, in files or in itself.
fn write(folder: &Path, authority: &Authority, server: &str, inline: bool) {
    let identity = authority.client("somebody").unwrap();
    let (cluster, user) = if inline {
        // "bm9uc2Vuc2U=" is base64, but no certificate: the bytes are for the YAML and base64 readers.
        (
            "certificate-authority-data: 'bm9uc2Vuc2U=', tls-server-name: localhost".to_owned(),
            format!("token: {SECRET}"),
        )
    } else {
        let user = "tokenFile: token, client-certificate: client.crt, client-key: client.key";
        ("certificate-authority: ca.crt".to_owned(), user.to_owned())
    };
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: '{server}', {cluster}}}\ncontexts:\n\
         - name: x\n  context: {{cluster: c, user: u}}\ncurrent-context: x\nusers:\n- name: u\n  user: {{{user}}}\n"
    );
    let contents = [kubeconfig.as_str(), SECRET, authority.pem(), &identity.certificate, &identity.key];
    for (name, content) in FILES.into_iter().zip(contents) {
        fs::write(folder.join(name), content).unwrap();
    }
}

fn edit_file(folder: &Path, name: &str, edits: &[Edit]) {
    let mut bytes = fs::read(folder.join(name)).unwrap();
    edits.iter().for_each(|edit| apply(edit, &mut bytes));
    fs::write(folder.join(name), bytes).unwrap();
}

/// Asks the server through all that there is, until something comes of it or the time is over.
async fn ask(client: &Client, time: Duration) -> bool {
    let pace = Pace { first: Duration::from_millis(1), ..Pace::default() };
    let options = WatchOptions { node: "node-a".to_owned(), streaming: false, pace };
    let told = Cell::new(false);
    let sink = async |_| {
        told.set(true);
        ControlFlow::Break(())
    };
    timeout(time, watch(client, &options, sink)).await.ok();
    told.get()
}

/// As the release build; but for what proptest itself says at the end.
fn panics_end_the_process() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            if info.location().is_some_and(|location| location.file() != file!()) {
                process::abort();
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_never_end_the_process(
        name in select(&FILES[..]),
        inline in any::<bool>(),
        without_tls in any::<bool>(),
        later in any::<bool>(),
        edits in vec(edit(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let server = if without_tls {
            Server::start().unwrap()
        } else {
            Server::start_tls(&authority, &authority.server().unwrap()).unwrap()
        };
        for path in ["/api/v1/services", "/api/v1/nodes"] {
            server.on(path, Verb::List, [Answer::json(&list(1, &[]))]);
            server.on(path, Verb::Watch, [Answer::watch(&[])]);
        }
        write(folder.path(), &authority, &server.url(), inline && !later);
        let options =
            ClientOptions { kubeconfig: Some(folder.path().join("kubeconfig")), qps: -1.0, ..ClientOptions::default() };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        panics_end_the_process();
        runtime.block_on(async {
            if later {
                let client = Client::connect(options, None).await.unwrap();
                edit_file(folder.path(), name, &edits);
                if name == "token" {
                    // One is as good as another here.
                    prop_assert!(ask(&client, Duration::from_secs(30)).await);
                } else {
                    // Another authority or key may be one that does not fit.
                    ask(&client, A_MOMENT).await;
                }
                return Ok(());
            }
            edit_file(folder.path(), name, &edits);
            match Client::connect(options, None).await {
                Ok(client) => {
                    ask(&client, A_MOMENT).await;
                }
                Err(error) => {
                    let said = error.to_string();
                    prop_assert!(said.contains(&folder.path().display().to_string()), "{}", said);
                    prop_assert!(!said.contains(SECRET), "{}", said);
                }
            }
            Ok(())
        })?;
    }
}
