//! The processes of a cluster: `swath scheduler`, `swath executor`, and `swath cluster up`, which
//! starts both on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::cluster::{
    Cluster, ExecutorOptions, JobRecord, JobState, PORT_DEFAULT, Running, SchedulerOptions,
    Submission, run_executor, run_scheduler,
};
use crate::dataset::location::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::limits::{SpillFolder, default_memory_bytes, default_threads};
use crate::roots::Roots;
use crate::units::parse_bytes;

/// How often a job is asked after that someone waits for.
const JOB_POLL: Duration = Duration::from_millis(200);

/// Words that this module answers to, with arguments and meaning.
pub(super) const ROLES: [(&str, &str, &str); 6] = [
    ("scheduler", "[--help]", "plans the work of a cluster and hands it out"),
    ("executor", "[--help]", "does the work that a scheduler gives it"),
    ("cluster", "up [--help]", "starts a cluster on this machine, to try it out"),
    ("submit", "SQL [--help]", "leaves a statement with a scheduler, which keeps its result"),
    ("jobs", "[--help]", "lists what was left with a scheduler"),
    ("job", "NUMBER [--help]", "shows the result of a job, or stops it"),
];

#[derive(Debug, Parser)]
#[command(name = "swath", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Plans the work of a cluster and hands it out to executors.
    Scheduler {
        /// Address to listen on; whoever reaches it can read what executors can read
        #[arg(long, value_name = "HOST:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT_DEFAULT)))]
        listen: SocketAddr,
        /// Name by which executors and clients reach it [default: the address it listens on]
        #[arg(long, value_name = "HOST")]
        advertise: Option<String>,
        /// Folder in which jobs are kept; whoever reaches the scheduler may then write files
        #[arg(long, value_name = "DIR")]
        jobs: Option<PathBuf>,
        /// Confines jobs to this folder; may be given several times
        #[arg(long = "allow-dir", value_name = "DIR")]
        allowed_dirs: Vec<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Does the work that a scheduler gives it.
    Executor {
        /// The scheduler
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50050")]
        scheduler: String,
        /// Address to listen on; whoever reaches it can read what it can read
        #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
        listen: IpAddr,
        /// Port on which it gives out rows [default: a free one]
        #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
        port: u16,
        /// Port on which it takes tasks [default: a free one]
        #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
        task_port: u16,
        /// Name by which others reach it [default: the address it listens on]
        #[arg(long, value_name = "HOST")]
        advertise: Option<String>,
        /// What errors call it [default: its address]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        common: Common,
    },
    /// Leaves a statement with a scheduler, which queues it, runs it and keeps its result.
    Submit {
        /// The statement; relative paths begin in this folder, on the scheduler's machine
        sql: String,
        /// Writes the rows into a file on the scheduler's machine, in the format of its extension
        #[arg(short = 'o', long, value_name = "FILE")]
        output: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Lists what was left with a scheduler.
    Jobs {
        #[command(flatten)]
        at: At,
    },
    /// Shows the result of a job.
    Job {
        /// Its number, which `swath submit` has written
        id: u64,
        /// Waits until it has ended
        #[arg(long)]
        wait: bool,
        /// Stops it
        #[arg(long, conflicts_with = "wait")]
        cancel: bool,
        /// Output format: table, csv, json and so on, as of swath itself
        #[arg(long, value_name = "NAME")]
        format: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Clusters on this machine.
    Cluster {
        #[command(subcommand)]
        verb: Verb,
    },
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Starts a scheduler and executors on this machine; Ctrl-C stops them.
    Up {
        /// How many executors
        #[arg(long, value_name = "COUNT", default_value_t = 2)]
        executors: usize,
        /// Port of the scheduler
        #[arg(long, value_name = "PORT", default_value_t = PORT_DEFAULT)]
        port: u16,
        /// Folder in which jobs are kept [default: none are taken]
        #[arg(long, value_name = "DIR")]
        jobs: Option<PathBuf>,
        #[command(flatten)]
        limits: Limits,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct At {
    /// The scheduler
    #[arg(long, value_name = "ADDRESS", default_value = "df://127.0.0.1:50050")]
    cluster: String,
}

#[derive(Debug, Clone, clap::Args)]
struct Limits {
    /// Tasks that an executor runs at once [default: all cores]
    #[arg(long, value_name = "COUNT")]
    cores: Option<usize>,
    /// Memory of all its tasks together, as in 8GB [default: 70 % of the machine's, or its share]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Folder for rows between stages [default: the system's]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Confines tasks to this folder; may be given several times
    #[arg(long = "allow-dir", value_name = "DIR")]
    allowed_dirs: Vec<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// Writes what happens to stderr, down to this level: error, warn, info, debug
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    log: Option<log::LevelFilter>,
    /// Ends when standard input does, as it does when the process that started it is gone
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Runs a role if the arguments ask for one; the process's exit code.
pub(super) fn main() -> Option<std::process::ExitCode> {
    let first = std::env::args().nth(1)?;
    if !ROLES.iter().any(|(name, ..)| *name == first) {
        return None;
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let usage = error.use_stderr();
            return Some(if usage { ErrorKind::Usage.exit_code() } else { 0 }.into());
        }
    };
    let done = match args.role {
        Role::Cluster { verb: Verb::Up { executors, port, jobs, limits } } => {
            up(executors, port, jobs.as_deref(), &limits)
        }
        Role::Submit { sql, output, at } => submit(sql, output, &at),
        Role::Jobs { at } => jobs(&at),
        Role::Job { id, wait, cancel, format, at } => job(id, wait, cancel, format, &at),
        role => serve(role),
    };
    Some(match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            error.kind().exit_code().into()
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorKind::Limit, format!("cannot start threads: {error}")))
}

/// The first line that a role writes, which says where it is reached.
fn say(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "one of error, warn, info, debug".to_string())
}

/// Writes what Ballista logs to stderr.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0.0, |now| now.as_secs_f64());
        let (level, target, what) = (record.level(), record.target(), record.args());
        let _ = writeln!(std::io::stderr(), "{now:.3} {level} {target}: {what}");
    }

    fn flush(&self) {}
}

