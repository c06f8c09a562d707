//! Proxies between us and the API server: a small one that knows CONNECT and SOCKS 5.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use portolan_kube::Client;
use portolan_scripted::{Authority, Server};

use super::world::*;

/// A proxy that leads everybody to one server, whoever they ask for.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (notes, server) = (asked.clone(), server.url());
        let server = server.rsplit('/').next().unwrap().to_owned();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (notes, server) = (notes.clone(), server.clone());
                thread::spawn(move || serve(client?, &server, &notes));
            }
        });
        Self { port, asked }
    }

    /// What it was asked for, without repetitions.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

fn serve(mut client: TcpStream, server: &str, notes: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut first = [0];
    client.read_exact(&mut first)?;
    if first == [5] {
        // Methods: a name and a password if they are offered. Then the request: a domain name.
        let mut methods = vec![0; usize::from(byte(&mut client)?)];
        client.read_exact(&mut methods)?;
        let mut user = String::new();
        if methods.contains(&2) {
            client.write_all(&[5, 2])?;
            byte(&mut client)?;
            user = format!("{}:", text(&mut client)?);
            user.push_str(&text(&mut client)?);
            user.push('@');
            client.write_all(&[1, 0])?;
        } else {
            client.write_all(&[5, 0])?;
        }
        let mut request = [0; 4];
        client.read_exact(&mut request)?;
        let host = text(&mut client)?;
        let port = u16::from_be_bytes([byte(&mut client)?, byte(&mut client)?]);
        notes.lock().unwrap().push(format!("SOCKS {user}{host}:{port}"));
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    } else {
        let mut head = vec![first[0]];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(byte(&mut client)?);
        }
        let head = String::from_utf8(head).unwrap();
        let authorization = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: "));
        let line = head.lines().next().unwrap();
        notes.lock().unwrap().push(format!("{line} {}", authorization.unwrap_or("-")));
        client.write_all(b"HTTP/1.1 200 Go on\r\n\r\n")?;
    }
    let mut server = TcpStream::connect(server)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn byte(client: &mut TcpStream) -> io::Result<u8> {
    let mut byte = [0];
    client.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A length and as many bytes.
fn text(client: &mut TcpStream) -> io::Result<String> {
    let mut text = vec![0; usize::from(byte(client)?)];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8(text).unwrap())
}

/// The name of the API server is the proxy's business, its certificate is ours.
#[tokio::test]
async fn a_proxy_leads_to_the_api_server() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let server = with_empty_lists(Server::start_tls(&authority, &authority.server().unwrap()).unwrap());
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    for (url, asked) in [
        ("http://127.0.0.1:PORT", "CONNECT api.test:6443 HTTP/1.1 -"),
        ("http://me:a%40b@127.0.0.1:PORT/", "CONNECT api.test:6443 HTTP/1.1 Basic bWU6YUBi"),
        ("socks5://127.0.0.1:PORT", "SOCKS api.test:6443"),
        ("socks5://me:pass@127.0.0.1:PORT", "SOCKS me:pass@api.test:6443"),
    ] {
        let proxy = Proxy::start(&server);
        let cluster = format!(
            ", certificate-authority: '{}', tls-server-name: localhost, proxy-url: '{}'",
            ca.display(),
            url.replace("PORT", &proxy.port.to_string())
        );
        let options = kubeconfig(folder.path(), "https://api.test:6443", &cluster, "token: secret");
        let client = Client::connect(options, None).await.unwrap();
        listen(&client, all_listed).await;
        assert_eq!(proxy.asked(), [asked], "{url}");
        assert_eq!(server.requests().last().unwrap().token.as_deref(), Some("secret"));
    }
}

/// Without TLS it is led as well, and is shown nothing.
#[tokio::test]
async fn a_proxy_leads_to_a_server_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let proxy = Proxy::start(&server);
    let cluster = format!(", proxy-url: 'http://127.0.0.1:{}'", proxy.port);
    let options = kubeconfig(folder.path(), "http://api.test", &cluster, "token: secret");
    listen(&Client::connect(options, None).await.unwrap(), all_listed).await;
    assert_eq!(proxy.asked(), ["CONNECT api.test:80 HTTP/1.1 -"]);
    assert!(server.requests().iter().all(|request| request.authorization.is_none()));
}

