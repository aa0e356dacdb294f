//! Whether the files, the `mod` lines and the list of `registry!` name the same migrations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use super::listing::{Item, Listing, Module, Name};
use onerow::module_name;

/// The files of migrations in a `src`, as they are called there.
#[derive(Default)]
pub(super) struct Files {
    migrations: BTreeMap<i32, Vec<String>>,
    misspelt: Vec<String>,
}

impl Files {
    pub(super) fn read(src: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for entry in fs::read_dir(src)? {
            files.add(&entry?.path());
        }
        // The order of a directory is anybody's.
        files.misspelt.sort();
        files.migrations.values_mut().for_each(|files| files.sort());
        Ok(files)
    }

    fn add(&mut self, path: &Path) {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (module, file) = match file.strip_suffix(".rs") {
            Some(module) => (module, file.to_owned()),
            None if path.join("mod.rs").is_file() => (file, format!("{file}/mod.rs")),
            None => return,
        };
        match Name::of(module) {
            Name::Migration(number) => self.migrations.entry(number).or_default().push(file),
            Name::Misspelt(_) => self.misspelt.push(file),
            Name::Other(_) => (),
        }
    }
}

/// What does not fit together; the paths are `src`, as it is to be printed, and what is in it.
pub(super) fn problems(listing: &Listing, files: &Files, src: &str) -> Vec<String> {
    let mut problems = misspelt(listing, files, src);
    let numbers: BTreeSet<i32> = declared(listing)
        .map(|(number, _)| number)
        .chain(listed(listing).map(|(number, _)| number))
        .chain(files.migrations.keys().copied())
        .collect();
    let first = first(listing, &numbers);
    let unlisted = numbers.range(..first).map(|&number| Migration::of(number, listing, files));
    problems.extend(unlisted.map(|migration| migration.below(first, src)));
    let mut expected = first;
    for &number in numbers.range(first..) {
        problems.extend(gap(expected, number, src));
        problems.extend(Migration::of(number, listing, files).problems(src));
        expected = number.saturating_add(1);
    }
    problems.extend(wrong_order(listing, src));
    problems
}

/// The number to count from. Behind a base it is the first that is listed: how many the base has is not in the text.
fn first(listing: &Listing, numbers: &BTreeSet<i32>) -> i32 {
    match listing.base {
        None => 0,
        Some(_) => listing.numbers().map(|(first, _)| first).or(numbers.first().copied()).unwrap_or_default(),
    }
}

fn misspelt(listing: &Listing, files: &Files, src: &str) -> Vec<String> {
    let how = "a migration is called m and its number in four digits, like m0003";
    let files = files.misspelt.iter().map(|file| format!("{src}/{file}: {how}"));
    let modules = listing.modules.iter().filter_map(|module| match &module.name {
        Name::Misspelt(name) => Some(format!("{src}/lib.rs:{}: `mod {name}`: {how}", module.line)),
        _ => None,
    });
    let items = listing.items.iter().filter_map(|item| match &item.name {
        Name::Misspelt(name) => Some(format!("{src}/lib.rs:{}: `{name}` in the list: {how}", item.line)),
        Name::Other(text) if text.len() > 2 && text.starts_with("..") => {
            Some(format!("{src}/lib.rs:{}: `{text}` is not the first in the list", item.line))
        }
        Name::Other(text) => {
            Some(format!("{src}/lib.rs:{}: `{text}` in the list is not the name of a migration", item.line))
        }
        Name::Migration(_) => None,
    });
    files.chain(modules).chain(items).collect()
}

fn gap(expected: i32, found: i32, src: &str) -> Option<String> {
    let missing = match found - expected {
        0 => return None,
        1 => format!("{} is", module_name(expected)),
        _ => format!("{} to {} are", module_name(expected), module_name(found - 1)),
    };
    Some(format!("{src}: {missing} missing, and {} is there", module_name(found)))
}

fn wrong_order(listing: &Listing, src: &str) -> Option<String> {
    let listed: Vec<_> = listed(listing).collect();
    listed.windows(2).find_map(|pair| {
        let [(before, _), (after, item)] = pair else { return None };
        let (earlier, later) = (module_name(*after), module_name(*before));
        (after < before)
            .then(|| format!("{src}/lib.rs:{}: {earlier} stands behind {later} in the list", item.line))
    })
}

/// All that is known of one number.
struct Migration<'a> {
    name: String,
    modules: Vec<&'a Module>,
    items: Vec<&'a Item>,
    files: &'a [String],
}

impl<'a> Migration<'a> {
    fn of(number: i32, listing: &'a Listing, files: &'a Files) -> Self {
        Self {
            name: module_name(number),
            modules: declared(listing).filter(|(n, _)| *n == number).map(|(_, module)| module).collect(),
            items: listed(listing).filter(|(n, _)| *n == number).map(|(_, item)| item).collect(),
            files: files.migrations.get(&number).map_or(&[], Vec::as_slice),
        }
    }

