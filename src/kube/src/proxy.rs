//! The proxy between us and the API server, chosen as Go's `net/http` does: that of the kubeconfig (`proxy-url`), else that of
//! the environment, unless `NO_PROXY` names the server.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use http::{Uri, uri::Scheme};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use crate::credentials::has_host;

/// A proxy, and who says that there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    /// Without name and password.
    pub(crate) uri: Uri,
    /// Name and password.
    pub(crate) user: Option<(String, String)>,
    /// `proxy-url`, or the name of a variable.
    named: &'static str,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `CONNECT`, perhaps by TLS.
    Http,
    Socks5,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "the proxy {}://{host} ({})", self.uri.scheme_str().unwrap_or_default(), self.named)
    }
}

/// What stands between us and the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// Nothing.
    Direct,
    /// Nothing, since what this variable has for a proxy is none. Go leaves out what is no URL too; with one of a scheme that
    /// it does not know it would reach nobody.
    Ignored(&'static str),
    Through(Proxy),
}

impl Path {
    /// What the environment says. The API server is one, and so this is asked once.
    pub(crate) fn from_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let values = names.map(|name| (name, variable(name).filter(|value| !value.is_empty())));
            values.into_iter().find_map(|(name, value)| Some((name, value?)))
        };
        let is_tls = server.scheme() == Some(&Scheme::HTTPS);
        let names = if is_tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
        let Some((name, text)) = first(names) else { return Self::Direct };
        let exceptions = first(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, value)| value);
        if is_exempt(server, &exceptions) {
            return Self::Direct;
        }
        // Without a scheme it is http, and Go's `net/http` takes socks5h for socks5, whose proxies look names up as well.
        let text = match text.split_once("://") {
            Some(("socks5h", rest)) => format!("socks5://{rest}"),
            Some(_) => text,
            None => format!("http://{text}"),
        };
        Proxy::parse(&text, name).map_or(Self::Ignored(name), Self::Through)
    }
}

impl Proxy {
    /// `http`, `https` and `socks5` are known.
    pub(crate) fn parse(text: &str, named: &'static str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (kind, port) = match scheme.as_str() {
            "http" => (Kind::Http, 80),
            "https" => (Kind::Http, 443),
            "socks5" => (Kind::Socks5, 1080),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..end)?;
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let user = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decoded(name), decoded(password))
        });
        let mut uri: Uri = format!("{scheme}://{host}").parse().ok().filter(has_host)?;
        if uri.port().is_none() {
            let host = host.trim_end_matches(':');
            uri = format!("{scheme}://{host}:{port}").parse().ok().filter(has_host)?;
        }
        Some(Self { kind, uri, user, named })
    }
}

/// Whether `NO_PROXY` has the server. Loopback never has a proxy.
fn is_exempt(server: &Uri, exceptions: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
    let port = server.port_u16().unwrap_or(if server.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 });
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions.split(',').map(|entry| entry.trim().to_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Ok(network) = entry.parse::<IpNet>() {
            return address.is_some_and(|address| network.contains(&address));
        }
        let (name, only) = host_and_port(&entry);
        let is_port = only.is_none_or(|only| only == port.to_string());
        match (name.parse::<IpAddr>(), address) {
            (Ok(entry), Some(address)) => entry.to_canonical() == address && is_port,
            // Neither is an address a name, nor the other way round.
            (Ok(_), None) | (Err(_), Some(_)) => false,
            (Err(_), None) => {
                // `example.com` is it and all below it, `.example.com` and `*.example.com` only what is below.
                let below = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
                let is_below = |parent: &str| host.strip_suffix(parent).is_some_and(|front| front.ends_with('.'));
                let is_it = match below.strip_prefix('.') {
                    Some(parent) => is_below(parent),
                    None => !below.is_empty() && (host == below || is_below(below)),
                };
                is_it && is_port
            }
        }
    })
}