/// When nothing comes of it the log says through whom it was tried.
#[tokio::test]
async fn a_proxy_that_is_away_is_named() {
    let (lines, _guard) = log();
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens at port 1.
    let cluster = ", proxy-url: 'http://me:secret@127.0.0.1:1'";
    let options = kubeconfig(folder.path(), "https://api.test:6443", cluster, "");
    let client = Client::connect(options, None).await.unwrap();
    let until = tokio::time::timeout(Duration::from_millis(200), listen(&client, |_| true)).await;
    assert!(until.is_err(), "somebody was told something");
    let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let named = "the API server https://api.test:6443 (through the proxy http://127.0.0.1:1 (proxy-url)) is lost: ";
    assert!(said.contains(named) && !said.contains("secret"), "{said}");
}

/// Runs one test of this program again, with these variables.
fn again(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    let done = command.args(["--exact", test]).envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

/// The environment's proxy is one as the kubeconfig's is.
#[tokio::test]
async fn the_environment_has_a_proxy() {
    const AUTHORITY: &str = "PORTOLAN_TEST_AUTHORITY";
    let folder = tempfile::tempdir().unwrap();
    let Ok(ca) = env::var(AUTHORITY) else {
        let authority = Authority::new().unwrap();
        let server = with_empty_lists(Server::start_tls(&authority, &authority.server().unwrap()).unwrap());
        let ca = folder.path().join("ca.crt");
        std::fs::write(&ca, authority.pem()).unwrap();
        let proxy = Proxy::start(&server);
        let variables = [
            (AUTHORITY, ca.to_str().unwrap()),
            ("https_proxy", &format!("127.0.0.1:{}", proxy.port)),
            ("NO_PROXY", "192.0.2.0/24,example.com"),
        ];
        again("proxies::the_environment_has_a_proxy", &variables);
        assert_eq!(proxy.asked(), ["CONNECT api.test:6443 HTTP/1.1 -"]);
        return;
    };
    let cluster = format!(", certificate-authority: '{ca}', tls-server-name: localhost");
    let options = kubeconfig(folder.path(), "https://api.test:6443", &cluster, "");
    listen(&Client::connect(options, None).await.unwrap(), all_listed).await;
}

/// No certificates of the system, and variables that are no proxies: nobody needs them, and nothing ends because of them.
#[tokio::test]
async fn what_is_not_needed_does_not_end_a_start() {
    const INSIDE: &str = "PORTOLAN_TEST_INSIDE";
    if env::var_os(INSIDE).is_none() {
        let mut variables =
            vec![(INSIDE, ""), ("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere"), ("NO_PROXY", ",/,[")];
        variables.extend([("HTTPS_PROXY", "http://["), ("HTTP_PROXY", "\u{1}")]);
        again("proxies::what_is_not_needed_does_not_end_a_start", &variables);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = with_empty_lists(Server::start_tls(&authority, &authority.server().unwrap()).unwrap());
    let plain = server();
    let cluster = format!(", certificate-authority: '{}'", ca.display());
    for (url, cluster) in
        [(tls.url(), cluster.as_str()), (tls.url(), ", insecure-skip-tls-verify: true"), (plain.url(), "")]
    {
        let options = kubeconfig(folder.path(), &url, cluster, "");
        listen(&Client::connect(options, None).await.unwrap(), all_listed).await;
    }
    // Where they are needed the server is not believed, and the log says what else there is.
    let (lines, _guard) = log();
    let client = Client::connect(kubeconfig(folder.path(), "https://api.test:1", "", ""), None).await.unwrap();
    let until = tokio::time::timeout(Duration::from_millis(200), listen(&client, |_| true)).await;
    assert!(until.is_err(), "somebody was told something");
    let said = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert!(said.contains("HTTPS_PROXY is not the address of one) is lost: "), "{said}");
}
