//! Locations: what the user wrote after FROM, and the files that it stands for.
//!
//! ```text
//! text -> braces `{a,b}` `{1..9}` -> components, literal or glob -> walk -> files in path order
//! ```
//!
//! Invariant: whatever is left out (hidden, empty, foreign files) is counted; what matches nothing
//! is an error that names the nearest thing that exists. Where swath itself writes into a folder
//! meanwhile, the files are those before or after its commit.

mod remote;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use super::in_parallel;
use crate::error::{Error, Place, Result, nearest};
use crate::formats::file::{Identity, SourceFile, StreamSource};
use crate::objects::{self, Objects};
use crate::output::commit::State;
use crate::roots::Roots;

/// More files than this in one location are most likely a mistake.
pub const FILES_MAX: usize = 2_000_000;
const BRACES_MAX: usize = 100_000;
/// From so many files of a folder on, all threads look at them, so many at a time.
const TOGETHER_MIN: usize = 512;
/// How often a folder is listed again because it changed meanwhile.
const LISTINGS_MAX: usize = 100;

/// The files of one location, in path order, and what was left out.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files.
    pub files: Vec<Arc<SourceFile>>,
    /// How many entries were left out, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    folders: Folders,
    roots: Roots,
    /// Compiled patterns: those of braces share theirs.
    globs: HashMap<String, GlobMatcher>,
}

impl Listing {
    fn add(&mut self, file: SourceFile) -> Result<()> {
        if self.files.len() >= FILES_MAX {
            return Err(Error::new(
                crate::error::ErrorKind::Limit,
                format!("the location holds more than {FILES_MAX} files"),
            ));
        }
        self.files.push(Arc::new(file));
        Ok(())
    }

    fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    fn glob(&mut self, component: &str) -> Result<GlobMatcher, globset::Error> {
        if let Some(known) = self.globs.get(component) {
            return Ok(known.clone());
        }
        let glob = GlobBuilder::new(component).literal_separator(true).build()?.compile_matcher();
        self.globs.insert(component.to_string(), glob.clone());
        Ok(glob)
    }
}

/// The folders that were listed, as they were before.
#[derive(Debug, Default)]
struct Folders {
    inodes: HashMap<PathBuf, (u64, u64)>,
    journals: BTreeMap<PathBuf, State>,
    /// Folders without a journal, whose files may belong to one further up.
    above: HashSet<PathBuf>,
}

impl Folders {
    /// Looks at a folder that is about to be listed.
    fn look(&mut self, folder: &Path) -> std::io::Result<()> {
        let inode = Identity::of(&fs::metadata(folder)?).inode;
        self.inodes.insert(folder.to_path_buf(), inode);
        if let Some(state) = State::of(folder)? {
            self.journals.insert(folder.to_path_buf(), state);
        }
        Ok(())
    }

    /// Looks at the folders above one.
    fn look_above(&mut self, path: &Path, roots: &Roots) -> std::io::Result<()> {
        let Ok(path) = fs::canonicalize(path) else { return Ok(()) };
        for folder in path.ancestors().skip(1) {
            if !roots.holds(folder) || !self.above.insert(folder.to_path_buf()) {
                break;
            }
            if let Some(state) = State::of(folder)? {
                self.journals.insert(folder.to_path_buf(), state);
            }
        }
        Ok(())
    }

    /// Whether all folders are as they were, so that what was found belongs together.
    fn are_unchanged(&self) -> bool {
        self.inodes.iter().all(|(folder, inode)| {
            fs::metadata(folder).is_ok_and(|now| Identity::of(&now).inode == *inode)
        }) && self
            .journals
            .iter()
            .all(|(folder, state)| State::of(folder).is_ok_and(|now| now.as_ref() == Some(state)))
    }

    /// Files that are not yet part of their folder, or no more.
    fn left_out(&self) -> HashSet<PathBuf> {
        let mut paths = HashSet::new();
        for (folder, state) in &self.journals {
            let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.clone());
            paths.extend(state.left_out().map(|path| folder.join(path)));
        }
        paths
    }
}

