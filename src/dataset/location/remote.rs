//! Locations in object stores.
//!
//! A store has keys and no folders: all keys below the part without globs are listed, and the pattern
//! says which of them are meant. What is hidden or not data by its name is left out as on a disk.

use globset::GlobMatcher;

use super::{FILES_MAX, Listing, Places, has_glob, is_data_name, is_hidden, nearest_of};
use crate::error::{Error, Place, Result};
use crate::formats::file::SourceFile;
use crate::objects::{Object, is_web};

/// Adds the objects that a URL stands for.
pub(super) fn walk(pattern: &str, places: &Places, listing: &mut Listing) -> Result<()> {
    places.roots.check_url(pattern)?;
    // All below a folder is the folder.
    let url = pattern.trim_end_matches("/**").trim_end_matches('/');
    let plain = plain_part(url);
    if is_web(url) {
        let path = url.split_once('?').map_or(url, |(path, _)| path);
        if has_glob(path) {
            return Err(Error::sql("a web server does not tell which files it has")
                .at(Place::file(pattern))
                .hint("name each file, or a range of them: https://host/{01..12}.parquet"));
        }
        let found = places.objects.find(pattern)?;
        return found.map_or(Ok(()), |object| add(object, Named::ByUser, listing));
    }
    // A key may really be called `a[1].csv`.
    if (plain == url || is_literal(url))
        && url == pattern
        && let Some(object) = places.objects.find(url)?
    {
        return add(object, Named::ByUser, listing);
    }
    let wanted = Wanted::of(url, plain, listing)?;
    for object in places.objects.list(plain, FILES_MAX)? {
        match wanted.named(&object.url) {
            Some(Named::ByFolder) if is_hidden_below(&object.url, plain) => listing.skip("hidden"),
            Some(named) => add(object, named, listing)?,
            None => {}
        }
    }
    Ok(())
}

/// How an object came to be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The user wrote its key, or a pattern for it.
    ByUser,
    /// It lies in a folder that the user wrote, or a pattern for it.
    ByFolder,
}

/// Which URLs are meant.
struct Wanted {
    /// The folder without globs.
    plain_len: usize,
    glob: Option<GlobMatcher>,
    /// How often a pattern goes down; None if any number of times.
    depth: Option<usize>,
}

impl Wanted {
    fn of(url: &str, plain: &str, listing: &mut Listing) -> Result<Self> {
        let rest = url[plain.len()..].trim_start_matches('/');
        let (plain_len, depth) = (plain.len() + 1, rest.split('/').count());
        if rest.is_empty() {
            return Ok(Wanted { plain_len, glob: None, depth: None });
        }
        let glob = listing
            .glob(rest)
            .map_err(|error| Error::sql(format!("bad pattern {url:?}: {}", error.kind())))?;
        let depth = (!rest.split('/').any(|part| part == "**")).then_some(depth);
        Ok(Wanted { plain_len, glob: Some(glob), depth })
    }

    fn named(&self, url: &str) -> Option<Named> {
        let Some(glob) = &self.glob else { return Some(Named::ByFolder) };
        let key = url.get(self.plain_len..)?;
        let ends = key.match_indices('/').map(|(at, _)| at);
        let is_deep =
            |end: usize| self.depth.is_none_or(|depth| key[..end].split('/').count() == depth);
        if is_deep(key.len()) && glob.is_match(key) {
            let hidden = key.split('/').any(is_hidden) && !self.names_hidden(glob);
            return Some(if hidden { Named::ByFolder } else { Named::ByUser });
        }
        let in_folder = ends.into_iter().any(|end| is_deep(end) && glob.is_match(&key[..end]));
        in_folder.then_some(Named::ByFolder)
    }

    /// Whether the pattern itself begins with what marks names as hidden.
    fn names_hidden(&self, glob: &GlobMatcher) -> bool {
        glob.glob().glob().split('/').any(|part| part.starts_with(['.', '_']))
    }
}

