//! All integration tests, in one binary.

/// What was learned of files, from one process to the next.
mod cache;
/// The command line as a process: what it prints, where, and with which exit code.
mod cli;
/// The same statements on a cluster give the same answers.
mod cluster;
/// The README and queries/: every command and statement runs as printed.
mod docs;
/// The program's layers: who may use whom, and who may name which crate.
mod layers;
/// The library as other programs use it.
mod library;
/// Files in object stores, over their real protocol.
mod objects;
/// Files as other programs wrote and read them.
mod oracle;
/// Plans that are faster and give the same answers.
mod plans;
/// Partial aggregates of files that are kept.
mod reuse;
/// Statements that are confined to folders.
#[cfg(target_os = "linux")]
mod roots;
/// The shell in a pseudo-terminal.
mod shell;
/// Every SQL file under several settings, with one answer.
mod slt;
/// Files that change, break or are cut while they are read.
mod trust;
/// Files that are written, and what is left when that fails.
mod writes;