/// Where locations are looked up.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// What `stdin` stands for.
    pub stdin: Option<Arc<StreamSource>>,
    /// Where locations may lie.
    pub roots: Roots,
    /// What URLs stand for.
    pub objects: Objects,
}

/// Lists the files of one or more locations.
///
/// # Errors
/// When a location matches nothing or cannot be read.
pub fn list(locations: &[String], places: &Places) -> Result<Listing> {
    for _ in 0..LISTINGS_MAX {
        let mut listing = Listing { roots: places.roots.clone(), ..Listing::default() };
        let listed = list_once(locations, places, &mut listing);
        if !listing.folders.are_unchanged() {
            continue;
        }
        listed?;
        let left_out = listing.folders.left_out();
        if !left_out.is_empty() {
            listing.files.retain(|file| {
                file.path()
                    .and_then(|path| fs::canonicalize(path).ok())
                    .is_none_or(|path| !left_out.contains(&path))
            });
        }
        if let ([], [first, ..]) = (&listing.files[..], locations) {
            return Err(nothing_matched(first, places, 0));
        }
        return Ok(listing);
    }
    Err(Error::data("the folder was changed again and again while it was listed")
        .at(Place::file(locations.first().map_or("", String::as_str)))
        .hint("run the statement again"))
}

fn list_once(locations: &[String], places: &Places, listing: &mut Listing) -> Result<()> {
    for location in locations {
        if matches!(location.as_str(), "stdin" | "-" | "/dev/stdin")
            && let Some(stdin) = &places.stdin
        {
            listing.files.push(Arc::new(SourceFile::stream("stdin", Arc::clone(stdin))));
            continue;
        }
        let before = (listing.files.len(), listing.skipped.values().sum::<u64>());
        for pattern in expand_braces(location)? {
            walk_pattern(&pattern, places, listing)?;
        }
        if listing.files.len() == before.0 {
            let skipped = listing.skipped.values().sum::<u64>() - before.1;
            return Err(nothing_matched(location, places, skipped));
        }
    }
    listing.files.sort_by(|a, b| a.name.cmp(&b.name));
    listing.files.dedup_by(|a, b| a.name == b.name);
    Ok(())
}

/// Expands `{a,b}` and `{1..9}` (with leading zeros kept), also nested.
fn expand_braces(text: &str) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![text.to_string()];
    while let Some(text) = open.pop() {
        let Some((start, end, parts)) = first_brace(&text) else {
            done.push(text);
            continue;
        };
        for part in parts.into_iter().rev() {
            open.push(format!("{}{part}{}", &text[..start], &text[end..]));
        }
        if open.len() + done.len() > BRACES_MAX {
            let shown = objects::shown(&text);
            return Err(Error::sql(format!("the braces in {shown:?} stand for too many paths")));
        }
    }
    Ok(done)
}

/// The first brace that is a list or a range: its position and its alternatives.
fn first_brace(text: &str) -> Option<(usize, usize, Vec<String>)> {
    for (start, _) in text.match_indices('{') {
        let (mut depth, mut commas) = (0_usize, vec![start]);
        for (at, byte) in text.bytes().enumerate().skip(start) {
            match byte {
                b'{' => depth += 1,
                b',' if depth == 1 => commas.push(at),
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        commas.push(at);
                        break;
                    }
                }
                _ => {}
            }
        }
        if depth != 0 {
            continue;
        }
        let end = *commas.last()? + 1;
        if commas.len() > 2 {
            let parts =
                commas.windows(2).map(|pair| text[pair[0] + 1..pair[1]].to_string()).collect();
            return Some((start, end, parts));
        }
        if let Some(parts) = range(&text[start + 1..end - 1]) {
            return Some((start, end, parts));
        }
    }
    None
}

