//! Roots: the folders that statements may touch, for those who run statements of others.
//!
//! Invariant: with roots, what is opened for reading lies in one of them at the moment of opening,
//! also if somebody swaps a folder for a link meanwhile. Links may lead from one place in the roots to
//! another. A path for writing is checked when its statement is planned.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Place, Result};

/// The folders that may be touched; all, if none was named.
#[derive(Debug, Clone, Default)]
pub struct Roots(Option<Arc<Allowed>>);

#[derive(Debug, Default)]
struct Allowed {
    folders: Vec<Root>,
    /// Folders in object stores.
    urls: Vec<String>,
}

#[derive(Debug)]
struct Root {
    /// As the user wrote it.
    name: String,
    /// Without links.
    path: PathBuf,
    /// Held open: what bears its name later does not count.
    #[cfg(target_os = "linux")]
    folder: File,
}

impl Roots {
    /// These folders, on disk or in object stores (`s3://bucket/folder`), and what lies in them.
    ///
    /// # Errors
    /// When one is no folder, or the system cannot confine.
    pub fn new(folders: &[PathBuf]) -> Result<Self> {
        let mut allowed = Allowed::default();
        for folder in folders {
            match folder.to_str().filter(|folder| folder.contains("://")) {
                Some(url) => allowed.urls.push(url.trim_end_matches('/').to_string()),
                None => allowed.folders.push(Root::new(folder)?),
            }
        }
        Ok(Roots(Some(allowed.into())))
    }

    /// Whether only some folders may be touched.
    pub fn is_confined(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses a path outside the roots; what does not exist counts as lying in its folder.
    ///
    /// # Errors
    /// When the path lies outside, whether or not anything is there.
    pub fn check(&self, path: &Path) -> Result<()> {
        if self.holds(path) { Ok(()) } else { Err(self.outside(&path.display().to_string())) }
    }

    /// Refuses a URL outside the roots.
    ///
    /// # Errors
    /// When it does not begin with one of them.
    pub fn check_url(&self, url: &str) -> Result<()> {
        let Some(allowed) = &self.0 else { return Ok(()) };
        let lies_in = |root: &String| {
            url.strip_prefix(root.as_str())
                .is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let holds = !climbs(url) && allowed.urls.iter().any(lies_in);
        if holds { Ok(()) } else { Err(self.outside(&crate::objects::shown(url))) }
    }

    /// Whether a path lies in one of the roots.
    pub fn holds(&self, path: &Path) -> bool {
        let Some(allowed) = &self.0 else { return true };
        without_links(path)
            .is_some_and(|path| allowed.folders.iter().any(|root| path.starts_with(&root.path)))
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// As [`File::open`]; permission is denied outside the roots.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let Some(allowed) = &self.0 else { return File::open(path) };
        let path = std::fs::canonicalize(path)?;
        let found = allowed
            .folders
            .iter()
            .find_map(|root| Some((root, path.strip_prefix(&root.path).ok()?)));
        let Some((root, inner)) = found else {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it lies outside the allowed folders",
            ));
        };
        root.open(inner)
    }

    fn outside(&self, location: &str) -> Error {
        let allowed = self.0.iter();
        let names: Vec<_> = allowed
            .flat_map(|allowed| {
                let folders = allowed.folders.iter().map(|root| root.name.as_str());
                folders.chain(allowed.urls.iter().map(String::as_str))
            })
            .collect();
        Error::usage(format!("{location} lies outside the allowed folders"))
            .at(Place::file(location))
            .hint(format!("allowed: {}", names.join(", ")))
    }
}

/// Whether a URL may lead up from where it seems to lie: no store follows `..`, but addresses of the
/// web are read with escapes undone, backslashes for slashes, and without control characters.
fn climbs(url: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(url).decode_utf8_lossy();
    decoded.contains(char::is_control)
        || decoded.split(['/', '\\']).any(|part| matches!(part, "." | ".."))
}

