//! Writes files whole or not at all, and removes them again if a later step fails.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use super::{error::ProjectError, shown::shown};

/// What undoes the changes so far.
#[derive(Default)]
pub(super) struct Changes(Vec<Box<dyn FnOnce() -> Result<(), ProjectError>>>);

/// Takes all of these steps, or none: if one fails, those before it are undone.
pub(super) fn all_or_nothing(
    steps: impl FnOnce(&mut Changes) -> Result<(), ProjectError>,
) -> Result<(), ProjectError> {
    let mut changes = Changes::default();
    steps(&mut changes).map_err(|error| changes.undo().err().unwrap_or(error))
}

impl Changes {
    /// Adds a directory with these files, which gets its name when it is complete.
    pub(super) fn add_dir(
        &mut self,
        dir: &Path,
        files: &[(&str, String)],
    ) -> Result<(), ProjectError> {
        self.add_parents(dir)?;
        let unfinished = beside(dir);
        self.undone_by(fs::remove_dir_all, &unfinished);
        for (name, text) in files {
            let path = unfinished.join(name);
            path.parent()
                .map_or(Ok(()), fs::create_dir_all)
                .map_err(ProjectError::io("create", &path))?;
            fs::write(&path, text).map_err(ProjectError::io("write", &path))?;
        }
        // A rename would replace an empty directory.
        if dir.symlink_metadata().is_ok() {
            return Err(ProjectError::Exists { dir: shown(dir) });
        }
        fs::rename(&unfinished, dir).map_err(ProjectError::io("create", dir))?;
        self.undone_by(fs::remove_dir_all, dir);
        Ok(())
    }

    fn add_parents(&mut self, dir: &Path) -> Result<(), ProjectError> {
        let missing: Vec<_> =
            dir.ancestors().skip(1).take_while(|dir| dir.symlink_metadata().is_err()).collect();
        for dir in missing.into_iter().rev() {
            fs::create_dir(dir).map_err(ProjectError::io("create", dir))?;
            self.undone_by(fs::remove_dir, dir);
        }
        Ok(())
    }

    /// Adds a file, if there is none of that name.
    pub(super) fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ProjectError> {
        let mut file = fs::File::create_new(path).map_err(ProjectError::io("create", path))?;
        self.undone_by(fs::remove_file, path);
        io::Write::write_all(&mut file, text.as_bytes()).map_err(ProjectError::io("write", path))
    }

    /// Gives a file another text.
    pub(super) fn replace(
        &mut self,
        path: &Path,
        before: &str,
        after: &str,
    ) -> Result<(), ProjectError> {
        swap(path, after).map_err(ProjectError::io("write", path))?;
        let (path, before) = (path.to_owned(), before.to_owned());
        self.0.push(Box::new(move || {
            let not_put_back = |source| ProjectError::NotPutBack { path: shown(&path), source };
            swap(&path, &before).map_err(not_put_back)
        }));
        Ok(())
    }

    /// What cannot be removed is only litter, and no failure.
    fn undone_by(&mut self, remove: fn(PathBuf) -> io::Result<()>, path: &Path) {
        let path = path.to_owned();
        self.0.push(Box::new(move || {
            let _ = remove(path);
            Ok(())
        }));
    }

    /// Undoes all that it can, and fails if a file keeps its new text.
    fn undo(self) -> Result<(), ProjectError> {
        let undone: Vec<_> = self.0.into_iter().rev().map(|undo| undo()).collect();
        undone.into_iter().collect()
    }
}

/// Gives a file another text in one step. A link stays a link, and permissions stay as they were.
fn swap(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let unfinished = beside(&path);
    let swapped = fs::write(&unfinished, text)
        .and_then(|()| fs::set_permissions(&unfinished, path.metadata()?.permissions()))
        .and_then(|()| fs::rename(&unfinished, &path));
    if swapped.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    swapped
}

/// In the same directory and so on the same file system, so that a rename is one step.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", process::id()))
}

// They make links and rights that only Unix has.
#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let entries = dir.read_dir().unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_step_that_fails_takes_all_before_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        fs::write(&kept, "as it was").unwrap();

        let failed = all_or_nothing(|changes| {
            changes.add_dir(
                &dir.path().join("a/b/c"),
                &[("d/e", "text".into()), ("f", "text".into())],
            )?;
            changes.add_file(&dir.path().join("g"), "text")?;
            changes.replace(&kept, "as it was", "changed")?;
            assert_eq!(fs::read_to_string(&kept).unwrap(), "changed");
            assert_eq!(fs::read_to_string(dir.path().join("a/b/c/d/e")).unwrap(), "text");
            changes.add_file(&kept, "text")
        });

        assert!(
            matches!(failed, Err(ProjectError::Io { operation: "create", path, .. }) if Path::new(&path) == kept)
        );
        assert_eq!(entries(dir.path()), ["kept"]);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "as it was");
    }

    #[test]
    fn a_directory_that_is_there_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();

        let failed = all_or_nothing(|changes| {
            changes.add_dir(&dir.path().join("empty"), &[("a", "text".into())])
        });

        assert!(matches!(failed, Err(ProjectError::Exists { .. })));
        assert_eq!(entries(dir.path()), ["empty"]);
        assert!(entries(&dir.path().join("empty")).is_empty());
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions_and_the_link_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();

        all_or_nothing(|changes| changes.replace(&link, "before", "after")).unwrap();

        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }
}