    fn problems(&self, src: &str) -> Vec<String> {
        let problems = [self.file_and_module(src), self.module_and_item(src)];
        problems.into_iter().flatten().chain(self.duplicates(src)).collect()
    }

    /// The problem of one that is below the first in the list: those are the base's, and not among these files.
    fn below(&self, first: i32, src: &str) -> String {
        let line = self.modules.first().map(|module| module.line).unwrap_or_default();
        let place = self.files.first().map_or_else(|| format!("lib.rs:{line}"), Clone::clone);
        let (name, first) = (&self.name, module_name(first));
        format!("{src}/{place}: {name} is not in the list, which begins with {first}")
    }

    fn file_and_module(&self, src: &str) -> Option<String> {
        let name = &self.name;
        match (self.files.first(), self.modules.first()) {
            (Some(file), None) => Some(format!("{src}/{file}: {src}/lib.rs has no `mod {name};`")),
            (None, Some(Module { inline: false, line, .. })) => {
                Some(format!("{src}/lib.rs:{line}: `mod {name};` has no file {src}/{name}.rs"))
            }
            (Some(file), Some(Module { inline: true, line, .. })) => {
                Some(format!("{src}/{file}: {src}/lib.rs:{line} has a `mod {name} {{…}}` as well"))
            }
            _ => None,
        }
    }

    fn module_and_item(&self, src: &str) -> Option<String> {
        let name = &self.name;
        match (self.modules.first(), self.items.first()) {
            (Some(Module { line, .. }), None) => {
                Some(format!("{src}/lib.rs:{line}: `mod {name};` is not in the list of registry!"))
            }
            (None, Some(Item { line, .. })) if self.files.is_empty() => {
                Some(format!("{src}/lib.rs:{line}: {name} is in the list, and nowhere else"))
            }
            _ => None,
        }
    }

    fn duplicates(&self, src: &str) -> impl Iterator<Item = String> {
        let name = &self.name;
        let files = match self.files {
            [one, other, ..] => Some(format!("{src}/{one} and {src}/{other} are both {name}")),
            _ => None,
        };
        let twice = |line: usize, how: &str| format!("{src}/lib.rs:{line}: {name} is {how} twice");
        let modules = self.modules.get(1).map(|module| twice(module.line, "declared"));
        let items = self.items.get(1).map(|item| twice(item.line, "listed"));
        [files, modules, items].into_iter().flatten()
    }
}

fn declared<'a>(listing: &'a Listing) -> impl Iterator<Item = (i32, &'a Module)> {
    listing.modules.iter().filter_map(|module| match module.name {
        Name::Migration(number) => Some((number, module)),
        _ => None,
    })
}