/// `1..9` or `01..12`.
fn range(text: &str) -> Option<Vec<String>> {
    let (from, to) = text.split_once("..")?;
    let (first, last): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
    if first.abs_diff(last) as usize > BRACES_MAX {
        return None;
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    let show = |number: u32| format!("{number:0width$}");
    Some(if first <= last {
        (first..=last).map(show).collect()
    } else {
        (last..=first).rev().map(show).collect()
    })
}

/// A path component to follow.
enum Step {
    Literal(String),
    Glob(GlobMatcher, bool),
    AnyDepth,
}

fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The path on disk that a location's text means, as far as it has no globs.
///
/// # Errors
/// When it lies where swath cannot look.
pub fn resolve(text: &str, places: &Places) -> Result<String> {
    if let Some(rest) = text.strip_prefix("file://") {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        return Ok(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned());
    }
    if objects::is_url(text) {
        return Err(Error::sql("only a path on this machine can stand here")
            .at(Place::file(objects::shown(text)))
            .hint("an object in a store is written as a whole: COPY (SELECT ...) TO 's3://...'"));
    }
    match (text.strip_prefix('~'), &places.home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Ok(format!("{}{rest}", home.display()))
        }
        _ => Ok(text.to_string()),
    }
}

fn walk_pattern(pattern: &str, places: &Places, listing: &mut Listing) -> Result<()> {
    if objects::is_url(pattern) {
        return remote::walk(pattern, places, listing);
    }
    let path = resolve(pattern, places)?;
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let plain_count = components.iter().take_while(|component| !has_glob(component)).count();
    let (plain, patterns) = components.split_at(plain_count);
    let mut start = PathBuf::from(if path.starts_with('/') { "/" } else { "" });
    start.extend(plain);
    listing
        .folders
        .look_above(&start, &places.roots)
        .map_err(|error| Error::io("read the journal above", pattern, &error))?;
    // A file may really be called `a[1].csv`.
    if patterns.is_empty() || fs::symlink_metadata(&path).is_ok() {
        return walk_entry(Path::new(&path), Named::ByUser, &mut Vec::new(), listing);
    }
    let steps = steps(patterns, pattern, listing)?;
    listing.roots.check(or_here(&start))?;
    if fs::metadata(or_here(&start)).is_ok() {
        follow(&start, &steps, &mut Vec::new(), listing)?;
    }
    Ok(())
}

/// The steps that components of a pattern are.
fn steps(components: &[&str], pattern: &str, listing: &mut Listing) -> Result<Vec<Step>> {
    let step = |&component: &&str| {
        if component == "**" {
            return Ok(Step::AnyDepth);
        }
        if !has_glob(component) {
            return Ok(Step::Literal(component.to_string()));
        }
        let glob = listing.glob(component);
        let bad = |error: globset::Error| format!("bad pattern {pattern:?}: {}", error.kind());
        let glob = glob.map_err(|error| Error::sql(bad(error)))?;
        Ok(Step::Glob(glob, component.starts_with(['.', '_'])))
    };
    components.iter().map(step).collect()
}

/// The folder that a path means; an empty one is where the process works.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// How an entry came to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The user wrote its name, or a pattern for it.
    ByUser,
    /// It was found inside a directory.
    ByDirectory,
}

fn follow(
    at: &Path,
    steps: &[Step],
    ancestors: &mut Vec<Identity>,
    listing: &mut Listing,
) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        return walk_entry(at, Named::ByUser, ancestors, listing);
    };
    match step {
        Step::Literal(name) => {
            let next = at.join(name);
            if listing.roots.holds(&next) && fs::metadata(&next).is_ok() {
                follow(&next, rest, ancestors, listing)?;
            }
            Ok(())
        }
        Step::Glob(glob, hidden_too) => {
            let mut found = Vec::new();
            for name in entries(at, listing)? {
                let hidden = is_hidden(&name) && !hidden_too;
                let next = at.join(&name);
                if !glob.is_match(&name) || (rest.is_empty() && hidden) {
                    if hidden && glob.is_match(&name) {
                        listing.skip("hidden");
                    }
                    continue;
                }
                if hidden || (!rest.is_empty() && !next.is_dir()) || leads_out(&next, listing) {
                    continue;
                }
                found.push(name);
            }
            if rest.is_empty() {
                return walk_all(at, found, Named::ByUser, ancestors, listing);
            }
            found.iter().try_for_each(|name| follow(&at.join(name), rest, ancestors, listing))
        }
        Step::AnyDepth => {
            if rest.is_empty() {
                return walk_entry(at, Named::ByUser, ancestors, listing);
            }
            let Some(()) = enter(at, ancestors, listing)? else { return Ok(()) };
            follow(at, rest, ancestors, listing)?;
            for name in entries(at, listing)? {
                let next = at.join(&name);
                if !is_hidden(&name) && next.is_dir() && !leads_out(&next, listing) {
                    follow(&next, steps, ancestors, listing)?;
                }
            }
            ancestors.pop();
            Ok(())
        }
    }
}

