//! The progress of a statement on stderr: a bar for people, lines of JSON for programs.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::Handle;

/// Statements that are faster show nothing.
const SILENT: Duration = Duration::from_secs(1);
const BAR_EVERY: Duration = Duration::from_millis(200);
const JSON_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressForm {
    /// Not at all.
    #[default]
    Off,
    /// One line that is written over, of at most this many characters.
    Bar(usize),
    /// One JSON object each second.
    Json,
}

/// A thread that shows progress until it is dropped.
pub(super) struct Bar {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    pub(super) fn start(form: ProgressForm, handle: &Handle) -> Self {
        if form == ProgressForm::Off {
            return Bar { stop: None, thread: None };
        }
        let (stop, stopped) = channel();
        let handle = handle.clone();
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || show(form, &handle, &stopped))
            .ok();
        Bar { stop: Some(stop), thread }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(form: ProgressForm, handle: &Handle, stopped: &Receiver<()>) {
    let mut wait = SILENT;
    let mut is_drawn = false;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = if form == ProgressForm::Json { JSON_EVERY } else { BAR_EVERY };
        let Some(progress) = handle.progress() else { continue };
        match form {
            ProgressForm::Json => {
                if let Ok(line) = serde_json::to_string(&progress) {
                    write_stderr(&format!("{line}\n"));
                }
            }
            ProgressForm::Bar(width) => {
                let line: String = progress.to_string().chars().take(width).collect();
                write_stderr(&format!("\r\x1b[K{line}"));
                is_drawn = true;
            }
            ProgressForm::Off => {}
        }
    }
    if is_drawn {
        write_stderr("\r\x1b[K");
    }
}

fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