/// `host:port`, `[address]:port`, or a host alone.
fn host_and_port(entry: &str) -> (&str, Option<&str>) {
    if entry.parse::<Ipv6Addr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host.trim_matches(['[', ']']), Some(port)),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(server: &str, variables: &[(&str, &str)]) -> Path {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Path::from_environment(&server.parse().unwrap(), variable)
    }

    fn through(server: &str, variables: &[(&str, &str)]) -> String {
        match path(server, variables) {
            Path::Through(proxy) => proxy.to_string(),
            other => format!("{other:?}"),
        }
    }

    const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://proxy.test:3128");

    #[test]
    fn variables_are_those_of_go() {
        let server = "https://api.test:6443";
        assert_eq!(through(server, &[]), "Direct");
        assert_eq!(through(server, &[PROXY]), "the proxy http://proxy.test:3128 (HTTPS_PROXY)");
        assert_eq!(through(server, &[("HTTP_PROXY", "http://a")]), "Direct");
        assert_eq!(through("http://api.test", &[PROXY]), "Direct");
        assert_eq!(through("http://api.test", &[("http_proxy", "a")]), "the proxy http://a:80 (http_proxy)");
        assert_eq!(through(server, &[("https_proxy", "a:1"), PROXY]), "the proxy http://proxy.test:3128 (HTTPS_PROXY)");
        assert_eq!(
            through(server, &[("HTTPS_PROXY", ""), ("https_proxy", "a:1")]),
            "the proxy http://a:1 (https_proxy)"
        );
        assert_eq!(through(server, &[("HTTPS_PROXY", "https://a/b")]), "the proxy https://a:443 (HTTPS_PROXY)");
        assert_eq!(
            through(server, &[("HTTPS_PROXY", "socks5://[::1]")]),
            "the proxy socks5://[::1]:1080 (HTTPS_PROXY)"
        );
        assert_eq!(through(server, &[("HTTPS_PROXY", "socks5h://a:1")]), "the proxy socks5://a:1 (HTTPS_PROXY)");
        for nonsense in ["://", "http://", "a b", "ftp://a", "http://a:99999", "[::1"] {
            assert_eq!(through(server, &[("HTTPS_PROXY", nonsense)]), "Ignored(\"HTTPS_PROXY\")", "{nonsense}");
        }
    }

    #[test]
    fn names_and_passwords_are_decoded_and_not_shown() {
        let Path::Through(proxy) = path("https://api.test", &[("HTTPS_PROXY", "http://me:a%40b@proxy.test")]) else {
            panic!("there is one");
        };
        assert_eq!(proxy.user, Some(("me".to_owned(), "a@b".to_owned())));
        assert_eq!(proxy.to_string(), "the proxy http://proxy.test:80 (HTTPS_PROXY)");
    }

    #[test]
    fn exceptions_are_those_of_go() {
        for (server, exceptions, is_exempt) in [
            ("https://localhost:6443", "", true),
            ("https://127.8.8.8:6443", "", true),
            ("https://[::1]:6443", "", true),
            ("https://192.0.2.1:6443", "", false),
            ("https://192.0.2.1:6443", "*", true),
            ("https://192.0.2.1:6443", "nonsense,192.0.2.0/24", true),
            ("https://192.0.2.1:6443", "192.0.3.0/24", false),
            ("https://192.0.2.1:6443", "192.0.2.1", true),
            ("https://192.0.2.1:6443", " 192.0.2.1:6443 ", true),
            ("https://192.0.2.1:6443", "192.0.2.1:443", false),
            ("https://192.0.2.1", "192.0.2.1:443", true),
            ("https://192.0.2.1", "2.1", false),
            ("https://[2001:db8::1]:6443", "2001:db8::/64", true),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:6443", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:1", false),
            ("https://api.test:6443", "api.test", true),
            ("https://API.test:6443", "api.TEST", true),
            ("https://api.test:6443", "test", true),
            ("https://api.test:6443", ".test", true),
            ("https://api.test:6443", "*.test", true),
            ("https://api.test:6443", "*.api.test", false),
            ("https://api.test:6443", ".api.test", false),
            ("https://api.test:6443", "pi.test", false),
            ("https://api.test:6443", "api.test:6443", true),
            ("https://api.test:6443", "api.test:443", false),
            ("https://api.test:6443", ",:6443,.", false),
            ("https://api.test:6443", "192.0.2.0/24", false),
        ] {
            let found = path(server, &[PROXY, ("no_proxy", exceptions)]);
            assert_eq!(found == Path::Direct, is_exempt, "{server} {exceptions}");
        }
    }
}
