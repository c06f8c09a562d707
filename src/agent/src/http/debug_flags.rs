//! /debug, where `enableProfiling` allows it: how much is logged can be changed. Profiles cannot be had.

use hyper::{
    Method, StatusCode,
    header::{HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use super::{
    answer::{self, Answer, not_found, plain, with},
    serve::Asked,
};

/// What kube-proxy answers here has no charset.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// A page for people.
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Whether a path is below /debug.
pub(super) fn is_below(path: &str) -> bool {
    path == "/debug" || path.starts_with("/debug/")
}

/// The answer for a path below /debug.
pub(super) fn answer(asked: &Asked, set_verbosity: &(dyn Fn(u32) + Send + Sync)) -> Answer {
    match asked.path() {
        "/debug/flags/v" => verbosity(asked, set_verbosity),
        path if path == "/debug/flags" || path.starts_with("/debug/flags/") => answer::answer(
            StatusCode::OK,
            HTML,
            "<html><body>PUT a number to /debug/flags/v: the log's verbosity</body></html>\n",
        ),
        path if path == "/debug/pprof" || path.starts_with("/debug/pprof/") => plain(
            StatusCode::NOT_IMPLEMENTED,
            "no profiles: pprof is a part of Go's runtime, and Portolan is written in Rust; perf(1) profiles it\n",
        ),
        _ => not_found(),
    }
}

fn verbosity(asked: &Asked, set_verbosity: &(dyn Fn(u32) + Send + Sync)) -> Answer {
    if asked.method != Method::PUT {
        return short(StatusCode::NOT_ACCEPTABLE, "unsupported http method");
    }
    let Some(body) = &asked.body else {
        return short(StatusCode::BAD_REQUEST, "error reading request body: it is too long, or does not come");
    };
    let text = String::from_utf8_lossy(body);
    // Unlike Go, Rust takes a sign.
    let number = Some(text.as_ref()).filter(|text| !text.starts_with('+')).and_then(|text| text.parse::<u64>().ok());
    match number.map(|number| i32::try_from(number).map(i32::unsigned_abs)) {
        None => short(StatusCode::BAD_REQUEST, &format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
        Some(Err(_)) => short(
            StatusCode::BAD_REQUEST,
            &format!(
                "failed set klog.logging.verbosity {text}: strconv.ParseInt: parsing {text:?}: value out of range"
            ),
        ),
        Some(Ok(level)) => {
            set_verbosity(level);
            short(StatusCode::OK, &format!("successfully set klog.logging.verbosity to {level}"))
        }
    }
}

fn short(status: StatusCode, text: &str) -> Answer {
    let answer = answer::answer(status, PLAIN, format!("{text}\n"));
    with(answer, X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}