/// A URL as far as it has no globs: whole folders, or all of it.
fn plain_part(url: &str) -> &str {
    let mut end = 0;
    for (at, part) in url.split('/').scan(0, |at, part| {
        let start = *at;
        *at += part.len() + 1;
        Some((start, part))
    }) {
        if has_glob(part) {
            break;
        }
        end = at + part.len();
    }
    &url[..end]
}

/// Whether what looks like a glob may be a name.
fn is_literal(url: &str) -> bool {
    !url.contains(['*', '?'])
}

fn is_hidden_below(url: &str, plain: &str) -> bool {
    url[plain.len()..].split('/').any(|part| is_hidden(part) || part.ends_with(".crc"))
}

fn add(object: Object, named: Named, listing: &mut Listing) -> Result<()> {
    if object.len_bytes() == 0 {
        listing.skip("empty");
        return Ok(());
    }
    if named == Named::ByFolder && !is_data_name(&object.url) {
        listing.skip("not data by its name");
        return Ok(());
    }
    listing.add(SourceFile::object(object))
}

/// An error for a URL that stands for nothing, with the nearest thing that exists.
pub(super) fn with_nearest(error: Error, location: &str, places: &Places) -> Error {
    let url = location.trim_end_matches('/');
    if is_web(url) || places.roots.is_confined() {
        return error;
    }
    // Up the path to a folder that holds anything.
    let mut at = url;
    while let Some((folder, component)) = at.rsplit_once('/') {
        let found = places.objects.look_into(folder).unwrap_or_default();
        let names: Vec<String> = found.folders.into_iter().chain(found.objects).collect();
        if !names.is_empty() {
            return error.hint(nearest_of(component, folder, &names));
        }
        if folder.ends_with('/') || folder.matches('/').count() <= 2 {
            break;
        }
        at = folder;
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::list;
    use super::*;
    use crate::objects::in_memory;

    fn names(pattern: &str) -> Vec<String> {
        let store = in_memory(&[
            ("t/year=2023/a.csv", b"x"),
            ("t/year=2024/a.csv", b"x"),
            ("t/year=2024/_SUCCESS", b"x"),
            ("t/year=2024/.hidden.csv", b"x"),
            ("t/README.md", b"x"),
            ("t/empty.csv", b""),
            ("t/deep/er/b.csv", b"x"),
            ("one.csv", b"x"),
            ("c[1].csv", b"x"),
        ]);
        let places = Places::default();
        places.objects.register("s3://b", store);
        match list(&[format!("s3://b/{pattern}")], &places) {
            Ok(listing) => {
                listing.files.iter().map(|file| file.name["s3://b/".len()..].to_string()).collect()
            }
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_on_a_disk() {
        let years = ["t/year=2023/a.csv", "t/year=2024/a.csv"];
        let all = ["t/deep/er/b.csv", years[0], years[1]];
        assert_eq!(names("one.csv"), ["one.csv"]);
        assert_eq!(names("c[1].csv"), ["c[1].csv"]);
        assert_eq!(names("t"), all);
        assert_eq!(names("t/"), all);
        assert_eq!(names("t/**"), all);
        assert_eq!(names("t/**/*.csv"), all);
        assert_eq!(names("t/year=*"), years);
        assert_eq!(names("t/*/*.csv"), years);
        assert_eq!(names("t/year={2023,2024}/a.csv"), years);
        assert_eq!(names("t/year=202[4]/?.csv"), years[1..]);
        assert_eq!(names("t/year=2024/_*"), ["t/year=2024/_SUCCESS"]);
        assert_eq!(names("*.csv"), ["c[1].csv", "one.csv"]);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let error = names("t/yaer=2024").remove(0);
        assert!(error.contains("did you mean 's3://b/t/year=2024'?"), "{error}");
        let error = names("one.cvs").remove(0);
        assert!(error.contains("did you mean 's3://b/one.csv'?"), "{error}");
    }
}
