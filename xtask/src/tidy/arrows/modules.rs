//! The modules of a crate, and where the items that a path names are defined.

use std::collections::BTreeMap;

use crate::tidy::{
    arrows::paths::{self, Import, Paths},
    files::Files,
    lexer::{code_only, without_tests},
};

/// The largest number of imports that a path is followed through.
const MAX_IMPORTS: usize = 16;

/// The segments of a module's path; the crate root has none.
type ModulePath = Vec<String>;

/// One source file.
#[derive(Debug)]
pub(super) struct Module {
    /// The path of the file below `src/`.
    pub(super) file: String,
    paths: Paths,
}

/// A use of one file by another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    /// The file that uses, below `src/`.
    pub(super) from: String,
    /// The line of its first use.
    pub(super) line: usize,
    /// The file that defines the used item, below `src/`.
    pub(super) to: String,
}

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// A module of the crate.
    Module(ModulePath),
    /// An item that is defined in this module.
    Item(ModulePath),
}

/// The modules of one crate.
#[derive(Debug)]
pub(super) struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads the sources below this folder, such as `crates/conductor-model/src/`.
    pub(super) fn read(src: &str, files: &Files) -> Self {
        let mut modules = BTreeMap::new();
        let below = files.ending(".rs").filter_map(|file| Some((file.path.strip_prefix(src)?, file)));
        // A crate with both roots is a library; its program only calls it.
        let has_library = files.get(&format!("{src}lib.rs")).is_some();
        for (path, file) in below.filter(|(path, _)| !(is_test(path) || has_library && *path == "main.rs")) {
            let paths = paths::read(&without_tests(&code_only(&file.text)));
            modules.insert(module_path(path), Module { file: path.to_owned(), paths });
        }
        Self(modules)
    }

    /// Returns each pair of files of which one uses an item of the other, once.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (path, module) in &self.0 {
            for (line, target) in self.targets(path, module) {
                if let Some(to) = self.0.get(&target).filter(|to| to.file != module.file) {
                    arrows.entry((&module.file, &to.file)).or_insert(line);
                }
            }
        }
        let arrow =
            |((from, to), line): ((&str, &str), usize)| Arrow { from: from.into(), line, to: to.into() };
        arrows.into_iter().map(arrow).collect()
    }

    /// Returns the modules whose items this module uses. A public import only passes a name on.
    fn targets(&self, path: &ModulePath, module: &Module) -> Vec<(usize, ModulePath)> {
        let mut targets = Vec::new();
        for import in module.paths.imports.iter().filter(|import| !import.is_public) {
            match self.resolve(path, &import.path, 0) {
                Some(Target::Item(target)) => targets.push((import.line, target)),
                Some(Target::Module(target)) if import.name == "*" => targets.push((import.line, target)),
                // Its items are found where they are used.
                Some(Target::Module(_)) | None => {}
            }
        }
        for usage in &module.paths.usages {
            if let Some(Target::Item(target)) = self.resolve(path, &usage.path, 0) {
                targets.push((usage.line, target));
            }
        }
        targets
    }

    /// Finds the target of a path that stands in a module; `None` for other crates and local names.
    fn resolve(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first().filter(|_| depth < MAX_IMPORTS)?;
        let start = match first.as_str() {
            "crate" => Target::Module(Vec::new()),
            "self" => Target::Module(from.clone()),
            "super" => Target::Module(from.split_last()?.1.to_vec()),
            name => self.named(from, name, depth).filter(|target| *target != Target::Item(from.clone()))?,
        };
        rest.iter().try_fold(start, |target, segment| match target {
            Target::Item(module) => Some(Target::Item(module)),
            Target::Module(module) if segment == "super" => {
                Some(Target::Module(module.split_last()?.1.to_vec()))
            }
            Target::Module(module) => self.member(&module, segment, depth),
        })
    }

    /// Finds a member of a module. An unknown name is that of an item which a macro defines there.
    fn member(&self, module: &ModulePath, name: &str, depth: usize) -> Option<Target> {
        if let Some(target) = self.named(module, name, depth) {
            return Some(target);
        }
        let is_imported = |import: &&Import| import.name == name;
        if self.0.get(module)?.paths.imports.iter().any(|import| is_imported(&import)) {
            // It comes from another crate.
            return None;
        }
        let exports = |(_, other): &(&ModulePath, &Module)| {
            module.is_empty() && other.paths.exported_macros.iter().any(|exported| exported == name)
        };
        let exporting = self.0.iter().find(exports).map(|(path, _)| path);
        Some(Target::Item(exporting.unwrap_or(module).clone()))
    }

    /// Finds a name that a module declares, defines or imports.
    fn named(&self, module: &ModulePath, name: &str, depth: usize) -> Option<Target> {
        let child = [module.as_slice(), &[name.to_owned()]].concat();
        if self.0.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let paths = &self.0.get(module)?.paths;
        if paths.items.iter().any(|item| item == name) {
            return Some(Target::Item(module.clone()));
        }
        if let Some(import) = paths.imports.iter().find(|import| import.name == name) {
            return self.resolve(module, &import.path, depth + 1);
        }
        let mut globs = paths.imports.iter().filter(|import| import.name == "*");
        globs.find_map(|import| match self.resolve(module, &import.path, depth + 1)? {
            Target::Module(other) if depth < MAX_IMPORTS => self.named(&other, name, depth + 1),
            _ => None,
        })
    }
}

