//! The paths that a source file contains: its imports, its uses of other modules, and the names that it defines.

/// An import of one name, or of all names of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The number of its line, from 1.
    pub(super) line: usize,
    /// The imported path.
    pub(super) path: Vec<String>,
    /// The name that it has in the importing module; `*` imports all names.
    pub(super) name: String,
    /// Whether other modules may import the name from here.
    pub(super) is_public: bool,
}

/// A path in the code, apart from imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usage {
    /// The number of its line, from 1.
    pub(super) line: usize,
    /// The path, of at least two segments.
    pub(super) path: Vec<String>,
}

/// All paths of a source file.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The imports, of the module and of its functions.
    pub(super) imports: Vec<Import>,
    /// The other paths.
    pub(super) usages: Vec<Usage>,
    /// The names of all items.
    pub(super) items: Vec<String>,
    /// The names of the macros that the whole crate and other crates see.
    pub(super) exported_macros: Vec<String>,
}

/// Keywords in front of the name of an item.
const ITEMS: [&str; 9] = ["const", "enum", "fn", "macro_rules", "mod", "static", "struct", "trait", "type"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'c> {
    Word(&'c str),
    /// `::`
    Separator,
    Sign(char),
}

/// Reads the paths of code that has no comments, literals and tests.
pub(super) fn read(code: &str) -> Paths {
    let tokens = tokens(code);
    let mut reader = Reader { tokens: &tokens, at: 0, macro_end: 0, paths: Paths::default() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.paths
}

fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let (token, length) = if is_word(first) {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            } else if rest.starts_with("::") {
                (Token::Separator, 2)
            } else {
                (Token::Sign(first), first.len_utf8())
            };
            tokens.push((at + 1, token));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

struct Reader<'t, 'c> {
    tokens: &'t [(usize, Token<'c>)],
    at: usize,
    /// The end of the macro around the present place. Except for `$crate`, its paths are relative to its callers.
    macro_end: usize,
    paths: Paths,
}

