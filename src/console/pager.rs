//! The pager: an answer that does not fit on the screen is shown by a program made for that.
//!
//! Nothing is held back longer than it takes to see that it does not fit: then it streams.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// The terminal that answers are shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

impl Screen {
    /// The size of the terminal, if it tells; COLUMNS and LINES come first.
    pub fn of_terminal() -> Option<Self> {
        let height = told("LINES").or_else(|| Some(size()?.1))?;
        Some(Screen { width: terminal_width()?, height })
    }
}

/// The width of the terminal, if it tells; COLUMNS comes first.
pub fn terminal_width() -> Option<usize> {
    told("COLUMNS").or_else(|| Some(size()?.0))
}

fn told(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn size() -> Option<(usize, usize)> {
    let size = crossterm::terminal::size().ok().filter(|size| size.0 > 0 && size.1 > 0);
    size.map(|(width, height)| (usize::from(width), usize::from(height)))
}

/// Prints what fits on a screen, and pages what does not.
pub(super) struct Paged {
    screen: Screen,
    /// Whether long lines may be wrapped.
    wraps: bool,
    held: Vec<u8>,
    line_count: usize,
    /// Characters in the last line so far; bytes of one character count once.
    line_len: usize,
    shown_by: Shown,
}

enum Shown {
    /// It may still fit.
    Undecided,
    Program(Child),
    /// There is no program: all is held for the pager within swath.
    Own,
}

impl Paged {
    pub(super) fn new(screen: Screen, wraps: bool) -> Self {
        let (held, shown_by) = (Vec::new(), Shown::Undecided);
        Paged { screen, wraps, held, line_count: 0, line_len: 0, shown_by }
    }

    /// Whether more was written than the screen has room for beside the prompt and a summary.
    fn is_too_large(&mut self, bytes: &[u8]) -> bool {
        let mut is_too_wide = false;
        for &byte in bytes {
            match byte {
                b'\n' => {
                    self.line_count += 1;
                    self.line_len = 0;
                }
                // Continuation bytes of UTF-8.
                0x80..=0xbf => {}
                _ => self.line_len += 1,
            }
            // Colours take a few bytes and no room.
            is_too_wide |= self.line_len > self.screen.width + 16;
        }
        is_too_wide && !self.wraps || self.line_count + 3 > self.screen.height
    }

    /// Shows what is left and waits until the user has seen it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.shown_by, Shown::Undecided) {
            Shown::Undecided => {
                let mut out = io::stdout().lock();
                out.write_all(&self.held).and_then(|()| out.flush())
            }
            Shown::Program(mut child) => {
                drop(child.stdin.take());
                child.wait().map(drop)
            }
            Shown::Own => page_here(&String::from_utf8_lossy(&self.held)),
        }
    }
}

impl Write for Paged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self.shown_by, Shown::Undecided) && self.is_too_large(bytes) {
            self.shown_by = start().map_or(Shown::Own, Shown::Program);
            if let Shown::Program(child) = &mut self.shown_by
                && let Some(stdin) = &mut child.stdin
            {
                stdin.write_all(&self.held)?;
                self.held = Vec::new();
            }
        }
        match &mut self.shown_by {
            Shown::Program(Child { stdin: Some(stdin), .. }) => stdin.write(bytes),
            _ => self.held.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.shown_by {
            Shown::Program(Child { stdin: Some(stdin), .. }) => stdin.flush(),
            _ => Ok(()),
        }
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        // After an error the user still looks at what came before it.
        if let Shown::Program(child) = &mut self.shown_by {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// The user's pager, else `less`; None if there is none.
fn start() -> Option<Child> {
    let chosen = ["SWATH_PAGER", "PAGER"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()));
    let mut command = match chosen {
        Some(line) => shell_command(&line),
        None => Command::new("less"),
    };
    if std::env::var_os("LESS").is_none() {
        // Long lines are cut, not wrapped; colours stay.
        command.env("LESS", "-SRX");
    }
    command.stdin(Stdio::piped()).spawn().ok()
}

/// A line as the system's shell runs it.
pub fn shell_command(line: &str) -> Command {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(shell);
    command.arg(flag).arg(line);
    command
}

fn page_here(text: &str) -> io::Result<()> {
    /// The hook by which it would end the whole process.
    const EXIT_HOOK: u64 = 1;
    let pager = minus::Pager::new();
    let paged = pager
        .remove_hook(minus::hooks::Hook::PostPagerExit, EXIT_HOOK)
        .and_then(|()| pager.horizontal_scroll(true))
        .and_then(|()| pager.set_prompt("q leaves, / searches, arrows move"))
        .and_then(|()| pager.set_text(text))
        .and_then(|()| minus::page_all(pager));
    paged.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_not_paged() {
        let is_too_large = |text: &str| {
            Paged::new(Screen { width: 10, height: 10 }, false).is_too_large(text.as_bytes())
        };
        assert!(!is_too_large("1\n2\n3\n4\n5\n6\n7\n"));
        assert!(is_too_large("1\n2\n3\n4\n5\n6\n7\n8\n"));
        assert!(!is_too_large(&"ä".repeat(26)));
        assert!(is_too_large(&"ä".repeat(27)));
    }
}