/// Whether an entry that was found leads out of the roots; it is left out then, and counted.
fn leads_out(at: &Path, listing: &mut Listing) -> bool {
    let leads_out = !listing.roots.holds(at);
    if leads_out {
        listing.skip("a link out of the allowed folders");
    }
    leads_out
}

/// Notes that a directory is being walked; `None` if it is its own ancestor (a symlink loop).
fn enter(at: &Path, ancestors: &mut Vec<Identity>, listing: &mut Listing) -> Result<Option<()>> {
    let path = or_here(at);
    let metadata = fs::metadata(path)
        .map_err(|error| Error::io("read directory", &at.display().to_string(), &error))?;
    let identity = Identity::of(&metadata);
    if identity.inode != (0, 0) && ancestors.iter().any(|known| known.inode == identity.inode) {
        listing.skip("a link to a folder above it");
        return Ok(None);
    }
    ancestors.push(identity);
    Ok(Some(()))
}

/// The names in a directory, sorted.
fn entries(at: &Path, listing: &mut Listing) -> Result<Vec<String>> {
    let path = or_here(at);
    let fail = |error| Error::io("read directory", &at.display().to_string(), &error);
    listing.roots.check(path)?;
    let mut names = Vec::new();
    listing.folders.look(path).map_err(fail)?;
    for entry in fs::read_dir(path).map_err(fail)? {
        match entry.map_err(fail)?.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(_) => listing.skip("a name that is not UTF-8"),
        }
    }
    names.sort();
    Ok(names)
}

/// `.git`, `_SUCCESS` and the like; `_year=2024` is a partition.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Walks entries of one folder.
fn walk_all(
    folder: &Path,
    names: Vec<String>,
    named: Named,
    ancestors: &mut Vec<Identity>,
    listing: &mut Listing,
) -> Result<()> {
    // Under roots nothing is looked at before it is known where it leads.
    if names.len() < TOGETHER_MIN || listing.roots.is_confined() {
        return names
            .iter()
            .try_for_each(|name| walk_entry(&folder.join(name), named, ancestors, listing));
    }
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let parts: Vec<&[PathBuf]> = paths.chunks(TOGETHER_MIN).collect();
    let look = |part: usize| parts[part].iter().map(fs::metadata).collect::<Vec<_>>();
    let thread_count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let looked = in_parallel(parts.len(), thread_count, look);
    for (part, looked) in parts.iter().zip(looked) {
        let Some(looked) = looked else {
            let place = Place::file(folder.display().to_string());
            return Err(Error::data("a look at files failed").at(place).hint("run it again"));
        };
        for (path, metadata) in part.iter().zip(looked) {
            walk_looked_at(path, metadata, named, ancestors, listing)?;
        }
    }
    Ok(())
}

fn walk_entry(
    at: &Path,
    named: Named,
    ancestors: &mut Vec<Identity>,
    listing: &mut Listing,
) -> Result<()> {
    if named == Named::ByUser {
        listing.roots.check(at)?;
    } else if leads_out(at, listing) {
        return Ok(());
    }
    walk_looked_at(at, fs::metadata(at), named, ancestors, listing)
}