/// Whether the file is a module that is compiled for tests only, by its name.
fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("tests/")
}

/// Returns the path of the module in a file below `src/`.
fn module_path(file: &str) -> ModulePath {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_arrows<const N: usize, const M: usize>(files: [(&str, &str); N], expected: [(&str, &str); M]) {
        let arrows = Modules::read("src/", &Files::from(files)).arrows();
        let arrows: Vec<_> = arrows.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str())).collect();
        assert_eq!(arrows, expected);
    }

    #[test]
    fn paths_lead_to_the_defining_file() {
        for code in [
            "use crate::a::b::B;",
            "use super::a::b::B;",
            "use crate::a::b;\nfn f() { b::B::new() }",
            "use crate::a::b::*;",
            "fn f() -> crate::a::b::B {}",
            // Through re-exports of the folder and of the crate.
            "use crate::a::B;",
            "use crate::B;",
            "use crate::C;",
            "use crate::all::B;",
        ] {
            let files = [
                ("src/lib.rs", "mod a;\nmod d;\npub use a::B;\npub use a::b::B as C;"),
                ("src/a/mod.rs", "mod b;\npub use b::B;"),
                ("src/a/b.rs", "pub struct B;"),
                ("src/all.rs", "pub use crate::a::*;"),
                ("src/d.rs", code),
            ];
            assert_arrows(files, [("d.rs", "a/b.rs")]);
        }
    }

    #[test]
    fn tests_other_crates_and_local_names_are_ignored() {
        let code = "use serde::B;\n#[cfg(test)]\nmod tests { use crate::a::A; }\nfn f() { B::a(); g::h() }";
        let lib = "mod a;\nmod d;\npub use serde::B;";
        assert_arrows([("src/lib.rs", lib), ("src/a.rs", "struct A;"), ("src/d.rs", code)], []);
        assert_arrows([("src/lib.rs", lib), ("src/a.rs", "use crate::B;"), ("src/d.rs", "")], []);
    }

    #[test]
    fn parent_and_child_use_each_other_by_name() {
        let files =
            [("src/main.rs", "mod a;\nfn main() { a::f() }"), ("src/a.rs", "fn f() { super::main() }")];
        assert_arrows(files, [("a.rs", "main.rs"), ("main.rs", "a.rs")]);
    }

    #[test]
    fn exported_macro_leads_to_its_file() {
        let files = [
            ("src/lib.rs", "mod a;\nmod b;"),
            ("src/a.rs", "#[macro_export]\nmacro_rules! suite { () => {} }"),
            ("src/b.rs", "fn f() { crate::suite!() }"),
        ];
        assert_arrows(files, [("b.rs", "a.rs")]);
    }

    #[test]
    fn imports_that_lead_to_themselves_end() {
        assert_arrows(
            [
                ("src/lib.rs", "pub use crate::a::*;\nfn f() { crate::x::y() }"),
                ("src/a.rs", "pub use crate::*;"),
            ],
            [],
        );
    }
}