impl Root {
    #[cfg(target_os = "linux")]
    fn new(folder: &Path) -> Result<Self> {
        let name = folder.display().to_string();
        let fail = |error: io::Error| Error::io("open the allowed folder", &name, &error);
        let path = std::fs::canonicalize(folder).map_err(fail)?;
        if !path.is_dir() {
            return Err(Error::usage(format!("{name} is no folder"))
                .hint("name the folder that statements may touch"));
        }
        let folder = File::open(&path).map_err(fail)?;
        Ok(Root { name, path, folder })
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_folder: &Path) -> Result<Self> {
        Err(Error::usage("statements cannot be confined to folders on this system"))
    }

    /// Opens a path that holds no links, step by step: a link that has come since is an error.
    #[cfg(target_os = "linux")]
    fn open(&self, inner: &Path) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut folder = None;
        let mut components = inner.components().peekable();
        while let Some(component) = components.next() {
            let at = folder.as_ref().unwrap_or(&self.folder);
            let flags = match components.peek() {
                Some(_) => flags | OFlags::PATH | OFlags::DIRECTORY,
                None => flags | OFlags::RDONLY,
            };
            folder = Some(File::from(openat(at, component.as_os_str(), flags, Mode::empty())?));
        }
        folder.map_or_else(|| self.folder.try_clone(), Ok)
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self, inner: &Path) -> io::Result<File> {
        File::open(self.path.join(inner))
    }
}

/// A path with its links followed as far as it exists; `..` behind that is not known, so none.
fn without_links(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut rest = Vec::new();
    for folder in path.ancestors() {
        match std::fs::canonicalize(folder) {
            Ok(found) => return Some(rest.iter().rev().fold(found, |path, name| path.join(name))),
            // A link to nothing: what is written through it goes who knows where.
            Err(_) if folder.is_symlink() => return None,
            Err(_) => rest.push(folder.file_name()?.to_os_string()),
        }
    }
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_lies_outside_is_refused_whichever_way_it_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (dir.path().join("in"), dir.path().join("inner"));
        fs::create_dir_all(inside.join("deep")).expect("made");
        fs::create_dir_all(&outside).expect("made");
        fs::write(inside.join("deep/f"), "yes").expect("written");
        fs::write(outside.join("f"), "no").expect("written");
        symlink(&outside, inside.join("out")).expect("linked");
        symlink("../inner/new", inside.join("new")).expect("linked");
        symlink(inside.join("deep/f"), inside.join("link")).expect("linked");
        let roots = Roots::new(std::slice::from_ref(&inside)).expect("a folder");
        for path in ["deep/f", "link", "deep/../link", "."] {
            assert!(roots.open(&inside.join(path)).is_ok(), "{path}");
            assert!(roots.check(&inside.join(path)).is_ok(), "{path}");
        }
        assert!(roots.check(&inside.join("deep/new/file")).is_ok());
        let strays = ["out/f", "../inner/f", "deep/../../inner/f", "new", "..", "gone/../../x"];
        for path in strays {
            assert!(roots.open(&inside.join(path)).is_err(), "{path}");
            assert!(roots.check(&inside.join(path)).is_err(), "{path}");
        }
        assert!(roots.check(Path::new("/nothing/here")).is_err());
    }

    /// A folder that turns into a link between two looks never lets anything out.
    #[test]
    fn swapping_a_folder_for_a_link_lets_nothing_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let inside = dir.path().join("in");
        for folder in ["in/a", "in/b", "out"] {
            fs::create_dir_all(dir.path().join(folder)).expect("made");
            fs::write(dir.path().join(folder).join("f"), folder).expect("written");
        }
        symlink(dir.path().join("out"), inside.join("link")).expect("linked");
        let roots = Roots::new(std::slice::from_ref(&inside)).expect("a folder");
        let done = std::sync::atomic::AtomicBool::new(false);
        let swap = || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let (a, link) = (inside.join("a"), inside.join("link"));
                renameat_with(CWD, a, CWD, link, RenameFlags::EXCHANGE).expect("swapped");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(swap);
            let mut opened_count = 0;
            for _ in 0..20_000 {
                if let Ok(file) = roots.open(&inside.join("a/f")) {
                    let text = io::read_to_string(file).expect("reads");
                    assert_eq!(text, "in/a");
                    opened_count += 1;
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(opened_count > 0);
        });
    }
}