fn walk_looked_at(
    at: &Path,
    metadata: std::io::Result<fs::Metadata>,
    named: Named,
    ancestors: &mut Vec<Identity>,
    listing: &mut Listing,
) -> Result<()> {
    let name = at.display().to_string();
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error)
            if named == Named::ByDirectory && error.kind() == std::io::ErrorKind::NotFound =>
        {
            listing.skip("a link to nothing");
            return Ok(());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("look at", &name, &error)),
    };
    if metadata.is_dir() {
        let Some(()) = enter(at, ancestors, listing)? else { return Ok(()) };
        let mut names = entries(at, listing)?;
        names.retain(|name| {
            let is_shown = !is_hidden(name) && !name.ends_with(".crc");
            if !is_shown {
                listing.skip("hidden");
            }
            is_shown
        });
        walk_all(at, names, Named::ByDirectory, ancestors, listing)?;
        ancestors.pop();
        return Ok(());
    }
    if metadata.is_file() && metadata.len() == 0 {
        listing.skip("empty");
        return Ok(());
    }
    if !metadata.is_file() {
        return special_file(at, name, named, listing);
    }
    if named == Named::ByDirectory && !is_data_name(&name) {
        listing.skip("not data by its name");
        return Ok(());
    }
    let roots = listing.roots.clone();
    listing.add(SourceFile::within(roots, name, at.to_path_buf(), &metadata))
}

/// A pipe or a device that the user named is read as a stream.
fn special_file(at: &Path, name: String, named: Named, listing: &mut Listing) -> Result<()> {
    if named == Named::ByDirectory {
        listing.skip("a pipe or device");
        return Ok(());
    }
    let file = listing.roots.open(at).map_err(|error| Error::io("open", &name, &error))?;
    let stream = Arc::new(StreamSource::new(Box::new(file)));
    listing.files.push(Arc::new(SourceFile::stream(name, stream)));
    Ok(())
}

/// Whether a file in a directory may be data; a file that the user names always is.
fn is_data_name(name: &str) -> bool {
    const FOREIGN: [&str; 33] = [
        "md", "pdf", "html", "htm", "png", "jpg", "jpeg", "gif", "svg", "sql", "py", "r", "rmd",
        "ipynb", "sh", "js", "css", "zip", "tar", "7z", "rar", "xls", "xlsx", "ods", "doc", "docx",
        "yml", "yaml", "toml", "lock", "log", "xml", "tmp",
    ];
    let file_name = name.rsplit('/').next().unwrap_or(name);
    let lower = file_name.to_lowercase();
    if matches!(
        lower.as_str(),
        "license" | "licence" | "readme" | "readme.txt" | "makefile" | "changelog"
    ) {
        return false;
    }
    match lower.rsplit_once('.') {
        Some((_, extension)) => !FOREIGN.contains(&extension),
        None => true,
    }
}

/// The error for a location without files, with the nearest thing that exists.
fn nothing_matched(location: &str, places: &Places, skipped: u64) -> Error {
    let name = objects::shown(location);
    let place = Place::file(&name);
    if skipped > 0 {
        return Error::data(format!(
            "no data files in {name:?}: {} left out (hidden, empty or not data)",
            crate::units::show_counted(skipped, "entry").replace("entrys", "entries")
        ))
        .at(place);
    }
    let error = Error::data(format!("no file matches {name:?}")).at(place);
    if objects::is_url(location) {
        return remote::with_nearest(error, location, places);
    }
    let Ok(path) = resolve(location, places) else { return error };
    if places.roots.is_confined() {
        return error;
    }
    // Down the path as far as it exists.
    let mut reached = PathBuf::from(if path.starts_with('/') { "/" } else { "." });
    for component in path.split('/').filter(|component| !component.is_empty()) {
        let next = reached.join(component);
        if next.exists() {
            reached = next;
            continue;
        }
        let mut ignored = Listing::default();
        let names = entries(&reached, &mut ignored).unwrap_or_default();
        let shown = reached.display().to_string();
        let shown = shown.strip_prefix("./").unwrap_or(&shown);
        return error.hint(nearest_of(component, shown, &names));
    }
    error
}

