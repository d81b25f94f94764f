//! The progress of a statement on stderr: a bar for people, lines of JSON for programs.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Handle;

/// Statements that are faster show nothing.
const SILENT: Duration = Duration::from_secs(1);
const PLAN_EVERY: Duration = Duration::from_millis(20);
/// What is announced before it is read.
const LARGE_LEN_BYTES: u64 = 1_000_000_000;
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
    let every = if form == ProgressForm::Json { JSON_EVERY } else { BAR_EVERY };
    let started = Instant::now();
    let mut is_drawn = false;
    let mut is_announced = false;
    loop {
        // Until there is a plan, one looks after it: a large scan is announced at once.
        let is_silent = started.elapsed() < SILENT;
        let wait = if is_silent && !is_announced { PLAN_EVERY } else { every };
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            break;
        }
        let Some(progress) = handle.progress() else { continue };
        if !is_announced {
            is_announced = true;
            if matches!(form, ProgressForm::Bar(_)) && progress.bytes_total >= LARGE_LEN_BYTES {
                write_stderr(&format!("reading {}\n", progress.scan()));
            }
        }
        if started.elapsed() < SILENT {
            continue;
        }
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
