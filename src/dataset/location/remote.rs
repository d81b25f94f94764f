//! Locations in object stores.
//!
//! A store has keys and no folders: all keys below the part without globs are listed, and the pattern
//! says which of them are meant. What is hidden or not data by its name is left out as on a disk.

use super::{
    FILES_MAX, Listing, Places, Step, has_glob, is_data_name, is_hidden, nearest_of, steps,
};
use crate::error::{Error, Place, Result};
use crate::formats::file::SourceFile;
use crate::objects::{Object, is_web, shown};

/// Adds the objects that a URL stands for.
pub(super) fn walk(pattern: &str, places: &Places, listing: &mut Listing) -> Result<()> {
    if pattern.ends_with("://") || pattern.contains(":///") {
        // The error says what is missing.
        return places.objects.find(pattern).map(drop);
    }
    if is_web(pattern) {
        places.roots.check_url(pattern)?;
        let path = pattern.split_once('?').map_or(pattern, |(path, _)| path);
        if has_glob(path) {
            return Err(Error::sql("a web server does not tell which files it has")
                .at(Place::file(shown(pattern)))
                .hint("name each file, or a range of them: https://host/{01..12}.parquet"));
        }
        let found = places.objects.find(pattern)?;
        return found.map_or(Ok(()), |object| add(object, Named::ByUser, listing));
    }
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    // The scheme and the bucket.
    let (root, parts) = parts.split_at(2.min(parts.len()));
    let plain_count = parts.iter().take_while(|part| !has_glob(part)).count();
    let url = |parts: &[&str]| [&[root[0], ""], &root[1..], parts].concat().join("/");
    places.roots.check_url(&url(parts))?;
    // A key may really be called `a[1].csv`.
    let may_be_key = !pattern.contains(['*', '?']) && !pattern.ends_with('/');
    if may_be_key && let Some(object) = places.objects.find(&url(parts))? {
        return add(object, Named::ByUser, listing);
    }
    let (plain, patterns) = parts.split_at(plain_count);
    let steps = steps(patterns, pattern, listing)?;
    let folder = url(plain);
    for object in places.objects.list(&folder, FILES_MAX)? {
        let below = object.url.strip_prefix(&folder).and_then(|key| key.strip_prefix('/'));
        let Some(below) = below else { continue };
        let key: Vec<&str> = below.split('/').collect();
        match follow(&key, &steps) {
            Found::Meant(named) => add(object, named, listing)?,
            Found::Hidden => listing.skip("hidden"),
            Found::Other => {}
        }
    }
    Ok(())
}

/// How an object came to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The user wrote its key, or a pattern for it.
    ByUser,
    /// It lies in a folder that the user wrote, or a pattern for it.
    ByFolder,
}

/// What an object is to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Meant(Named),
    /// It would be meant, if it were not hidden.
    Hidden,
    Other,
}

/// What the parts of a key are to the steps of a pattern, just as if folders were walked.
fn follow(key: &[&str], steps: &[Step]) -> Found {
    let Some((step, rest)) = steps.split_first() else {
        let hides = |part: &&str| is_hidden(part) || part.ends_with(".crc");
        return match key {
            [] => Found::Meant(Named::ByUser),
            _ if key.iter().any(hides) => Found::Hidden,
            _ => Found::Meant(Named::ByFolder),
        };
    };
    let Some((&part, below)) = key.split_first() else { return Found::Other };
    let is_folder = !below.is_empty();
    match step {
        Step::Literal(name) if name == part => follow(below, rest),
        Step::Literal(_) => Found::Other,
        Step::Glob(glob, hidden_too) => {
            let is_last = rest.is_empty();
            match glob.is_match(part) {
                true if is_hidden(part) && !hidden_too && is_last => Found::Hidden,
                true if (!is_hidden(part) || *hidden_too) && (is_last || is_folder) => {
                    follow(below, rest)
                }
                _ => Found::Other,
            }
        }
        Step::AnyDepth if rest.is_empty() => follow(key, rest),
        Step::AnyDepth => match follow(key, rest) {
            Found::Meant(named) => Found::Meant(named),
            Found::Hidden | Found::Other if is_folder && !is_hidden(part) => follow(below, steps),
            found => found,
        },
    }
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
    if is_web(location) || places.roots.is_confined() {
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
            ("t/_x/c.csv", b"x"),
            ("t/deep/_x/d.csv", b"x"),
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
        assert_eq!(names("t/*/**"), all);
        assert_eq!(names("*/**"), all);
        assert_eq!(names("/t//year=202[4]///*.csv"), years[1..]);
        assert_eq!(names("t/_*"), ["t/_x/c.csv"]);
        assert_eq!(names("t/*/_x"), ["t/deep/_x/d.csv"]);
        assert_eq!(names("t/**/_x/*.csv"), ["t/_x/c.csv", "t/deep/_x/d.csv"]);
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