/// What stands in a folder instead of a component that does not.
fn nearest_of(component: &str, folder: &str, names: &[String]) -> String {
    let visible = || names.iter().filter(|name| !is_hidden(name)).map(String::as_str);
    match nearest(component, visible()) {
        Some(name) if !has_glob(component) && folder == "." => format!("did you mean '{name}'?"),
        Some(name) if !has_glob(component) => format!("did you mean '{folder}/{name}'?"),
        _ if names.is_empty() => format!("{folder:?} is empty"),
        _ => {
            let some: Vec<_> = visible().take(3).collect();
            format!("{folder:?} exists and holds {}", some.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_lists_and_ranges() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(expand_braces(text).expect("expands"), expected, "{text}");
        };
        check("a{b,c}d", &["abd", "acd"]);
        check("{08..11}", &["08", "09", "10", "11"]);
        check("{1..3}/{x,y}", &["1/x", "1/y", "2/x", "2/y", "3/x", "3/y"]);
        check("{a,{b,c}}", &["a", "b", "c"]);
        check("{}{x}", &["{}{x}"]);
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("dir");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("write");
        }
        dir
    }

    fn names(dir: &Path, pattern: &str) -> Vec<String> {
        let root = dir.display().to_string();
        match list(&[format!("{root}/{pattern}")], &Places::default()) {
            Ok(listing) => {
                listing.files.iter().map(|file| file.name[root.len() + 1..].to_string()).collect()
            }
            Err(error) => vec![error.to_string().replace(&root, "")],
        }
    }

    #[test]
    fn patterns_walk_only_what_they_match() {
        let dir = tree(&[
            ("a/1.csv", "x"),
            ("a/b/2.csv", "x"),
            ("a/b/.hidden.csv", "x"),
            ("a/_SUCCESS", "x"),
            ("a/empty.csv", ""),
            ("a/README.md", "x"),
            ("c[1].csv", "x"),
        ]);
        let root = dir.path();
        assert_eq!(names(root, "a"), ["a/1.csv", "a/b/2.csv"]);
        assert_eq!(names(root, "a/"), ["a/1.csv", "a/b/2.csv"]);
        assert_eq!(names(root, "a/*.csv"), ["a/1.csv"]);
        assert_eq!(names(root, "**/*.csv"), ["a/1.csv", "a/b/2.csv", "c[1].csv"]);
        assert_eq!(names(root, "a/**"), ["a/1.csv", "a/b/2.csv"]);
        assert_eq!(names(root, "a/?/[0-9].csv"), ["a/b/2.csv"]);
        assert_eq!(names(root, "c[1].csv"), ["c[1].csv"]);
        assert!(names(root, "a/3.csv")[0].contains("did you mean '/a/1.csv'?"));
    }

    /// What a writer has begun is not there yet, and what one has replaced is there no more, from
    /// wherever the folder is looked at.
    #[test]
    fn commits_are_seen_as_a_whole() {
        let begun = r#"{"add":["k=1/new.csv","k=2/new.csv"],"remove":["k=1/a.csv"],"batch":null}"#;
        let committed = r#"{"add":["k=1/b.csv"],"remove":["k=1/old.csv"],"batch":null}"#;
        let dir = tree(&[
            ("t/k=1/a.csv", "x"),
            ("t/k=1/b.csv", "x"),
            ("t/k=1/new.csv", "x"),
            ("t/k=1/old.csv", "x"),
            ("t/k=2/new.csv", "x"),
            ("t/k=2/c.csv", "x"),
            ("t/.swath/begin-1", begun),
            ("t/.swath/commit-2", committed),
        ]);
        let root = dir.path();
        let all = ["t/k=1/a.csv", "t/k=1/b.csv", "t/k=2/c.csv"];
        for pattern in ["t", "t/", "*", "t/*/*.csv", "**/*.csv", "t/{k=1,k=2}"] {
            assert_eq!(names(root, pattern), all, "{pattern}");
        }
        assert_eq!(names(root, "t/k=1"), all[..2]);
        assert!(names(root, "t/k=1/new.csv")[0].contains("no file matches"));
    }

    #[cfg(unix)]
    #[test]
    fn symlink_loops_end() {
        let dir = tree(&[("a/1.csv", "x")]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/up")).expect("link");
        assert_eq!(names(dir.path(), "a"), ["a/1.csv", "a/up/a/1.csv"][..1]);
        assert_eq!(names(dir.path(), "**/*.csv").len(), 1);
    }
}