impl<'c> Reader<'_, 'c> {
    fn token(&self, at: usize) -> Option<Token<'c>> {
        self.tokens.get(at).map(|(_, token)| *token)
    }

    fn word(&self, at: usize) -> Option<&'c str> {
        if let Some(Token::Word(word)) = self.token(at) { Some(word) } else { None }
    }

    /// Takes in the token at the present place and those that belong to it.
    fn step(&mut self) {
        match self.word(self.at) {
            Some(word) if self.at < self.macro_end && word != "crate" => self.at += 1,
            Some("use") if self.token(self.at + 1) != Some(Token::Sign('<')) => {
                let is_public = self.is_public();
                self.at += 1;
                self.imports(&[], is_public);
            }
            Some(word) if ITEMS.contains(&word) => self.item(word),
            Some(_) if self.token(self.at + 1) == Some(Token::Separator) => self.usage(),
            _ => self.at += 1,
        }
    }

    /// Whether the item that begins here has a visibility: `pub`, or `pub(…)`.
    fn is_public(&self) -> bool {
        let before = &self.tokens[..self.at];
        let before = match before.last() {
            Some((_, Token::Sign(')'))) => {
                let open = before.iter().rposition(|(_, token)| *token == Token::Sign('('));
                &before[..open.unwrap_or_default()]
            }
            _ => before,
        };
        before.last().is_some_and(|(_, token)| *token == Token::Word("pub"))
    }

    /// Reads the name behind a keyword of an item.
    fn item(&mut self, keyword: &str) {
        let is_macro = keyword == "macro_rules";
        let name = self.word(self.at + if is_macro { 2 } else { 1 });
        if let Some(name) = name.filter(|name| !ITEMS.contains(name)) {
            let before = &self.tokens[self.at.saturating_sub(8)..self.at];
            if is_macro && before.iter().any(|(_, token)| *token == Token::Word("macro_export")) {
                self.paths.exported_macros.push(name.to_owned());
            }
            self.paths.items.push(name.to_owned());
        }
        if is_macro {
            self.macro_end = self.group_end();
        }
        self.at += 1;
    }

    /// Returns the end of the next group in braces.
    fn group_end(&self) -> usize {
        let mut depth = 0_usize;
        for (at, (_, token)) in self.tokens.iter().enumerate().skip(self.at) {
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') if depth == 1 => return at,
                Token::Sign('}') => depth -= 1,
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Reads a path outside of imports.
    fn usage(&mut self) {
        let line = self.tokens[self.at].0;
        let is_whole = self.at.checked_sub(1).is_none_or(|at| self.token(at) != Some(Token::Separator));
        let path = self.segments();
        if is_whole {
            self.paths.usages.push(Usage { line, path });
        }
    }

    /// Reads words with separators between them.
    fn segments(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let Some(word) = self.word(self.at) {
            path.push(word.to_owned());
            self.at += 1;
            if self.token(self.at) != Some(Token::Separator) {
                break;
            }
            self.at += 1;
        }
        path
    }

    /// Reads a tree of imports, up to the sign that ends it.
    fn imports(&mut self, prefix: &[String], is_public: bool) {
        let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
        if self.token(self.at) == Some(Token::Separator) {
            self.at += 1;
        }
        let mut path = prefix.to_vec();
        path.extend(self.segments());
        match self.token(self.at) {
            Some(Token::Sign('{')) => {
                while !matches!(self.token(self.at), None | Some(Token::Sign('}'))) {
                    self.at += 1;
                    if self.token(self.at) != Some(Token::Sign('}')) {
                        self.imports(&path, is_public);
                    }
                }
                self.at += 1;
            }
            Some(Token::Sign('*')) => {
                self.at += 1;
                self.paths.imports.push(Import { line, path, name: "*".to_owned(), is_public });
            }
            _ => self.import(line, path, is_public),
        }
    }

    /// Records one imported path, with the name that `as` gives it.
    fn import(&mut self, line: usize, mut path: Vec<String>, is_public: bool) {
        // `as` is a word like the others, but no separator stands in front of it.
        let mut name = None;
        if self.word(self.at) == Some("as") {
            name = self.word(self.at + 1).map(str::to_owned);
            self.at += 2;
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(name) = name.or_else(|| path.last().cloned()) {
            self.paths.imports.push(Import { line, path, name, is_public });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(code: &str) -> Vec<(String, String, bool)> {
        let import = |import: Import| (import.path.join("::"), import.name, import.is_public);
        read(code).imports.into_iter().map(import).collect()
    }

    #[track_caller]
    fn assert_imports<const N: usize>(code: &str, expected: [(&str, &str, bool); N]) {
        let expected = expected.map(|(path, name, public)| (path.to_owned(), name.to_owned(), public));
        assert_eq!(imports(code), expected, "{code}");
    }

    #[test]
    fn import_trees_are_read() {
        assert_imports("use crate::a::B;", [("crate::a::B", "B", false)]);
        assert_imports("use super::a as b;", [("super::a", "b", false)]);
        assert_imports("pub use a::*;", [("a", "*", true)]);
        assert_imports("pub(crate) use a::B;\nfn f() {}", [("a::B", "B", true)]);
        assert_imports("pub(in crate::a) use b::C;", [("b::C", "C", true)]);
        assert_imports(
            "use crate::{a::{self, B}, c::{D as E,\n F,},};\nuse g::H;",
            [
                ("crate::a", "a", false),
                ("crate::a::B", "B", false),
                ("crate::c::D", "E", false),
                ("crate::c::F", "F", false),
                ("g::H", "H", false),
            ],
        );
        assert_imports("fn f<'a>() -> impl Fn() + use<'a> {}", []);
    }

    #[test]
    fn usages_are_whole_paths_with_lines() {
        let usages = read("fn f() {\n a::b(crate::c::D::e, x.y);\n $crate::z::<u8>::new()\n}").usages;
        let usages: Vec<_> = usages.iter().map(|usage| (usage.line, usage.path.join("::"))).collect();
        assert_eq!(usages, [(2, "a::b".into()), (2, "crate::c::D::e".into()), (3, "crate::z".into())]);
    }

    #[test]
    fn items_and_exported_macros_are_named() {
        let code = "pub const fn f() {}\nstruct S;\n#[macro_export]\nmacro_rules! m { () => {} }\n\
            macro_rules! n { () => {} }";
        let paths = read(code);
        assert_eq!(paths.items, ["f", "S", "m", "n"]);
        assert_eq!(paths.exported_macros, ["m"]);
    }

    #[test]
    fn only_crate_paths_of_a_macro_count() {
        let code = "macro_rules! m { ($a:ty) => { use b::c; fn d() { super::e(); $crate::f::g() } } }\nfn h() { i::j() }";
        let paths = read(code);
        let usages: Vec<_> = paths.usages.iter().map(|usage| usage.path.join("::")).collect();
        assert_eq!(usages, ["crate::f::g", "i::j"]);
        assert_eq!((paths.items, paths.imports), (vec!["m".to_owned(), "h".to_owned()], vec![]));
    }
}
