//! Counting requests, for whoever has metrics: what client-go counts as `rest_client_*`.

use std::time::Duration;

/// Which request it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET` or `POST`: the labels `method` and `verb`.
    pub method: &'a str,
    /// Address and port of the API server: the label `host`.
    pub host: &'a str,
}

/// Is told of every request, on the thread that makes it.
pub trait RequestObserver: Send + Sync {
    /// It waited for the client's own limit: `rest_client_rate_limiter_duration_seconds`.
    fn limited(&self, request: Request<'_>, waited: Duration);

    /// The head of an answer came, or `None` where none came: `rest_client_requests_total`, which says `<error>` then.
    fn answered(&self, request: Request<'_>, code: Option<u16>);

    /// It is over: `rest_client_request_duration_seconds`, `rest_client_request_size_bytes` and
    /// `rest_client_response_size_bytes`. Watches are not told, as in client-go: they last for minutes by intention.
    fn finished(&self, request: Request<'_>, took: Duration, sent: usize, received: usize);

    /// A credential plug-in was run.
    fn plugin_called(&self, call: PluginCall);
}

/// How a credential plug-in ended: `rest_client_exec_plugin_call_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginCall {
    /// As it should. What it printed may still be unusable.
    Ended,
    /// With this code, or killed, by us where it took too long or printed too much.
    Failed(Option<i32>),
    /// There is no such program, or it cannot be run.
    NotStarted,
}

/// Nobody counts.
pub(crate) struct Unobserved;

impl RequestObserver for Unobserved {
    fn limited(&self, _: Request<'_>, _: Duration) {}
    fn answered(&self, _: Request<'_>, _: Option<u16>) {}
    fn finished(&self, _: Request<'_>, _: Duration, _: usize, _: usize) {}
    fn plugin_called(&self, _: PluginCall) {}
}
