//! Which words an expression uses. The engine knows more than a template may say; this is the closed list.

use super::Error;

/// The filters of the language.
pub const FILTERS: [&str; 12] = [
    "url_encode",
    "url_decode",
    "base64_encode",
    "base64_decode",
    "base64url_encode",
    "base64url_decode",
    "json",
    "jwt",
    "json_encode",
    "sha256",
    "hmac",
    "hex",
];
const FUNCTIONS: [&str; 3] = ["totp", "now", "uuid"];

/// What an expression of the engine may say and ours may not.
const KEYWORDS: [&str; 14] = [
    "if", "else", "is", "in", "and", "or", "not", "for", "true", "false", "none", "True", "False",
    "None",
];

/// The names in one expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) fields: Vec<String>,
    pub(super) cookies: Vec<String>,
    /// Whether a function is called.
    pub(super) dynamic: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Text(&'t str),
    Number,
    Mark(char),
}

/// Returns where the `}}` stands that ends the expression at the beginning of `text`.
pub(super) fn end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                chars.next();
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

// === impl Words ===

impl Words {
    /// Reads an expression, refusing every word and mark that is not on the list.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let tokens = tokens(text)?;
        let mut words = Self::default();
        let mut at = 0;
        while let Some(&token) = tokens.get(at) {
            let before = at.checked_sub(1).map(|before| tokens[before]);
            let after = tokens.get(at + 1).copied();
            at += 1;
            let Token::Word(word) = token else {
                continue;
            };
            if before == Some(Token::Mark('|')) {
                if !FILTERS.contains(&word) {
                    return Err(Error::Filter(word.to_owned()));
                }
            } else if KEYWORDS.contains(&word) {
                return Err(Error::Word(format!("`{word}`")));
            } else if word == "cookies" {
                let (name, used) = cookie(&tokens[at..]).ok_or(Error::Cookie)?;
                push(&mut words.cookies, name);
                at += used;
            } else if after == Some(Token::Mark('(')) {
                if !FUNCTIONS.contains(&word) {
                    return Err(Error::Function(word.to_owned()));
                }
                words.dynamic = true;
            } else {
                push(&mut words.fields, word);
            }
        }
        Ok(words)
    }

    /// Returns the fields and cookies as an error names them.
    pub(super) fn names(&self) -> String {
        let cookies = self.cookies.iter().map(|name| format!("cookies['{name}']"));
        let names: Vec<String> = self.fields.iter().cloned().chain(cookies).collect();
        if names.is_empty() {
            "a literal".to_owned()
        } else {
            names.join(", ")
        }
    }
}

fn push(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// Reads `['name']` or `.name`, and how many tokens that are.
fn cookie<'t>(rest: &[Token<'t>]) -> Option<(&'t str, usize)> {
    match rest {
        [Token::Mark('['), Token::Text(name), Token::Mark(']'), ..] => Some((name, 3)),
        [Token::Mark('.'), Token::Word(name), ..] => Some((name, 2)),
        _ => None,
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            c if c.is_ascii_whitespace() => 1,
            '\'' | '"' => {
                let inside = &rest[1..];
                let close = inside.find(c).ok_or(Error::Syntax)?;
                // An escape could hide the quote, and no name or key here needs one.
                if inside[..close].contains('\\') {
                    return Err(Error::Word("`\\` in a quoted text".to_owned()));
                }
                tokens.push(Token::Text(&inside[..close]));
                close + 2
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let len = run(rest, |b| b.is_ascii_alphanumeric() || b == b'_');
                tokens.push(Token::Word(&rest[..len]));
                len
            }
            c if c.is_ascii_digit() => {
                tokens.push(Token::Number);
                run(rest, |b| b.is_ascii_digit())
            }
            '|' | '(' | ')' | ',' | '~' | '[' | ']' => {
                tokens.push(Token::Mark(c));
                1
            }
            '.' if tokens.last() == Some(&Token::Word("cookies")) => {
                tokens.push(Token::Mark(c));
                1
            }
            other => return Err(Error::Word(format!("`{other}`"))),
        };
        rest = &rest[taken..];
    }
    // Brackets name a cookie and nothing else: no lists, no parts of a field.
    for (at, token) in tokens.iter().enumerate() {
        let cookie = |back| at >= back && tokens[at - back] == Token::Word("cookies");
        let stray = match token {
            Token::Mark('[') => !cookie(1),
            Token::Mark(']') => !cookie(3),
            _ => false,
        };
        if stray {
            return Err(Error::Word("`[…]` after anything but cookies".to_owned()));
        }
    }
    if tokens.is_empty() {
        return Err(Error::Syntax);
    }
    Ok(tokens)
}

fn run(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| belongs(*b)).count()
}