impl Common {
    fn start_log(&self) {
        if let Some(level) = self.log
            && log::set_logger(&Log).is_ok()
        {
            log::set_max_level(level);
        }
    }
}

fn serve(role: Role) -> Result<()> {
    let runtime = runtime()?;
    if let Role::Scheduler { common, .. } | Role::Executor { common, .. } = &role {
        common.start_log();
    }
    match role {
        Role::Scheduler { listen, advertise, jobs: jobs_dir, allowed_dirs, common } => {
            let stop = stopped(common.until_stdin_ends);
            let started = |running: Running| say(&format!("scheduler df://{}", running.address));
            let options = SchedulerOptions { listen, advertise, jobs_dir, allowed_dirs };
            let done = runtime.block_on(run_scheduler(options, started, stop));
            // Connections that are left have nobody who waits for them.
            runtime.shutdown_background();
            done
        }
        Role::Executor { scheduler, listen, port, task_port, advertise, name, limits, common } => {
            let parent = limits.work_dir.clone().unwrap_or_else(std::env::temp_dir);
            std::fs::create_dir_all(&parent)
                .map_err(|error| Error::cannot_write(&parent, &error))?;
            let folder = SpillFolder::below(&parent);
            let options = ExecutorOptions {
                scheduler: scheduler.trim_start_matches("df://").to_string(),
                listen,
                ports: (port, task_port),
                advertise,
                name,
                cores: limits.cores.unwrap_or_else(default_threads),
                memory_bytes: limits
                    .memory
                    .as_deref()
                    .map(|size| parse_bytes(size).map(|bytes| bytes as u64))
                    .transpose()?,
                work_dir: folder.path().to_path_buf(),
                places: Places {
                    roots: match limits.allowed_dirs.as_slice() {
                        [] => Roots::default(),
                        folders => Roots::new(folders)?,
                    },
                    objects: super::stores::objects(),
                    ..Places::default()
                },
            };
            let started = |running: Running| say(&format!("executor {}", running.address));
            let work = run_executor(options, started);
            let parent_gone = stdin_ended(common.until_stdin_ends);
            let done = runtime.block_on(async {
                tokio::select! {
                    done = work => done,
                    () = parent_gone => Ok(()),
                }
            });
            let _ = std::fs::remove_dir_all(folder.path());
            // Tasks that are left have nobody who waits for them.
            runtime.shutdown_background();
            done
        }
        _ => Ok(()),
    }
}

fn submit(sql: String, output: Option<String>, at: &At) -> Result<()> {
    let folder = std::env::current_dir()
        .map_err(|error| Error::usage(format!("there is no current folder: {error}")))?;
    let cluster = Cluster::new(&at.cluster)?;
    let submission = Submission { sql, folder, output };
    let id = runtime()?.block_on(cluster.submit_job(submission))?;
    say(&id.to_string());
    Ok(())
}

fn jobs(at: &At) -> Result<()> {
    let cluster = Cluster::new(&at.cluster)?;
    for JobRecord { id, submission, state, attempt_count, .. } in
        runtime()?.block_on(cluster.jobs())?
    {
        let sql = submission.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let attempts = match attempt_count {
            0 | 1 => String::new(),
            count => format!(" (attempt {count})"),
        };
        say(&format!("{id:>5}  {:<9}  {sql}{attempts}", state.name()));
    }
    Ok(())
}

