//! Where the cluster's objects come from: the API server, or manifests in its place.

use std::{future, ops::ControlFlow, path::Path, pin::Pin, sync::Arc, time::Duration};

use portolan_config::{Resolved, Settings};
use portolan_kube::{Client, ClientOptions, EventSink, Pace, PluginCall, Request, RequestObserver, WatchOptions};

use super::DaemonError;
use crate::{feed::feed, mailbox::Mailbox, manifest::Follower, metrics::Metrics, sync_loop::Message};

/// The source of objects.
pub(super) enum Objects {
    Manifests(Box<Follower>),
    Api(Client, WatchOptions),
}

impl Objects {
    /// Opens it; nothing is read yet. Must be called inside a tokio runtime.
    pub(super) async fn open(
        resolved: &Resolved,
        settings: &Settings,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, DaemonError> {
        if let Some(manifests) = &resolved.run.manifests {
            return Ok(Self::Manifests(Box::new(Follower::open(Path::new(manifests))?)));
        }
        let of = &settings.client;
        let options = ClientOptions {
            kubeconfig: of.kubeconfig.clone(),
            master: of.master.clone(),
            // kube-proxy's notation: less than nothing is no limit.
            qps: of.qps.unwrap_or(-1.0),
            burst: of.burst,
        };
        metrics.client_made();
        let client = Client::connect(options, Some(Arc::new(Requests(Arc::clone(metrics))))).await?;
        tracing::info!(server = client.server(), "following the API server");
        let node = settings.node.hostname.clone();
        Ok(Self::Api(client, WatchOptions { node, streaming: of.streaming_lists, pace: Pace::default() }))
    }

    /// Where Events go, and the future that writes them; it never ends while there is somebody to send one.
    pub(super) fn events(&self, hostname: &str) -> (Option<EventSink>, Pin<Box<dyn Future<Output = ()>>>) {
        match self {
            Self::Api(client, options) => {
                let (sink, events) = EventSink::new(client.clone(), hostname, options.pace);
                (Some(sink), Box::pin(events))
            }
            Self::Manifests(_) => (None, Box::pin(future::pending())),
        }
    }

    /// Hands over what there is and what changes, for ever; until nobody takes it any more.
    pub(super) async fn follow(self, mailbox: &Mailbox<Message>) -> Result<(), DaemonError> {
        match self {
            Self::Manifests(manifests) => Ok(feed(*manifests, mailbox).await?),
            Self::Api(client, options) => {
                let tell = async |event| match mailbox.send(Message::Kube(event)).await {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                };
                portolan_kube::watch(&client, &options, tell).await;
                Ok(())
            }
        }
    }
}

/// Counts requests as client-go does.
struct Requests(Arc<Metrics>);

impl RequestObserver for Requests {
    fn limited(&self, request: Request<'_>, waited: Duration) {
        self.0.request_throttled(request.host, request.method, waited);
    }

    fn answered(&self, request: Request<'_>, code: Option<u16>) {
        // What is asked again for the same reason, as client-go does.
        if let Some(code @ (429 | 500..=599)) = code {
            self.0.request_retried(request.host, request.method, &code.to_string());
        }
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.0.request_answered(request.host, request.method, &code);
    }

    fn plugin_called(&self, call: PluginCall) {
        let (code, status) = match call {
            PluginCall::Ended => (0, "no_error"),
            // Go has -1 for a process that was killed.
            PluginCall::Failed(code) => (code.unwrap_or(-1), "plugin_execution_error"),
            PluginCall::NotStarted => (1, "plugin_not_found_error"),
        };
        self.0.plugin_called(code, status);
    }

    fn finished(&self, request: Request<'_>, took: Duration, sent: usize, received: usize) {
        let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.0.request_took(request.host, request.method, took, bytes(sent), bytes(received));
    }
}
