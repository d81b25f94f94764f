//! Ctrl-C and SIGTERM: the running statement stops, what it wrote is cleaned up.
//!
//! The third Ctrl-C ends the process at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::Handle;

/// Passes signals on to the statement that runs.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    running: Mutex<Option<Handle>>,
    presses: AtomicUsize,
    stays: AtomicBool,
}

impl Interrupt {
    /// Listens for signals in the background.
    pub fn install() -> Self {
        let interrupt = Interrupt::default();
        let listener = interrupt.clone();
        // Without a listener the system's default applies: the process ends.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
                runtime.block_on(listener.listen());
            }
        });
        interrupt
    }

    /// Stops what runs, as Ctrl-C does, once a reader has come to its end.
    pub fn when_ended(&self, mut reader: impl std::io::Read + Send + 'static) {
        let interrupt = self.clone();
        let _ = std::thread::Builder::new().name("parent".into()).spawn(move || {
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
            let running = interrupt.0.running.lock().unwrap_or_else(PoisonError::into_inner);
            match &*running {
                Some(cancel) => cancel.cancel(),
                None => std::process::exit(130),
            }
        });
    }

    async fn listen(&self) {
        loop {
            let Some(code) = next_stop().await else { return };
            let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let presses = self.0.presses.fetch_add(1, Ordering::Relaxed) + 1;
            match running {
                Some(cancel) if presses < 3 => cancel.cancel(),
                None if code == 130 && self.0.stays.load(Ordering::Relaxed) => {}
                _ => std::process::exit(code),
            }
        }
    }

    /// Between statements Ctrl-C does nothing, as a shell wants it.
    pub fn stay(&self) {
        self.0.stays.store(true, Ordering::Relaxed);
    }

    /// A handle for the statement that starts now.
    pub fn start(&self) -> Handle {
        let cancel = Handle::default();
        self.0.presses.store(0, Ordering::Relaxed);
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel.clone());
        cancel
    }

    /// No statement runs any more.
    pub fn end(&self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Waits until the process is asked to stop; the exit code that stands for the signal.
#[cfg(unix)]
pub async fn next_stop() -> Option<i32> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
    tokio::select! {
        _ = interrupt.recv() => Some(130),
        _ = terminate.recv() => Some(143),
    }
}

/// Waits until the process is asked to stop; the exit code that stands for it.
#[cfg(not(unix))]
pub async fn next_stop() -> Option<i32> {
    tokio::signal::ctrl_c().await.ok()?;
    Some(130)
}
