//! The address of the API server, as people write it.

use http::{Uri, uri::Scheme};

/// The longest address that is taken: the paths of our requests come after it, and no URL has more than 65,534 bytes.
const LONGEST: usize = 4096;

/// As client-go: without a scheme it is https where there is something to check a certificate with, else http.
pub(super) fn address(text: &str, tls: bool) -> Option<Uri> {
    let uri: Uri = if text.contains("://") {
        text.parse().ok()?
    } else {
        let scheme = if tls { "https" } else { "http" };
        let uri: Uri = format!("{scheme}://{text}").parse().ok()?;
        // A path says that there was meant to be more in front.
        (uri.path() == "/").then_some(uri)?
    };
    // A proxy is told the port, and would be told that of https.
    let uri = match (uri.scheme_str(), uri.port(), uri.authority()) {
        (Some("http"), None, Some(authority)) => {
            format!("http://{}:80{}", authority.host(), uri.path()).parse().ok()?
        }
        _ => uri,
    };
    let is_known = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    (is_known && text.len() <= LONGEST && has_host(&uri)).then_some(uri)
}

/// Whether somebody can be asked: `http` takes any number for a port, and then knows of none.
pub(crate) fn has_host(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else { return false };
    let port = authority.as_str().strip_prefix(authority.host());
    let port = port.and_then(|rest| if rest.is_empty() { Some("") } else { rest.strip_prefix(':') });
    // With a name and a password in front, what follows is not the host.
    !authority.host().is_empty() && port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_and_what_is_none() {
        for (text, tls, uri) in [
            ("https://192.0.2.1:6443", false, "https://192.0.2.1:6443/"),
            ("HTTPS://192.0.2.1", false, "https://192.0.2.1/"),
            ("https://rancher.test/k8s/clusters/c-1", false, "https://rancher.test/k8s/clusters/c-1"),
            ("192.0.2.1:6443", true, "https://192.0.2.1:6443/"),
            ("192.0.2.1:6443/", true, "https://192.0.2.1:6443/"),
            ("[2001:db8::1]:6443", true, "https://[2001:db8::1]:6443/"),
            ("localhost:8080", false, "http://localhost:8080/"),
            ("api.test", true, "https://api.test/"),
        ] {
            assert_eq!(address(text, tls).map(|uri| uri.to_string()).as_deref(), Some(uri), "{text}");
        }
        for text in [
            "",
            "/",
            "http://",
            "https://:6443",
            "a b",
            "ftp://192.0.2.1",
            "https:192.0.2.1",
            "192.0.2.1/k8s",
            "https://192.0.2.1:65536",
            "https://192.0.2.1:x",
            "https://[2001:db8::1",
            "https://user:password@192.0.2.1",
            &format!("https://192.0.2.1/{}", "a".repeat(LONGEST)),
        ] {
            assert_eq!(address(text, true), None, "{text}");
        }
    }
}
