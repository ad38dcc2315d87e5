//! The file of a picture: what stood there before stays until the new picture is whole. It draws nothing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::refusal::Refusal;

/// A place for a picture that was found to be writable before anything is computed for it.
#[derive(Debug)]
pub(super) struct PictureFile {
    /// As it was given.
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A file beside it, which takes its name once it is whole.
    Beside(Neighbour),
    /// A device or a pipe, in which nothing can be lost.
    Itself(File),
}

/// A file that is gone when it is dropped, unless it has taken its final name.
#[derive(Debug)]
struct Neighbour {
    file: File,
    path: PathBuf,
    becomes: PathBuf,
    is_kept: bool,
}

impl PictureFile {
    /// Opens a place for it, or refuses one that cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, Refusal> {
        let place = Place::of(path).map_err(|error| {
            Refusal::new(
                format!("`--svg` cannot be written to `{}`: {error}", path.display()),
                "give a file in a folder that exists, such as `storm.svg`",
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            place,
        })
    }

    /// Writes the picture, or says why not.
    pub(super) fn write(self, picture: &str) -> Result<(), String> {
        let written = match self.place {
            Place::Beside(neighbour) => neighbour.write(picture),
            Place::Itself(mut file) => file.write_all(picture.as_bytes()),
        };
        written.map_err(|error| format!("cannot write `{}`: {error}", self.path.display()))
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let before = match fs::metadata(path) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::Beside(Neighbour::of(path)?));
            }
            Err(error) => return Err(error),
        };
        // Also finds out whether it may be written, and changes nothing in it.
        let itself = OpenOptions::new().write(true).open(path)?;
        if !before.is_file() {
            return Ok(Self::Itself(itself));
        }
        // Not the link is replaced, but what it leads to.
        let neighbour = Neighbour::of(&fs::canonicalize(path)?)?;
        neighbour.file.set_permissions(before.permissions())?;
        Ok(Self::Beside(neighbour))
    }
}

impl Neighbour {
    fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut own = name.to_owned();
        own.push(format!(".{}.part", std::process::id()));
        let neighbour = path.with_file_name(own);
        Ok(Self {
            file: File::create_new(&neighbour)?,
            path: neighbour,
            becomes: path.with_file_name(name),
            is_kept: false,
        })
    }

    fn write(mut self, picture: &str) -> io::Result<()> {
        self.file.write_all(picture.as_bytes())?;
        fs::rename(&self.path, &self.becomes)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if !self.is_kept {
            // Somebody else may have taken it away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn old_picture_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storm.svg");
        fs::write(&path, "old").unwrap();

        let file = PictureFile::create(&path).unwrap();
        let meanwhile = fs::read_to_string(&path).unwrap();
        file.write("new").unwrap();

        assert_eq!(meanwhile, "old");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["storm.svg"]);
    }

    #[test]
    fn storm_that_is_cancelled_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.svg"), folder.path().join("new.svg"));
        fs::write(&old, "old").unwrap();

        drop(PictureFile::create(&old).unwrap());
        drop(PictureFile::create(&new).unwrap());

        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert_eq!(names(folder.path()), ["old.svg"]);
    }

    #[test]
    fn places_that_cannot_be_written_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "old").unwrap();

        for path in [
            folder.path(),
            &folder.path().join("no/where"),
            &file.join("in"),
            Path::new(""),
        ] {
            assert!(PictureFile::create(path).is_err(), "{}", path.display());
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[cfg(unix)]
    #[test]
    fn link_leads_to_the_picture_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (
            folder.path().join("storm.svg"),
            folder.path().join("link.svg"),
        );
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();

        PictureFile::create(&link).unwrap().write("new").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn device_is_written_as_it_is() {
        let file = PictureFile::create(Path::new("/dev/null")).unwrap();

        assert_eq!(file.write("new"), Ok(()));
    }
}
