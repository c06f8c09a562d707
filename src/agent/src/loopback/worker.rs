//! The thread that serves the connections, and what all of them share.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::resource::{Resource, getrlimit};
use tokio::{
    runtime::{self, Handle},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

use super::relay::Pipes;

/// A connection takes two files, and up to four more while bytes wait in the kernel for a slow reader. The rest of the
/// process must go on whatever clients do: all of them together take three quarters of the limit at most.
const SHARE: u64 = 8;

/// The thread; it ends with this.
pub(super) struct Worker {
    pub(super) runtime: Handle,
    pub(super) shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pipes: Pipes,
    room: Arc<Semaphore>,
    most: usize,
    told: AtomicBool,
}

impl Worker {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("loopback".to_owned()).spawn(move || {
            // Nothing is ever sent: the other end is gone.
            let _ = runtime.block_on(stopped);
        })?;
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let most = usize::try_from(soft / SHARE).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let shared = Shared {
            pipes: Pipes::default(),
            room: Arc::new(Semaphore::new(most)),
            most,
            told: AtomicBool::new(false),
        };
        Ok(Self { runtime: handle, shared: Arc::new(shared), _stop: stop })
    }
}

impl Shared {
    /// Waits until there is room for one more connection; the kernel keeps who connects meanwhile.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(permit);
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                connections = self.most,
                "no more connections to NodePorts at loopback are served until one ends; raise the limit of open files, by \
                 which their number is limited; this is not told again"
            );
        }
        Arc::clone(&self.room).acquire_owned().await.ok()
    }
}