fn job(id: u64, wait: bool, cancel: bool, format: Option<String>, at: &At) -> Result<()> {
    let runtime = runtime()?;
    let cluster = Cluster::new(&at.cluster)?;
    if cancel {
        return runtime.block_on(cluster.cancel_job(id));
    }
    let record = runtime.block_on(async {
        loop {
            let found = cluster.jobs().await?.into_iter().find(|record| record.id == id);
            let record = found.ok_or_else(|| {
                Error::usage(format!("there is no job {id}")).hint("swath jobs lists them")
            })?;
            if record.state.has_ended() || !wait {
                return Ok::<_, Error>(record);
            }
            tokio::time::sleep(JOB_POLL).await;
        }
    })?;
    let _ = std::io::stderr().write_all(record.said.as_bytes());
    match (record.state, &record.submission.output) {
        (JobState::Done, None) => {}
        (JobState::Done, Some(output)) => {
            say(&format!("written: {output}"));
            return Ok(());
        }
        (JobState::Failed, _) => return Err(Error::data(format!("job {id} failed"))),
        (state, _) => {
            say(state.name());
            return Ok(());
        }
    }
    let cannot = |error: std::io::Error| Error::data(format!("cannot show the result: {error}"));
    let mut file = tempfile::Builder::new().suffix(".arrow").tempfile().map_err(cannot)?;
    runtime.block_on(cluster.fetch_job(id, file.as_file_mut()))?;
    let path = crate::units::show_literal(&file.path().to_string_lossy());
    let mut shown = Command::new(std::env::current_exe().map_err(cannot)?);
    shown.args(["--quiet", "--no-cache", "--command", &format!("SELECT * FROM {path}")]);
    if let Some(format) = format {
        shown.args(["--format", &format]);
    }
    match shown.status().map_err(cannot)?.success() {
        true => Ok(()),
        false => Err(Error::data("the result could not be shown")),
    }
}

/// Waits until the process is asked to stop.
async fn stopped(until_stdin_ends: bool) {
    tokio::select! {
        _ = crate::console::next_stop() => {}
        () = stdin_ended(until_stdin_ends) => {}
    }
}

/// Waits for the end of standard input, or for ever.
async fn stdin_ended(is_watched: bool) {
    if !is_watched {
        return std::future::pending().await;
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // A read cannot be given up: the thread goes with the process.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

/// A role in a process of its own, which ends with this one.
struct Part {
    child: Child,
    /// What it said when it had started.
    line: String,
}

impl Part {
    fn start(arguments: &[String]) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::data(format!("cannot start a process of the cluster: {error}"))
        };
        let program = std::env::current_exe().map_err(cannot)?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(cannot)?;
        }
        match line.trim() {
            // It has said why on stderr.
            "" => Err(Error::data("a process of the cluster did not start")),
            said => Ok(Part { line: said.to_string(), child }),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn up(
    executor_count: usize,
    port: u16,
    jobs: Option<&std::path::Path>,
    limits: &Limits,
) -> Result<()> {
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut arguments = words(&["scheduler", "--listen", &listen.to_string()]);
    if let Some(folder) = jobs {
        arguments.extend(words(&["--jobs", &folder.to_string_lossy()]));
        for folder in &limits.allowed_dirs {
            arguments.extend(words(&["--allow-dir", &folder.to_string_lossy()]));
        }
    }
    let scheduler = Part::start(&arguments)?;
    let address = scheduler.line.trim_start_matches("scheduler ").to_string();
    let share = limits.cores.unwrap_or(default_threads().div_ceil(executor_count.max(1)));
    // All of them are on one machine.
    let own_memory = default_memory_bytes() / executor_count.max(1);
    let memory = limits.memory.clone().unwrap_or_else(|| own_memory.to_string());
    let mut executors = Vec::new();
    for number in 1..=executor_count {
        let mut arguments = words(&["executor", "--scheduler", &address]);
        arguments.extend(words(&["--name", &number.to_string(), "--cores", &share.to_string()]));
        arguments.extend(words(&["--memory", &memory]));
        for (flag, folders) in [
            ("--work-dir", limits.work_dir.as_slice()),
            ("--allow-dir", limits.allowed_dirs.as_slice()),
        ] {
            for folder in folders {
                arguments.extend(words(&[flag, &folder.to_string_lossy()]));
            }
        }
        executors.push(Part::start(&arguments)?);
    }
    let of = crate::units::show_counted(executor_count as u64, "executor");
    say(&format!("{address} with {of} of {share} cores each; Ctrl-C stops it"));
    say(&format!("try: swath --cluster {address} \"SELECT 42\""));
    runtime()?.block_on(crate::console::next_stop());
    // Executors first, so that they can take their leave.
    drop(executors);
    drop(scheduler);
    Ok(())
}