fn listed<'a>(listing: &'a Listing) -> impl Iterator<Item = (i32, &'a Item)> {
    listing.items.iter().filter_map(|item| match item.name {
        Name::Migration(number) => Some((number, item)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with these modules and this list, and these files beside it.
    #[track_caller]
    fn assert_problems(lib: &str, paths: &[&str], expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let listing = Listing::parse(Path::new("src/lib.rs"), lib).unwrap();

        let found = problems(&listing, &Files::read(dir.path()).unwrap(), "src");

        assert_eq!(found, expected);
    }

    const TWO: &str = "mod m0000;\nmod m0001;\nfn registry() { registry![m0000, m0001] }";

    #[test]
    fn what_fits_together_has_no_problems() {
        assert_problems(TWO, &["lib.rs", "m0000.rs", "m0001.rs"], &[]);
        assert_problems(TWO, &["m0000.rs", "m0001/mod.rs", "m0000/part.rs", "main.rs", "m.rs"], &[]);
        assert_problems("mod m0000 {}\nmod other;\nconst _: () = registry!(m0000);", &[], &[]);
        assert_problems("const _: () = registry![];", &["lib.rs"], &[]);
        // `mod` lines may stand in any order; rustfmt puts them in its own.
        assert_problems("mod m0001;\nmod m0000;\nregistry! {m0000, m0001,}", &["m0000.rs", "m0001.rs"], &[]);
    }

    #[test]
    fn each_kind_of_disagreement_is_named_with_its_place() {
        assert_problems(
            TWO,
            &["m0000.rs", "m0001.rs", "m0002.rs"],
            &["src/m0002.rs: src/lib.rs has no `mod m0002;`"],
        );
        assert_problems(TWO, &["m0000.rs"], &["src/lib.rs:2: `mod m0001;` has no file src/m0001.rs"]);
        assert_problems(
            "mod m0000;\nmod m0001;\nregistry![m0000]",
            &["m0000.rs", "m0001.rs"],
            &["src/lib.rs:2: `mod m0001;` is not in the list of registry!"],
        );
        assert_problems(
            "mod m0000;\nregistry![m0000, m0001]",
            &["m0000.rs"],
            &["src/lib.rs:2: m0001 is in the list, and nowhere else"],
        );
        assert_problems(
            "mod m0000;\nregistry![m0000, m0001]",
            &["m0000.rs", "m0001.rs"],
            &["src/m0001.rs: src/lib.rs has no `mod m0001;`"],
        );
        assert_problems(
            "mod m0001;\nregistry![\n  m0001]",
            &["m0001/mod.rs"],
            &["src: m0000 is missing, and m0001 is there"],
        );
        assert_problems(
            "mod m0000;\nmod m0009;\nregistry![m0000, m0009]",
            &["m0000.rs", "m0009.rs"],
            &["src: m0001 to m0008 are missing, and m0009 is there"],
        );
        assert_problems(
            "mod m0000;\nmod m0001;\nregistry![\n  m0001,\n  m0000,\n]",
            &["m0000.rs", "m0001.rs"],
            &["src/lib.rs:5: m0000 stands behind m0001 in the list"],
        );
        assert_problems(
            "mod m0000;\nmod m0000;\nregistry![m0000,\nm0000]",
            &["m0000.rs"],
            &["src/lib.rs:2: m0000 is declared twice", "src/lib.rs:4: m0000 is listed twice"],
        );
        assert_problems(
            "mod m0000;\nregistry![m0000]",
            &["m0000.rs", "m0000/mod.rs"],
            &["src/m0000.rs and src/m0000/mod.rs are both m0000"],
        );
        assert_problems(
            "mod m0000 {}\nregistry![m0000]",
            &["m0000.rs"],
            &["src/m0000.rs: src/lib.rs:1 has a `mod m0000 {…}` as well"],
        );
    }

    #[test]
    fn behind_a_base_the_first_that_is_listed_is_the_first() {
        let lib = "mod m0012;\nmod m0013;\nregistry![..BASE, m0012, m0013]";
        assert_problems(lib, &["m0012.rs", "m0013.rs"], &[]);
        assert_problems("mod old;\nregistry![..old::BASE]", &["lib.rs", "old.rs"], &[]);
        assert_problems(
            "mod m0012;\nmod m0014;\nregistry![..BASE, m0012, m0014]",
            &["m0012.rs", "m0014.rs"],
            &["src: m0013 is missing, and m0014 is there"],
        );
        assert_problems(
            "mod m0012;\nmod m0013;\nregistry![..BASE, m0013, m0012]",
            &["m0012.rs", "m0013.rs"],
            &["src/lib.rs:3: m0012 stands behind m0013 in the list"],
        );
    }

    #[test]
    fn behind_a_base_what_is_not_listed_is_not_passed_over() {
        let lib = "mod m0002;\nmod m0003;\nmod m0012;\nregistry![..BASE, m0012]";
        assert_problems(
            lib,
            &["m0001.rs", "m0002.rs", "m0012.rs"],
            &[
                "src/m0001.rs: m0001 is not in the list, which begins with m0012",
                "src/m0002.rs: m0002 is not in the list, which begins with m0012",
                "src/lib.rs:2: m0003 is not in the list, which begins with m0012",
            ],
        );
        assert_problems(
            "mod m0012;\nregistry![..BASE]",
            &["m0012.rs", "m0013.rs"],
            &[
                "src/lib.rs:1: `mod m0012;` is not in the list of registry!",
                "src/m0013.rs: src/lib.rs has no `mod m0013;`",
            ],
        );
    }

    #[test]
    fn a_base_comes_first_or_not_at_all() {
        assert_problems(
            "mod m0000;\nregistry![\n  m0000,\n  ..first::<A, B>()]",
            &["m0000.rs"],
            &["src/lib.rs:4: `..first::<A, B>()` is not the first in the list"],
        );
        assert_problems(
            "mod m0000;\nregistry![m0000,,]",
            &["m0000.rs"],
            &["src/lib.rs:2: `,` in the list is not the name of a migration"],
        );
        assert_problems(
            "registry![..]",
            &[],
            &["src/lib.rs:1: `..` in the list is not the name of a migration"],
        );
    }

    #[test]
    fn a_misspelt_name_is_not_passed_over() {
        let how = "a migration is called m and its number in four digits, like m0003";
        assert_problems(
            "mod m1;\nregistry![m00001, first]",
            &["m2.rs"],
            &[
                &format!("src/m2.rs: {how}"),
                &format!("src/lib.rs:1: `mod m1`: {how}"),
                &format!("src/lib.rs:2: `m00001` in the list: {how}"),
                "src/lib.rs:2: `first` in the list is not the name of a migration",
            ],
        );
    }
}
